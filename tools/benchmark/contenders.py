# SPDX-License-Identifier: GPL-2.0-or-later
"""Who folds: pagefold, and what hosts run today. Each is let loose on fresh guests and watched."""

import contextlib
import time
from dataclasses import asdict

from lab import host, ksm
from lab.daemon import Daemon, merge_policy

from benchmark import race
from benchmark.terms import MIB, BenchError, say

# An advisor would set pages_to_scan.
KSMD_FLAT_OUT = {"advisor_mode": "none", **ksm.FLAT_OUT}
PAGEFOLD = {"cpu-percent": 100}
SAMPLE_SECONDS = 0.05
STATUS_SECONDS = 0.25
# ksmd has settled once two full scans brought less than this share of what there is.
SETTLED_SHARE = 0.005
SETTLED_SCANS = 2
FOLD_SECONDS = 300


def has_settled(scan_savings):
    """scan_savings: what had come back when each full scan ended."""
    if len(scan_savings) <= SETTLED_SCANS + 1:
        return False
    grown = scan_savings[-1] - scan_savings[-1 - SETTLED_SCANS]
    return grown < SETTLED_SHARE * scan_savings[-1]


def run_ksmd(_vms, start, meter, _config):
    deadline = time.monotonic() + FOLD_SECONDS
    scan_savings, scans = [], ksm.counter("full_scans")
    ksm.apply(KSMD_FLAT_OUT)
    try:
        while not has_settled(scan_savings) and time.monotonic() < deadline:
            sample = meter.sample()
            if sample.full_scans != scans:
                scans = sample.full_scans
                scan_savings.append(start["guests_anon_bytes"] - sample.guests_anon)
                say(f"  scan {len(scan_savings)}: {scan_savings[-1] / MIB:.1f} MiB, "
                    f"ksmd {sample.ksmd:.1f} s")
            time.sleep(SAMPLE_SECONDS)
    finally:
        ksm.write("run", 0)
    return {"settled": has_settled(scan_savings), "daemon_bytes": 0}


def merge_policies(vms):
    return {"bench.conf": merge_policy(*(f"pid:{vm.pid}" for vm in vms))}


def last_status(daemon):
    with contextlib.suppress(OSError, ValueError):
        code, answer = daemon.get("/v1/status")
        return answer if code == 200 else None
    return None


def run_pagefold(vms, _start, meter, config):
    status, status_due, resident = None, 0.0, 0
    deadline = time.monotonic() + FOLD_SECONDS
    with Daemon(config={**PAGEFOLD, **config}, once=True, policies=merge_policies(vms)) as daemon:
        meter.watch(daemon.pid)
        while daemon.alive():
            sample = meter.sample()
            with contextlib.suppress(OSError):
                resident = max(resident, host.rollup(daemon.pid)["Pss"])
            if sample.wall >= status_due:
                status = last_status(daemon) or status
                status_due = sample.wall + STATUS_SECONDS
            if time.monotonic() > deadline:
                raise BenchError(
                    f"pagefoldd has not ended after {FOLD_SECONDS} s\n{daemon.log()}")
            time.sleep(SAMPLE_SECONDS)
        if daemon.wait(0) != 0:
            raise BenchError(f"pagefoldd ended with {daemon.wait(0)}\n{daemon.log()}")
        for line in daemon.log().splitlines():
            say(f"  {line}")
    return {"settled": True, "daemon_bytes": resident, "status": status}


CONTENDERS = {"ksmd": run_ksmd, "pagefold": run_pagefold}


def contend(run, vms, start, config):
    """Lets one loose (a value of CONTENDERS, or what is called like them): what it brought back, what
    that cost, and the curve of both."""
    meter = race.Meter(vms)
    outcome = run(vms, start, meter, config)
    last = meter.finish()
    outcome.update(start=start, final=asdict(last), samples=meter.samples,
                   savings_bytes=start["anon_bytes"] - host.settled_anon_bytes(),
                   guests_savings_bytes=start["guests_anon_bytes"] - race.guests_anon_bytes(vms),
                   huge_bytes=race.guests_huge_bytes(vms),
                   rmap_items=last.rmap_items,
                   metadata_bytes=race.KSM_ITEM_BYTES *
                   (last.rmap_items + ksm.counter("pages_shared")) + outcome["daemon_bytes"] +
                   race.page_table_bytes(vms) - start["page_table_bytes"])
    say(f"  {outcome['savings_bytes'] / MIB:.1f} MiB came back (the guests' part: "
        f"{outcome['guests_savings_bytes'] / MIB:.1f}), CPU {last.cpu:.2f} s, {last.wall:.1f} s")
    return outcome
