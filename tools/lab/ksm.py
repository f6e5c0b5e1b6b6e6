# SPDX-License-Identifier: GPL-2.0-or-later
"""KSM's knobs and counters. There is one KSM on a host: change it inside saved() only."""

import contextlib
import os
from pathlib import Path

from lab import children

DIRECTORY = Path("/sys/kernel/mm/ksm")
# The order matters when they are put back: an advisor writes pages_to_scan, and run starts ksmd.
KNOBS = ("advisor_mode", "pages_to_scan", "sleep_millisecs", "smart_scan", "use_zero_pages",
         "merge_across_nodes", "max_page_sharing", "stable_node_chains_prune_millisecs", "run")
# ksmd's best: what the comparison in `make bench` gives it.
FLAT_OUT = {"pages_to_scan": 100000, "sleep_millisecs": 0, "smart_scan": 0, "use_zero_pages": 1,
            "run": 1}


def available():
    return (DIRECTORY / "run").exists()


def read(knob):
    text = (DIRECTORY / knob).read_text().strip()
    # "[none] scan-time"
    return text.split("[")[1].split("]")[0] if "[" in text else text


def write(knob, value):
    (DIRECTORY / knob).write_text(str(value))


def apply(knobs):
    """Those that this kernel has; run comes last. An advisor lets nobody else write pages_to_scan, so it
    comes when that has been written."""
    steps = [(knob, knobs[knob]) for knob in KNOBS if knob in knobs]
    if knobs.get("advisor_mode", "none") != "none":
        steps = [("advisor_mode", "none"), *steps[1:]]
        steps.insert(-1 if "run" in knobs else len(steps), ("advisor_mode", knobs["advisor_mode"]))
    for knob, value in steps:
        if (DIRECTORY / knob).exists():
            write(knob, value)


def counter(name):
    path = DIRECTORY / name
    return int(path.read_text()) if path.exists() else None


def counters():
    names = ("full_scans", "pages_shared", "pages_sharing", "pages_unshared", "pages_volatile",
             "pages_scanned", "ksm_zero_pages", "general_profit")
    return {name: counter(name) for name in names}


def knobs():
    return {knob: read(knob) for knob in KNOBS if (DIRECTORY / knob).exists()}


@contextlib.contextmanager
def saved():
    """Every knob is afterwards what it was before, whatever happens in between."""
    before = knobs() if available() else {}
    try:
        yield before
    finally:
        with children.shielded():
            restore(before)


def restore(before):
    # merge_across_nodes and max_page_sharing refuse to change while something is merged; all that
    # stays the same is left alone.
    for knob, value in before.items():
        if read(knob) != value:
            with contextlib.suppress(OSError):
                write(knob, value)


def unmerge_all():
    """Every folded page on the host is copied back: for tests that need a clean start."""
    write("run", 2)
    write("run", 0)


def process_stat(pid):
    """/proc/PID/ksm_stat as numbers and booleans; empty where the kernel has none."""
    stat = {}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/ksm_stat").read_text().splitlines():
            name, value = line.replace(":", " ").split()
            stat[name] = value == "yes" if value in ("yes", "no") else int(value)
    return stat


def mergeable_processes():
    """{pid: name} of those that ksmd would merge in; before Linux 6.17 those that it has seen."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            stat = process_stat(int(entry))
            if stat.get("ksm_mergeable", stat.get("ksm_rmap_items", 0) > 0):
                with contextlib.suppress(OSError):
                    found[int(entry)] = Path(f"/proc/{entry}/comm").read_text().strip()
    return found
