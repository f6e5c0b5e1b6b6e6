# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMUs whose RAM is mergeable because that is QEMU's default, asked for and not asked for."""

import contextlib

import pytest

import scene
from lab import host, ksm, marks
from lab.daemon import merge_policy
from lab.qmp_client import merge_property
from scene import memory_cgroup  # noqa: F401  pylint: disable=unused-import

pytestmark = pytest.mark.usefixtures("ksm_alone")

MIB = 1 << 20
RAM_MIB = 128
# From so many merged MiB on the ring goes first.
FELT_MIB = 16


def boot(lab, *names, **options):
    return lab.boot(*names, memory_mib=RAM_MIB, mem_merge=True, **options)


def fold_by_ksmd(*guests):
    """As a host with ksmd switched on leaves them: marked as a whole, some of it merged, ksmd stopped."""
    ksm.apply(ksm.FLAT_OUT)
    for guest in guests:
        while marks.ksm_bytes(guest.pid) < 4 * MIB:
            assert guest.process.poll() is None
    ksm.write("run", 0)


def marked_bytes(guest):
    return sum(end - start for start, end in marks.mergeable(guest.pid))


def unfolded_marked_bytes(guest):
    return sum(vma["Rss"] - vma.get("KSM", 0) for vma in host.vmas(guest.pid) if "mg" in vma["flags"])


def check_alive(*guests):
    for guest in guests:
        assert guest.run("echo alive").strip() == "alive"


def blocked_by(daemon, count):
    return daemon.wait_for(lambda status: len(status["host"]["blocked_by"]) == count)["host"]["blocked_by"]


def test_mergeable_stranger_blocks_with_its_name_and_the_cure(lab):
    guest, = boot(lab, "stranger")
    with scene.pair() as processes, scene.pagefoldd(*processes) as daemon:
        sentence, = blocked_by(daemon, 1)
        for words in (f"stranger (pid {guest.pid})", "mem-merge=off", "nosharepages",
                      "take-over = yes", "mode = merge in group default"):
            assert words in sentence
        for process in processes:
            assert scene.wait_state(daemon, process, "blocked", "stranger")["reclaimed_bytes"] == 0
            assert not marks.mergeable(process.pid)
        assert marked_bytes(guest) >= RAM_MIB * MIB
        # The cure of a tired admin: it ends.
        guest.close()
        scene.wait_folded(daemon, *processes)
        assert not daemon.status()["host"]["blocked_by"]


def fold_much(*guests):
    """More than QEMU's main loop can copy back unnoticed."""
    for guest in guests:
        assert guest.fill(8, 2 * FELT_MIB).read_line() == "filled"
    ksm.apply(ksm.FLAT_OUT)
    for guest in guests:
        while marks.ksm_bytes(guest.pid) < FELT_MIB * MIB:
            assert guest.process.poll() is None
    ksm.write("run", 0)


def test_take_over_unmarks_the_stranger_and_folding_goes_on(lab):
    guest, = boot(lab, "stranger")
    assert merge_property(guest) is True
    with scene.pair() as processes, scene.pagefoldd(*processes) as daemon:
        blocked_by(daemon, 1)
        daemon.write_config({**scene.EAGER, "take-over": "yes"})
        daemon.reload()
        scene.wait_folded(daemon, *processes)
        assert not marks.mergeable(guest.pid)
        assert not daemon.status()["host"]["blocked_by"]
        # QEMU did it, and knows; only the ROMs, which it keeps to itself, took the ring.
        assert merge_property(guest) is False
        check_alive(guest)


def test_take_over_of_a_libvirt_domain_goes_over_libvirt_s_monitor(libvirtd):
    domain = libvirtd.define("stranger", memory_mib=RAM_MIB).power_on()
    domain.wait_ready()
    with scene.pair() as processes, scene.pagefoldd(
            *processes, config={"take-over": "yes", "libvirt-uri": libvirtd.uri}) as daemon:
        scene.wait_folded(daemon, *processes)
        assert not marks.mergeable(domain.pid)
        assert "custom monitor control commands" in libvirtd.virsh("dominfo", "stranger"), daemon.log()
        check_alive(domain)


def test_take_over_of_much_that_is_merged_goes_slice_by_slice(lab):
    guests = boot(lab, "one", "two")
    fold_much(*guests)
    with scene.pair() as processes, scene.pagefoldd(*processes, config={"take-over": "yes"}) as daemon:
        scene.wait_folded(daemon, *processes)
        for guest in guests:
            assert not marks.mergeable(guest.pid) and not marks.ksm_bytes(guest.pid)
        # The first one's twins were all in the second: what is left of that is little.
        assert merge_property(guests[0]) is True
        assert "stands still meanwhile" not in daemon.log()
        check_alive(*guests)


def test_take_over_without_the_ring_leaves_what_only_the_ring_could_do_and_says_so(lab):
    guests = boot(lab, "one", "two")
    fold_much(*guests)
    with scene.pair() as processes, scene.pagefoldd(
            *processes, config={"take-over": "yes"},
            arguments=["--disable-feature", "ring"]) as daemon:
        status = daemon.wait_for(lambda status: len(status["host"]["warnings"]) == 2)["host"]
        assert "stands still meanwhile" in daemon.log()
        for guest in guests:
            assert merge_property(guest) is False
            assert 0 < marked_bytes(guest) < 16 * MIB and marks.ksm_bytes(guest.pid) < MIB
        assert len(status["blocked_by"]) == 2
        assert all("KiB of it are still mergeable; hook ring: io_uring is not available" in warning
                   for warning in status["warnings"])
        # It is not tried again in every pass.
        daemon.wait_passes(2)
        assert daemon.log().count("attached, hook qmp") == 2
        check_alive(*guests)


def test_take_over_unmerges_what_ksmd_had_merged(lab):
    guests = boot(lab, "one", "two")
    fold_by_ksmd(*guests)
    with scene.pair() as processes, scene.pagefoldd(*processes, config={"take-over": "yes"}) as daemon:
        scene.wait_folded(daemon, *processes)
        for guest in guests:
            assert not marks.mergeable(guest.pid) and not marks.ksm_bytes(guest.pid)
        check_alive(*guests)


def test_take_over_beyond_the_headroom_is_refused_with_the_numbers(lab, memory_cgroup):
    guests = boot(lab, "one", "two")
    fold_by_ksmd(*guests)
    directory, limit = memory_cgroup
    (directory / "cgroup.procs").write_text(str(guests[0].pid))
    limit.write_text(str(MIB))
    merged = marks.ksm_bytes(guests[0].pid)
    with scene.pair() as processes, scene.pagefoldd(*processes, config={"take-over": "yes"}) as daemon:
        sentence, = blocked_by(daemon, 1)
        assert f"one (pid {guests[0].pid})" in sentence and "set take-over" not in sentence
        warning, = daemon.status()["host"]["warnings"]
        for words in (f"take-over of one (pid {guests[0].pid}) failed", "it needs", "has room for 1 MiB"):
            assert words in warning
        assert marks.ksm_bytes(guests[0].pid) >= merged * 0.9
        assert not marks.mergeable(guests[1].pid)
        limit.write_text(str(1 << 30))
        scene.wait_folded(daemon, *processes)
        assert not marks.mergeable(guests[0].pid)
        check_alive(*guests)


def test_mergeable_vm_that_is_asked_for_is_cleaned_and_its_merged_pages_adopted(lab):
    guests = boot(lab, "one", "two")
    fold_by_ksmd(*guests)
    merged = {guest: marks.ksm_bytes(guest.pid) for guest in guests}
    with scene.pagefoldd("vm:one", "vm:two") as daemon:
        scene.wait_folded(daemon, *guests)
        daemon.wait_passes(2)
        assert not daemon.status()["host"]["blocked_by"]
        for guest in guests:
            assert marks.ksm_bytes(guest.pid) >= merged[guest] * 0.9
            assert marked_bytes(guest) < RAM_MIB * MIB
            assert marks.recorded(daemon.state_dir, guest.pid)
        # What was adopted is undone like what was folded.
        assert daemon.cli_run("release", "--all").returncode == 0
        for guest in guests:
            assert not marks.mergeable(guest.pid) and not marks.ksm_bytes(guest.pid)
        check_alive(*guests)


def test_stranger_that_comes_in_the_middle_of_a_burst_stops_it(lab):
    with contextlib.ExitStack() as stack:
        big = [stack.enter_context(scene.target(mib=64)) for _ in range(2)]
        daemon = stack.enter_context(scene.pagefoldd(*big, config={"cpu-percent": 4}))
        daemon.wait_for(lambda status: any(vm["state"] == "folding" for vm in status["vms"]) and
                        ksm.read("run") == "1")
        guest = lab.start("stranger", memory_mib=RAM_MIB, mem_merge=True)
        sentence, = blocked_by(daemon, 1)
        assert f"stranger (pid {guest.pid})" in sentence
        assert ksm.read("run") == "0"
        guest.close()
        daemon.write_config(scene.EAGER)
        daemon.reload()
        scene.wait_folded(daemon, *big)
        scene.check_memory(*big)


def test_process_that_marked_its_memory_is_told_what_a_process_can_do(tmp_path):
    program = tmp_path / "volunteer.py"
    program.write_text("import mmap\n"
                       "memory = mmap.mmap(-1, 4 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
                       "memory.write(b'same' * (1 << 20))\n"
                       "memory.madvise(mmap.MADV_MERGEABLE)\n"
                       "print('ready', __import__('os').getpid(), 0, 0, flush=True)\n"
                       "input()\n")
    with scene.procs.Target(["/usr/bin/python3", program]) as volunteer, \
            scene.pair() as processes, scene.pagefoldd(*processes) as daemon:
        sentence, = blocked_by(daemon, 1)
        assert f"(pid {volunteer.pid})" in sentence and "MADV_MERGEABLE" in sentence
        assert "mem-merge" not in sentence and "libvirt" not in sentence
        daemon.write_config({**scene.EAGER, "take-over": "yes"})
        daemon.reload()
        scene.wait_folded(daemon, *processes)
        assert not marks.mergeable(volunteer.pid)


def test_process_that_made_itself_mergeable_is_named(tmp_path):
    program = tmp_path / "volunteer.py"
    program.write_text("import ctypes, mmap\n"
                       "assert ctypes.CDLL(None).prctl(67, 1, 0, 0, 0) == 0\n"
                       "memory = mmap.mmap(-1, 4 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
                       "memory.write(b'same' * (1 << 20))\n"
                       "print('ready', __import__('os').getpid(), 0, 0, flush=True)\n"
                       "input()\n")
    with scene.procs.Target(["/usr/bin/python3", program]) as volunteer, \
            scene.pair() as processes, \
            scene.pagefoldd(*processes, config={"take-over": "yes"}) as daemon:
        sentence, = blocked_by(daemon, 1)
        assert f"(pid {volunteer.pid})" in sentence and "PR_SET_MEMORY_MERGE" in sentence
        # Asked for, it is in nobody's way.
        daemon.write_policy("volunteer.conf", merge_policy(f"pid:{volunteer.pid}"))
        daemon.reload()
        scene.wait_folded(daemon, *processes)
