# SPDX-License-Identifier: GPL-2.0-or-later
"""A daemon and a target that no ring can be had in: a sentence that says why, and those beside it fold."""

import os
import signal
from pathlib import Path

import pytest

import scene
from lab import host, marks, paths, procs
from lab.daemon import Daemon, merge_policy

IO_URING_DISABLED = Path("/proc/sys/kernel/io_uring_disabled")

pytestmark = pytest.mark.usefixtures("ksm_alone")


def check_blocked_beside_a_pair(process, *words):
    """Blocked for that reason, its memory right, not one mark on it; the pair folds."""
    with scene.pair() as beside, scene.pagefoldd(process, *beside) as daemon:
        scene.wait_folded(daemon, *beside)
        scene.wait_state(daemon, process, "blocked", *words)
        assert daemon.vm(process.pid)["reclaimed_bytes"] == 0
        assert not daemon.status()["host"]["blocked_by"]
        assert not marks.mergeable(process.pid)
    assert "io_uring" not in "".join(os.readlink(entry) for entry in
                                     Path(f"/proc/{process.pid}/fd").iterdir())


def test_target_under_a_seccomp_allowlist_survives_and_is_named():
    with scene.target(wrapper=[paths.test_helper("under_allowlist")]) as process:
        check_blocked_beside_a_pair(process, "seccomp", "io_uring_setup")
        scene.check_memory(process)


def test_what_an_attempt_that_was_refused_took_is_in_the_books():
    with scene.target(wrapper=[paths.test_helper("under_allowlist")]) as process, \
            scene.pagefoldd(process) as daemon:
        scene.wait_state(daemon, process, "blocked", "seccomp")
        cost = daemon.wait_passes(1)["cost"]
        assert cost["helper_cpu_seconds"] > 0
        assert daemon.vm(process.pid)["cpu_seconds"] >= cost["helper_cpu_seconds"]


def test_stopped_target_stays_stopped():
    with scene.target() as process:
        os.kill(process.pid, signal.SIGSTOP)
        check_blocked_beside_a_pair(process, "stopped", f"kill -CONT {process.pid}")
        assert host.state(process.pid) == "T"
        os.kill(process.pid, signal.SIGCONT)
        scene.check_memory(process)


def test_stopped_target_is_attached_to_as_soon_as_it_goes_on():
    """Not after the minute that others who refuse are left alone for."""
    with scene.target() as process, scene.pair() as beside:
        os.kill(process.pid, signal.SIGSTOP)
        with scene.pagefoldd(process, *beside) as daemon:
            scene.wait_state(daemon, process, "blocked", "stopped")
            # While it stands still, it is not even tried.
            tried = daemon.log().count("is stopped")
            daemon.wait_passes(3)
            assert daemon.log().count("is stopped") == tried
            os.kill(process.pid, signal.SIGCONT)
            scene.wait_folded(daemon, process, timeout=15)


def test_target_in_a_pid_namespace_of_its_own_folds():
    with scene.target(wrapper=["unshare", "--pid", "--fork", "--kill-child"]) as outer, scene.pair() as beside:
        # It has called itself 1.
        process = next(child for child in map(int, Path(
            f"/proc/{outer.process.pid}/task/{outer.process.pid}/children").read_text().split()))
        with scene.pagefoldd(f"pid:{process}", *beside) as daemon:
            daemon.wait_for(lambda _: scene.is_folded(daemon.vm(process)), 30)


def test_daemon_in_a_pid_namespace_of_its_own_says_that_this_is_why(tmp_path):
    program = paths.guest_program("memcheck")
    # Only what runs in there with it does it see.
    both = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
            f"tail -f /dev/null | {program} --mib 8 --zero 20 --twins 60 >/dev/null & exec \"$@\"", "sh"]
    daemon = Daemon(config=scene.EAGER, wrapper=both, directory=tmp_path, policies={
        "test.conf": merge_policy(f"exe:{os.path.realpath(program)}")})
    with daemon:
        def told(_status):
            return any("PID namespace that pagefoldd runs in" in (vm["reason"] or "")
                       for vm in daemon.cli("vms")["vms"])
        daemon.wait_for(told, 30)
        assert "do not trust" not in daemon.log()
        daemon.kill()


def test_unprivileged_target_with_64_kib_of_memlock_folds(tmp_path):
    program, = scene.public_copies(tmp_path, paths.guest_program("memcheck"))
    with scene.target(wrapper=scene.as_nobody(), program=program) as process, \
            scene.pair() as beside, scene.pagefoldd(process, *beside) as daemon:
        scene.wait_folded(daemon, process, *beside)
        scene.check_memory(process)


def test_unprivileged_target_without_memlock_is_refused(tmp_path):
    program, = scene.public_copies(tmp_path, paths.guest_program("memcheck"))
    with scene.target(wrapper=scene.as_nobody(0), program=program) as process:
        check_blocked_beside_a_pair(process, "memlock", "0 KiB")
        scene.check_memory(process)


def test_target_traced_by_another_is_left_to_it():
    with scene.target() as process, \
            procs.Target([paths.test_helper("attach_target"), "trace", process.pid]) as tracer:
        check_blocked_beside_a_pair(process, f"traced by process {tracer.pid}")
        assert f"TracerPid:\t{tracer.pid}" in Path(f"/proc/{process.pid}/status").read_text()
        scene.check_memory(process)


@pytest.fixture
def io_uring_disabled():
    if not os.access(IO_URING_DISABLED, os.W_OK):
        pytest.skip("kernel.io_uring_disabled cannot be written")
    before = IO_URING_DISABLED.read_text()
    try:
        yield IO_URING_DISABLED.write_text
    finally:
        IO_URING_DISABLED.write_text(before)


def test_io_uring_disabled_for_the_unprivileged_leaves_root_s_processes(io_uring_disabled, tmp_path):
    program, = scene.public_copies(tmp_path, paths.guest_program("memcheck"))
    with scene.target(wrapper=scene.as_nobody(), program=program) as process:
        io_uring_disabled("1")
        check_blocked_beside_a_pair(process, "kernel.io_uring_disabled is 1", "io_uring_group")
        scene.check_memory(process)


def test_io_uring_disabled_for_all_leaves_observing(io_uring_disabled):
    io_uring_disabled("2")
    with scene.pair() as processes, scene.pagefoldd(*processes) as daemon:
        for process in processes:
            vm = scene.wait_state(daemon, process, "blocked", "kernel.io_uring_disabled")
            assert vm["potential_bytes"] > 1 << 20
            assert vm["hook"] == "none"
        assert "ring" not in daemon.status()["host"]["features"]


def test_io_uring_disabled_under_a_running_daemon_does_not_undo_anything(io_uring_disabled):
    with scene.pair() as processes, scene.pagefoldd(*processes) as daemon:
        scene.wait_folded(daemon, *processes)
        io_uring_disabled("2")
        daemon.wait_passes(2)
        scene.wait_folded(daemon, *processes)
        assert daemon.cli_run("release", "--all").returncode == 0


def test_folded_target_that_is_stopped_cannot_be_released_and_says_so():
    with scene.pair() as (one, two), scene.pagefoldd(one, two) as daemon:
        scene.wait_folded(daemon, one, two)
        os.kill(one.pid, signal.SIGSTOP)
        refused = daemon.cli_run("release", f"pid:{one.pid}")
        assert refused.returncode == 1
        assert "is stopped" in refused.stderr and f"kill -CONT {one.pid}" in refused.stderr
        assert daemon.cli_run("release", f"pid:{two.pid}").returncode == 0
        os.kill(one.pid, signal.SIGCONT)
        assert daemon.cli_run("release", f"pid:{one.pid}").returncode == 0
        assert not marks.mergeable(one.pid)
        scene.check_memory(one)




def test_folded_target_that_is_frozen_costs_a_deadline_and_is_fine_when_thawed():
    with scene.pair() as (one, two), scene.pagefoldd(one, two) as daemon:
        scene.wait_folded(daemon, one, two)
        with scene.frozen(one):
            refused = daemon.cli_run("release", f"pid:{one.pid}")
            assert refused.returncode == 1
            assert "did not answer in time" in refused.stderr and "frozen" in refused.stderr
            # What needs no answer of it goes on.
            assert daemon.cli_run("release", f"pid:{two.pid}").returncode == 0
        # What was asked for may happen late, and does no harm.
        scene.check_memory(one, two)
        assert not marks.mergeable(two.pid)
