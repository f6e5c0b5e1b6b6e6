# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of all functional tests; the library they use is tools/lab/."""

import fcntl
import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from lab import children, guests, ksm, libvirtd as lab_libvirtd, paths, procs  # noqa: E402

# There is one KSM on a host: whoever turns its knobs holds this meanwhile.
KSM_LOCK = "/tmp/ksm.lock"
# What another test leaves behind ends soon; a virtual machine of the host's own does not.
STRANGERS_SECONDS = int(os.environ.get("PAGEFOLD_TEST_STRANGERS_SECONDS", "20"))


def pytest_configure():
    children.handle_signals()


@pytest.fixture
def ksm_alone():
    """KSM for this test alone; every knob is afterwards what it was before."""
    if not ksm.available():
        pytest.skip("this kernel has no KSM")
    if os.geteuid() != 0:
        pytest.skip("KSM's knobs are root's")
    with open(KSM_LOCK, "a", encoding="ascii") as lock:
        _wait_alone(lock)
        with ksm.saved():
            yield ksm


def _wait_alone(lock):
    """Takes the lock while nobody else's memory is mergeable: nothing is folded beside it."""
    deadline = time.monotonic() + STRANGERS_SECONDS
    while True:
        # Whoever holds it is a test too, and ends.
        fcntl.flock(lock, fcntl.LOCK_EX)
        strangers = ksm.mergeable_processes()
        if not strangers:
            return
        fcntl.flock(lock, fcntl.LOCK_UN)
        if time.monotonic() > deadline:
            pytest.skip("memory of others is mergeable: " +
                        ", ".join(f"{name} ({pid})" for pid, name in strangers.items()))
        time.sleep(1)


@pytest.fixture
def lab():
    """Real Linux guests."""
    if not (paths.DEPS / "kernel/vmlinuz").exists():
        pytest.skip("no guest kernel: run `make deps-test`")
    with guests.Lab() as running:
        yield running


@pytest.fixture
def libvirtd():
    """A real libvirtd of this test's own, without domains."""
    reason = lab_libvirtd.missing()
    if reason:
        pytest.skip(reason)
    with lab_libvirtd.Libvirtd() as running:
        yield running


@pytest.fixture
def needs_kvm():
    if not procs.kvm_available():
        pytest.skip("no access to /dev/kvm")
