# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 at any step of a fold, a release, a stop or a recovery: nothing is lost, nothing is left.

strace counts the steps of a clean run, then kills the daemon at one of them, before the kernel has
done it; the next run is killed at another one.
"""

import contextlib
import shutil
import subprocess
import time

import pytest

from lab import ksm, marks, procs
from lab.daemon import Daemon, DaemonError, merge_policy
from lab.steps import sample, steps_of, strace

# default-mode: other virtual machines of this host are none of our business.
FAST = {"cpu-percent": 100, "scan-interval": 1, "settle-seconds": 0, "default-mode": "off"}
# None of them is what a burst sets.
KNOBS = {"pages_to_scan": 123, "sleep_millisecs": 45, "smart_scan": 1, "use_zero_pages": 0,
         "run": 0}
# What is written, what is marked, how a ring is made and how ksmd is driven.
STEPS = ("fsync", "renameat", "io_uring_enter", "pidfd_getfd")
KNOB_FILES = tuple(f"/sys/kernel/mm/ksm/{name}" for name in KNOBS if name in ksm.KNOBS)
# Enough of each step to meet every place it is taken from; all of them would take minutes.
KILLS_PER_STEP = 5
MIB = "4"


@pytest.fixture
def pair(ksm_alone):
    """Two processes that check themselves while they write: small pages, and huge ones."""
    if not shutil.which("strace"):
        pytest.skip("no strace: run `make deps-test`")
    ksm.apply(KNOBS)
    with procs.memcheck("--mib", MIB) as small, procs.memcheck("--mib", MIB, "--hugepages") as huge:
        yield Pair(small, huge)


class Pair:
    def __init__(self, *targets):
        self.targets = targets
        self.advice = self.advice_now()
        self.knobs = ksm.knobs()

    def advice_now(self):
        return [marks.huge_page_advice(target.pid, target.start, target.length)
                for target in self.targets]

    def policy(self, mode):
        return merge_policy(*(f"pid:{target.pid}" for target in self.targets)).replace(
            "mode = merge", f"mode = {mode}")

    def daemon(self, directory, mode="merge", wrapper=()):
        return Daemon(config=FAST, policies={"test.conf": self.policy(mode)}, directory=directory,
                      wrapper=wrapper)

    def folded(self, status):
        vms = {vm["pid"]: vm for vm in status["vms"]}
        return all(target.pid in vms and vms[target.pid]["state"] == "folded" and
                   vms[target.pid]["reclaimed_bytes"] > 1 << 18 for target in self.targets)

    def check_after_kill(self, directory):
        """Alive, without an error, nothing marked that is not on record. Whether marks are left."""
        marked = any(marks.mergeable(target.pid) for target in self.targets)
        for target in self.targets:
            assert target.alive()
            assert marks.unrecorded(directory / "state", target.pid) == []
            target.wait_rounds(1)
        return marked

    def check_recovery(self, directory):
        """A daemon that folds nothing new takes over, and can undo everything."""
        with self.daemon(directory, "observe") as daemon:
            # Given back before it says that it is ready, and nobody takes them again.
            assert ksm.knobs() == self.knobs
            daemon.wait_passes(1)
            for target in self.targets:
                if marks.ksm_bytes(target.pid) and marks.mergeable(target.pid):
                    assert daemon.vm(target.pid)["state"] == "folded"
            daemon.cli("release", "--all")
            assert self.all_undone()
            assert ksm.knobs() == self.knobs
            assert daemon.stop() == 0
        for target in self.targets:
            target.wait_rounds(1)

    def all_undone(self):
        for target in self.targets:
            assert marks.mergeable(target.pid) == []
            assert marks.ksm_bytes(target.pid) == 0
        assert self.advice_now() == self.advice
        return True


def whole_life(pair, daemon):
    """Folds, releases, stops; wherever it is killed, that is where this ends."""
    with contextlib.suppress(DaemonError, OSError, subprocess.TimeoutExpired):
        daemon.wait_ready()
        daemon.wait_for(pair.folded, 15)
        daemon.cli("release", "--all")
        daemon.stop()


def clean_run(pair, directory, paths=(), step=None):
    wrapper = strace(directory / "strace", [step] if step else STEPS, paths=paths)
    with pair.daemon(directory, wrapper=wrapper) as daemon:
        whole_life(pair, daemon)
        assert not daemon.alive() and pair.all_undone()
    return steps_of(directory / "strace")


def killed_run(pair, directory, step, number, paths=()):
    wrapper = strace(directory / "strace", [step], number, paths)
    daemon = pair.daemon(directory, wrapper=wrapper)
    try:
        daemon.start()
        whole_life(pair, daemon)
        # Some steps are of another thread, or come a time less than in the clean run.
        return daemon.wait(30) == -9
    finally:
        daemon.close()


def kill_at_each(pair, tmp_path, numbers_by_step, paths=()):
    """How many were killed, how many of those left marks, how many left ksmd's knobs."""
    kills = left_marks = left_knobs = 0
    for step, numbers in numbers_by_step.items():
        for number in numbers:
            directory = tmp_path / f"{step}-{number}"
            directory.mkdir()
            kills += killed_run(pair, directory, step, number, paths)
            left_knobs += ksm.knobs() != pair.knobs
            left_marks += pair.check_after_kill(directory)
            pair.check_recovery(directory)
    return kills, left_marks, left_knobs


def test_killed_at_any_step_of_its_life(pair, tmp_path):
    clean = tmp_path / "clean"
    clean.mkdir()
    steps = clean_run(pair, clean)
    assert steps["fsync"] >= 8 and steps["renameat"] >= 4
    # The attach helper takes this step, too, but once: the second time it is the daemon.
    assert steps["pidfd_getfd"] == 2
    # The ring is awake most of the time: it may never have to be woken.
    numbers = {step: sample(steps[step], KILLS_PER_STEP) for step in ("fsync", "renameat", "io_uring_enter")}
    kills, left_marks, _ = kill_at_each(pair, tmp_path, {**numbers, "pidfd_getfd": [2]})
    assert kills >= 10 and left_marks >= 3


def test_killed_at_any_knob_it_writes(pair, tmp_path):
    clean = tmp_path / "clean"
    clean.mkdir()
    steps = clean_run(pair, clean, KNOB_FILES, "write")
    assert steps["write"] >= 8
    kills, _, left_knobs = kill_at_each(
        pair, tmp_path, {"write": sample(steps["write"], KILLS_PER_STEP)}, KNOB_FILES)
    assert kills >= 4 and left_knobs >= 3


def killed_when(pair, directory, condition):
    """Without strace: at full speed, as soon as something can be seen in the targets."""
    with pair.daemon(directory) as daemon:
        deadline = time.monotonic() + 30
        while not condition(daemon):
            assert time.monotonic() < deadline
        daemon.kill()
    pair.check_after_kill(directory)


CONDITIONS = {
    "marked": lambda pair, _: any(marks.mergeable(target.pid) for target in pair.targets),
    "ksmd runs": lambda _, __: ksm.read("run") == "1",
    "first fold": lambda pair, _: marks.ksm_bytes(pair.targets[0].pid) > 0,
    "folded": lambda pair, daemon: pair.folded(daemon.status()),
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_killed_as_soon_as(pair, tmp_path, condition):
    killed_when(pair, tmp_path, lambda daemon: CONDITIONS[condition](pair, daemon))
    pair.check_recovery(tmp_path)


def test_killed_again_while_it_recovers(pair, tmp_path):
    """The one that takes over dies too, at each of its first steps."""
    killed_when(pair, tmp_path, lambda _: ksm.read("run") == "1")
    assert ksm.knobs() != pair.knobs
    for step, paths in (("fsync", ()), ("renameat", ()), ("write", KNOB_FILES)):
        for number in (1, 2, 3):
            wrapper = strace(tmp_path / "strace", [step], number, paths)
            with contextlib.suppress(DaemonError), \
                    pair.daemon(tmp_path, "observe", wrapper) as daemon:
                daemon.wait_passes(1)
                daemon.kill()
            pair.check_after_kill(tmp_path)
    pair.check_recovery(tmp_path)


def test_daemon_killed_and_started_over_and_over_still_folds(pair, tmp_path):
    for seconds in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6):
        with pair.daemon(tmp_path) as daemon:
            time.sleep(seconds)
            daemon.kill()
        pair.check_after_kill(tmp_path)
    with pair.daemon(tmp_path) as daemon:
        daemon.wait_for(pair.folded, 30)
        daemon.stop()
    assert ksm.knobs() == pair.knobs
    pair.check_recovery(tmp_path)
