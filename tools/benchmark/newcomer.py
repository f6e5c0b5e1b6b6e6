# SPDX-License-Identifier: GPL-2.0-or-later
"""A fourth guest boots beside three that are folded: how soon its part comes back, and for what."""

import time

from lab import guests, ksm
from lab.daemon import Daemon, merge_policy

from benchmark import race
from benchmark.contenders import PAGEFOLD
from benchmark.figures import AT_MOST, Figure
from benchmark.terms import MIB, NAMES, say, wait_quiet, wait_settled

SHARE = 0.9
# Each look asks the daemon, which takes CPU of its own.
SAMPLE_SECONDS = 0.25


def _reclaimed(daemon):
    return daemon.get("/v1/status")[1]["savings"]["reclaimed_bytes"]


def _watch(daemon, meter, newcomer, samples):
    """(clock, reclaimed, CPU) until the newcomer is ready, and until nothing moves any more."""
    def sample():
        samples.append((time.monotonic(), _reclaimed(daemon), meter.sample().cpu))
        time.sleep(SAMPLE_SECONDS)
    while not newcomer.is_ready():
        sample()
    ready = time.monotonic()
    newcomer.wait_ready()
    quiet = ready
    best = samples[-1][1]
    while time.monotonic() < quiet + 60:
        sample()
        if samples[-1][1] > best * 1.002:
            best, quiet = samples[-1][1], time.monotonic()
    return ready


def measure(bench):
    ksm.unmerge_all()
    names = merge_policy(*(f"vm:{name}" for name in NAMES))
    with guests.Lab() as lab, Daemon(config={**PAGEFOLD, **bench.config},
                                     policies={"bench.conf": names}) as daemon:
        vms = bench.shape.boot(lab, False, NAMES[:3])
        wait_quiet(vms)
        wait_settled(vms)
        before, samples = _reclaimed(daemon), []
        meter = race.Meter(vms)
        meter.watch(daemon.pid)
        begin = meter.sample().cpu
        say(f"  three guests: {before / MIB:.1f} MiB reclaimed; the fourth boots")
        newcomer = lab.start(NAMES[3], memory_mib=bench.shape.memory_mib, disk=bench.shape.disk)
        meter.add(newcomer)
        ready = _watch(daemon, meter, newcomer, samples)
        bursts = [line for line in daemon.log().splitlines() if "burst" in line]
    gained = samples[-1][1] - before
    at, _, cpu = next(sample for sample in samples if sample[1] - before >= SHARE * gained)
    say(f"  {gained / MIB:.1f} MiB more; 90 % of it {at - ready:.1f} s after READY, "
        f"CPU {cpu - begin:.2f} s")
    return [Figure("newcomer_90_percent_after_ready", at - ready, "s", (AT_MOST, 10),
                   f"{gained / MIB:.0f} MiB in all"),
            Figure("newcomer_cpu", cpu - begin, "s", (AT_MOST, 1.0))], {
                "gained_bytes": gained, "samples": samples, "bursts": bursts}
