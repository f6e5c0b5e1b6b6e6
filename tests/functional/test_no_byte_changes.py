# SPDX-License-Identifier: GPL-2.0-or-later
"""Not one byte of anybody's memory changes: memory that checks itself while it is written goes
through fold, write, release, kill -9 and restart."""

import contextlib
import re
import time

import pytest

from lab import marks, procs
from lab.daemon import Daemon, merge_policy

# default-mode: other virtual machines of this host are none of our business.
FAST = {"cpu-percent": 100, "scan-interval": 1, "settle-seconds": 0, "default-mode": "off"}
# What a checker writes all the time, in what it may not find a wrong byte; slowly enough that most of what it
# holds is the same from one look to the next, or nothing of it would be folded.
BUSY = ("--hot-writes", "64", "--stray-writes", "4", "--pause-ms", "20")
ROUNDS = 4
FOLDED_AT_LEAST = 1 << 20


def folds(status, pids):
    return all(any(vm["pid"] == pid and vm["state"] == "folded" and
                   vm["reclaimed_bytes"] >= FOLDED_AT_LEAST for vm in status["vms"])
               for pid in pids)


def go_through_everything(directory, pids, write, check, policy):
    """Rounds of fold, write, release, and of a daemon that is killed and started again."""
    daemon = Daemon(config=FAST, policies={"test.conf": policy}, directory=directory)
    with daemon:
        for number in range(ROUNDS):
            daemon.wait_for(lambda status: folds(status, pids), 60)
            write()
            check()
            if number % 2:
                daemon.cli("release", "--all")
                assert not any(marks.ksm_bytes(pid) for pid in pids)
                write()
                # A change of the policy ends the hold.
                daemon.write_policy("test.conf", re.sub("group = .*", f"group = g{number}", policy))
                daemon.reload()
            else:
                daemon.kill()
                write()
                daemon.start()
                daemon.wait_ready()
            check()
        # Killed in the middle of things, too: between a mark, a burst and an un-mark.
        for seconds in (0.05, 0.15, 0.3):
            daemon.kill()
            daemon.start()
            daemon.wait_ready()
            write()
            time.sleep(seconds)
        daemon.wait_for(lambda status: folds(status, pids), 60)
        check()
        daemon.cli("release", "--all")
    check()
    assert not any(marks.mergeable(pid) for pid in pids)


def policy_of(pids):
    """Memory first: who writes all the time would be given up otherwise."""
    return merge_policy(*(f"pid:{pid}" for pid in pids), hugepages="fold")


@pytest.mark.parametrize("start", [procs.memcheck, procs.tiny_kvm], ids=["process", "kvm"])
def test_no_byte_changes_in(ksm_alone, tmp_path, start, request):
    if start is procs.tiny_kvm:
        request.getfixturevalue("needs_kvm")
    with contextlib.ExitStack() as stack:
        checkers = [stack.enter_context(start("--mib", "16", *BUSY, *huge))
                    for huge in ((), ("--hugepages",))]
        pids = [checker.pid for checker in checkers]

        def write():
            for checker in checkers:
                checker.write(300)

        def check():
            for checker in checkers:
                checker.wait_rounds(2)
                assert checker.status()[1] == 0

        go_through_everything(tmp_path, pids, write, check, policy_of(pids))
        for checker in checkers:
            rounds, errors, status = checker.stop()
            assert rounds > 2 * ROUNDS and errors == 0 and status == 0


def test_no_byte_changes_in_a_server_that_forked(ksm_alone, tmp_path):
    """Shared by fork, then folded, then written: each copy is somebody's own."""
    with procs.prefork(3, 16, 8) as server:
        pids = [server.pid, *server.workers]

        def check():
            assert server.check() == 0

        daemon = Daemon(config=FAST, policies={"test.conf": policy_of(pids)}, directory=tmp_path)
        with daemon:
            daemon.wait_for(lambda status: folds(status, server.workers), 60)
            check()
            server.write(500)
            check()
            daemon.kill()
            daemon.start()
            daemon.wait_ready()
            daemon.wait_passes(3)
            check()
            daemon.cli("release", "--all")
            check()


def test_no_byte_changes_in_linux_guests(ksm_alone, tmp_path, lab):
    """memcheck runs in the guests: what it finds wrong would be a wrong byte of guest RAM."""
    guests = lab.boot("web1", "web2", memory_mib=256)
    # With pauses: a young guest that computes all the time is left alone for its first minute.
    checkers = [guest.start("memcheck --mib 48 --hot-writes 32 --stray-writes 8 --pause-ms 200")
                for guest in guests]
    for checker in checkers:
        assert checker.read_line().startswith("ready ")
    pids = [guest.pid for guest in guests]

    def write():
        for checker in checkers:
            assert checker.ask("write 200") == "wrote 200"

    def check():
        for checker in checkers:
            answer = checker.ask("status")
            assert answer.endswith("errors 0"), answer

    go_through_everything(tmp_path, pids, write, check,
                          merge_policy("vm:web*", group="web"))
    for guest, checker in zip(guests, checkers):
        answer = checker.ask("stop")
        assert answer.endswith("errors 0"), answer
        assert guest.run("echo alive") == "alive\n"
