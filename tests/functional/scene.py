# SPDX-License-Identifier: GPL-2.0-or-later
"""The scene of the refusal tests: one target that something is wrong with, two beside it that fold all the
same, and a daemon that leaves KSM and everybody's memory as they were."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest

from lab import ksm, paths, procs
from lab.daemon import Daemon, merge_policy

# All of both cores, nothing is waited for, and whatever else runs on this host is not read.
EAGER = {"cpu-percent": 1000, "scan-interval": 1, "settle-seconds": 0, "default-mode": "off"}
MIB = 8
UNUSED_UID = 54321


def target(*options, mib=MIB, wrapper=(), program=None, **popen):
    """A process most of whose memory is twins of every other's, and that checks it all the time."""
    return procs.Checker([*wrapper, program or paths.guest_program("memcheck"), "--mib", mib,
                          "--zero", 20, "--twins", 60, "--hot", 0, "--stray-writes", 0,
                          "--pause-ms", 20, *options], **popen)


@contextlib.contextmanager
def pair():
    """The two beside it: whatever happens to others, their memory is right at the end."""
    with target() as one, target() as two:
        yield [one, two]
        check_memory(one, two)


def check_memory(*checkers):
    """Alive, and after one more round not one wrong byte."""
    for checker in checkers:
        assert checker.alive()
        checker.wait_rounds(1)
        assert checker.status()[1] == 0


@contextlib.contextmanager
def pagefoldd(*matches, config=None, policies=None, expected_status=0, **options):
    """A daemon that merges what matches (pids may be given as processes); its end is a clean one."""
    texts = {"test.conf": merge_policy(*map(match_text, matches))}
    knobs = ksm.knobs()
    with Daemon(config={**EAGER, **(config or {})}, policies={**texts, **(policies or {})},
                **options) as daemon:
        yield daemon
        assert daemon.stop() == expected_status, daemon.log()
        assert ksm.knobs() == knobs


def match_text(match):
    return match if isinstance(match, str) else f"pid:{match.pid}"


def wait_folded(daemon, *processes, timeout=30):
    """Until each of them is folded, and something came of it; and then nothing is in its way."""
    def folded(_status):
        return all(is_folded(daemon.vm(process.pid)) for process in processes)
    return daemon.wait_for(folded, timeout)


def is_folded(vm):
    return bool(vm) and vm["state"] == "folded" and (vm["reclaimed_bytes"] or 0) > 1 << 20


def wait_vm(daemon, process, condition, timeout=30):
    """The first `pagefold vms` entry of it that the condition holds for."""
    daemon.wait_for(lambda _status: (vm := daemon.vm(process.pid)) and condition(vm), timeout)
    return daemon.vm(process.pid)


def wait_state(daemon, process, state, *words, timeout=30):
    """Until it is in that state, with these words in the reason, which is one sentence on one line."""
    def there(vm):
        return vm["state"] == state and all(word in (vm["reason"] or "") for word in words)
    vm = wait_vm(daemon, process, there, timeout)
    if words:
        assert "\n" not in vm["reason"] and len(vm["reason"]) > 20
    return vm


def public_copies(directory, *programs):
    """Programs where another user may run them."""
    for parent in (directory, *directory.parents):
        if parent.stat().st_uid == os.geteuid() and parent != parent.parent:
            parent.chmod(parent.stat().st_mode | 0o055)
    return [shutil.copy(program, directory) for program in programs]


def as_nobody(memlock_bytes=65536):
    return ["setpriv", f"--reuid={UNUSED_UID}", f"--regid={UNUSED_UID}", "--clear-groups",
            "prlimit", f"--memlock={memlock_bytes}:{memlock_bytes}"]


@contextlib.contextmanager
def frozen(process):
    """The process in a frozen cgroup of its own, v1 or v2."""
    for mount, switch, freeze, thaw in (("/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", "THAWED"),
                                        ("/sys/fs/cgroup", "cgroup.freeze", "1", "0")):
        directory = Path(mount) / f"pagefold-frozen-{os.getpid()}"
        with contextlib.suppress(OSError):
            directory.mkdir()
            if (directory / switch).exists():
                break
            directory.rmdir()
    else:
        pytest.skip("no cgroup that freezes can be made")
    try:
        (directory / "cgroup.procs").write_text(str(process.pid))
        (directory / switch).write_text(freeze)
        events = directory / "cgroup.events"
        while freeze not in (directory / switch).read_text() or \
                (events.exists() and "frozen 1" not in events.read_text()):
            pass
        yield
    finally:
        (directory / switch).write_text(thaw)
        (directory.parent / "cgroup.procs").write_text(str(process.pid))
        directory.rmdir()


@pytest.fixture
def memory_cgroup():
    """(the directory of a memory cgroup of its own, the file that limits it)"""
    for mount, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
                         ("/sys/fs/cgroup", "memory.max")):
        directory = Path(mount) / f"pagefold-test-{os.getpid()}"
        with contextlib.suppress(OSError):
            directory.mkdir()
            if (directory / limit).exists():
                break
            directory.rmdir()
    else:
        pytest.skip("no memory cgroup can be made")
    try:
        yield directory, directory / limit
    finally:
        for pid in (directory / "cgroup.procs").read_text().split():
            (directory.parent / "cgroup.procs").write_text(pid)
        directory.rmdir()


def usage_bytes(directory):
    """What is charged to a memory cgroup."""
    for name in ("memory.usage_in_bytes", "memory.current"):
        if (directory / name).exists():
            return int((directory / name).read_text())
    raise FileNotFoundError(directory)


def in_cgroup(directory):
    """A command line that starts in the cgroup: memory is charged to where it is first touched."""
    return ["sh", "-c", f"echo $$ >{directory}/cgroup.procs && exec \"$@\"", "sh"]
