# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon itself takes: its peak beside a small and a large target, as a line through both."""

from pathlib import Path

from lab import procs
from lab.daemon import Daemon, merge_policy

from benchmark.figures import AT_MOST, Figure
from benchmark.terms import MIB, say

SIZES_MIB = (512, 4096)
PASSES = 4
PASS_SECONDS = 120
# Everything but the merging itself: read, counted, planned for, published and asked for.
CONFIG = {"cpu-percent": 100, "scan-interval": 1, "settle-seconds": 0, "default-mode": "off"}
GOAL_BYTES_PER_PAGE, GOAL_FIXED_BYTES = 8, 32 * MIB


def peak_bytes(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


def _peak_beside(size_mib):
    """(pages that the daemon has fingerprints of, its peak in bytes, the same after long answers)"""
    with procs.memcheck("--mib", str(size_mib), "--hot-writes", "0",
                        "--stray-writes", "0") as target, Daemon(config=CONFIG, policies={
            "bench.conf": merge_policy(f"pid:{target.pid}", hook="none")}) as daemon:
        daemon.wait_passes(PASSES, PASS_SECONDS)
        for question in ("/v1/status", "/v1/vms", "/metrics"):
            daemon.get(question)
        daemon.wait_passes(2, PASS_SECONDS)
        pages = daemon.vm(target.pid)["pages_scanned"]
        peak = peak_bytes(daemon.pid)
        # The longest answers there are, of every extent.
        for question in ("/v1/plan", f"/v1/vms/pid:{target.pid}"):
            daemon.get(question)
        answering = peak_bytes(daemon.pid)
    say(f"  {size_mib} MiB: {pages:,} pages, {peak / MIB:.1f} MiB at most, {answering / MIB:.1f} "
        "once it has told of every extent")
    return pages, peak, answering


def measure(_bench):
    (few, low, low_answering), (many, high, high_answering) = map(_peak_beside, SIZES_MIB)
    slope = (high - low) / (many - few)
    sizes = " and ".join(f"{size} MiB" for size in SIZES_MIB)
    return [Figure("daemon_bytes_per_page", slope, "bytes", (AT_MOST, GOAL_BYTES_PER_PAGE),
                   f"peak beside a process of {sizes}, read, counted and planned for"),
            Figure("daemon_bytes_per_page_answering",
                   (high_answering - low_answering) / (many - few), "bytes", None,
                   "the same, when somebody asks for the plan and for all extents as JSON"),
            Figure("daemon_fixed_bytes", low - slope * few, "bytes", (AT_MOST, GOAL_FIXED_BYTES),
                   f"what the line through both leaves at no page; {low:,} and {high:,} bytes")], {}
