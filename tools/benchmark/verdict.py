# SPDX-License-Identifier: GPL-2.0-or-later
"""Two contenders side by side: ratios, a table, and the same as JSON."""

import statistics
from dataclasses import asdict

from benchmark import race
from benchmark.figures import AT_LEAST, AT_MOST

MIB = 1 << 20
TARGET_SHARE = 0.95
GOALS = {"savings_vs_ksmd_flat_out": (AT_LEAST, 0.95),
         "cpu_to_95_vs_ksmd_flat_out": (AT_MOST, 1 / 10),
         "wall_to_95_vs_ksmd_flat_out": (AT_MOST, 1 / 8),
         "rmap_items_vs_ksmd_flat_out": (AT_MOST, 1 / 7)}


# Other programs may move AnonPages by so much of the savings.
NOISE_SHARE = 0.01


def others_bytes(outcome):
    """What other programs gave back meanwhile."""
    return outcome["savings_bytes"] - outcome["guests_savings_bytes"]


def _is_noisy(outcome):
    return abs(others_bytes(outcome)) > NOISE_SHARE * outcome["guests_savings_bytes"]


def judge(results):
    """Adds to each contender its sample "at_95", when 95 % of what ksmd flat out brought back in the
    end had come back (None: never), and to the round the ratios of pagefold to ksmd.

    Savings are the fall of AnonPages; where other programs moved that, the fall of the guests' part
    of it, for both contenders."""
    ksmd, pagefold = results["ksmd"], results["pagefold"]
    noisy = _is_noisy(ksmd) or _is_noisy(pagefold)
    field, savings = (("guests_anon", "guests_savings_bytes") if noisy else
                      ("anon", "savings_bytes"))
    results["judged_by"] = field
    for outcome in (ksmd, pagefold):
        outcome["at_95"] = race.first_at(outcome, field, TARGET_SHARE * ksmd[savings])
    results["ratios"] = {
        "savings_vs_ksmd_flat_out": pagefold[savings] / ksmd[savings],
        **{f"{name}_vs_ksmd_flat_out": _ratio(pagefold["at_95"], ksmd["at_95"], field)
           for name, field in (("cpu_to_95", "cpu"), ("rmap_items", "rmap_items"),
                               ("wall_to_95", "wall"))}}


def _ratio(one, other, field):
    if one is None or other is None or not getattr(other, field):
        return None
    return getattr(one, field) / getattr(other, field)


def spread(rounds):
    """{ratio: {"min", "median", "max"}} over the rounds; None where one round did not get there."""
    result = {}
    for name in GOALS:
        values = [results["ratios"][name] for results in rounds]
        result[name] = None if None in values else {
            "min": min(values), "median": statistics.median(values), "max": max(values)}
    return result


def plain(rounds):
    """The rounds as they are written: samples as plain numbers."""
    return [{name: _plain(part) for name, part in results.items()} for results in rounds]


def _plain(part):
    if not isinstance(part, dict) or "samples" not in part:
        return part
    plain = {**part, "samples": [asdict(sample) for sample in part["samples"]]}
    if part.get("at_95"):
        plain["at_95"] = asdict(part["at_95"])
    return plain


# ---- for eyes ----

_ROW = "{:<34} {:>14} {:>14} {:>8}"


def _mib(size):
    return f"{size / MIB:.1f}"


def _rows(ksmd, pagefold):
    def both(label, read, form):
        values = [read(outcome) for outcome in (ksmd, pagefold)]
        ratio = f"{values[1] / values[0]:.3f}" if None not in values and values[0] else ""
        return (label, *("never" if value is None else form(value) for value in values), ratio)

    def at_95(field):
        return lambda outcome: outcome["at_95"] and getattr(outcome["at_95"], field)

    yield both("AnonPages before, MiB", lambda one: one["start"]["anon_bytes"], _mib)
    yield both("AnonHugePages before, MiB", lambda one: one["start"]["anon_huge_bytes"], _mib)
    yield both("savings, MiB", lambda one: one["savings_bytes"], _mib)
    yield both("  of it the guests' part, MiB", lambda one: one["guests_savings_bytes"], _mib)
    for field in ("cpu", "ksmd", "daemon", "ring", "khugepaged"):
        label = "CPU to 95 %, s" if field == "cpu" else f"  of it {field}, s"
        yield both(label, at_95(field), "{:.2f}".format)
    yield both("wall clock to 95 %, s", at_95("wall"), "{:.2f}".format)
    yield both("rmap_items at 95 %", at_95("rmap_items"), str)
    yield both("rmap_items at the end", lambda one: one["rmap_items"], str)
    yield both("CPU in all, s", lambda one: one["final"]["cpu"], "{:.2f}".format)
    yield both("metadata at the end, MiB", lambda one: one["metadata_bytes"], _mib)
    yield both("AnonHugePages of guests kept, MiB", lambda one: one["huge_bytes"], _mib)


def print_round(number, results):
    print()
    print(_ROW.format(f"round {number + 1} ({', then '.join(results['order'])})", "ksmd flat out",
                      "pagefold", "ratio"))
    for row in _rows(results["ksmd"], results["pagefold"]):
        print(_ROW.format(*row))
    if not results["ksmd"]["settled"]:
        print("ksmd was not settled when its time was up")
    if results["judged_by"] == "guests_anon":
        moved = " and ".join(f"{-others_bytes(results[name]) / MIB:+.1f} MiB beside {name}"
                             for name in ("ksmd", "pagefold"))
        print(f"other programs moved AnonPages ({moved}): judged by the guests' part of it alone")
