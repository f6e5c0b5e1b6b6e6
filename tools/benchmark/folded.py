# SPDX-License-Identifier: GPL-2.0-or-later
"""Which pages of a guest are folded, frame by frame: /proc/PID/pagemap and /proc/kpageflags."""

import array

from lab import host

_PRESENT, _PFN = 1 << 63, (1 << 55) - 1
_KSM, _HUGE, _ZERO = 1 << 21, 1 << 22, 1 << 24
_PIECE_BYTES = 1 << 20


def frame_flags():
    """The flags of every frame of the host: half a second per 24 GiB, and much quicker than to ask for
    each one."""
    flags = array.array("Q")
    # The file takes whole words only: no buffering, which would ask for odd sizes.
    with open("/proc/kpageflags", "rb", buffering=0) as file:
        while piece := file.read(_PIECE_BYTES):
            flags.frombytes(piece)
    return flags


def _entries(pid, start, end):
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        pagemap.seek(start // host.PAGE * 8)
        return array.array("Q", pagemap.read((end - start) // host.PAGE * 8))


def _ranges(pid, ram_bytes):
    """The extents that were marked: they are kept from khugepaged whether or not the mark is still
    there. A zero page outside them is nobody's fold."""
    return [(vma["start"], vma["end"]) for vma in host.guest_ram(pid, ram_bytes)
            if "nh" in vma["flags"]]


def folded_pages(pid, ram_bytes, flags):
    """The addresses of KSM pages and of zero pages."""
    found = set()
    for start, end in _ranges(pid, ram_bytes):
        for index, entry in enumerate(_entries(pid, start, end)):
            if entry & _PRESENT and flags[entry & _PFN] & (_KSM | _ZERO):
                found.add(start + index * host.PAGE)
    return found


def collapsed_pages(pid, addresses):
    """How many of the pages are part of a huge page now."""
    flags = frame_flags()
    count = 0
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        for address in addresses:
            pagemap.seek(address // host.PAGE * 8)
            (entry,) = array.array("Q", pagemap.read(8))
            count += bool(entry & _PRESENT and flags[entry & _PFN] & _HUGE)
    return count
