# SPDX-License-Identifier: GPL-2.0-or-later
"""pagefold against ksmd flat out: the same guests, equally fresh for each, in turns."""

import time

from lab import host

from benchmark import folded, khugepaged, verdict
from benchmark.contenders import CONTENDERS, contend
from benchmark.figures import AT_MOST, Figure
from benchmark.terms import MIB, fresh_guests, say

# CPU per page that is there and per page that came back, us.
RESIDENT_US, RECLAIMED_US = 0.35, 13


def collapse(vms, seconds):
    """khugepaged hurried over the folded guests: what it undid."""
    flags = folded.frame_flags()
    before = {vm: folded.folded_pages(vm.pid, vm.memory_mib * MIB, flags) for vm in vms}
    counters = khugepaged.counters()
    with khugepaged.hurried():
        time.sleep(seconds)
    flags = folded.frame_flags()
    after = {vm: folded.folded_pages(vm.pid, vm.memory_mib * MIB, flags) for vm in vms}
    lost = sum(folded.collapsed_pages(vm.pid, before[vm] - after[vm]) for vm in vms)
    grown = {name: value - counters[name] for name, value in khugepaged.counters().items()}
    return {"seconds": seconds, "folded_pages": sum(map(len, before.values())),
            "lost_pages": lost,
            "written_pages": sum(len(before[vm] - after[vm]) for vm in vms) - lost, **grown}


def run_round(bench, number):
    order = [bench.only] if bench.only else list(CONTENDERS)[::1 if number % 2 == 0 else -1]
    results = {"order": order}
    for name in order:
        say(f"round {number + 1}: {name}, four fresh guests of {bench.shape.text()}")
        with fresh_guests(bench.shape, mergeable=name == "ksmd") as (vms, start):
            results[name] = contend(CONTENDERS[name], vms, start, bench.config)
            if name == "pagefold" and number == bench.rounds - 1 and bench.collapse_seconds:
                say(f"  khugepaged hurried for {bench.collapse_seconds} s")
                results["khugepaged"] = collapse(vms, bench.collapse_seconds)
                say(f"  {results['khugepaged']}")
    if not bench.only:
        verdict.judge(results)
    return results


def _allowed_seconds(outcome):
    resident = outcome["start"]["guests_anon_bytes"] // host.PAGE
    return (resident * RESIDENT_US + outcome["savings_bytes"] // host.PAGE * RECLAIMED_US) / 1e6


def figures(rounds):
    for name, spread in verdict.spread(rounds).items():
        values = [results["ratios"][name] for results in rounds]
        yield Figure.of(name, values, goal=verdict.GOALS[name],
                        note="" if spread else "not all rounds got there")
    yield Figure.of("cpu_to_95_vs_allowance",
                    [at_95 and at_95.cpu / _allowed_seconds(results["pagefold"])
                     for results in rounds for at_95 in [results["pagefold"]["at_95"]]],
                    goal=(AT_MOST, 1), note=f"{RESIDENT_US} us a resident page + {RECLAIMED_US} us "
                    "a page by which AnonPages fell")
    undone = rounds[-1].get("khugepaged")
    if undone:
        yield Figure("folded_pages_lost_to_khugepaged", undone["lost_pages"], "pages", (AT_MOST, 0),
                     f"of {undone['folded_pages']:,} in {undone['seconds']} s of khugepaged without "
                     "sleep")


def measure(bench):
    rounds = [run_round(bench, number) for number in range(bench.rounds)]
    if bench.only:
        return [], {"rounds": verdict.plain(rounds)}
    for number, results in enumerate(rounds):
        verdict.print_round(number, results)
    return list(figures(rounds)), {"rounds": verdict.plain(rounds)}
