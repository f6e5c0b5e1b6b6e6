# SPDX-License-Identifier: GPL-2.0-or-later
"""Samples of what came back and what it cost, while somebody folds the memory of guests."""

import contextlib
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from lab import host, ksm

# struct ksm_rmap_item and struct ksm_stable_node
KSM_ITEM_BYTES = 64


@dataclass
class Sample:
    """Bytes and seconds since the start; cpu is everything that was caused, the others are parts."""
    wall: float
    anon: int
    guests_anon: int
    cpu: float
    ksmd: float
    daemon: float
    ring: float
    khugepaged: float
    rmap_items: int
    full_scans: int


def fresh_anon_bytes():
    """AnonPages, with what each CPU had not added to it yet."""
    with contextlib.suppress(OSError):
        Path("/proc/sys/vm/stat_refresh").read_text()
    return host.anon_bytes()


def guests_anon_bytes(vms):
    """What the guests' QEMUs put into the host's AnonPages: a frame that they share counts once."""
    return sum(host.rollup(vm.pid)["Pss_Anon"] for vm in vms)


def guests_huge_bytes(vms):
    return sum(host.rollup(vm.pid)["AnonHugePages"] for vm in vms)


def page_table_bytes(vms):
    """A range of its own for each mark costs no page table, the split of a huge page may."""
    lines = [line for vm in vms
             for line in Path(f"/proc/{vm.pid}/status").read_text().splitlines()]
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("VmPTE:"))


def rmap_items(vms):
    return sum(ksm.process_stat(vm.pid).get("ksm_rmap_items", 0) for vm in vms)


class RingCpu:
    """The kernel threads of the daemon's rings run in the guests' processes, and go with the rings."""

    def __init__(self, vms):
        self._pids = [vm.pid for vm in vms]
        self._seconds = {}

    def add(self, vm):
        self._pids.append(vm.pid)

    def seconds(self):
        for pid in self._pids:
            with contextlib.suppress(OSError):
                for thread in os.listdir(f"/proc/{pid}/task"):
                    self._sample(pid, thread)
        return sum(self._seconds.values())

    def _sample(self, pid, thread):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/task/{thread}/comm").read_text().startswith("iou-"):
                self._seconds[thread] = max(host.thread_cpu_seconds(pid, thread),
                                            self._seconds.get(thread, 0.0))


class Meter:
    """sample() as often as wanted, then the samples are the curve."""

    def __init__(self, vms):
        self._vms = vms
        self._ring = RingCpu(vms)
        self._ring_before = self._ring.seconds()
        self._ksmd_before = host.ksmd_cpu_seconds()
        self._khugepaged_before = host.khugepaged_cpu_seconds()
        self._children_before = _children_seconds()
        self._begin = time.monotonic()
        self._daemon_pid = None
        self._daemon_seconds = 0.0
        self.samples = []

    def watch(self, pid):
        self._daemon_pid = pid

    def add(self, vm):
        """One that came later."""
        self._vms = [*self._vms, vm]
        self._ring.add(vm)

    def remove(self, vm):
        """One that is about to end; the CPU that it has cost stays counted."""
        self._ring.seconds()
        self._vms = [other for other in self._vms if other is not vm]

    def sample(self):
        if self._daemon_pid:
            self._daemon_seconds = max(self._daemon_seconds, _daemon_seconds(self._daemon_pid))
        ksmd = host.ksmd_cpu_seconds() - self._ksmd_before
        ring = self._ring.seconds() - self._ring_before
        khugepaged = host.khugepaged_cpu_seconds() - self._khugepaged_before
        sample = Sample(wall=time.monotonic() - self._begin, anon=fresh_anon_bytes(),
                        guests_anon=guests_anon_bytes(self._vms),
                        cpu=self._daemon_seconds + ksmd + ring + khugepaged, ksmd=ksmd,
                        daemon=self._daemon_seconds, ring=ring, khugepaged=khugepaged,
                        rmap_items=rmap_items(self._vms),
                        full_scans=ksm.counter("full_scans"))
        self.samples.append(sample)
        return sample

    def finish(self):
        """Once the daemon has been waited for: now what it used is known to the microsecond."""
        if self._daemon_pid:
            self._daemon_seconds = _children_seconds() - self._children_before
            self._daemon_pid = None
        return self.sample()


def _children_seconds():
    """Of children that were waited for, theirs included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _daemon_seconds(pid):
    """A process's threads, and the helpers that it has waited for. The clock that counts in ticks has the
    threads that have ended, too."""
    helpers = ticks = 0.0
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        helpers = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
        ticks = host.process_cpu_seconds(pid)
    return max(host.cpu_seconds(pid), ticks) + helpers


def first_at(outcome, field, savings):
    """The first sample in which so much had come back, seen in that field; None: it never did."""
    before = outcome["start"][f"{field}_bytes"]
    for sample in outcome["samples"]:
        if before - getattr(sample, field) >= savings:
            return sample
    return None
