# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU time is charged to whom it was spent for, and what is charged is what the threads' own clocks say."""

import contextlib
from pathlib import Path

import pytest

from lab import host, procs
from lab.daemon import Daemon, merge_policy
from scene import EAGER, wait_folded

# One scanning thread: what it took is still there to be read when the scan is over.
CONFIG = {**EAGER, "cpu-percent": 100, "scan-interval": 60}
STILL = ("--hot-writes", "0", "--stray-writes", "0", "--pause-ms", "100")


class Rings:
    """What the kernel threads of processes' rings have computed, by their own clocks: a worker that had nothing to
    do for five seconds ends, so what was seen of each stays."""

    def __init__(self, *processes):
        self.pids = [process.pid for process in processes]
        self.seen = {}

    def seconds(self):
        for pid in self.pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    if (task / "comm").read_text().startswith("iou-"):
                        self.seen[task.name] = host.thread_cpu_seconds(pid, int(task.name))
        return sum(self.seen.values())


def charged(cost):
    return cost["vms_cpu_seconds"] + cost["ended_cpu_seconds"]


def caused(cost):
    return sum(cost[f"{who}_cpu_seconds"] for who in ("scan", "ksmd", "ring", "helper"))


def test_what_is_charged_is_what_the_threads_clocks_say(ksm_alone):
    ksmd = host.ksmd_cpu_seconds()
    with procs.memcheck("--mib", "192", *STILL) as large, procs.memcheck("--mib", "64", *STILL) as small:
        policy = merge_policy(f"pid:{large.pid}", f"pid:{small.pid}")
        rings = Rings(large, small)
        with Daemon(config=CONFIG, policies={"test.conf": policy}) as daemon:
            daemon.wait_for(lambda _: rings.seconds() and all(
                daemon.vm(process.pid)["state"] == "folded" for process in (large, small)))
            wait_folded(daemon, large, small)
            daemon.cli("pause")
            # The books are as of the end of the last pass, and the next is a minute away.
            cost = daemon.wait_for(lambda status: status["cost"]["scan_cpu_seconds"] >
                                   0.95 * host.cpu_seconds(daemon.pid))["cost"]
            measured = {"scan": host.cpu_seconds(daemon.pid), "ksmd": host.ksmd_cpu_seconds() - ksmd,
                        "ring": rings.seconds(), "helper": cost["helper_cpu_seconds"]}
            vms = {vm["pid"]: vm["cpu_seconds"] for vm in daemon.cli("vms")["vms"]}
            for who in ("scan", "ksmd", "ring"):
                assert cost[f"{who}_cpu_seconds"] == pytest.approx(measured[who], rel=0.05)
            total = charged(cost) + cost["own_cpu_seconds"]
            assert total == pytest.approx(sum(measured.values()), rel=0.05)
            assert cost["vms_cpu_seconds"] == pytest.approx(sum(vms.values()), rel=0.05)
            # Next to nothing is the daemon's own while there is so much to read; and it is paid for by size.
            assert cost["own_cpu_seconds"] < 0.2 * total
            assert 2 < vms[large.pid] / vms[small.pid] < 4
            assert cost["since"].startswith("20")

            before = daemon.vm(large.pid)["cpu_seconds"]
            large.close()
            daemon.cli("resume")
            cost = daemon.wait_for(lambda status: status["cost"]["ended_cpu_seconds"] > 0)["cost"]
            assert cost["ended_cpu_seconds"] >= before
            assert charged(cost) + cost["own_cpu_seconds"] == pytest.approx(caused(cost), rel=0.01)
