# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether cpu-percent is kept, for everything that pagefold causes, while there is always more to do than it
allows: processes come that are to be folded, and each is ended once it is."""

import contextlib
import shutil
import tempfile
import time
from pathlib import Path

from lab import ksm, paths, procs
from lab.daemon import Daemon, merge_policy

from benchmark import race
from benchmark.figures import AT_MOST, Figure
from benchmark.terms import MIB, say

PERCENTS = (10, 40)
GOAL_OFF = 0.15
# Folding a pair takes about a CPU second: whole seconds of work are waiting at any time.
PAIR_MIB, QUICK_PAIR_MIB = 192, 64
PAIRS = 3
PAGES_PER_MIB = 256
# The daemon has come to its stride when the first pair is folded.
WARM_UP_SECONDS = 10
SAMPLE_SECONDS = 0.25
CONFIG = {"scan-interval": 1, "settle-seconds": 0, "default-mode": "off"}


class Work:
    """Pairs of processes with equal memory: as soon as one is folded another takes its place."""

    def __init__(self, program, pages, meter):
        self._command = [program, "--hugepages"]
        self._pages = pages
        self._meter = meter
        self._number = 0
        self.pairs = []
        self.folded = 0

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        while self.pairs:
            self._end(self.pairs[0])

    def _end(self, pair):
        self.pairs.remove(pair)
        for target in pair:
            self._meter.remove(target)
            target.close()

    def refill(self):
        while len(self.pairs) < PAIRS:
            # Contents of its own, of as many as there are: those of two pairs ago are gone.
            spec = f"r{self._number % (2 * PAIRS) * self._pages}*{self._pages}"
            self._number += 1
            pair = []
            self.pairs.append(pair)
            for _ in range(2):
                pair.append(procs.Twins([*self._command, spec]))
                self._meter.add(pair[-1].wait_ready())

    def retire(self, states):
        """Ends the pairs that are folded. states: by pid."""
        for pair in list(self.pairs):
            if all(states.get(target.pid) == "folded" for target in pair):
                self._end(pair)
                self.folded += 1


def _step(daemon, work):
    """One look: whether there was still something to be folded."""
    states = {vm["pid"]: vm["state"] for vm in daemon.get("/v1/vms")[1]["vms"]}
    work.retire(states)
    waiting = bool(work.pairs)
    work.refill()
    time.sleep(SAMPLE_SECONDS)
    return waiting


def _used(percent, seconds, pages):
    """Share of a core over so many seconds, of everything and of each part."""
    ksm.unmerge_all()
    with contextlib.ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="pagefold-budget-"))
        stack.callback(shutil.rmtree, directory)
        # A name of its own, so that no other process on the host is meant.
        program = Path(shutil.copy(paths.test_helper("twins"), directory / "work"))
        meter = race.Meter([])
        work = stack.enter_context(Work(program, pages, meter))
        daemon = stack.enter_context(Daemon(
            config={**CONFIG, "cpu-percent": percent},
            policies={"bench.conf": merge_policy(f"exe:{program}")}))
        work.refill()
        meter.watch(daemon.pid)
        _run(daemon, work, WARM_UP_SECONDS)
        first, folded = meter.sample(), work.folded
        waited = _run(daemon, work, seconds)
        last = meter.sample()
    wall = last.wall - first.wall
    return {"percent": percent, "seconds": wall, "waiting_share": waited,
            "folded_mib": (work.folded - folded) * 2 * pages // PAGES_PER_MIB,
            **{part: (getattr(last, part) - getattr(first, part)) / wall * 100
               for part in ("cpu", "ksmd", "daemon", "ring", "khugepaged")}}


def _run(daemon, work, seconds):
    """Share of the looks at which something was waiting."""
    end, looks, waited = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        waited += _step(daemon, work)
        looks += 1
    return waited / looks


def figure(used):
    off = abs(used["cpu"] / used["percent"] - 1)
    return Figure(f"cpu_off_{used['percent']}_percent", off, "of the setting", (AT_MOST, GOAL_OFF),
                  f"{used['cpu']:.2f} % of a core over {used['seconds']:.0f} s: ksmd "
                  f"{used['ksmd']:.2f}, daemon and helper {used['daemon']:.2f}, ring "
                  f"{used['ring']:.2f}, khugepaged {used['khugepaged']:.2f}; {used['folded_mib']} "
                  f"MiB folded, work was waiting at {used['waiting_share'] * 100:.0f} % of the looks")


def measure(bench):
    pages = (PAIR_MIB if bench.shape.disk else QUICK_PAIR_MIB) * PAGES_PER_MIB
    results = []
    for percent in PERCENTS:
        say(f"  cpu-percent {percent}, pairs of {2 * pages * 4096 // MIB} MiB, "
            f"{bench.budget_seconds} s")
        results.append(_used(percent, bench.budget_seconds, pages))
        say(f"  {figure(results[-1]).note}")
    return [figure(used) for used in results], results
