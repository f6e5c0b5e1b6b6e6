# SPDX-License-Identifier: GPL-2.0-or-later
"""Somebody whose memory became mergeable while ksmd ran, and who got into the group's frames.

The daemon looks four times a second who is mergeable, so that a stranger rarely gets that far. Here it is
stopped, or killed, in the middle of a burst, and ksmd goes on alone."""

import contextlib
import os
import re
import shutil
import signal

import pytest

import scene
from scene import memory_cgroup  # noqa: F401  pylint: disable=unused-import
from lab import host, ksm, marks, procs
from lab.daemon import Daemon
from lab.steps import strace

pytestmark = pytest.mark.usefixtures("ksm_alone")

# What somebody else has in memory, from then on its own; "merge" has ksmd at it.
STRANGER = """
import mmap, os, sys
pid, start, length = (int(word) for word in sys.argv[1:])
with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
    memory.seek(start)
    contents = memory.read(length)
own = mmap.mmap(-1, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
own.madvise(mmap.MADV_NOHUGEPAGE)
own.write(contents)
print("ready", os.getpid(), 0, 0, flush=True)
for line in sys.stdin:
    if line == "merge\\n":
        own.madvise(mmap.MADV_MERGEABLE)
    print("right" if own[:] == contents else "wrong", flush=True)
"""

# So slow that the first scan is still at it when it is stopped.
SLOW = {"cpu-percent": 4}
MIB = 48


@contextlib.contextmanager
def stranger_like(target):
    command = ["/usr/bin/python3", "-c", STRANGER, *map(str, (target.pid, target.start, target.length))]
    with procs.Target(command) as stranger:
        yield stranger
        assert not stranger.alive() or stranger.ask("check") == "right"


def ksm_frames(numbers):
    return {number for number in numbers if marks.frame_flags(number) & marks.KPF_KSM}


def shared_frames(ours, stranger):
    """The frames that ksmd has put pages of both on."""
    return ksm_frames(set().union(*(marks.frames(process.pid) for process in ours)) & marks.frames(stranger.pid))


def stop_in_burst(daemon):
    """While ksmd runs: the budget makes it rest in between."""
    while True:
        daemon.wait_for(lambda status: any(vm["state"] == "folding" for vm in status["vms"]) and
                        ksm.read("run") == "1", interval=0.01)
        daemon.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, daemon.pid, os.WSTOPPED)
        if ksm.read("run") == "1":
            return
        daemon.process.send_signal(signal.SIGCONT)


def let_into_the_frames(daemon, ours, stranger, kill=False, least=100):
    """In the middle of a burst of a daemon that does not look: how many frames are shared, and ksmd rests."""
    stop_in_burst(daemon)
    if kill:
        daemon.kill()
    assert stranger.ask("merge") == "right"
    ksm.write("sleep_millisecs", 0)
    while len(shared_frames(ours, stranger)) < least:
        assert all(process.alive() for process in (*ours, stranger))
        assert ksm.read("run") == "1"
    ksm.write("run", 0)
    return len(shared_frames(ours, stranger))


def check_apart(ours, stranger):
    assert not shared_frames(ours, stranger)
    assert stranger.ask("check") == "right"
    scene.check_memory(*ours)


def warning(daemon, *words):
    """The sentence in status that has these words; it is waited for."""
    def sentences(status):
        return [text for text in status["host"]["warnings"] if all(word in text for word in words)]
    return sentences(daemon.wait_for(sentences))[0]


@contextlib.contextmanager
def ours_and_a_stranger():
    with scene.target(mib=MIB) as one, scene.target(mib=MIB) as two, stranger_like(one) as stranger:
        yield [one, two], stranger


@pytest.mark.parametrize("kill", [False, True], ids=["live", "killed-and-restarted"])
def test_stranger_in_shared_frames_is_put_out_of_them_and_counted(kill):
    with ours_and_a_stranger() as (ours, stranger), scene.pagefoldd(*ours, config=SLOW) as daemon:
        count = let_into_the_frames(daemon, ours, stranger, kill)
        if kill:
            daemon.start()
            daemon.wait_ready()
        else:
            daemon.process.send_signal(signal.SIGCONT)
        text = warning(daemon, f"{count} frames of group default", "none is shared any more")
        assert f"python3 (pid {stranger.pid}): {count}" in text
        check_apart(ours, stranger)
        assert daemon.log().count(text) == 1
        # It stands in the way of the next burst, as any other; and once it has ended, all goes on.
        blocked = daemon.wait_for(lambda status: status["host"]["blocked_by"])["host"]["blocked_by"]
        assert f"(pid {stranger.pid})" in blocked[0]
        stranger.close()
        daemon.write_config(scene.EAGER)
        daemon.reload()
        scene.wait_folded(daemon, *ours)
        assert daemon.log().count("had come to be shared") == 1


def test_take_over_puts_the_stranger_out_and_leaves_the_folds():
    with ours_and_a_stranger() as (ours, stranger), \
            scene.pagefoldd(*ours, config={**SLOW, "take-over": "yes"}) as daemon:
        count = let_into_the_frames(daemon, ours, stranger)
        # What only the stranger had a twin of has none without it, and need not stay.
        folded = ksm_frames(marks.frames(ours[0].pid) & marks.frames(ours[1].pid))
        daemon.process.send_signal(signal.SIGCONT)
        warning(daemon, f"{count} frames", f"(pid {stranger.pid})", "none is shared any more")
        check_apart(ours, stranger)
        assert not marks.mergeable(stranger.pid) and not marks.ksm_bytes(stranger.pid)
        assert len(folded) > 10
        assert all(folded <= marks.frames(process.pid) for process in ours), daemon.log()


def test_take_over_that_fails_is_told_and_leaves_the_copies_to_us(memory_cgroup):
    directory, limit = memory_cgroup
    with ours_and_a_stranger() as (ours, stranger), \
            scene.pagefoldd(*ours, config={**SLOW, "take-over": "yes"}) as daemon:
        count = let_into_the_frames(daemon, ours, stranger, least=1500)
        (directory / "cgroup.procs").write_text(str(stranger.pid))
        limit.write_text(str(2 << 20))
        daemon.process.send_signal(signal.SIGCONT)
        warning(daemon, f"{count} frames", f"(pid {stranger.pid})", "none is shared any more")
        assert re.search(rf"pid {stranger.pid}\): its memory could not be made not mergeable \(take-over\): "
                         r"it needs \d+ MiB, and the memory cgroup .* has room for \d MiB.*; what it shares is "
                         "copied for group default", daemon.log())
        assert marks.mergeable(stranger.pid)
        limit.write_text(str(1 << 30))
        check_apart(ours, stranger)


def test_copies_beyond_the_headroom_are_refused_and_made_later(memory_cgroup):
    directory, limit = memory_cgroup
    with ours_and_a_stranger() as (ours, stranger), scene.pagefoldd(*ours, config=SLOW) as daemon:
        count = let_into_the_frames(daemon, ours, stranger)
        # What is folded is charged to nobody here: only what would be copied is.
        for process in ours:
            (directory / "cgroup.procs").write_text(str(process.pid))
        limit.write_text(str(host.PAGE * 8))
        daemon.process.send_signal(signal.SIGCONT)
        text = warning(daemon, f"{count} frames of group default", f"(pid {stranger.pid}): {count}",
                       f"{count} of them stay so", "it needs", "has room for")
        daemon.wait_passes(2)
        assert len(shared_frames(ours, stranger)) == count
        assert daemon.log().count("of them stay so") == 1, text
        limit.write_text("-1" if "limit_in_bytes" in limit.name else "max")
        warning(daemon, f"{count} frames", "none is shared any more")
        check_apart(ours, stranger)


def test_daemon_that_is_stopped_in_such_a_burst_audits_before_it_ends():
    with ours_and_a_stranger() as (ours, stranger), scene.pagefoldd(*ours, config=SLOW) as daemon:
        count = let_into_the_frames(daemon, ours, stranger)
        daemon.process.terminate()
        daemon.process.send_signal(signal.SIGCONT)
        assert daemon.wait(30) == 0
        assert re.search(f"{count} frames of group default .* none is shared any more", daemon.log())
        check_apart(ours, stranger)
        daemon.start() # for the scene to stop
        daemon.wait_ready()


@pytest.mark.parametrize("step", [1, 2])
def test_daemon_that_is_killed_in_the_audit_makes_up_for_it_at_its_next_start(step, tmp_path):
    if not shutil.which("strace"):
        pytest.skip("no strace: run `make deps-test`")
    killed_at = strace(tmp_path / "strace", ["io_uring_enter"], step)
    with ours_and_a_stranger() as (ours, stranger), scene.pagefoldd(*ours, config=SLOW) as daemon:
        let_into_the_frames(daemon, ours, stranger, kill=True)
        with Daemon(config={**scene.EAGER, **SLOW}, directory=daemon.directory,
                    wrapper=killed_at) as doomed:
            assert doomed.wait(30) == -signal.SIGKILL
        assert "none is shared any more" not in daemon.log()
        assert not any(marks.unrecorded(daemon.state_dir, process.pid) for process in ours)
        daemon.start()
        daemon.wait_ready()
        warning(daemon, f"(pid {stranger.pid})", "none is shared any more")
        check_apart(ours, stranger)


def test_burst_without_strangers_finds_nothing():
    with scene.pair() as processes, scene.pagefoldd(*processes) as daemon:
        scene.wait_folded(daemon, *processes)
        assert not daemon.status()["host"]["warnings"]
        assert "shared with memory" not in daemon.log() and "come to be shared" not in daemon.log()
