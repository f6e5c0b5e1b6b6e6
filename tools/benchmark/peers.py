# SPDX-License-Identifier: GPL-2.0-or-later
"""pagefold beside what hosts run today, which is slower than ksmd flat out: each from fresh guests, until it
has brought back 95 % of what ksmd flat out does, or its time is up."""

import time
from dataclasses import asdict

from lab import ksm

from benchmark import ksmtuned, race
from benchmark.contenders import CONTENDERS, contend
from benchmark.figures import LESS_THAN, MORE_THAN, Figure
from benchmark.terms import MIB, BenchError, fresh_guests, say
from benchmark.verdict import TARGET_SHARE

SAMPLE_SECONDS = 0.5
# As the kernel has them when nobody has changed them, written out: somebody may have. smart_scan is on
# where there is one (Linux 6.7).
DEFAULTS = {"advisor_mode": "none", "pages_to_scan": 100, "sleep_millisecs": 20, "smart_scan": 1,
            "use_zero_pages": 0}
ADVISOR = {**DEFAULTS, "advisor_mode": "scan-time"}
REFERENCE, OURS = "ksmd", "pagefold"
PEERS = {
    "ksmd_defaults": "ksmd with its defaults (100 pages each 20 ms, smart_scan, no advisor)",
    "ksmd_advisor": "ksmd with its defaults and the scan-time advisor",
    "ksmtuned": ksmtuned.WHAT}


def _watch(bench, start, meter, target, cpu_seconds=lambda: 0.0):
    """Until so many bytes have come back, or the time is up."""
    while True:
        sample = meter.sample()
        sample.cpu += cpu_seconds()
        if (start["guests_anon_bytes"] - sample.guests_anon >= target or
                sample.wall >= bench.peer_seconds):
            return {"settled": False, "daemon_bytes": 0}
        time.sleep(SAMPLE_SECONDS)


def _run_ksmd(bench, knobs, target):
    def run(_vms, start, meter, _config):
        ksm.apply({**knobs, "run": 1})
        try:
            return _watch(bench, start, meter, target)
        finally:
            ksm.write("run", 0)
    return run


def _run_ksmtuned(bench, target):
    def run(vms, start, meter, _config):
        ksm.apply(DEFAULTS)
        try:
            with ksmtuned.Ksmtuned(vms) as tuner:
                outcome = _watch(bench, start, meter, target, tuner.cpu_seconds)
                if not tuner.alive():
                    raise BenchError("ksmtuned has ended by itself")
                return outcome
        finally:
            ksm.write("run", 0)
    return run


def _runner(name, bench, target):
    if name == "ksmtuned":
        return _run_ksmtuned(bench, target)
    if name in PEERS:
        return _run_ksmd(bench, {"ksmd_defaults": DEFAULTS, "ksmd_advisor": ADVISOR}[name], target)
    return CONTENDERS[name]


def _contest(name, bench, target):
    say(f"  {name}: four fresh guests of {bench.shape.text()}")
    with ksm.saved(), fresh_guests(bench.shape, mergeable=name != OURS) as (vms, start):
        outcome = contend(_runner(name, bench, target), vms, start, bench.config)
    return summary(outcome, target)


def summary(outcome, target):
    """What the table needs of it. target None: the reference, 95 % of what it brought back itself."""
    savings = outcome["guests_savings_bytes"]
    if target is None:
        target = TARGET_SHARE * savings
    at_95 = race.first_at(outcome, "guests_anon", target)
    reached = outcome["start"]["guests_anon_bytes"] - min(
        sample.guests_anon for sample in outcome["samples"])
    return {"start": outcome["start"], "savings_bytes": savings, "target_bytes": target,
            "reached_bytes": reached, "at_95": at_95 and asdict(at_95),
            "last": asdict(_at_the_end(outcome))}


def _at_the_end(outcome):
    """The last sample before it was stopped: the one after that has not the tuner's CPU in it."""
    return max(outcome["samples"], key=lambda sample: sample.cpu)


def ratio(ours, peer, field):
    """(value, limit): of a peer that never got there it is known what it had used when it was stopped."""
    if not ours["at_95"]:
        return None, None
    if peer["at_95"]:
        return ours["at_95"][field] / peer["at_95"][field], None
    return None, (LESS_THAN, ours["at_95"][field] / peer["last"][field])


def figures(results):
    ours = results[OURS]
    for name, what in PEERS.items():
        peer = results[name]
        if "skipped" in peer:
            yield Figure(f"cpu_to_95_{name}", None, "s", skipped=peer["skipped"])
            continue
        reached = (f"{what}: {peer['reached_bytes'] / MIB:.1f} MiB came back in "
                   f"{peer['last']['wall']:.0f} s with {peer['last']['cpu']:.2f} s of CPU; 95 % are "
                   f"{peer['target_bytes'] / MIB:.1f} MiB")
        for label, field, unit in (("cpu", "cpu", "s"), ("wall", "wall", "s")):
            value = peer["at_95"] and peer["at_95"][field]
            yield Figure(f"{label}_to_95_{name}", value, unit,
                         limit=None if value else (MORE_THAN, peer["last"][field]),
                         note=reached if field == "wall" else "")
        for label, field in (("cpu_to_95", "cpu"), ("wall_to_95", "wall")):
            value, limit = ratio(ours, peer, field)
            yield Figure(f"{label}_vs_{name}", value, limit=limit)


def _measured(name, bench, target):
    reason = ksmtuned.missing() if name == "ksmtuned" else None
    if reason:
        return {"skipped": reason}
    result, known = bench.parts.once(f"peers.{name}", lambda: _contest(name, bench, target))
    if known:
        say(f"  {name}: this build has done it")
    return result


def measure(bench):
    results = {REFERENCE: _measured(REFERENCE, bench, None)}
    target = results[REFERENCE]["target_bytes"]
    for name in (OURS, *PEERS):
        results[name] = _measured(name, bench, target)
    return list(figures(results)), results
