# SPDX-License-Identifier: GPL-2.0-or-later
"""How Linux guests run on this host: under KVM, or translated.

A /dev/kvm that opens proves little: where the host is a guest itself, KVM may run small guests and no
Linux kernel. So one is booted, once per boot of the host.
"""

import contextlib
import functools
import os

from lab import paths

# One translating thread, and a small buffer: the default maps 1 GiB for translated code.
TCG = ("-accel", "tcg,thread=single,tb-size=32")
# For a guest that runs many programs: a small buffer has to be filled again and again.
TCG_LARGE = ("-accel", "tcg,thread=single,tb-size=256")
KVM = ("-accel", "kvm")
# A guest under KVM that works is ready within two seconds; one that does not spins for ever.
PROBE_SECONDS = 6


@functools.cache
def arguments(many_programs=False):
    """QEMU's -accel; PAGEFOLD_LAB_ACCEL=kvm or tcg decides without looking."""
    choice = os.environ.get("PAGEFOLD_LAB_ACCEL") or _remembered() or _remember(_probe())
    return {"kvm": KVM, "tcg": TCG_LARGE if many_programs else TCG}[choice]


def name():
    return arguments()[1].split(",")[0]


def _probe():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    from lab import guests
    os.environ["PAGEFOLD_LAB_ACCEL"] = "kvm"
    try:
        arguments.cache_clear()
        with guests.Lab() as lab:
            lab.start("probe", memory_mib=256).wait_ready(PROBE_SECONDS)
        return "kvm"
    except guests.GuestError:
        return "tcg"
    finally:
        del os.environ["PAGEFOLD_LAB_ACCEL"]
        arguments.cache_clear()  # what was tried out is no answer


def _stamp():
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot_id:
        return boot_id.read().strip()


def _remembered():
    with contextlib.suppress(OSError, ValueError):
        stamp, choice = (paths.DEPS / "accel").read_text().split()
        return choice if stamp == _stamp() and choice in ("kvm", "tcg") else None
    return None


def _remember(choice):
    with contextlib.suppress(OSError):
        part = paths.DEPS / f"accel.{os.getpid()}"
        part.write_text(f"{_stamp()} {choice}\n")
        os.rename(part, paths.DEPS / "accel")
    return choice
