# SPDX-License-Identifier: GPL-2.0-or-later
"""The scene of the tests about a VM's life: guests that check their memory while they are folded."""

import contextlib

import pytest

import scene
from lab import host, marks
from lab.daemon import DaemonError

MIB = 1 << 20
POLICY = "<pagefold:policy xmlns:pagefold='urn:pagefold:domain:1' mode='merge' group='web'/>"
CONFIG = {"default-mode": "off"}
CHECKED_MIB = 24
# What lies beside RAM (video memory, ROMs) is folded too, and moves a little.
BESIDE_BYTES = 2 * MIB


def checked(guest, mib=CHECKED_MIB):
    """A program in the guest that checks its own memory, most of it twins of every other guest's."""
    program = guest.start(f"memcheck --mib {mib} --zero 10 --twins 80 --hot 0 --stray-writes 0 "
                          "--pause-ms 200")
    assert program.read_line().startswith("ready ")
    return program


def check(*programs):
    """Alive, and not one wrong byte so far."""
    for program in programs:
        assert program.ask("status").endswith("errors 0")


@contextlib.contextmanager
def pagefoldd(libvirtd, **config):
    with scene.pagefoldd(config={**CONFIG, "libvirt-uri": libvirtd.uri, **config}) as daemon:
        yield daemon


def start(libvirtd, *names, memory_mib=160, **options):
    """Domains that ask to be folded in their persistent definition, and run."""
    domains = [libvirtd.define(name, memory_mib=memory_mib, mergeable=False, policy=POLICY, **options)
               for name in names]
    for domain in domains:
        domain.power_on()
    return [domain.wait_ready() for domain in domains]


def wait_folded(daemon, *domains, timeout=60):
    """Until most of what their checkers have in common is folded."""
    def folded(_status):
        vms = [daemon.vm(domain.pid) for domain in domains]
        return all(vm and vm["state"] == "folded" and
                   (vm["reclaimed_bytes"] or 0) > CHECKED_MIB * MIB // 3 for vm in vms)
    return daemon.wait_for(folded, timeout)


def shared_bytes(domain):
    """Rss - Pss of what a QEMU has for RAM."""
    ram = [vma for vma in host.vmas(domain.pid) if vma["flags"] & {"hg", "nh", "mg"}]
    return sum(vma["Rss"] - vma["Pss"] for vma in ram)


def wait_books(daemon, *domains):
    """Until what status says of them is what smaps says."""
    said = {}

    def agree(_status):
        for domain in domains:
            vm = daemon.vm(domain.pid)
            said[domain.name] = (vm["reclaimed_bytes"] - vm["reclaimed_zero_bytes"], shared_bytes(domain))
        return all(abs(books - kernel) < BESIDE_BYTES for books, kernel in said.values())
    try:
        daemon.wait_for(agree, timeout=30)
    except DaemonError:
        pytest.fail(f"the books differ from what smaps says: {said}")


def wait_gone(daemon, pid):
    """Until nothing speaks of it any more: neither status nor the record."""
    daemon.wait_for(lambda status: all(vm["pid"] != pid for vm in status["vms"]) and
                    not marks.recorded(daemon.state_dir, pid))
