# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of all functional tests; the library they use is tools/lab/."""

import fcntl
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from lab import children, guests, ksm, paths, procs  # noqa: E402

# There is one KSM on a host: whoever turns its knobs holds this meanwhile.
KSM_LOCK = "/tmp/ksm.lock"


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
        # Whoever holds it is a test too, and ends.
        fcntl.flock(lock, fcntl.LOCK_EX)
        with ksm.saved():
            yield ksm


@pytest.fixture
def lab():
    """Real Linux guests."""
    if not (paths.DEPS / "kernel/vmlinuz").exists():
        pytest.skip("no guest kernel: run `make deps-test`")
    with guests.Lab() as running:
        yield running


@pytest.fixture
def needs_kvm():
    if not procs.kvm_available():
        pytest.skip("no access to /dev/kvm")
