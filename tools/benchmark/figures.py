# SPDX-License-Identifier: GPL-2.0-or-later
"""A measured number with its unit, and what was hoped for."""

import statistics
from dataclasses import dataclass

AT_LEAST, AT_MOST = "at least", "at most"
MORE_THAN, LESS_THAN = ">", "<"
RATIOS = ("cpu_to_95_vs_ksmd_flat_out", "wall_to_95_vs_ksmd_flat_out", "steady_cpu_vs_advisor",
          "rmap_items_vs_ksmd_flat_out")


@dataclass
class Figure:
    """value None: it was never reached, or cannot be measured here; the note says which. values: of
    the repetitions, where there were several. limit: what is known of a value that is not: (MORE_THAN
    or LESS_THAN, number). skipped: why this host cannot measure it."""
    name: str
    value: float | None
    unit: str = ""
    goal: tuple | None = None
    note: str = ""
    values: tuple = ()
    limit: tuple | None = None
    skipped: str = ""

    @classmethod
    def of(cls, name, values, unit="", goal=None, note="", worst=False):
        """The median of several, or the greatest."""
        values = tuple(values)
        if not values or None in values:
            return cls(name, None, unit, goal, note or "never got there", values)
        pick = max if worst else statistics.median
        return cls(name, pick(values), unit, goal, note, values)

    def met(self):
        """None: nothing was hoped for, or nothing was measured."""
        if not self.goal or self.skipped:
            return None
        word, number = self.goal
        if self.value is None:
            # Less than enough is enough, whatever it would have been.
            return (word == AT_MOST and self.limit is not None and
                    self.limit[0] == LESS_THAN and self.limit[1] <= number)
        return self.value >= number if word == AT_LEAST else self.value <= number

    def document(self):
        return {"name": self.name, "value": self.value, "unit": self.unit,
                "goal": list(self.goal) if self.goal else None, "met": self.met(),
                "note": self.note, "skipped": self.skipped or None,
                "limit": list(self.limit) if self.limit else None,
                "spread": {"min": min(self.values), "median": statistics.median(self.values),
                           "max": max(self.values)}
                if len(self.values) > 1 and None not in self.values else None}


def ratios(documents):
    """{name: value} of those that compare; those that everybody asks for are there even when
    nobody measured them."""
    return {**dict.fromkeys(RATIOS),
            **{one["name"]: one["value"] for one in documents if "_vs_" in one["name"]}}


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


def _value_text(document):
    if document["value"] is None and document["limit"]:
        sign, limit = document["limit"]
        return f"{sign} {number(limit)}"
    return number(document["value"])


def _goal_text(document):
    if not document["goal"]:
        return ""
    word, limit = document["goal"]
    verdict = "SKIPPED" if document["skipped"] else "met" if document["met"] else "MISSED"
    return f"   {verdict}: {word} {number(limit)}"


def print_table(documents):
    """documents: of figures, as they are written to bench.json."""
    for document in documents:
        print(f"{document['name']:<38} {_value_text(document):>9} {document['unit']}"
              f"{_spread_text(document)}{_goal_text(document)}")
        for text in filter(None, (document["skipped"], document["note"])):
            print(f"    {text}")
