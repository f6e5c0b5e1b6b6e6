# SPDX-License-Identifier: GPL-2.0-or-later
"""Attaching leaves no trace: whatever the target's main thread was doing goes on as if nothing had
been. Hundreds of times each."""

import contextlib
import os
import random
import signal
import statistics
import threading
import time
from pathlib import Path

import pytest

from lab import attach, host, paths, procs

ROUNDS = 200
TRAP_BIT = 1 << (signal.SIGTRAP - 1)
# What may be said of a target that is stopped, frozen, killed or replaced at that very moment.
PASSING = {None, "EAGAIN", "ESRCH", "ETIMEDOUT"}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="attaching takes root")


def busy(program, mode):
    return procs.Checker([paths.test_helper(program), mode])


def target(mode):
    return procs.Target([paths.test_helper("attach_target"), mode])


def signal_fields(pid):
    """Which signals its main thread blocks, ignores and catches."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    return [int(fields[name], 16) for name in ("SigBlk", "SigIgn", "SigCgt")]


@contextlib.contextmanager
def rings():
    """attach() here keeps each ring to the end: letting go of one wakes the target's main thread once
    (the kernel's way of ending a ring), and a bare wait like epoll_wait() says EINTR to that."""
    kept = []

    def attach_and_keep(pid, **options):
        kept.append(attach.attach(pid, keep=True, **options))
        return kept[-1]

    try:
        yield attach_and_keep
    finally:
        for answer in kept:
            answer.close()


@pytest.mark.parametrize("program, mode", [
    ("busy_target", "waits"), ("busy_target", "signals"), ("tricky_target", "registers"),
    ("tricky_target", "rseq"), ("tricky_target", "small-stack")])
def test_main_thread_does_not_notice(program, mode):
    with busy(program, mode) as process, rings() as attach_and_keep:
        process.wait_rounds(1)
        descriptors = os.listdir(f"/proc/{process.pid}/fd")
        signals = signal_fields(process.pid)
        stopped = []
        for _ in range(ROUNDS):
            answer = attach_and_keep(process.pid)
            assert answer.error is None, answer
            stopped.append(answer.stopped_seconds)
        process.wait_rounds(2)
        assert os.listdir(f"/proc/{process.pid}/fd") == descriptors
        assert signal_fields(process.pid) == signals
        rounds, errors = process.status()
    print(f"{mode}: stopped for {statistics.median(stopped) * 1e6:.0f} us (median), "
          f"{max(stopped) * 1e6:.0f} us (most); {rounds} rounds")
    assert rounds > 0
    assert errors == 0


def test_blocked_signals_and_ignored_traps_stay_so():
    with target("signals-blocked") as process:
        for _ in range(ROUNDS):
            assert attach.attach(process.pid).error is None
        blocked, ignored, _ = signal_fields(process.pid)
        assert blocked & TRAP_BIT
        assert ignored & TRAP_BIT
        assert process.alive()


def test_threads_that_come_and_go():
    with target("threads") as process:
        for _ in range(ROUNDS):
            assert attach.attach(process.pid).error is None
        assert process.alive()


def test_letting_go_leaves_no_thread():
    with target("plain") as process:
        answer = attach.attach(process.pid, keep=True)
        assert len(os.listdir(f"/proc/{process.pid}/task")) == 2
        answer.close()
        deadline = time.monotonic() + 10
        while len(os.listdir(f"/proc/{process.pid}/task")) > 1:
            assert time.monotonic() < deadline


def test_target_that_dies_meanwhile():
    outcomes = set()
    for _ in range(ROUNDS):
        with target("plain") as process:
            attempt = attach.Attempt(process.pid)
            time.sleep(random.uniform(0, 0.004))
            os.kill(process.pid, signal.SIGKILL)
            outcomes.add(attempt.answer().error)
    print("answers:", outcomes)
    assert outcomes <= {None, "ESRCH"}


def test_target_that_becomes_another_program_meanwhile():
    outcomes = set()
    with target("exec") as process:
        for _ in range(ROUNDS):
            outcomes.add(attach.attach(process.pid).error)
        assert process.alive()
    print("answers:", outcomes)
    # In the middle of execve() it may have no stack yet, or a main thread that is ending.
    assert outcomes <= PASSING | {"EFAULT", "ENOENT", "EPERM"}


@contextlib.contextmanager
def storm(gust):
    """Does something over and over in the background."""
    over = threading.Event()

    def blow():
        while not over.is_set():
            gust()

    thread = threading.Thread(target=blow)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_target_that_is_stopped_and_continued_meanwhile():
    def gust():
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(random.uniform(0, 0.002))
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(random.uniform(0, 0.004))

    with busy("tricky_target", "registers") as process:
        with storm(gust):
            outcomes = {attach.attach(process.pid).error for _ in range(ROUNDS)}
        print("answers:", outcomes)
        assert outcomes <= PASSING
        process.wait_rounds(10)
        assert process.status()[1] == 0
        assert attach.attach(process.pid).error is None


def test_target_that_is_frozen_and_thawed_meanwhile():
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()
              if " - cgroup2 " in line]
    if not mounts:
        pytest.skip("no cgroup v2 hierarchy is mounted")
    group = Path(mounts[0]) / f"pagefold-storm-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made: {error}")
    switch = group / "cgroup.freeze"

    def gust():
        switch.write_text("1")
        time.sleep(random.uniform(0, 0.003))
        switch.write_text("0")
        time.sleep(random.uniform(0, 0.003))

    try:
        with busy("tricky_target", "registers") as process:
            (group / "cgroup.procs").write_text(str(process.pid))
            with storm(gust):
                outcomes = {attach.attach(process.pid).error for _ in range(ROUNDS)}
            print("answers:", outcomes)
            assert outcomes <= PASSING
            process.wait_rounds(10)
            assert process.status()[1] == 0
            assert attach.attach(process.pid).error is None
            (Path(mounts[0]) / "cgroup.procs").write_text(str(process.pid))
    finally:
        switch.write_text("0")
        group.rmdir()


def test_helper_that_is_terminated_meanwhile():
    """SIGTERM waits until the window is closed. (SIGKILL would not: that is why nobody sends it.)"""
    with busy("tricky_target", "registers") as process:
        for _ in range(ROUNDS):
            attempt = attach.Attempt(process.pid)
            time.sleep(random.uniform(0, 0.006))
            attempt.process.terminate()
            attempt.process.wait(10)
            attempt.end()
        process.wait_rounds(10)
        assert process.status()[1] == 0
        assert host.state(process.pid) in {"R", "S"}
        assert attach.attach(process.pid).error is None
