# SPDX-License-Identifier: GPL-2.0-or-later
"""What is marked and shared in a process, by the kernel's word and by a daemon's record."""

import array
import contextlib
import ctypes
import functools
import json
import mmap
import os
import struct
from pathlib import Path

from lab import host

# Documentation/admin-guide/mm/pagemap.rst
PRESENT, FILE, PFN = 1 << 63, 1 << 61, (1 << 55) - 1
KPF_KSM, KPF_ZERO_PAGE = 1 << 21, 1 << 24


def _joined(ranges):
    """Sorted, neighbours as one."""
    joined = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(end, joined[-1][1])
        else:
            joined.append([start, end])
    return [tuple(one) for one in joined]


def mergeable(pid):
    """The ranges that ksmd may merge in ("mg" in smaps)."""
    return _joined((vma["start"], vma["end"]) for vma in host.vmas(pid) if "mg" in vma["flags"])


def huge_page_advice(pid, start, length):
    """[(start, end, "hg", "nh" or None)] over a range, neighbours of one kind as one."""
    found = []
    for vma in host.vmas(pid):
        if vma["end"] <= start or vma["start"] >= start + length:
            continue
        advice = next(iter(vma["flags"] & {"hg", "nh"}), None)
        if found and found[-1][1] == vma["start"] and found[-1][2] == advice:
            found[-1] = (found[-1][0], vma["end"], advice)
        else:
            found.append((vma["start"], vma["end"], advice))
    return found


def ksm_bytes(pid):
    """Memory of that process in pages of KSM, however few share them."""
    return sum(vma.get("KSM", 0) for vma in host.vmas(pid))


def ksm_bytes_within(pid, start, end):
    """The same in a range."""
    return sum(vma.get("KSM", 0) for vma in host.vmas(pid)
               if start <= vma["start"] and vma["end"] <= end)


def ram_blocks(pid):
    """Private anonymous memory that huge pages were advised for or against, neighbours as one: what a
    QEMU has for RAM."""
    return _joined((vma["start"], vma["end"]) for vma in host.vmas(pid)
                   if vma["flags"] & {"hg", "nh"} and not vma["inode"])


def frames(pid):
    """The numbers of the frames it has mapped, but for the kernel's zero page; none once it has ended."""
    numbers = set()
    with contextlib.suppress(OSError), open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        for vma in host.vmas(pid):
            if vma["start"] >= 1 << 63:
                continue # [vsyscall]
            entries = array.array("Q")
            pages = (vma["end"] - vma["start"]) // host.PAGE
            entries.frombytes(os.pread(pagemap.fileno(), 8 * pages, vma["start"] // host.PAGE * 8))
            numbers.update(entry & PFN for entry in entries if entry & PRESENT and not entry & FILE)
    return numbers - {0, _zero_frame()}


def frame_flags(number):
    """What /proc/kpageflags says of a frame."""
    with open("/proc/kpageflags", "rb", buffering=0) as flags:
        return struct.unpack("Q", os.pread(flags.fileno(), 8, number * 8))[0]


@functools.cache
def _zero_frame():
    """Read of a page that nobody has written."""
    page = mmap.mmap(-1, host.PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        assert page[0] == 0
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
            entry, = struct.unpack("Q", os.pread(pagemap.fileno(), 8, address // host.PAGE * 8))
        return entry & PFN
    finally:
        del address
        page.close()


def private_bytes(*pids):
    """The anonymous memory of processes, a shared page counted in parts: what it costs the host."""
    return sum(host.rollup(pid)["Pss_Anon"] for pid in pids)


def record(state_dir):
    """state.json; None where there is none."""
    path = Path(state_dir) / "state.json"
    return json.loads(path.read_text()) if path.exists() else None


def recorded(state_dir, pid):
    """The ranges that the record says are marked in that process."""
    targets = (record(state_dir) or {"targets": []})["targets"]
    return _joined((extent["start"], extent["end"]) for target in targets
                   if target["pid"] == pid for extent in target["extents"])


def unrecorded(state_dir, pid):
    """Marked ranges that the record does not cover: there must never be any."""
    known = recorded(state_dir, pid)
    return [(start, end) for start, end in mergeable(pid)
            if not any(low <= start and end <= high for low, high in known)]
