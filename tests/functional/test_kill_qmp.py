# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 of a daemon that has QEMU mark and un-mark its memory, over its QMP socket or through libvirt.

What QEMU was told may be done after the daemon's end: it is on record all the same.
"""

import contextlib
import shutil
import subprocess

import pytest

from lab import ksm, marks
from lab.daemon import Daemon, DaemonError, merge_policy
from lab.steps import sample, steps_of, strace

FAST = {"cpu-percent": 1000, "scan-interval": 1, "settle-seconds": 0, "default-mode": "off"}
KNOBS = {"pages_to_scan": 123, "sleep_millisecs": 45, "smart_scan": 1, "use_zero_pages": 0,
         "run": 0}
MEMORY_MIB = 128
COMMON_MIB = 24
# What is written, and what is said: to QEMU by send(), to libvirt by write().
QMP_KILLS = {"fsync": 3, "renameat": 2, "sendto": 6}
LIBVIRT_KILLS = {"fsync": 2, "renameat": 2, "write": 4}


class Fleet:
    def __init__(self, guests, config, matches=()):
        self.guests = guests
        self.config = {**FAST, **config}
        self.policies = {"test.conf": merge_policy(*matches, hook="qmp")} if matches else {}
        for guest in guests:
            assert guest.fill(8, COMMON_MIB).read_line() == "filled"
        self.knobs = ksm.knobs()

    def daemon(self, directory, wrapper=()):
        return Daemon(config=self.config, policies=self.policies, directory=directory,
                      wrapper=wrapper)

    def folded(self, status):
        vms = {vm["pid"]: vm for vm in status["vms"]}
        return all(guest.pid in vms and vms[guest.pid]["state"] == "folded" and
                   vms[guest.pid]["reclaimed_bytes"] >= (COMMON_MIB // 2) << 20 for guest in self.guests)

    def whole_life(self, daemon):
        """Folds, releases, stops; wherever it is killed, that is where this ends."""
        with contextlib.suppress(DaemonError, OSError, subprocess.TimeoutExpired):
            daemon.wait_ready()
            daemon.wait_for(self.folded, 30)
            assert {daemon.vm(guest.pid)["hook"] for guest in self.guests} == {"qmp"}
            daemon.cli("release", "--all")
            daemon.stop()

    def clean_run(self, directory, steps):
        with self.daemon(directory, strace(directory / "strace", steps)) as daemon:
            self.whole_life(daemon)
            assert not daemon.alive() and self.all_undone(), daemon.log()
        return steps_of(directory / "strace")

    def killed_run(self, directory, step, number):
        daemon = self.daemon(directory, strace(directory / "strace", [step], number))
        try:
            daemon.start()
            self.whole_life(daemon)
            # Some steps are of another thread, or come a time less than in the clean run.
            return daemon.wait(30) == -9
        finally:
            daemon.close()

    def check_after_kill(self, directory):
        """Alive, and nothing marked that is not on record. Whether marks are left."""
        for guest in self.guests:
            # QEMU has done by then what it was told.
            assert guest.run("echo alive").strip() == "alive"
            assert not marks.unrecorded(directory / "state", guest.pid)
        return any(marks.mergeable(guest.pid) for guest in self.guests)

    def check_recovery(self, directory):
        with self.daemon(directory) as daemon:
            daemon.cli("release", "--all")
            assert self.all_undone()
            assert daemon.stop() == 0
        assert ksm.knobs() == self.knobs
        assert self.all_undone()

    def all_undone(self):
        return not any(marks.mergeable(guest.pid) or marks.ksm_bytes(guest.pid)
                       for guest in self.guests)

    def kill_at_each(self, directory, kills_by_step):
        """How many were killed, how many of those left marks."""
        clean = directory / "clean"
        clean.mkdir()
        steps = self.clean_run(clean, list(kills_by_step))
        kills = left_marks = 0
        for step, wanted in kills_by_step.items():
            for number in sample(steps[step], wanted):
                place = directory / f"{step}-{number}"
                place.mkdir()
                kills += self.killed_run(place, step, number)
                left_marks += self.check_after_kill(place)
                self.check_recovery(place)
        return kills, left_marks


@pytest.fixture(autouse=True)
def knobs(ksm_alone):  # pylint: disable=unused-argument
    if not shutil.which("strace"):
        pytest.skip("no strace: run `make deps-test`")
    ksm.apply(KNOBS)


def test_killed_at_any_step_with_the_hook_qmp(lab, tmp_path):
    guests = lab.boot("one", "two", memory_mib=MEMORY_MIB)
    fleet = Fleet(guests, {}, [f"vm:{guest.name}" for guest in guests])
    kills, left_marks = fleet.kill_at_each(tmp_path, QMP_KILLS)
    assert kills >= 8 and left_marks >= 3


def test_killed_at_any_step_with_domains_of_libvirt_s(libvirtd, tmp_path):
    domains = [libvirtd.define(name, memory_mib=MEMORY_MIB, mergeable=False,
                               policy='<p:policy xmlns:p="urn:pagefold:domain:1" mode="merge" hook="qmp"/>')
               for name in ("one", "two")]
    for domain in domains:
        domain.power_on()
    for domain in domains:
        domain.wait_ready()
    fleet = Fleet(domains, {"libvirt-uri": libvirtd.uri})
    kills, left_marks = fleet.kill_at_each(tmp_path, LIBVIRT_KILLS)
    assert kills >= 5 and left_marks >= 1
    assert libvirtd.process.poll() is None
    assert all(domain.running() for domain in domains)
