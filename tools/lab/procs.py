# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes that tests aim at: self-checking memory, known twins, a server that forks."""

import contextlib
import os
import re
import subprocess
import time

from lab import children, paths

ANSWER_SECONDS = 60


class Target:
    """A child that says in lines what it is and is asked in lines: pid, start, length, ask(), close()."""

    def __init__(self, command, **options):
        options.setdefault("stderr", None)
        self._received = b""
        self.said = []
        with children.shielded():
            self.process = children.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                          **options)
        self.pid = self.process.pid
        self.start = self.length = None

    def __enter__(self):
        try:
            return self.wait_ready()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_exception):
        self.close()

    def wait_ready(self, timeout=ANSWER_SECONDS):
        """"ready PID START LENGTH"; what is said before that is kept in self.said."""
        while True:
            line = self.read_line(timeout)
            self.said.append(line)
            if line.startswith("ready "):
                _, pid, start, length = line.split()
                # Under sudo, unshare and the like the child is not the one that speaks.
                self.pid, self.start, self.length = int(pid), int(start, 16), int(length)
                return self

    def read_line(self, timeout=ANSWER_SECONDS):
        deadline = time.monotonic() + timeout
        descriptor = self.process.stdout.fileno()
        while b"\n" not in self._received:
            if not children.wait_readable([descriptor], deadline):
                raise TimeoutError(f"{self.process.args[4:]} said nothing for {timeout} s")
            received = os.read(descriptor, 65536)
            if not received:
                raise EOFError(f"{self.process.args[4:]} ended with {self.process.wait()}, "
                               f"having said {self.said + [self._received]}")
            self._received += received
        line, self._received = self._received.split(b"\n", 1)
        return line.decode()

    def tell(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, line, timeout=ANSWER_SECONDS):
        self.tell(line)
        return self.read_line(timeout)

    def alive(self):
        return self.process.poll() is None

    def close(self):
        children.end(self.process)


class Checker(Target):
    """memcheck or tiny_kvm (checker_cli.h)."""

    def status(self):
        """(rounds, errors); an error is said once and for all, by the line that tells where."""
        answer = self.ask("status")
        if answer.startswith("wrong"):
            raise AssertionError(answer)
        return tuple(map(int, re.match(r"rounds (\d+) errors (\d+)", answer).groups()))

    def write(self, pages):
        answer = self.ask(f"write {pages}")
        assert answer == f"wrote {pages}", answer

    def wait_rounds(self, more):
        """Until it has checked everything that many times more."""
        goal = self.status()[0] + more
        while self.status()[0] < goal:
            pass

    def stop(self):
        """Ends it and gives (rounds, errors, exit status)."""
        # It may have found an error and be gone already.
        with contextlib.suppress(BrokenPipeError):
            self.tell("stop")
        lines = []
        with contextlib.suppress(EOFError):
            while True:
                lines.append(self.read_line())
        status = self.process.wait(ANSWER_SECONDS)
        rounds, errors = re.search(r"rounds (\d+) errors (\d+)", lines[-1]).groups()
        return int(rounds), int(errors), status


def memcheck(*options, **popen):
    """Its memory checks itself: options of checker_cli.h."""
    return Checker([paths.guest_program("memcheck"), *options], **popen)


def tiny_kvm(*options, **popen):
    """A KVM guest whose memory checks itself: the same options."""
    return Checker([paths.test_helper("tiny_kvm"), *options], **popen)


class Twins(Target):
    """Memory laid out by SPECs (twins.c); expected: what counting must give, by name."""

    def wait_ready(self, timeout=ANSWER_SECONDS):
        super().wait_ready(timeout)
        words = self.read_line().split()
        self.expected = dict(zip(words[::2], map(int, words[1::2])))
        return self


def twins(*specs, **popen):
    return Twins([paths.test_helper("twins"), *specs], **popen)


class Prefork(Target):
    """A parent and its workers (prefork.c): workers is a list of pids."""

    def wait_ready(self, timeout=ANSWER_SECONDS):
        super().wait_ready(timeout)
        self.workers = [int(line.split()[1]) for line in self.said if line.startswith("worker ")]
        return self

    def check(self):
        """The number of wrong words in all the workers and the parent."""
        return int(self.ask("check").split()[1])

    def write(self, pages):
        assert self.ask(f"write {pages}") == f"wrote {pages}"


def prefork(workers, inherited_mib, own_mib, **popen):
    return Prefork([paths.test_helper("prefork"), workers, inherited_mib, own_mib], **popen)


class WriteClock(Target):
    """Memory that others have too, and what writing it takes (guest/writeclock.c)."""

    def write(self, what, pages, *pause):
        return written(self.ask(" ".join(map(str, (what, pages, *pause)))), pages)

    def drop(self, pages):
        assert self.ask(f"drop {pages}") == f"dropped {pages}"


def written(answer, pages):
    """(median, 99th percentile, mean) in nanoseconds, of all of them."""
    word, count, *figures = answer.split()
    assert (word, int(count)) == ("wrote", pages), answer
    return tuple(map(int, figures))


def writeclock(twins, zeros, *options, **popen):
    return WriteClock([paths.guest_program("writeclock"), *options, twins, zeros], **popen)


def kvm_available():
    """Whether this host can run a tiny KVM guest at all."""
    return os.access("/dev/kvm", os.R_OK | os.W_OK)


def corrupt(pid, address):
    """Flips one bit of another process's memory: what a checker has to notice."""
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        memory.seek(address)
        byte = memory.read(1)[0]
        memory.seek(address)
        memory.write(bytes([byte ^ 1]))


class Waiter:
    """Waits for the end of a process that is not our child."""

    def __init__(self, pid):
        self._pidfd = os.pidfd_open(pid)

    def wait_ended(self, timeout):
        """Whether it has ended within so many seconds."""
        try:
            return bool(children.wait_readable([self._pidfd], time.monotonic() + timeout))
        finally:
            os.close(self._pidfd)
