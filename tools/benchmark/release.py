# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast folded guests get their private pages back, while they run."""

import time

from lab import host
from lab.daemon import Daemon

from benchmark import race
from benchmark.contenders import PAGEFOLD, merge_policies
from benchmark.figures import AT_LEAST, Figure
from benchmark.terms import MIB, BenchError, fresh_guests, say
from benchmark.warm_memory import WarmMemory

FOLD_SECONDS = 120
CONFIG = {**PAGEFOLD, "settle-seconds": 0}


def _folded(status):
    return len(status["vms"]) and all(vm["state"] == "folded" for vm in status["vms"]
                                      if vm["mode"] == "merge")


def _release(daemon, vm):
    """MiB that came back to it, the seconds that took, and the milliseconds that the first touch of a huge page
    of free memory took before."""
    # The huge pages that are built anew are less than half of it.
    warm = WarmMemory(vm.memory_mib * MIB // 2)
    warm.free()
    before = race.fresh_anon_bytes()
    begin = time.monotonic()
    daemon.cli("release", f"pid:{vm.pid}")
    took = time.monotonic() - begin
    if host.ram_usage(vm.pid, vm.memory_mib * MIB)["KSM"]:
        raise BenchError(f"{vm.name} is still folded after its release")
    return (race.fresh_anon_bytes() - before) / MIB, took, warm.touch_ms


def measure(bench):
    with fresh_guests(bench.shape, mergeable=False) as (vms, start), \
            Daemon(config={**CONFIG, **bench.config}, policies=merge_policies(vms)) as daemon:
        daemon.wait_for(_folded, FOLD_SECONDS)
        saved = (start["anon_bytes"] - host.settled_anon_bytes()) / MIB
        released = [_release(daemon, vm) for vm in vms]
        left = (start["anon_bytes"] - host.settled_anon_bytes()) / MIB
    back, took, _ = (sum(column) for column in zip(*released))
    touch_ms = max(touch for _, _, touch in released)
    say(f"  {saved:.1f} MiB were saved; {back:.1f} MiB came back in {took:.2f} s, {left:.1f} did not")
    return [Figure("release_speed", back / took, "MiB/s", (AT_LEAST, 150),
                   f"AnonPages rose by {back:.0f} MiB while four guests were released, one after the "
                   "other, into memory that was free for a moment only: the first touch of what was free for "
                   f"longer took {touch_ms:.2f} ms a huge page")], {
                       "saved_mib": saved, "left_mib": left, "released": released}
