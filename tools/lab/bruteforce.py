# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be saved, counted the slow and obvious way: every page is read and compared as bytes.

The definitions are those of `pagefold estimate --json` (pagefold-merging(7)): zero pages apart;
duplicate_pages are pages whose contents occur at least twice; self is copies - 1 within a process;
cross is what folding across processes saves beyond that, split evenly among the processes that hold
the contents, remainder bytes to the lowest pid.
"""

import collections
import contextlib
import itertools
import os
import struct

from lab import host

PAGE = 4096
ZERO = bytes(PAGE)
_PRESENT, _SWAPPED = 1 << 63, 1 << 62
_PFN = (1 << 55) - 1
_KPF_ZERO_PAGE = 24
# What counts of a plain process: mappings of at least this size.
PROCESS_RANGE_MIN = 64 << 10


def process_ranges(pid):
    """Private anonymous writable mappings of 64 KiB or more, heap included, stacks not. Neighbours
    that a mark or huge-page advice split count as one."""
    ranges = []
    for vma in host.vmas(pid):
        anonymous = not vma["inode"] and vma["path"] in ("", "[heap]") or \
            vma["path"].startswith("[anon:")
        if vma["permissions"] != "rw-p" or not anonymous:
            continue
        if ranges and ranges[-1][1] == vma["start"]:
            ranges[-1][1] = vma["end"]
        else:
            ranges.append([vma["start"], vma["end"]])
    return [(start, end) for start, end in ranges if end - start >= PROCESS_RANGE_MIN]


def pages(pid, start, end):
    """The bytes of every page that is there: not a hole, not swapped, not the kernel's zero page."""
    count = (end - start) // PAGE
    with contextlib.ExitStack() as files:
        pagemap = files.enter_context(open(f"/proc/{pid}/pagemap", "rb", buffering=0))
        memory = files.enter_context(open(f"/proc/{pid}/mem", "rb", buffering=0))
        flags = files.enter_context(open("/proc/kpageflags", "rb", buffering=0))
        entries = struct.unpack(f"{count}Q", os.pread(pagemap.fileno(), count * 8,
                                                      start // PAGE * 8))
        for index, entry in enumerate(entries):
            if not entry & _PRESENT or entry & _SWAPPED:
                continue
            frame = os.pread(flags.fileno(), 8, (entry & _PFN) * 8)
            if struct.unpack("Q", frame)[0] >> _KPF_ZERO_PAGE & 1:
                continue
            yield os.pread(memory.fileno(), PAGE, start + index * PAGE)


def estimate(ranges_by_pid):
    """{pid: [(start, end), ...]} -> the "total" and "vms" of `pagefold estimate --json`, the names
    left out."""
    held = collections.defaultdict(collections.Counter)
    per_pid = {pid: _nothing(pid) for pid in ranges_by_pid}
    for pid, content in _contents(ranges_by_pid):
        per_pid[pid]["pages_scanned"] += 1
        if content == ZERO:
            per_pid[pid]["zero_pages"] += 1
        else:
            held[content][pid] += 1
    total = _nothing(None)
    for holders in held.values():
        if holders.total() >= 2:
            total["distinct_contents"] += 1
            _share_out(holders, per_pid)
    for numbers in per_pid.values():
        numbers["zero_bytes"] = numbers["zero_pages"] * PAGE
        numbers["saveable_bytes"] = sum(numbers[part] for part in
                                        ("zero_bytes", "self_bytes", "cross_bytes"))
        for name in total:
            if name not in ("pid", "distinct_contents"):
                total[name] += numbers[name]
    del total["pid"]
    return {"total": total, "vms": sorted(per_pid.values(), key=lambda numbers: numbers["pid"])}


def matrix(ranges_by_pid):
    """{pid: [(start, end), ...]} -> {(pid, larger pid): a pair of `pagefold matrix --json`, the names and
    pids left out} of those that have something in common."""
    held = collections.defaultdict(collections.Counter)
    for pid, content in _contents(ranges_by_pid):
        if content != ZERO:
            held[content][pid] += 1
    found = {}
    for holders in held.values():
        for pair in itertools.combinations(sorted(holders), 2):
            numbers = found.setdefault(pair, {"common_bytes": 0, "held_bytes": [0, 0],
                                              "cross_bytes": [0, 0]})
            numbers["common_bytes"] += PAGE
            for side, pid in enumerate(pair):
                numbers["held_bytes"][side] += holders[pid] * PAGE
                numbers["cross_bytes"][side] += _owed(holders, pid, pair[1 - side])
    return found


def _owed(holders, pid, other):
    """Of what one content saves pid across processes, the part that it owes to the other."""
    share, rest = divmod((len(holders) - 1) * PAGE, len(holders))
    own = share + (rest if pid == min(holders) else 0)
    share, rest = divmod(own, len(holders) - 1)
    return share + (rest if other == min(holder for holder in holders if holder != pid) else 0)


def _contents(ranges_by_pid):
    """(pid, the bytes of a page), for every page. Bytes as they are: hashing is what is to be checked."""
    for pid, ranges in ranges_by_pid.items():
        for start, end in ranges:
            for content in pages(pid, start, end):
                yield pid, content


def _nothing(pid):
    names = ("pages_scanned", "zero_pages", "duplicate_pages", "distinct_contents",
             "saveable_bytes", "zero_bytes", "self_bytes", "cross_bytes")
    return {"pid": pid, **dict.fromkeys(names, 0)}


def _share_out(holders, per_pid):
    cross = (len(holders) - 1) * PAGE
    share, rest = divmod(cross, len(holders))
    for position, pid in enumerate(sorted(holders)):
        numbers = per_pid[pid]
        numbers["duplicate_pages"] += holders[pid]
        numbers["distinct_contents"] += 1
        numbers["self_bytes"] += (holders[pid] - 1) * PAGE
        numbers["cross_bytes"] += share if position else share + rest
