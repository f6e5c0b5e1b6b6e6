# SPDX-License-Identifier: GPL-2.0-or-later
"""How much longer a page fault of a target takes while its memory is folded, and while it is released."""

import time

from lab import host, paths, procs
from lab.daemon import Daemon, merge_policy

from benchmark.figures import AT_MOST, Figure
from benchmark.terms import MIB, BenchError, say

MEMORY_MIB = 512
ROUNDS = 5
BASELINE_SECONDS = 5
WAIT_SECONDS = 30
POLL_SECONDS = 0.02
NS_PER_MS = 1e6
CONFIG = {"cpu-percent": 100, "scan-interval": 1, "settle-seconds": 0, "default-mode": "off"}


def _target(seed, *options):
    return procs.Target([paths.guest_program("faultclock"), str(MEMORY_MIB), str(seed), *options])


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


def measure(_bench):
    baselines, folds, releases, speeds = [], [], [], []
    with _target(1) as measured, _target(2, "still") as partner, \
            Daemon(config=CONFIG, policies={}) as daemon:
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
    calm = [min(report[field] for report in baselines) for field in range(4)]
    return [*_figures("fold", folds, calm), *_figures("release", releases, calm),
            Figure.of("release_speed_beside_faults", speeds, "MiB/s",
                      note="a target that does nothing but page faults all the time")], {
        "baseline": baselines, "fold": folds, "release": releases, "release_mib_per_s": speeds}


def _figures(what, reports, calm):
    note = f"over the quietest baseline: p99.9 {calm[2]:.3f} ms, worst {calm[3]:.2f} ms"
    yield Figure.of(f"{what}_fault_p999", [report[2] - calm[2] for report in reports], "ms",
                    (AT_MOST, 5), note)
    yield Figure.of(f"{what}_fault_worst", [report[3] - calm[3] for report in reports], "ms",
                    (AT_MOST, 10), note, worst=True)
