# SPDX-License-Identifier: GPL-2.0-or-later
"""What a burst for one new extent costs beside much that is folded already: ksmd visits that too."""

import contextlib
import statistics
import time

from lab import ksm, procs
from lab.daemon import Daemon, merge_policy

from benchmark import race
from benchmark.figures import AT_MOST, Figure
from benchmark.terms import BenchError, say

# Two processes with the same 50,000 pages: all of 100,000 are folded, in extents that are full of them.
PAIR_PAGES, QUICK_PAIR_PAGES = 50000, 8192
NEW_PAGES = 512
# A burst that brings little waits for more to come with it: most of a minute each.
ROUNDS = 3
US_PER_FOLDED_PAGE = 0.5
WAIT_SECONDS = 180
CONFIG = {"cpu-percent": 100, "scan-interval": 1, "settle-seconds": 0, "default-mode": "off"}
POLL_SECONDS = 0.02
# Before ksmd runs the extents are read and marked: that is part of it.
RUN_UP_SECONDS = 0.3
REST_PASSES = 3


def _twins(stack, pages, content):
    """Two processes that have the same pages, and nothing else."""
    return [stack.enter_context(procs.twins("--hugepages", f"r{content}*{pages}")) for _ in range(2)]


def _fold(daemon, name, pair, look=lambda: None):
    daemon.write_policy(f"{name}.conf", merge_policy(*(f"pid:{target.pid}" for target in pair)))
    daemon.reload()
    deadline = time.monotonic() + WAIT_SECONDS
    pids = {target.pid for target in pair}
    while True:
        look()
        states = [vm["state"] for vm in daemon.get("/v1/vms")[1]["vms"] if vm["pid"] in pids]
        if states == ["folded"] * len(pair) and ksm.read("run") == "0":
            return
        if time.monotonic() > deadline:
            raise BenchError(f"{states} after {WAIT_SECONDS} s\n{daemon.log()}")
        time.sleep(POLL_SECONDS)


def _burst(daemon, number, measured):
    """One new extent and its twin: CPU of everything, CPU of ksmd, and how many scans that took."""
    running = []
    with contextlib.ExitStack() as stack:
        pair = _twins(stack, NEW_PAGES, 100000 + number * NEW_PAGES)
        daemon.wait_passes(REST_PASSES)
        meter = race.Meter([*measured, *pair])
        meter.watch(daemon.pid)

        def look():
            running.append(ksm.read("run") != "0")
            meter.sample()
        _fold(daemon, "new", pair, look)
        after = meter.sample()
    daemon.write_policy("new.conf", "")
    daemon.reload()
    before = run_up(meter.samples, running)
    return {"cpu": after.cpu - before.cpu, "ksmd": after.ksmd - before.ksmd,
            "scans": after.full_scans - before.full_scans}


def run_up(samples, running):
    """The last sample that is old enough to have everything before it that led to ksmd's start; where
    nobody saw ksmd run the burst was over between two looks."""
    start = samples[running.index(True) if True in running else len(running) - 1].wall
    early = [sample for sample in samples if sample.wall <= start - RUN_UP_SECONDS]
    return early[-1] if early else samples[0]


def _bursts(pages):
    """So many bursts, beside two processes that hold so many folded pages each."""
    ksm.unmerge_all()
    with contextlib.ExitStack() as stack, Daemon(config=CONFIG, policies={}) as daemon:
        base = _twins(stack, pages, 0) if pages else []
        if base:
            _fold(daemon, "base", base)
            # What has just been folded is read once more.
            daemon.wait_passes(2 * REST_PASSES)
        folded = sum(ksm.process_stat(target.pid).get("ksm_merging_pages", 0) for target in base)
        if folded < 2 * pages * 0.99:
            raise BenchError(f"{folded} of {2 * pages} pages are folded\n{daemon.log()}")
        rounds = [_burst(daemon, number, base) for number in range(ROUNDS)]
    say(f"  beside {folded:,} folded pages: " + ", ".join(
        f"{one['cpu']:.3f} s ({one['scans']} scans, ksmd {one['ksmd']:.3f} s)" for one in rounds))
    return folded, rounds


def excess_us(alone, beside, folded):
    """What each folded page and scan added, in each round, over the median of a burst alone."""
    own = statistics.median(one["cpu"] for one in alone)
    return [(one["cpu"] - own) * 1e6 / (folded * max(1, one["scans"])) for one in beside]


def measure(bench):
    pages = PAIR_PAGES if bench.shape.disk else QUICK_PAIR_PAGES
    _, alone = _bursts(0)
    folded, beside = _bursts(pages)
    by_ksmd = excess_us([{**one, "cpu": one["ksmd"]} for one in alone],
                        [{**one, "cpu": one["ksmd"]} for one in beside], folded)
    cpu = [statistics.median(one["cpu"] for one in rounds) for rounds in (alone, beside)]
    return [Figure.of("burst_per_folded_page_and_scan", excess_us(alone, beside, folded), "us",
                      (AT_MOST, US_PER_FOLDED_PAGE),
                      f"one new extent and its twin: {cpu[0]:.3f} s alone, {cpu[1]:.3f} s beside "
                      f"{folded:,} folded pages, {statistics.median(one['scans'] for one in beside)} "
                      f"scans; ksmd's part {statistics.median(by_ksmd):.2f} us")], {
                          "alone": alone, "beside": beside, "folded_pages": folded}
