# SPDX-License-Identifier: GPL-2.0-or-later
"""khugepaged, in a hurry: what it would undo in days shows in a minute."""

import contextlib
from pathlib import Path

from lab import children

DIRECTORY = Path("/sys/kernel/mm/transparent_hugepage/khugepaged")
# It never sleeps, and one wake looks at 1 GiB. What it may collapse stays as the host has it.
HURRY = {"scan_sleep_millisecs": 0, "alloc_sleep_millisecs": 0, "pages_to_scan": 1 << 18}


def read(knob):
    return int((DIRECTORY / knob).read_text())


def counters():
    return {name: read(name) for name in ("full_scans", "pages_collapsed")}


@contextlib.contextmanager
def hurried():
    """Every knob is afterwards what it was before."""
    before = {knob: read(knob) for knob in HURRY}
    try:
        for knob, value in HURRY.items():
            (DIRECTORY / knob).write_text(str(value))
        yield
    finally:
        with children.shielded():
            for knob, value in before.items():
                (DIRECTORY / knob).write_text(str(value))
