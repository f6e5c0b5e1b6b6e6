# SPDX-License-Identifier: GPL-2.0-or-later
"""Which extents are chosen: beside the best greedy choice that breaks as many huge pages, and marks as many
other extents as it likes."""

import json
import subprocess

from lab import paths

from benchmark.figures import AT_LEAST, Figure
from benchmark.terms import fresh_guests, say

GOAL_SHARE = 0.98


def _choose(*pids):
    return json.loads(subprocess.run([paths.bench_program("choose_extents"), *map(str, pids)],
                                     check=True, capture_output=True, text=True).stdout)


def _best(choice):
    return max(choice["greedy_upwards_pages"], choice["greedy_downwards_pages"])


def _print_curve(choice):
    """What the best choice would save, for each number of broken huge pages."""
    everything = choice["curve"][-1][1] or 1
    for broken, saved in choice["curve"]:
        say(f"    {broken:6,} huge pages: {saved:9,} pages ({100 * saved / everything:5.1f} %)")


def _figures(memory, what, choices):
    for policy, choice in choices.items():
        best = _best(choice)
        yield Figure(f"chosen_vs_greedy_{policy}_{memory}",
                     choice["saved_pages"] / best if best else 1, "", (AT_LEAST, GOAL_SHARE),
                     f"{what}: {choice['saved_pages']:,} pages of {choice['huge_pages']:,} huge "
                     f"pages and {choice['other_extents']:,} other extents; greedy {best:,}"
                     + ("" if best else ": there is nothing to choose"))


def measure(bench):
    simulated = _choose()
    with fresh_guests(bench.shape, mergeable=False) as (vms, _start):
        real = _choose(*(vm.pid for vm in vms))
    for name, choices in (("simulated memory", simulated), ("the guests", real)):
        say(f"  {name}: what could be saved")
        _print_curve(choices["fold"])
    return [*_figures("guests", f"four guests of {bench.shape.text()}", real),
            *_figures("simulated", "four simulated VMs of 1 GiB, a third of it not huge pages",
                      simulated)], {"guests": real, "simulated": simulated}
