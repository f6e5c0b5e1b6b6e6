# SPDX-License-Identifier: GPL-2.0-or-later
"""A measured number with its unit, and what was hoped for."""

import statistics
from dataclasses import dataclass

AT_LEAST, AT_MOST = "at least", "at most"


@dataclass
class Figure:
    """value None: it was never reached, or cannot be measured here; the note says which. values: of
    the repetitions, where there were several."""
    name: str
    value: float | None
    unit: str = ""
    goal: tuple | None = None
    note: str = ""
    values: tuple = ()

    @classmethod
    def of(cls, name, values, unit="", goal=None, note="", worst=False):
        """The median of several, or the greatest."""
        values = tuple(values)
        if not values or None in values:
            return cls(name, None, unit, goal, note or "never got there", values)
        pick = max if worst else statistics.median
        return cls(name, pick(values), unit, goal, note, values)

    def met(self):
        """None: nothing was hoped for."""
        if not self.goal:
            return None
        if self.value is None:
            return False
        word, number = self.goal
        return self.value >= number if word == AT_LEAST else self.value <= number

    def document(self):
        return {"name": self.name, "value": self.value, "unit": self.unit,
                "goal": list(self.goal) if self.goal else None, "met": self.met(),
                "note": self.note,
                "spread": {"min": min(self.values), "median": statistics.median(self.values),
                           "max": max(self.values)}
                if len(self.values) > 1 and None not in self.values else None}


def number(value):
    """As many digits as help."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.4g}"


def _spread_text(document):
    spread = document["spread"]
    return f" (min {number(spread['min'])}, max {number(spread['max'])})" if spread else ""


def _goal_text(document):
    if not document["goal"]:
        return ""
    word, limit = document["goal"]
    return f"   {'met' if document['met'] else 'MISSED'}: {word} {number(limit)}"


def print_table(documents):
    """documents: of figures, as they are written to bench.json."""
    for document in documents:
        print(f"{document['name']:<38} {number(document['value']):>9} {document['unit']}"
              f"{_spread_text(document)}{_goal_text(document)}")
        if document["note"]:
            print(f"    {document['note']}")
