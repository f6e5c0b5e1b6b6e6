# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs that move while they are folded: live migration between two QEMUs of this host."""

import contextlib
import json
import os
import threading

import pytest

import scene
from domain_scene import CONFIG, check, checked
from lab import host, marks
from lab.qmp_client import ask, talk

pytestmark = pytest.mark.usefixtures("ksm_alone")

MEMORY_MIB = 192
SLOW, FAST = 4 << 20, 1 << 40  # bytes a second


def qmp(guest, command, **arguments):
    client, stream = talk(guest)
    with client:
        ask(stream, "qmp_capabilities")
        return ask(stream, command, **arguments)


def migration(guest):
    return qmp(guest, "query-migrate")


def wait_migration(daemon, guest, *statuses):
    """By the way of a daemon's passes, so that it has its chances to disturb."""
    return daemon.wait_for(lambda _status: migration(guest).get("status") in statuses)


def has_ring(guest):
    for descriptor in os.listdir(f"/proc/{guest.pid}/fd"):
        with contextlib.suppress(OSError):
            if "io_uring" in os.readlink(f"/proc/{guest.pid}/fd/{descriptor}"):
                return True
    return False


@pytest.fixture
def folded(lab):
    """(the daemon, two VMs that are folded, what checks their memory)"""
    guests = lab.boot("source", "partner", memory_mib=MEMORY_MIB)
    programs = [checked(guest) for guest in guests]
    with scene.pagefoldd("vm:source", "vm:partner", "vm:destination", config=CONFIG) as daemon:
        scene.wait_folded(daemon, *guests)
        yield daemon, guests, programs


def start_destination(lab, **options):
    address = f"unix:{lab.directory}/migration"
    guest = lab.start("destination", memory_mib=MEMORY_MIB, extra=["-incoming", address], **options)
    while not guest.qmp_path.exists():
        assert guest.process.poll() is None
    return guest, address


def assert_left_alone(daemon, guest):
    vm = scene.wait_state(daemon, guest, "waiting", "an incoming migration", "left alone")
    assert vm["pages_scanned"] is None and vm["reclaimed_bytes"] is None
    assert not marks.mergeable(guest.pid) and not has_ring(guest)


def test_migration_of_a_folded_vm_and_its_arrival(lab, folded):
    daemon, (source, partner), (moving, staying) = folded
    destination, address = start_destination(lab)
    assert_left_alone(daemon, destination)
    before = marks.ksm_bytes(source.pid)
    qmp(source, "migrate-set-parameters", **{"max-bandwidth": SLOW})
    qmp(source, "migrate", uri=address)
    wait_migration(daemon, source, "active")
    daemon.wait_passes(3)
    assert migration(source)["status"] == "active"
    assert_left_alone(daemon, destination)
    # What is sent is only read.
    assert marks.ksm_bytes(source.pid) > before * 0.9
    qmp(source, "migrate-set-parameters", **{"max-bandwidth": FAST})
    wait_migration(daemon, source, "completed")
    moving.move(destination)
    check(moving)
    scene.wait_folded(daemon, destination, partner)
    assert "destination" in daemon.log() and "has arrived" in daemon.log()
    source_pid = source.pid
    source.close()
    daemon.wait_for(lambda _status: daemon.vm(source_pid) is None)
    assert not marks.recorded(daemon.state_dir, source_pid)
    check(moving)
    check(staying)
    # Its command line says -incoming for ever: who looks for the first time is not misled.
    daemon.kill()
    daemon.start()
    daemon.wait_ready()
    scene.wait_folded(daemon, destination, partner)


def test_mergeable_vm_that_arrives_is_waited_for(lab, folded):
    daemon, (source, _partner), (moving, staying) = folded
    # QEMU's default: whoever runs ksmd meanwhile folds what arrives.
    destination, address = start_destination(lab, mem_merge=True)
    daemon.wait_for(lambda status: any(f"destination (pid {destination.pid}) arrives" in sentence
                                       for sentence in status["host"]["blocked_by"]))
    scene.wait_state(daemon, destination, "waiting", "an incoming migration")
    assert not has_ring(destination)
    qmp(source, "migrate-set-parameters", **{"max-bandwidth": FAST})
    qmp(source, "migrate", uri=address)
    wait_migration(daemon, source, "completed")
    source.close()
    moving.move(destination)
    daemon.wait_for(lambda status: not status["host"]["blocked_by"])
    scene.wait_folded(daemon, destination)
    assert not marks.unrecorded(daemon.state_dir, destination.pid)
    check(moving)
    check(staying)


def watched_bytes(guest):
    """Memory that userfaultfd watches."""
    return sum(vma["end"] - vma["start"] for vma in host.vmas(guest.pid) if vma["flags"] & {"um", "uw"})


def set_capabilities(guest, *names):
    request = {"capabilities": [{"capability": name, "state": True} for name in names]}
    client, stream = talk(guest)
    with client:
        ask(stream, "qmp_capabilities")
        stream.write(json.dumps({"execute": "migrate-set-capabilities", "arguments": request}) + "\n")
        stream.flush()
        answer = json.loads(stream.readline())
    if "error" in answer:
        pytest.skip(f"QEMU refuses {', '.join(names)} here: {answer['error']['desc']}")


def test_what_arrives_by_post_copy_is_left_alone_until_all_is_there(lab, folded):
    daemon, (source, partner), (moving, staying) = folded
    destination, address = start_destination(lab)
    for guest in (destination, source):
        set_capabilities(guest, "postcopy-ram")
    qmp(source, "migrate-set-parameters",
        **{"max-bandwidth": SLOW, "max-postcopy-bandwidth": SLOW})
    qmp(source, "migrate", uri=address)
    wait_migration(daemon, source, "active")
    qmp(source, "migrate-start-postcopy")
    wait_migration(daemon, source, "postcopy-active")
    # It runs there already, and waits for each page that it touches first.
    assert watched_bytes(destination) >= MEMORY_MIB << 20
    scene.wait_vm(daemon, destination, lambda vm: (vm["ram_bytes"] or 0) >= MEMORY_MIB << 20)
    daemon.wait_passes(2)
    # QEMU may have a buffer or two that could be taken for RAM; beside that there is nothing to be read.
    vm = daemon.vm(destination.pid)
    assert vm["state"] == "ineligible" or (vm["state"], vm["reclaimed_bytes"]) == ("waiting", 0)
    assert (vm["pages_scanned"] or 0) < 1000
    assert not marks.mergeable(destination.pid) and not has_ring(destination)
    qmp(source, "migrate-set-parameters", **{"max-postcopy-bandwidth": 0})
    wait_migration(daemon, source, "completed")
    moving.move(destination)
    scene.wait_folded(daemon, destination, partner)
    assert not watched_bytes(destination)
    check(moving)
    check(staying)


class Drain(threading.Thread):
    """The other end of a migration to a file, as slow as it is told to be: QEMU does not limit the rate
    of a snapshot in the background."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.hurry = path, threading.Event()
        os.mkfifo(path)

    def run(self):
        with open(self.path, "rb", buffering=0) as stream:
            while stream.read(1 << 16):
                self.hurry.wait(0.04)


def test_nothing_folds_while_a_snapshot_is_taken_in_the_background(lab, folded):
    daemon, (source, partner), programs = folded
    set_capabilities(source, "background-snapshot")
    drain = Drain(lab.directory / "snapshot")
    drain.start()
    qmp(source, "migrate", uri=f"exec:cat >{drain.path}")
    wait_migration(daemon, source, "active")
    assert watched_bytes(source) >= MEMORY_MIB << 20
    daemon.wait_for(lambda status: any("snapshot" in sentence for sentence in status["host"]["blocked_by"]))
    recorded, before = marks.recorded(daemon.state_dir, source.pid), marks.ksm_bytes(source.pid)
    assert recorded and before
    # More twins than before, in both: they have to wait.
    more = [guest.fill(0, 16) for guest in (partner, source)]
    for program in more:
        assert program.read_line() == "filled"
    daemon.wait_passes(3)
    assert migration(source)["status"] == "active"
    assert daemon.vm(source.pid)["state"] == "folded"
    assert "snapshot" in daemon.vm(source.pid)["reason"]
    bursts = daemon.log().count("burst ")
    refused = daemon.cli_run("release", f"pid:{source.pid}")
    assert refused.returncode == 1 and "snapshot" in refused.stderr
    daemon.wait_passes(2)
    assert daemon.log().count("burst ") == bursts
    # What was marked is not forgotten meanwhile, and nothing is marked on top of it.
    assert marks.recorded(daemon.state_dir, source.pid) == recorded
    assert not marks.unrecorded(daemon.state_dir, source.pid)
    drain.hurry.set()
    wait_migration(daemon, source, "completed")
    daemon.wait_for(lambda _status: not daemon.status()["host"]["blocked_by"])
    daemon.wait_for(lambda _status: marks.ksm_bytes(source.pid) > before)
    check(*programs)
