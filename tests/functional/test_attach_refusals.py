# SPDX-License-Identifier: GPL-2.0-or-later
"""What cannot be attached to: one clear sentence that names the cure, and nothing is harmed."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from lab import attach, children, host, paths, procs

UNUSED_UID = 54321
IO_URING_DISABLED = Path("/proc/sys/kernel/io_uring_disabled")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="attaching takes root")


def target(mode, *arguments, wrapper=(), program=None, **options):
    return procs.Target([*wrapper, program or paths.test_helper("attach_target"), mode, *arguments],
                        **options)


def check_refused(process, error, *words, **options):
    """Refused with these words, as one line, and the process is as it was."""
    state = host.state(process.pid)
    descriptors = os.listdir(f"/proc/{process.pid}/fd")
    answer = attach.attach(process.pid, **options)
    assert answer.error == error, answer
    assert answer.exit_status == 1
    assert answer.reason and "\n" not in answer.reason
    assert all(word in answer.reason for word in words), answer.reason
    assert process.alive()
    assert host.state(process.pid) in {state, "S", "R"} and host.state(process.pid) != "Z"
    assert os.listdir(f"/proc/{process.pid}/fd") == descriptors
    assert "TracerPid:\t0" in Path(f"/proc/{process.pid}/status").read_text()
    return answer


def check_accepted(process, **options):
    answer = attach.attach(process.pid, **options)
    assert answer.error is None, answer
    assert answer.exit_status == 0
    assert process.alive()
    return answer


def wait_state(pid, states):
    while host.state(pid) not in states:
        pass


@pytest.mark.parametrize("mode", ["allowlist", "errno-list", "strict", "two-denylists",
                                  "argument-filter"])
def test_seccomp_that_forbids_the_ring_is_respected(mode):
    with target(mode) as process:
        check_refused(process, "EPERM", "seccomp", "io_uring_setup", "or choose another hook")


def test_seccomp_denylist_that_permits_is_accepted():
    with target("denylist") as process:
        assert not check_accepted(process).left_open


def test_descriptor_is_left_open_where_seccomp_forbids_only_that_close():
    with target("kept-descriptors") as process:
        answer = check_accepted(process)
        assert answer.left_open


def test_filters_are_unreadable_from_under_a_filter():
    with target("denylist") as process:
        wrapper = [paths.test_helper("under_filter")]
        check_refused(process, "EACCES", "SystemCallFilter", wrapper=wrapper)


def test_syscall_user_dispatch_is_respected():
    with target("dispatch") as process:
        check_refused(process, "EPERM", "PR_SET_SYSCALL_USER_DISPATCH")


def test_stopped_process_stays_stopped_and_is_fine_later():
    with target("plain") as process:
        os.kill(process.pid, signal.SIGSTOP)
        wait_state(process.pid, "T")
        answer = attach.attach(process.pid)
        assert answer.error == "EAGAIN"
        assert f"kill -CONT {process.pid}" in answer.reason
        assert host.state(process.pid) == "T"
        os.kill(process.pid, signal.SIGCONT)
        wait_state(process.pid, "SR")
        check_accepted(process)


def _freezers():
    """(hierarchy, file that freezes, word for frozen, word for thawed)"""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, (kind, _, options) = line.split()[4], line.split(" - ")[1].split()[:3]
        if kind == "cgroup2":
            yield pytest.param((Path(mount), "cgroup.freeze", "1", "0"), id="v2")
        elif kind == "cgroup" and "freezer" in options.split(","):
            yield pytest.param((Path(mount), "freezer.state", "FROZEN", "THAWED"), id="v1")


@pytest.fixture(params=list(_freezers()))
def freezer(request, tmp_path):
    """A cgroup of one's own: enter(pid), freeze(), thaw()."""
    mount, name, frozen, thawed = request.param
    group = mount / f"pagefold-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made: {error}")
    switch = group / name
    if not switch.exists():
        group.rmdir()
        pytest.skip("this cgroup cannot freeze")

    class Freezer:
        """What the test needs."""

        def __init__(self):
            self.file = str(group)

        def enter(self, pid):
            (group / "cgroup.procs").write_text(str(pid))

        def freeze(self):
            switch.write_text(frozen)
            if name == "cgroup.freeze":
                while "frozen 1" not in (group / "cgroup.events").read_text():
                    pass
            else:
                while switch.read_text().strip() != frozen:
                    pass

        def thaw(self):
            switch.write_text(thawed)

        def leave(self):
            for pid in (group / "cgroup.procs").read_text().split():
                (mount / "cgroup.procs").write_text(pid)

    made = Freezer()
    try:
        yield made
    finally:
        made.thaw()
        made.leave()
        group.rmdir()


def test_frozen_cgroup_is_refused_and_fine_when_thawed(freezer):
    with target("plain") as process:
        freezer.enter(process.pid)
        freezer.freeze()
        answer = attach.attach(process.pid)
        freezer.thaw()
        assert answer.error == "EAGAIN"
        assert "thaw" in answer.reason and freezer.file in answer.reason
        check_accepted(process)


def test_uninterruptible_sleep_is_given_up():
    with target("vfork") as process:
        wait_state(process.pid, "D")
        check_refused(process, "ETIMEDOUT", "uninterruptible sleep", "500 ms")


def test_process_traced_by_another_is_refused():
    with target("plain") as process, target("trace", process.pid) as tracer:
        answer = attach.attach(process.pid)
        assert answer.error == "EBUSY"
        assert f"traced by process {tracer.pid}" in answer.reason
        assert f"TracerPid:\t{tracer.pid}" in Path(f"/proc/{process.pid}/status").read_text()


def test_recycled_pid_is_refused():
    with target("plain") as process:
        check_refused(process, "ESRCH", "another process", ticks=attach.start_ticks(process.pid) + 1)


def test_pid_that_is_gone_is_refused():
    with target("plain") as process:
        pid, ticks = process.pid, attach.start_ticks(process.pid)
    answer = attach.attach(pid, ticks)
    assert answer.error == "ESRCH"
    assert "has ended" in answer.reason


def test_zombie_is_refused():
    with target("plain") as process:
        ticks = attach.start_ticks(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        wait_state(process.pid, "Z")
        assert attach.attach(process.pid, ticks).error == "ESRCH"


def test_dead_main_thread_is_refused():
    with target("dead-leader") as process:
        answer = attach.attach(process.pid)
        assert answer.error == "ESRCH"
        assert "main thread" in answer.reason and "restart" in answer.reason
        assert process.alive()


def test_no_descriptor_left_is_refused():
    with target("nofile") as process:
        check_refused(process, "EMFILE", "raise its nofile limit")


@pytest.fixture
def public_helper(tmp_path_factory):
    """The target's program where another user may run it."""
    directory = tmp_path_factory.mktemp("public")
    for parent in (directory, *directory.parents):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    shutil.copy(paths.test_helper("attach_target"), directory)
    shutil.copy(paths.program("pagefold-attach"), directory)
    return directory


def unprivileged(memlock_bytes=65536):
    return ["setpriv", f"--reuid={UNUSED_UID}", f"--regid={UNUSED_UID}", "--clear-groups",
            "prlimit", f"--memlock={memlock_bytes}:{memlock_bytes}"]


def test_unprivileged_process_with_64_kib_memlock_is_accepted(public_helper):
    with target("plain", wrapper=unprivileged(), program=public_helper / "attach_target") as process:
        check_accepted(process)


def test_unprivileged_process_without_memlock_is_refused(public_helper):
    with target("plain", wrapper=unprivileged(0), program=public_helper / "attach_target") as process:
        check_refused(process, "ENOMEM", "memlock", "0 KiB")


def test_without_root_it_is_refused(public_helper):
    with target("plain") as process:
        check_refused(process, "EPERM", "CAP_SYS_PTRACE", wrapper=unprivileged(),
                      helper=public_helper / "pagefold-attach")


def test_own_process_without_root_is_accepted(public_helper):
    with target("plain", wrapper=unprivileged(), program=public_helper / "attach_target") as process:
        check_accepted(process, wrapper=unprivileged(), helper=public_helper / "pagefold-attach")


@pytest.fixture
def io_uring_disabled(ksm_alone):
    """Sets the sysctl, alone on the host, for one test."""
    if not IO_URING_DISABLED.exists() or not os.access(IO_URING_DISABLED, os.W_OK):
        pytest.skip("kernel.io_uring_disabled cannot be written")
    before = IO_URING_DISABLED.read_text()
    try:
        yield IO_URING_DISABLED.write_text
    finally:
        IO_URING_DISABLED.write_text(before)


def test_io_uring_disabled_for_all_is_refused_untouched(io_uring_disabled):
    with target("plain") as process:
        io_uring_disabled("2")
        assert check_refused(process, "EPERM", "kernel.io_uring_disabled").stopped_seconds == 0


def test_io_uring_disabled_for_the_unprivileged_is_judged_on_the_target(
        io_uring_disabled, public_helper):
    with target("plain", wrapper=unprivileged(),
                program=public_helper / "attach_target") as process, target("plain") as privileged:
        io_uring_disabled("1")
        check_refused(process, "EPERM", "kernel.io_uring_disabled is 1", "io_uring_group")
        check_accepted(privileged)


def test_yama_that_forbids_all_tracing_is_named():
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if not scope.exists():
        pytest.skip("no Yama in this kernel")
    if scope.read_text().strip() != "3":
        pytest.skip("Yama's scope 3 cannot be undone before the next boot")
    with target("plain") as process:
        check_refused(process, "EPERM", "Yama")


def test_thirty_two_bit_process_is_refused(tmp_path):
    """Thirteen instructions of assembly, so that no 32-bit C library is needed."""
    source = tmp_path / "small.s"
    source.write_text(".globl _start\n_start:\nmov $29, %eax\nint $0x80\njmp _start\n")  # pause()
    try:
        subprocess.run(["as", "--32", "-o", tmp_path / "small.o", source], check=True)
        subprocess.run(["ld", "-m", "elf_i386", "-o", tmp_path / "small", tmp_path / "small.o"],
                       check=True)
        process = children.start([tmp_path / "small"])
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no 32-bit program can be built: {error}")
    try:
        while os.readlink(f"/proc/{process.pid}/exe") != str(tmp_path / "small"):
            pass
        if process.poll() is not None:
            pytest.skip("this kernel runs no 32-bit programs")
        answer = attach.attach(process.pid)
        assert answer.error in {"ENOEXEC", "ENOENT"}
        assert process.poll() is None
    finally:
        children.end(process)


def test_by_hand_it_says_how_it_is_used():
    for arguments in ([], ["1"], ["0", "1"], ["x", "1"], ["1", "-1"], ["1", "1", "1"],
                      ["4294967297", "1"], [os.getpid(), "1"]):
        result = subprocess.run(
            [paths.program("pagefold-attach"), *map(str, arguments)], check=False,
            capture_output=True, text=True, close_fds=True)
        assert result.returncode == 2
        assert result.stderr.startswith("usage: pagefold-attach PID START_TICKS")
        assert result.stderr.count("\n") == 1
