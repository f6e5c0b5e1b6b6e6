# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast memory is read and fingerprinted: beside process_vm_readv alone, and two threads beside one."""

import json
import os
import statistics
import subprocess

from lab import paths

from benchmark.figures import AT_LEAST, Figure
from benchmark.terms import say

MIB, QUICK_MIB = 2048, 256
ROUNDS, QUICK_ROUNDS = 9, 3
GOAL_SHARE = {"small": 0.87, "huge": 0.77}
PAGES = {"small": "4 KiB pages", "huge": "huge pages"}
GOAL_TWO_THREADS = 1.7


def ratios(result):
    """Speeds, round by round: one thread's against the faster of both ways to read alone, against each
    of them, and two threads' against one's."""
    ways = {way: result[f"readv_{way}_seconds"] for way in ("extents", "pieces")}
    best = min(ways, key=lambda way: statistics.median(ways[way]))
    one = result["one_thread_seconds"]
    shares = {way: [alone / ours for alone, ours in zip(ways[way], one)] for way in ways}
    return {"vs_readv": shares[best], **{f"vs_{way}": shares[way] for way in ways},
            "two_vs_one": [slow / fast for slow, fast in zip(one, result["two_threads_seconds"])]}


def _measured(kind, bench):
    # Shape.quick() has no disk: to try it out, not for figures.
    mib, rounds = (MIB, ROUNDS) if bench.shape.disk else (QUICK_MIB, QUICK_ROUNDS)
    return json.loads(subprocess.run(
        [paths.bench_program("scan_memory"), kind, str(mib), str(rounds)], check=True,
        capture_output=True, text=True).stdout)


def _figures(kind, result):
    found = ratios(result)
    seconds = statistics.median(result["one_thread_seconds"])
    speed = result["pages"] / seconds
    by_call = ", ".join(f"{statistics.median(found[f'vs_{way}']):.3f} of it in calls of {size}"
                        for way, size in (("extents", "2 MiB"), ("pieces", "256 KiB")))
    say(f"  {PAGES[kind]}: {speed:,.0f} pages/s; {by_call}")
    yield Figure.of(f"scan_vs_readv_{kind}", found["vs_readv"], "", (AT_LEAST, GOAL_SHARE[kind]),
                    f"{speed / 1e6:.2f} M pages/s of {PAGES[kind]} ({result['huge_pages']} huge), one "
                    f"thread; {by_call}: the faster counts")
    name, goal = f"scan_two_threads_vs_one_{kind}", (AT_LEAST, GOAL_TWO_THREADS)
    if result["cpus"] < 2:
        yield Figure(name, None, "", goal, skipped="one CPU here")
    else:
        yield Figure.of(name, found["two_vs_one"], "", goal,
                        f"{result['cpus']} CPUs, load {os.getloadavg()[0]:.1f}")


def measure(bench):
    results = {kind: _measured(kind, bench) for kind in GOAL_SHARE}
    return [figure for kind, result in results.items() for figure in _figures(kind, result)], results
