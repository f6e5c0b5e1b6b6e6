# SPDX-License-Identifier: GPL-2.0-or-later
"""A host of 1 TiB: simulated fingerprints through the daemon's own count and plan."""

import json
import subprocess

from lab import host, paths

from benchmark.figures import AT_LEAST, AT_MOST, Figure
from benchmark.terms import BenchError, say

GIB = 1 << 30
# 2^28 pages are 1 TiB; the smaller one tells whether time and memory grow with the pages alone.
LARGE_LOG2, SMALL_LOG2, QUICK_LOG2 = 28, 24, 22
NEEDED_BYTES = 8  # a page
SPARE_BYTES = GIB
STAGES = ("count", "plan", "publish")
# The fixed part is memory.py's to measure.
GOAL_BYTES, GOAL_PAGES_PER_SECOND, GOAL_SECONDS = 2 * GIB, 20e6, 20


def _simulate(log2):
    if host.meminfo()["MemAvailable"] < NEEDED_BYTES * 2 ** log2 + SPARE_BYTES:
        raise BenchError(f"2^{log2} simulated pages need {NEEDED_BYTES * 2 ** log2 >> 20} MiB of memory")
    result = json.loads(subprocess.run(
        [paths.bench_program("simulate_host"), str(log2)], check=True, capture_output=True,
        text=True).stdout)
    if not result["counted_is_true"]:
        raise BenchError(f"2^{log2} pages were not counted as they were laid out: {result}")
    say(f"  2^{log2} pages: {result['peak_bytes'] / result['pages']:.2f} bytes a page, counted in "
        f"{result['count_seconds']:.2f} s ({result['count_cpu_seconds']:.2f} s of CPU), planned for "
        f"in {result['plan_seconds']:.2f} s")
    return result


def _speed(result):
    return result["pages"] / result["count_cpu_seconds"]


def measure(bench):
    # Shape.quick() has no disk: to try it out, not for figures.
    small, large = map(_simulate, (QUICK_LOG2, SMALL_LOG2) if not bench.shape.disk
                       else (SMALL_LOG2, LARGE_LOG2))
    share = large["pages"] / 2 ** LARGE_LOG2
    slope = (large["peak_bytes"] - small["peak_bytes"]) / (large["pages"] - small["pages"])
    what = f"{large['pages']:,} pages of {large['vms']} simulated VMs"
    return [
        Figure("scale_bytes", large["peak_bytes"], "bytes", (AT_MOST, GOAL_BYTES * share),
               f"{what}; {slope:.2f} bytes for each page more"),
        Figure("scale_pages_per_core_second", _speed(large), "pages/s",
               (AT_LEAST, GOAL_PAGES_PER_SECOND), f"counted; {_speed(small):,.0f} of "
               f"{small['pages']:,}"),
        Figure("scale_plan_seconds", sum(large[f"{stage}_seconds"] for stage in STAGES), "s",
               (AT_MOST, GOAL_SECONDS * share),
               f"count ({large['count_seconds']:.1f} s), plan and publish; "
               f"{large['plan_huge_pages']:,} huge pages chosen, {large['plan_saved_pages']:,} of "
               f"{large['saveable_pages']:,} pages")], {"small": small, "large": large}
