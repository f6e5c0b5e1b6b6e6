# SPDX-License-Identifier: GPL-2.0-or-later
"""Hook qmp: QEMU marks its own memory, all of it or none, and what it answers is checked in smaps."""

import os

import pytest

from lab import guests as lab_guests
from lab import host, marks, paths
from lab.daemon import Daemon, merge_policy
from lab.qmp_client import merge_property, talk

EAGER = {"cpu-percent": 1000, "scan-interval": 1, "settle-seconds": 0, "default-mode": "off"}
MEMORY_MIB = 256
COMMON_MIB = 120

pytestmark = pytest.mark.usefixtures("ksm_alone")


@pytest.fixture
def twins(lab):
    """Two guests, half of whose memory is the same."""
    guests = lab.boot("one", "two", memory_mib=MEMORY_MIB)
    for guest in guests:
        filled(guest)
    return guests


def filled(guest):
    program = guest.fill(8, COMMON_MIB)
    assert program.read_line() == "filled"


def qmp_daemon(guests, hook="qmp", **options):
    policy = merge_policy(*(f"vm:{guest.name}" for guest in guests), hook=hook)
    return Daemon(config=EAGER, policies={"test.conf": policy}, **options)


def ram(guest):
    """The guest's RAM as a range."""
    return next((vma["start"], vma["end"]) for vma in host.vmas(guest.pid)
                if vma["end"] - vma["start"] == MEMORY_MIB << 20)


def wait_folded(daemon, guests, mib=COMMON_MIB):
    daemon.wait_for(lambda _: all((daemon.vm(guest.pid) or {}).get("state") == "folded"
                                  for guest in guests))
    daemon.wait_for(lambda status: (status["savings"]["reclaimed_bytes"] or 0) >= mib << 20)


def test_guests_fold_and_are_released_over_qmp_only(twins):
    with qmp_daemon(twins) as daemon:
        wait_folded(daemon, twins)
        for guest in twins:
            vm = daemon.vm(guest.pid)
            assert (vm["hook"], vm["state"]) == ("qmp", "folded")
            # Not one mark elsewhere, and all of it recorded.
            assert marks.mergeable(guest.pid) == [ram(guest)]
            assert not marks.unrecorded(daemon.state_dir, guest.pid)
            assert "io_uring" not in " ".join(
                os.readlink(f"/proc/{guest.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{guest.pid}/fd"))
            assert guest.run("echo alive").strip() == "alive"
            assert merge_property(guest) is True
        one = twins[0]
        done = daemon.cli_run("release", one.name)
        assert done.returncode == 0, done.stderr
        assert not marks.mergeable(one.pid) and not marks.ksm_bytes(one.pid)
        assert merge_property(one) is False
        assert "stands still meanwhile" in daemon.log()
        assert daemon.vm(one.pid)["state"] == "released"
        assert one.run("echo alive").strip() == "alive"


def test_killed_daemon_s_marks_are_adopted_and_released(twins, tmp_path):
    with qmp_daemon(twins, directory=tmp_path) as daemon:
        wait_folded(daemon, twins)
        daemon.kill()
        marked = {guest.pid: marks.mergeable(guest.pid) for guest in twins}
        daemon.start()
        daemon.wait_ready()
        wait_folded(daemon, twins)
        assert marked == {guest.pid: marks.mergeable(guest.pid) for guest in twins}
        assert daemon.cli_run("release", "--all").returncode == 0
        for guest in twins:
            assert not marks.mergeable(guest.pid)
            assert not marks.recorded(daemon.state_dir, guest.pid)
            assert guest.run("echo alive").strip() == "alive"


def test_busy_socket_is_given_way_to(twins):
    one, two = twins
    client, _ = talk(one)
    with client, qmp_daemon(twins) as daemon:
        daemon.wait_for(lambda _: (daemon.vm(one.pid) or {}).get("state") == "blocked")
        assert "one client at a time" in daemon.vm(one.pid)["reason"]
        assert not marks.mergeable(one.pid)
        # The other one's is used, and free again at once.
        assert merge_property(two) in (True, False)


def test_guest_whose_default_is_mergeable_is_unmarked_and_then_folded(lab):
    guests = lab.boot("one", "two", memory_mib=MEMORY_MIB, mem_merge=True)
    for guest in guests:
        filled(guest)
        assert merge_property(guest) is True
    with qmp_daemon(guests) as daemon:
        wait_folded(daemon, guests)
        assert all(daemon.vm(guest.pid)["hook"] == "qmp" for guest in guests)


def test_auto_falls_to_qmp_where_there_is_no_ring(twins):
    with qmp_daemon(twins, hook="auto", arguments=["--disable-feature", "ring"]) as daemon:
        wait_folded(daemon, twins)
        assert all(daemon.vm(guest.pid)["hook"] == "qmp" for guest in twins)


def test_auto_falls_to_qmp_where_seccomp_refuses_the_ring(lab, monkeypatch):
    wrapper = lab.directory / "qemu"
    helper = paths.test_helper("without_io_uring")
    wrapper.write_text(f'#!/bin/sh\nexec {helper} {lab_guests.QEMU} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setattr(lab_guests, "QEMU", wrapper)
    guests = lab.boot("one", "two", memory_mib=MEMORY_MIB)
    for guest in guests:
        filled(guest)
    with qmp_daemon(guests, hook="auto") as daemon:
        wait_folded(daemon, guests)
        for guest in guests:
            vm = daemon.vm(guest.pid)
            assert vm["hook"] == "qmp"
            assert "io_uring_setup" in vm["reason"]


def test_libvirt_s_domains_fold_over_libvirt_s_monitor(libvirtd):
    domains = [libvirtd.define(name, memory_mib=MEMORY_MIB, mergeable=False)
               for name in ("one", "two")]
    for domain in domains:
        domain.power_on()
    for domain in domains:
        domain.wait_ready()
        filled(domain)
    policy = merge_policy("vm:one", "vm:two", hook="qmp")
    with Daemon(config={**EAGER, "libvirt-uri": libvirtd.uri},
                policies={"test.conf": policy}) as daemon:
        wait_folded(daemon, domains)
        assert all(daemon.vm(domain.pid)["hook"] == "qmp" for domain in domains)
        # What libvirt thinks of it.
        assert "custom monitor control commands" in libvirtd.virsh("dominfo", "one")
        assert daemon.cli_run("release", "--all").returncode == 0
        for domain in domains:
            assert not marks.mergeable(domain.pid)
            assert domain.run("echo alive").strip() == "alive"


def test_auto_takes_the_ring_where_it_can(twins):
    with qmp_daemon(twins, hook="auto") as daemon:
        wait_folded(daemon, twins, mib=COMMON_MIB // 2)
        assert all(daemon.vm(guest.pid)["hook"] == "ring" for guest in twins)
        assert all(merge_property(guest) is False for guest in twins)
