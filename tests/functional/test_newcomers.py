# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual machines that start while the daemon sleeps. Nothing is folded, and whoever else drives KSM on this host
may go on doing so."""

import os
import sys

from lab import paths, procs
from lab.daemon import Daemon


def test_vm_that_starts_between_two_passes_is_noticed(lab):
    config = {"ksm-owner": "stand-by", "default-mode": "observe", "scan-interval": 3600}
    with Daemon(config=config) as daemon:
        first = daemon.wait_for(lambda status: status["pass"]["number"])
        (guest,) = lab.boot("newcomer", memory_mib=256)
        assert guest.pid not in {vm["pid"] for vm in first["vms"]}
        # Nothing else brings the second pass forward by an hour.
        daemon.wait_for(lambda status: guest.pid in {vm["pid"] for vm in status["vms"]}, 15)


def observed(pid):
    return lambda status: pid in {vm["pid"] for vm in status["vms"]}


OPENS_A_VM_WHEN_TOLD = """\
import fcntl, os, sys
KVM_CREATE_VM = 0xAE01
print("ready", os.getpid(), "0 0", flush=True)
sys.stdin.readline()
vm = fcntl.ioctl(os.open("/dev/kvm", os.O_RDWR), KVM_CREATE_VM, 0)
print("open", flush=True)
sys.stdin.readline()
"""


def test_process_that_opens_a_vm_late_is_noticed(needs_kvm):
    config = {"ksm-owner": "stand-by", "default-mode": "observe", "scan-interval": 1}
    with Daemon(config=config) as daemon, \
            procs.Target([sys.executable, "-c", OPENS_A_VM_WHEN_TOLD]) as vmm:
        daemon.wait_passes(4)
        assert not observed(vmm.pid)(daemon.status())
        assert vmm.ask("go on") == "open"
        # After as long again as it has been known.
        daemon.wait_for(observed(vmm.pid), 30)


EXECUTES_WHEN_TOLD = """\
import os, sys
print("ready", os.getpid(), "0 0", flush=True)
os.read(0, 1)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_process_that_executes_what_a_rule_names_is_noticed():
    program = os.path.realpath(paths.guest_program("memcheck"))
    policy = f"[target t]\nmatch = exe:{program}\nmode = observe\n"
    config = {"ksm-owner": "stand-by", "scan-interval": 1}
    with Daemon(config=config, policies={"test.conf": policy}) as daemon, procs.Target(
            [sys.executable, "-c", EXECUTES_WHEN_TOLD, program, "--mib", "16"]) as process:
        daemon.wait_passes(4)
        assert not observed(process.pid)(daemon.status())
        process.tell("")
        process.wait_ready()
        # With the next pass, or the one after it.
        daemon.wait_for(observed(process.pid), 10)
