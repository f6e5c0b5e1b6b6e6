# SPDX-License-Identifier: GPL-2.0-or-later
"""Folded domains whose memory grows and shrinks: DIMMs, virtio-mem, the balloon, free pages reported."""

import pytest

from domain_scene import (CHECKED_MIB, MIB, check, checked, pagefoldd, start, wait_books, wait_folded)
from lab import host, marks

pytestmark = pytest.mark.usefixtures("ksm_alone")

MEMORY_MIB = 192
PLUGGED_MIB = 128
BALLOON = "<memballoon model='virtio' freePageReporting='on'/>"
DIMM = (f"<memory model='dimm'><target><size unit='MiB'>{PLUGGED_MIB}</size><node>0</node></target>"
        "</memory>")


def ram_bytes(daemon, domain):
    return daemon.vm(domain.pid)["ram_bytes"]


def wait_ram(daemon, domain, mib_more, before):
    """Until the daemon sees that much more memory than before."""
    daemon.wait_for(lambda _status: ram_bytes(daemon, domain) == before + mib_more * MIB)


def ranges(domain):
    """Where the domain has memory of the size that is plugged."""
    return {(start, end) for start, end in marks.ram_blocks(domain.pid)
            if end - start == PLUGGED_MIB * MIB}


def within(ranges_of, ranges_there):
    return [(start, end) for start, end in ranges_of
            if any(low <= start and end <= high for low, high in ranges_there)]


def guest_mib(domain):
    return int(domain.run("awk '/MemTotal/ { print $2 }' /proc/meminfo")) // 1024


def wait_guest(domain, least_mib, most_mib=1 << 20):
    """Until the guest has so much memory."""
    domain.run(f"while set -- $(grep MemTotal /proc/meminfo); "
               f"test $(($2 / 1024)) -lt {least_mib} || test $(($2 / 1024)) -gt {most_mib}; "
               "do sleep 0.1; done")


def let_it_go_again(domain):
    """What is plugged is used at once, for nothing that cannot be moved away."""
    domain.run("echo online_movable >/sys/devices/system/memory/auto_online_blocks")


def attach(libvirtd, domain, xml):
    path = libvirtd.directory / "device.xml"
    path.write_text(xml)
    libvirtd.virsh("attach-device", domain.name, path, "--live")
    return path


def test_dimm_is_folded_and_unplugged_again(libvirtd):
    domains = start(libvirtd, "one", "two", memory_mib=MEMORY_MIB, max_memory_mib=1024)
    one, two = domains
    for domain in domains:
        let_it_go_again(domain)
    small = guest_mib(one)
    with pagefoldd(libvirtd) as daemon:
        daemon.wait_for(lambda _status: all((daemon.vm(domain.pid) or {}).get("pages_scanned")
                                            for domain in domains))
        before = ram_bytes(daemon, one)
        for again in range(2):
            for domain in domains if not again else [one]:
                device = attach(libvirtd, domain, DIMM)
                wait_guest(domain, small + PLUGGED_MIB)
                wait_ram(daemon, domain, PLUGGED_MIB, before)
            # User memory comes from movable memory first: this is in the DIMMs.
            programs = [checked(domain, mib=64) for domain in (domains if not again else [one])]
            (plugged,) = ranges(one)
            daemon.wait_for(lambda _status: len(within(marks.recorded(daemon.state_dir, one.pid),
                                                       [plugged])) > 0)
            daemon.wait_for(lambda _status: marks.ksm_bytes_within(one.pid, *plugged) > 32 * MIB)
            wait_folded(daemon, one, two)
            check(*programs)
            programs[0].kill()
            libvirtd.virsh("detach-device", "one", device, "--live")
            wait_ram(daemon, one, 0, before)
            daemon.wait_for(lambda _status:
                            not within(marks.recorded(daemon.state_dir, one.pid), [plugged]))
            wait_books(daemon, one)
            check(*programs[1:])
        assert one.run("echo alive").strip() == "alive"
        assert daemon.vm(two.pid)["state"] == "folded"


def test_virtio_mem_is_folded_as_far_as_it_is_plugged(libvirtd):
    domains = start(libvirtd, "one", "two", memory_mib=MEMORY_MIB, max_memory_mib=1024)
    one, two = domains
    for domain in domains:
        domain.load("virtio_mem")
        let_it_go_again(domain)
        small = guest_mib(domain)
        attach(libvirtd, domain,
               f"<memory model='virtio-mem'><target><size unit='MiB'>{2 * PLUGGED_MIB}</size><node>0</node>"
               f"<block unit='MiB'>4</block><requested unit='MiB'>{PLUGGED_MIB}</requested></target>"
               "</memory>")
    for domain in domains:
        wait_guest(domain, small + PLUGGED_MIB)
    programs = [checked(domain, mib=64) for domain in domains]
    with pagefoldd(libvirtd) as daemon:
        wait_folded(daemon, one, two)
        check(*programs)
        # All of it back: what was folded there is given up.
        reclaimed = daemon.vm(one.pid)["reclaimed_bytes"]
        programs[0].kill()
        libvirtd.virsh("update-memory-device", "one", "--requested-size", "0", "--live")
        wait_guest(one, 0, small)
        daemon.wait_for(lambda _status: daemon.vm(one.pid)["reclaimed_bytes"] < reclaimed - 32 * MIB)
        check(programs[1])
        libvirtd.virsh("update-memory-device", "one", "--requested-size", f"{PLUGGED_MIB}MiB", "--live")
        wait_guest(one, small + PLUGGED_MIB)
        programs[0] = checked(one, mib=64)
        daemon.wait_for(lambda _status: daemon.vm(one.pid)["reclaimed_bytes"] > reclaimed - 16 * MIB)
        check(*programs)


def test_what_the_balloon_takes_and_free_pages_are_no_savings(libvirtd):
    domains = start(libvirtd, "one", "two", memory_mib=MEMORY_MIB, devices=BALLOON)
    one, two = domains
    for domain in domains:
        domain.load("virtio_balloon")
    staying = [checked(domain) for domain in domains]
    fillers = [domain.fill(0, 48) for domain in domains]
    for filler in fillers:
        assert filler.read_line(timeout=120) == "filled"
    with pagefoldd(libvirtd) as daemon:
        daemon.wait_for(lambda _status: all(
            ((daemon.vm(domain.pid) or {}).get("reclaimed_bytes") or 0) > (48 + CHECKED_MIB) // 3 * MIB
            for domain in domains))
        wait_all_folded(daemon, *domains)
        wait_books(daemon, one, two)
        folded, resident = marks.ksm_bytes(one.pid), daemon.vm(one.pid)["resident_bytes"]
        assert abs(folded - marks.ksm_bytes(two.pid)) < 16 * MIB
        # The guest reports what is free; nobody asked for it.
        fillers[0].kill()
        daemon.wait_for(lambda _status: daemon.vm(one.pid)["resident_bytes"] < resident - 32 * MIB)
        wait_books(daemon, one, two)
        # Beside its twin, which keeps all: other memory of both may have been folded in the meantime.
        assert marks.ksm_bytes(one.pid) < marks.ksm_bytes(two.pid) - 32 * MIB
        check(*staying)
        # Down and up again.
        resident = daemon.vm(one.pid)["resident_bytes"]
        libvirtd.virsh("setmem", "two", f"{MEMORY_MIB - 40}MiB", "--live")
        wait_balloon(libvirtd, two, MEMORY_MIB - 40)
        wait_books(daemon, one, two)
        libvirtd.virsh("setmem", "two", f"{MEMORY_MIB}MiB", "--live")
        wait_balloon(libvirtd, two, MEMORY_MIB)
        fillers[0] = one.fill(0, 48)
        assert fillers[0].read_line(timeout=120) == "filled"
        # What it had given up may have been given up here, too, and is then left alone for some passes.
        daemon.wait_for(lambda _status: marks.ksm_bytes(one.pid) > folded - 16 * MIB, 150)
        wait_books(daemon, one, two)
        check(*staying)
        for domain in domains:
            assert not marks.unrecorded(daemon.state_dir, domain.pid)


def wait_all_folded(daemon, *domains):
    """All has been read, also what was put off, and nothing more comes of it."""
    def all_read(_status):
        vms = [daemon.vm(domain.pid) for domain in domains]
        return all(vm["pages_scanned"] * host.PAGE > vm["resident_bytes"] * 0.7 for vm in vms)

    def folded():
        return sum(marks.ksm_bytes(domain.pid) for domain in domains)
    daemon.wait_for(all_read, 150)
    before = 0
    while folded() > before * 1.02:
        before = folded()
        daemon.wait_passes(4)


def wait_balloon(libvirtd, domain, mib):
    def actual():
        lines = libvirtd.virsh("dommemstat", domain.name).splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("actual"))
    while abs(actual() - mib * 1024) > 1024:
        assert domain.run("true") == ""
