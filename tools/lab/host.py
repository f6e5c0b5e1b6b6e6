# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel says of memory and CPU. Bytes and seconds."""

import contextlib
import functools
import os
import re
import time
from pathlib import Path

PAGE = 4096
_VMA = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+)\s*(.*)$")


def meminfo():
    """/proc/meminfo, in bytes."""
    fields = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, value, *unit = line.split()
        fields[name.rstrip(":")] = int(value) * (1024 if unit else 1)
    return fields


def anon_bytes():
    return meminfo()["AnonPages"]


def anon_huge_bytes():
    return meminfo()["AnonHugePages"]


def settled_anon_bytes(tolerance=256 << 10, seconds=5):
    """AnonPages once it has stopped to move: the counters are summed up per CPU, and what was freed
    comes back a little later. After so many seconds whatever it is then."""
    # The kernel folds its per-CPU counters when this is read.
    deadline = time.monotonic() + seconds
    last = None
    while True:
        with contextlib.suppress(OSError):
            Path("/proc/sys/vm/stat_refresh").read_text()
        now = anon_bytes()
        if (last is not None and abs(now - last) <= tolerance) or time.monotonic() > deadline:
            return now
        last = now
        time.sleep(0.1)


def _anon_bytes_of_others(pids):
    others = 0
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) not in pids:
            with contextlib.suppress(OSError):
                others += rollup(int(entry)).get("Pss_Anon", 0)
    return others


def anon_bytes_without(*pids):
    """AnonPages less what all processes but those have: the host may have other work. Read again where
    theirs moved meanwhile (a daemon that has just started takes its tables then)."""
    for _ in range(20):
        earlier = _anon_bytes_of_others(pids)
        anon = settled_anon_bytes(seconds=1)
        later = _anon_bytes_of_others(pids)
        if abs(later - earlier) <= 75 * PAGE:
            break
    return anon - later


def vmas(pid):
    """Every mapping of a process: dicts of start, end, permissions, inode, path, the sizes of smaps in
    bytes, and flags."""
    found = []
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        header = _VMA.match(line)
        if header:
            start, end, permissions, inode, path = header.groups()
            found.append({"start": int(start, 16), "end": int(end, 16), "path": path,
                          "permissions": permissions, "inode": int(inode), "flags": set()})
        elif line.startswith("VmFlags:"):
            found[-1]["flags"] = set(line.split()[1:])
        else:
            name, value, *unit = line.split()
            if unit == ["kB"]:
                found[-1][name.rstrip(":")] = int(value) * 1024
    return found


def rollup(pid):
    """/proc/PID/smaps_rollup, in bytes."""
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value, _ = line.split()
        fields[name.rstrip(":")] = int(value) * 1024
    return fields


def guest_ram(pid, ram_bytes):
    """The mappings that hold a QEMU's RAM. Marks split it, so: the neighbours that together are as
    large as the RAM."""
    candidates = [vma for vma in vmas(pid) if vma["permissions"] == "rw-p" and not vma["inode"]]
    for first in range(len(candidates)):
        total, run = 0, []
        for vma in candidates[first:]:
            if run and vma["start"] != run[-1]["end"]:
                break
            run.append(vma)
            total += vma["end"] - vma["start"]
            if total >= ram_bytes:
                break
        if total == ram_bytes:
            return run
    return []


def ram_usage(pid, ram_bytes):
    """Sums of Rss, Pss, Anonymous, AnonHugePages and KSM over a QEMU's RAM."""
    names = ("Rss", "Pss", "Anonymous", "AnonHugePages", "KSM")
    ram = guest_ram(pid, ram_bytes)
    return {name: sum(vma.get(name, 0) for vma in ram) for name in names}


def anonymous_usage(pid):
    """The same sums over all of a process's private anonymous memory."""
    names = ("Rss", "Pss", "Anonymous", "AnonHugePages", "KSM")
    found = [vma for vma in vmas(pid) if vma["permissions"] == "rw-p" and not vma["inode"]]
    return {name: sum(vma.get(name, 0) for vma in found) for name in names}


def thread_cpu_seconds(pid, thread=None):
    """CPU of one thread, from schedstat: nanoseconds, where stat counts ticks of 10 ms."""
    with contextlib.suppress(OSError):
        path = Path(f"/proc/{pid}/task/{thread or pid}/schedstat")
        return int(path.read_text().split()[0]) / 1e9
    return 0.0


def cpu_seconds(pid):
    """CPU of a process: all its threads that still run."""
    total = 0.0
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            total += thread_cpu_seconds(pid, thread)
    return total


def process_cpu_seconds(pid):
    """CPU of a process with the threads that have ended, in whole ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@functools.cache
def _kernel_thread(name):
    """Its pid; None: there is none. ksmd stays, khugepaged does as long as nobody turns huge pages off."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{entry}/comm").read_text() == f"{name}\n":
                    return int(entry)
    return None


def ksmd_cpu_seconds():
    pid = _kernel_thread("ksmd")
    return thread_cpu_seconds(pid) if pid else 0.0


def khugepaged_cpu_seconds():
    pid = _kernel_thread("khugepaged")
    return thread_cpu_seconds(pid) if pid else 0.0


def state(pid):
    """R, S, D, T, Z, ...; None: gone. A zombie is a process that has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return None
