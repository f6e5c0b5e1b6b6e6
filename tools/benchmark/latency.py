# SPDX-License-Identifier: GPL-2.0-or-later
"""How much longer a page fault of a target takes while its memory is folded, and while it is released: of a
process, and of a guest under KVM."""

import time

from lab import host, paths, procs
from lab.daemon import Daemon, merge_policy

from benchmark.figures import AT_MOST, Figure
from benchmark.terms import MIB, BenchError, say

MEMORY_MIB = 512
ROUNDS = 5
BASELINE_SECONDS = 5
# A guest that computes is not read in its first minute: these do nothing else.
OLD_ENOUGH_SECONDS = 61
WAIT_SECONDS = 30
POLL_SECONDS = 0.25
NS_PER_MS = 1e6
P999_GOAL, WORST_GOAL = (AT_MOST, 5), (AT_MOST, 10)
CONFIG = {"cpu-percent": 100, "scan-interval": 1, "settle-seconds": 0, "default-mode": "off"}


# The program whose page faults are measured, and what is said after the names of its figures.
TARGETS = {"process": ("faultclock", ""), "kvm": ("kvm_faultclock", "_kvm")}


def _target(program, seed, *options):
    return procs.Target([paths.guest_program(program), str(MEMORY_MIB), str(seed), *options])


def _report(target):
    """Page faults, p50, p99.9 and worst in ms, since the last reset."""
    count, *nanoseconds = map(int, target.ask("report").split())
    return (count, *(ns / NS_PER_MS for ns in nanoseconds))


def _vm(daemon, target):
    return next((vm for vm in daemon.get("/v1/vms")[1]["vms"] if vm["pid"] == target.pid), {})


def _wait_state(daemon, target, state):
    deadline = time.monotonic() + WAIT_SECONDS
    while _vm(daemon, target).get("state") != state:
        if time.monotonic() > deadline:
            raise BenchError(f"the target is not {state} after {WAIT_SECONDS} s:\n"
                             f"{daemon.get('/v1/status')[1]}\n{daemon.log()}")
        time.sleep(POLL_SECONDS)


def _fold(daemon, target, match):
    target.ask("reset")
    daemon.write_policy("bench.conf", merge_policy(*match))
    daemon.reload()
    _wait_state(daemon, target, "folded")
    return _report(target)


def _release(daemon, target, match):
    """The report, and how fast its private pages came back, in MiB a second."""
    before = host.anonymous_usage(target.pid)
    target.ask("reset")
    begin = time.monotonic()
    daemon.cli("release", match[0])
    took = time.monotonic() - begin
    report = _report(target)
    after = host.anonymous_usage(target.pid)
    if after["KSM"]:
        raise BenchError(f"{after['KSM']} bytes are still folded after a release")
    back = after["Anonymous"] - before["Anonymous"] + before["KSM"]
    return report, back / MIB / took


def _rounds(program, guest):
    """Reports of the baseline, of folding and of releasing, and the speed of the releases."""
    baselines, folds, releases, speeds = [], [], [], []
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
            report, speed = _release(daemon, measured, match)
            releases.append(report)
            speeds.append(speed)
            daemon.cli("release", match[1])
            daemon.write_policy("bench.conf", "")
            daemon.reload()
            say(f"  p99.9 and worst, ms: baseline {baselines[-1][2]:.3f} {baselines[-1][3]:.2f}, "
                f"folding {folds[-1][2]:.3f} {folds[-1][3]:.2f}, releasing "
                f"{report[2]:.3f} {report[3]:.2f}; {speed:.0f} MiB/s")
    return {"baseline": baselines, "fold": folds, "release": releases,
            "release_mib_per_s": speeds}


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


def _figures(kind, rounds):
    suffix = TARGETS[kind][1]
    calm = [min(report[field] for report in rounds["baseline"]) for field in range(4)]
    note = f"over the quietest baseline: p99.9 {calm[2]:.3f} ms, worst {calm[3]:.2f} ms"
    for what in ("fold", "release"):
        yield Figure.of(f"{what}_fault_p999{suffix}",
                        [report[2] - calm[2] for report in rounds[what]], "ms", P999_GOAL, note)
        yield Figure.of(f"{what}_fault_worst{suffix}",
                        [report[3] - calm[3] for report in rounds[what]], "ms", WORST_GOAL, note,
                        worst=True)
    yield Figure.of(f"release_speed_beside_faults{suffix}", rounds["release_mib_per_s"], "MiB/s",
                    note="a target that does nothing but page faults all the time")


def _skipped(kind, reason):
    suffix = TARGETS[kind][1]
    for what in ("fold", "release"):
        yield Figure(f"{what}_fault_p999{suffix}", None, "ms", P999_GOAL, skipped=reason)
        yield Figure(f"{what}_fault_worst{suffix}", None, "ms", WORST_GOAL, skipped=reason)


def measure(_bench):
    found, detail = [], {}
    for kind, (program, _) in TARGETS.items():
        reason = _kvm_missing() if kind == "kvm" else None
        say(f"  {kind}" + (f": skipped, {reason}" if reason else ""))
        if not reason:
            detail[kind] = _rounds(program, kind == "kvm")
        found += _skipped(kind, reason) if reason else _figures(kind, detail[kind])
    return found, detail
