# SPDX-License-Identifier: GPL-2.0-or-later
"""How much longer a page fault of a target takes while its memory is folded, and while it is released: of a
process, and of a guest under KVM."""

import os
import time
from dataclasses import asdict, dataclass

from lab import host, paths, procs
from lab.daemon import Daemon, merge_policy

from benchmark.figures import AT_MOST, Figure
from benchmark.terms import MIB, BenchError, say
from benchmark.warm_memory import WarmMemory

MEMORY_MIB = 512
TWIN_SHARE = 0.5  # fault_times.h
# What a release takes anew, and as much again: the kernel need not give out what was freed last.
WARM_MIB = 2 * MEMORY_MIB
ROUNDS = 5
BASELINE_SECONDS = 5
# A guest that computes is not read in its first minute: these do nothing else.
OLD_ENOUGH_SECONDS = 61
WAIT_SECONDS = 30
POLL_SECONDS = 0.25
NS_PER_MS = 1e6
P999_GOAL, WORST_GOAL = (AT_MOST, 5), (AT_MOST, 10)
# Of a report, and what is hoped for.
FIELDS = (("p999", P999_GOAL), ("worst", WORST_GOAL), ("p999_with_cpu", P999_GOAL),
          ("worst_with_cpu", WORST_GOAL))
CONFIG = {"cpu-percent": 100, "scan-interval": 1, "settle-seconds": 0, "default-mode": "off"}


# The program whose page faults are measured, and what is said after the names of its figures.
TARGETS = {"process": ("faultclock", ""), "kvm": ("kvm_faultclock", "_kvm")}


def _target(program, seed, *options):
    return procs.Target([paths.guest_program(program), str(MEMORY_MIB), str(seed), *options])


@dataclass
class Report:
    """Page faults since the last reset, and the milliseconds that they took; and of that, what was no want of
    a CPU (fault_times.h)."""
    count: int
    p50: float
    p999: float
    worst: float
    p999_with_cpu: float
    worst_with_cpu: float


def _report(target):
    count, *nanoseconds = map(int, target.ask("report").split())
    return Report(count, *(ns / NS_PER_MS for ns in nanoseconds))


def _vm(daemon, target):
    return next((vm for vm in daemon.get("/v1/vms")[1]["vms"] if vm["pid"] == target.pid), {})


def _is_folded(daemon, target):
    """All that has twins: before its partner is read again there are its zero pages only."""
    folded = host.anonymous_usage(target.pid)["KSM"]
    return (_vm(daemon, target).get("state") == "folded" and
            folded >= 0.95 * TWIN_SHARE * MEMORY_MIB * MIB)


def _wait_folded(daemon, target):
    deadline = time.monotonic() + WAIT_SECONDS
    while not _is_folded(daemon, target):
        if time.monotonic() > deadline:
            raise BenchError(f"the target is not folded after {WAIT_SECONDS} s:\n"
                             f"{daemon.get('/v1/status')[1]}\n{daemon.log()}")
        time.sleep(POLL_SECONDS)


def _fold(daemon, target, match):
    target.ask("reset")
    daemon.write_policy("bench.conf", merge_policy(*match))
    daemon.reload()
    _wait_folded(daemon, target)
    return _report(target)


def _release(daemon, target, match):
    """The report, how fast its private pages came back, in MiB a second, and what the first touch of free
    memory took, in ms a huge page."""
    warm = WarmMemory(WARM_MIB * MIB)
    before = host.anonymous_usage(target.pid)
    warm.free()
    target.ask("reset")
    begin = time.monotonic()
    daemon.cli("release", match[0])
    took = time.monotonic() - begin
    report = _report(target)
    after = host.anonymous_usage(target.pid)
    if after["KSM"]:
        raise BenchError(f"{after['KSM']} bytes are still folded after a release")
    back = after["Anonymous"] - before["Anonymous"] + before["KSM"]
    return report, back / MIB / took, warm.touch_ms


def _rounds(program, guest):
    """Reports of the baseline, of folding and of releasing, and of the releases their speed and what the
    first touch of free memory took before."""
    baselines, folds, releases, speeds, touches = [], [], [], [], []
    born = time.monotonic()
    with _target(program, 1) as measured, _target("faultclock", 2, "still") as partner, \
            Daemon(config=CONFIG, policies={}) as daemon:
        time.sleep(max(0, born + OLD_ENOUGH_SECONDS - time.monotonic()) if guest else 0)
        match = [f"pid:{measured.pid}", f"pid:{partner.pid}"]
        for _ in range(ROUNDS):
            measured.ask("reset")
            time.sleep(BASELINE_SECONDS)
            baselines.append(_report(measured))
            folds.append(_fold(daemon, measured, match))
            report, speed, touch = _release(daemon, measured, match)
            releases.append(report)
            speeds.append(speed)
            touches.append(touch)
            daemon.cli("release", match[1])
            daemon.write_policy("bench.conf", "")
            daemon.reload()
            say("  p99.9 and worst, ms (with a CPU): " + ", ".join(
                f"{what} {one.p999:.3f} {one.worst:.2f} ({one.p999_with_cpu:.3f} {one.worst_with_cpu:.2f})"
                for what, one in (("baseline", baselines[-1]), ("folding", folds[-1]),
                                  ("releasing", report))) + f"; {speed:.0f} MiB/s")
    return {"baseline": baselines, "fold": folds, "release": releases,
            "release_mib_per_s": speeds, "first_touch_ms": touches}


def _kvm_missing():
    """Why no guest can be measured under KVM; None: one can."""
    if not procs.kvm_available():
        return "no /dev/kvm here that can be opened"
    try:
        with procs.Target([paths.guest_program("kvm_faultclock"), "2", "1"]) as probe:
            _report(probe)
    except (EOFError, TimeoutError) as error:
        return f"KVM does not run the tiny guest here: {error}"
    return None


def _over_baseline(rounds, what, field):
    calm = min(getattr(report, field) for report in rounds["baseline"])
    return calm, [getattr(report, field) - calm for report in rounds[what]]


def _figures(kind, rounds):
    suffix = TARGETS[kind][1]
    starved = (f"less the time for which the thread could have run and had none of the {os.cpu_count()} "
               "CPUs, by other threads or by the hypervisor under this machine")
    for what in ("fold", "release"):
        for field, goal in FIELDS:
            calm, values = _over_baseline(rounds, what, field)
            note = f"over the quietest baseline, {calm:.3f} ms"
            yield Figure.of(f"{what}_fault_{field}{suffix}", values, "ms", goal,
                            f"{note}; {starved}" if field.endswith("with_cpu") else note,
                            worst=field.startswith("worst"))
    yield Figure.of(f"release_speed_beside_faults{suffix}", rounds["release_mib_per_s"], "MiB/s",
                    note="a target that does nothing but page faults all the time; into memory that was "
                         "free for a moment only: the first touch of what was free for longer took "
                         f"{max(rounds['first_touch_ms']):.2f} ms a huge page")


def _skipped(kind, reason):
    for what in ("fold", "release"):
        for field, goal in FIELDS:
            yield Figure(f"{what}_fault_{field}{TARGETS[kind][1]}", None, "ms", goal, skipped=reason)


def measure(_bench):
    found, detail = [], {}
    for kind, (program, _) in TARGETS.items():
        reason = _kvm_missing() if kind == "kvm" else None
        say(f"  {kind}" + (f": skipped, {reason}" if reason else ""))
        if not reason:
            rounds = _rounds(program, kind == "kvm")
            detail[kind] = {name: [asdict(one) if isinstance(one, Report) else one for one in values]
                            for name, values in rounds.items()}
        found += _skipped(kind, reason) if reason else _figures(kind, rounds)
    return found, detail
