# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to a folded domain in its life: it is reset, ends in each of the ways there are, is saved,
restored, reverted, suspended. Its memory stays right, the books follow, nothing is left behind, and the
others go on."""

import os
import signal
import subprocess

import pytest

import scene
from domain_scene import (check, checked, pagefoldd, start, wait_books, wait_folded, wait_gone)
from lab import ksm, marks

pytestmark = pytest.mark.usefixtures("ksm_alone")

PANIC = "<panic model='isa'/>"


def test_reset_and_reboot_break_folds_and_folding_begins_anew(libvirtd):
    one, two = start(libvirtd, "one", "two")
    staying = checked(two)
    checked(one)
    with pagefoldd(libvirtd) as daemon:
        wait_folded(daemon, one, two)
        pid = one.pid
        for again in (lambda: libvirtd.virsh("reset", "one"),
                      lambda: one.tell("reboot -f")):
            before = marks.ksm_bytes(pid)
            again()
            one.wait_ready()
            moving = checked(one)
            wait_folded(daemon, one, two)
            wait_books(daemon, one, two)
            assert one.pid == pid and marks.ksm_bytes(pid) > before / 2
            assert not marks.unrecorded(daemon.state_dir, pid)
            check(moving, staying)
        assert "error" not in daemon.log()


def end_by_destroy(libvirtd, domain):
    libvirtd.virsh("destroy", domain.name)


def end_by_kill(_libvirtd, domain):
    os.kill(domain.pid, signal.SIGKILL)


def end_by_panic(_libvirtd, domain):
    domain.tell("echo c >/proc/sysrq-trigger")


def end_by_shutdown(_libvirtd, domain):
    domain.tell("poweroff -f")


def test_nothing_is_left_of_a_domain_that_ends(libvirtd):
    ends = {"destroyed": end_by_destroy, "killed": end_by_kill, "panicked": end_by_panic,
            "shutdown": end_by_shutdown}
    *ending, one, two = start(libvirtd, *ends, "one", "two", devices=PANIC)
    ending[2].load("pvpanic", "pvpanic-mmio")
    for domain in ending:
        checked(domain)
    programs = [checked(one), checked(two)]
    with pagefoldd(libvirtd) as daemon:
        wait_folded(daemon, *ending, one, two)
        for domain in ending:
            ends[domain.name](libvirtd, domain)
            wait_gone(daemon, domain.wait_ended())
            wait_books(daemon, one, two)
        status = wait_folded(daemon, one, two)
        assert not {vm["name"] for vm in status["vms"]} & set(ends)
        check(*programs)
        assert "crashed" in libvirtd.virsh("domstate", "--reason", "panicked")
        for word in ("error", "failed", "cannot"):
            assert word not in daemon.log()


def test_save_and_restore_bring_the_policy_and_the_folds_back(libvirtd):
    one, two = start(libvirtd, "one", "two")
    programs = [checked(one), checked(two)]
    image = libvirtd.directory / "boot/one.save"
    with pagefoldd(libvirtd) as daemon:
        for save, restore in (("managedsave one", "start one"),
                              (f"save one {image}", f"restore {image}")):
            wait_folded(daemon, one, two)
            pid = one.pid
            libvirtd.virsh(*save.split())
            wait_gone(daemon, pid)
            libvirtd.virsh(*restore.split())
            one.find_again()
            assert one.pid != pid
            wait_folded(daemon, one, two)
            wait_books(daemon, one, two)
            assert daemon.vm(one.pid)["group"] == "web"
            assert f"one (pid {one.pid}): has arrived" in daemon.log()
            check(*programs)
        # Restored, but not to run yet: what it waits for is said.
        libvirtd.virsh("save", "one", image)
        libvirtd.virsh("restore", image, "--paused")
        one.find_again()
        scene.wait_state(daemon, one, "waiting", "it is left alone until it runs")
        assert not marks.mergeable(one.pid)
        libvirtd.virsh("resume", "one")
        wait_folded(daemon, one, two)
        check(*programs)


def disk_xml(libvirtd, name):
    path = libvirtd.directory / f"boot/{name}.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "64M"], check=True)
    path.chmod(0o666)
    return (f"<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
            f"<source file='{path}'/><target dev='vda' bus='virtio'/></disk>")


def test_snapshots_are_taken_of_a_folded_domain_and_reverted_to(libvirtd):
    (one,) = start(libvirtd, "one", devices=disk_xml(libvirtd, "one"))
    (two,) = start(libvirtd, "two")
    programs = [checked(one), checked(two)]
    with pagefoldd(libvirtd) as daemon:
        wait_folded(daemon, one, two)
        before = [marks.ksm_bytes(domain.pid) for domain in (one, two)]
        libvirtd.virsh("snapshot-create-as", "one", "inside")
        # Without a disk, only its memory is in it.
        libvirtd.virsh("snapshot-create-as", "two", "outside", "--memspec",
                       libvirtd.directory / "boot/two.memory")
        # What is saved is only read.
        for domain, folded in zip((one, two), before):
            assert marks.ksm_bytes(domain.pid) > folded * 0.9
        wait_folded(daemon, one, two)
        check(*programs)
        pid = one.pid
        libvirtd.virsh("snapshot-revert", "one", "inside", "--force")
        one.find_again()
        if one.pid != pid:
            wait_gone(daemon, pid)
        wait_folded(daemon, one, two)
        wait_books(daemon, one, two)
        check(*programs)


def test_domain_suspended_in_the_middle_of_a_burst_is_folded_all_the_same(libvirtd):
    one, two = start(libvirtd, "one", "two")
    programs = [checked(one), checked(two)]
    with pagefoldd(libvirtd, **{"cpu-percent": 3}) as daemon:
        daemon.wait_for(lambda status: any(vm["state"] == "folding" for vm in status["vms"]) and
                        ksm.read("run") == "1")
        libvirtd.virsh("suspend", "one")
        assert ksm.read("run") == "1", "the burst was over before the domain was suspended"
        wait_folded(daemon, one, two)
        assert libvirtd.virsh("domstate", "one").strip() == "paused"
        # Un-marking, too, goes on in a domain that stands still.
        assert daemon.cli_run("release", "one").returncode == 0
        assert not marks.mergeable(one.pid) and not marks.ksm_bytes(one.pid)
        libvirtd.virsh("resume", "one")
        check(*programs)
