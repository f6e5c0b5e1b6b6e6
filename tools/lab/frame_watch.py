# SPDX-License-Identifier: GPL-2.0-or-later
"""Looks all along whether groups of processes ever have a page frame in common.

    with FrameWatch({"red": [one, two], "blue": [three]}) as watch:
        ...
    assert not watch.shared

The kernel's zero page is nobody's: it tells a process nothing but that its own page is zero.
"""

import array
import contextlib
import itertools
import os
import struct
import threading

from lab import host, marks

# What is shared stays so until somebody writes or releases it; the guests need the processor, too.
PAUSE_SECONDS = 0.02


class FrameWatch(threading.Thread):
    """groups: lists of whatever has a pid. `shared` is a sentence for each frame that two groups were seen
    to have at one time; `looks` is how often it was looked."""

    def __init__(self, groups):
        super().__init__(daemon=True)
        self.looks, self.shared, self.reused = 0, [], 0
        self._groups = {name: [process.pid for process in members] for name, members in groups.items()}
        self._zero_frames = set()
        self._ended = threading.Event()
        # Held for a look: who moves from group to group is in one of them for all of it.
        self._lock = threading.Lock()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_exception):
        self._ended.set()
        self.join()

    def run(self):
        while not self._ended.wait(PAUSE_SECONDS):
            self.look()

    def move(self, process, group):
        """It belongs to that group from now on; one that is new does, too."""
        with self._lock:
            for members in self._groups.values():
                if process.pid in members:
                    members.remove(process.pid)
            self._groups[group].append(process.pid)

    def look(self):
        with self._lock:
            tables = {name: {pid: _tables(pid) for pid in members}
                      for name, members in self._groups.items()}
            frames = {name: set().union(*map(_frames, members.values()))
                      for name, members in tables.items()}
            for one, other in itertools.combinations(tables, 2):
                for frame in (frames[one] & frames[other]) - self._zero_frames:
                    self._judge(frame, (one, tables[one]), (other, tables[other]))
            self.looks += 1

    def _judge(self, frame, one, other):
        """What both had in the course of one look: if one had it before and after the other had it, they
        had it together; else it was freed by the one and given to the other in between."""
        if marks.frame_flags(frame) & marks.KPF_ZERO_PAGE:
            self._zero_frames.add(frame)
            return
        places = [_place(members, frame) for _name, members in (one, other)]
        if all(_frame_at(*places[index]) == frame for index in (0, 1, 0)):
            where = " and ".join(f"{name}'s {pid} at {address:#x}" for (name, _), (pid, address)
                                 in zip((one, other), places))
            ksm = "KSM's" if marks.frame_flags(frame) & marks.KPF_KSM else "not KSM's"
            self.shared.append(f"frame {frame:#x} ({ksm}) is shared by {where}")
        else:
            self.reused += 1


def _tables(pid):
    """[(address, its pages' entries in pagemap)] of its anonymous memory; none once it has ended."""
    found = []
    with contextlib.suppress(OSError), open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap, \
            open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            bounds, permissions, _, _, inode = line.split()[:5]
            if permissions[3] != "p" or inode != "0":
                continue
            start, end = (int(bound, 16) for bound in bounds.split("-"))
            if start >= 1 << 63:
                continue # [vsyscall]
            data = os.pread(pagemap.fileno(), (end - start) // host.PAGE * 8, start // host.PAGE * 8)
            entries = array.array("Q")
            entries.frombytes(data[:len(data) // 8 * 8])
            found.append((start, entries))
    return found


def _frames(tables):
    return {entry & marks.PFN for _start, entries in tables for entry in entries
            if entry & marks.PRESENT and not entry & marks.FILE} - {0}


def _place(members, frame):
    """(pid, address) of a page that was on the frame in that look."""
    for pid, tables in members.items():
        for start, entries in tables:
            for index, entry in enumerate(entries):
                if entry & marks.PRESENT and entry & marks.PFN == frame:
                    return pid, start + index * host.PAGE
    raise AssertionError(f"nobody has frame {frame:#x}")


def _frame_at(pid, address):
    """The frame that is there now; None: none, or no process."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        data = os.pread(pagemap.fileno(), 8, address // host.PAGE * 8)
        if len(data) == 8:
            entry, = struct.unpack("Q", data)
            return entry & marks.PFN if entry & marks.PRESENT else None
    return None
