# SPDX-License-Identifier: GPL-2.0-or-later
"""What all chapters share: the guests, the settings of both sides, and how they speak."""

import contextlib
import os
import time
from dataclasses import dataclass, field

from lab import debian_image, guests, host, ksm

from benchmark import race
from benchmark.parts import Parts

MIB = 1 << 20
NAMES = ("vm1", "vm2", "vm3", "vm4")
# Guests that have booted go on tidying up for a while.
QUIET_SECONDS, QUIET_BYTES, QUIET_PATIENCE_SECONDS = 5, 512 << 10, 90
# One after the other: a guest that is ready still starts this and that, after a pause.
QUIET_WINDOWS = 4
FILL_SECONDS = 600
# What is folded has settled when a minute brought no more than that.
SETTLE_SECONDS, SETTLE_BYTES, SETTLE_PATIENCE_SECONDS = 60, 2 * MIB, 900
BEGIN = time.monotonic()


class BenchError(Exception):
    """The measurement cannot be made; the text says why."""


def say(text):
    print(f"[{time.monotonic() - BEGIN:6.1f} s] {text}", flush=True)


@dataclass
class Shape:
    """What the guests are like."""
    memory_mib: int = 1536
    private_mib: int = 900
    disk: object = debian_image.BENCH.path
    userland: str = f"Debian {debian_image.SUITE}"

    @classmethod
    def quick(cls):
        return cls(memory_mib=512, private_mib=256, disk=None, userland="busybox")

    def boot(self, lab, mergeable, names=NAMES):
        if self.disk and not self.disk.exists():
            raise BenchError(f"{self.disk} is not there: run `make deps-bench`")
        vms = lab.boot(*names, memory_mib=self.memory_mib, mem_merge=mergeable, disk=self.disk)
        for vm in vms:
            vm.filler = vm.fill(self.private_mib)
        for vm in vms:
            vm.filler.read_line(FILL_SECONDS)
        return vms

    def needed_bytes(self):
        return len(NAMES) * (self.memory_mib + 300) * MIB

    def text(self):
        return f"{self.memory_mib} MiB ({self.userland}), {self.private_mib} MiB private in each"


@dataclass
class Bench:
    """What was asked for."""
    shape: Shape
    rounds: int = 3
    collapse_seconds: int = 60
    only: str | None = None
    config: dict = field(default_factory=dict)
    peer_seconds: int = 600
    budget_seconds: int = 300
    steady_seconds: int = 300
    steady_passes: int = 9
    rewriting_passes: int = 9
    parts: Parts | None = None


def wait_quiet(vms):
    """Until the guests' memory stands still; what moved in the last seconds, in bytes."""
    deadline = time.monotonic() + QUIET_PATIENCE_SECONDS
    quiet = 0
    while True:
        before = race.guests_anon_bytes(vms)
        time.sleep(QUIET_SECONDS)
        moved = race.guests_anon_bytes(vms) - before
        quiet = quiet + 1 if abs(moved) <= QUIET_BYTES else 0
        if quiet == QUIET_WINDOWS or time.monotonic() > deadline:
            return moved


def wait_settled(vms):
    """Until a minute brings nothing any more."""
    deadline = time.monotonic() + SETTLE_PATIENCE_SECONDS
    before = None
    while time.monotonic() < deadline:
        now = race.guests_anon_bytes(vms)
        if before is not None and abs(before - now) <= SETTLE_BYTES:
            return
        before = now
        time.sleep(SETTLE_SECONDS)
    raise BenchError(f"what is folded still moves after {SETTLE_PATIENCE_SECONDS} s")


@contextlib.contextmanager
def fresh_guests(shape, mergeable, names=NAMES):
    """Guests that were booted a moment ago and no one has folded: (guests, how things stood)."""
    ksm.unmerge_all()
    with guests.Lab() as lab:
        vms = shape.boot(lab, mergeable, names)
        moved = wait_quiet(vms)
        start = {"anon_bytes": host.settled_anon_bytes(),
                 "anon_huge_bytes": host.anon_huge_bytes(),
                 "guests_anon_bytes": race.guests_anon_bytes(vms),
                 "guests_huge_bytes": race.guests_huge_bytes(vms),
                 "page_table_bytes": race.page_table_bytes(vms),
                 "moved_bytes": moved, "load": os.getloadavg()[0]}
        say(f"  AnonPages {start['anon_bytes'] // MIB} MiB, AnonHugePages "
            f"{start['anon_huge_bytes'] // MIB} MiB (guests: {start['guests_anon_bytes'] // MIB} "
            f"and {start['guests_huge_bytes'] // MIB}), moved {moved // 1024} KiB in "
            f"{QUIET_SECONDS} s, load {start['load']:.1f}")
        yield vms, start
