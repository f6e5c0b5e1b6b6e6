# SPDX-License-Identifier: GPL-2.0-or-later
"""pagefold top: in a real terminal, and as lines for programs."""

import contextlib
import json
import re
import shutil
import subprocess
import time

import pytest

import scene
from lab import children, paths, procs, terminal
from lab.daemon import Daemon, merge_policy
from lab.terminal import Terminal

IDLE = {"cpu-percent": 100, "scan-interval": 1, "settle-seconds": 0, "default-mode": "off",
        "ksm-owner": "stand-by"}
DONE, FAILED, USAGE, NOT_REACHABLE = range(4)
HEADINGS = "NAME            GROUP    STATE       RESIDENT RECLAIMED POTENTIAL BREAKS/s  CPU%"
ROW = 6  # of the first VM


@pytest.fixture
def needs_tmux():
    if reason := terminal.missing():
        pytest.skip(reason)


def observe(*targets):
    return merge_policy(*(f"pid:{target.pid}" for target in targets)).replace("merge", "observe")


@contextlib.contextmanager
def observed(*targets):
    """A daemon that reads them, and has done so."""
    with Daemon(config=IDLE, policies={"test.conf": observe(*targets)}) as daemon:
        pids = {target.pid for target in targets}
        daemon.wait_for(lambda status: pids <= {vm["pid"] for vm in status["vms"]
                                                if vm["pages_scanned"]})
        yield daemon


@pytest.fixture
def pair():
    """Two processes of different sizes; the larger one is the second."""
    with scene.target(mib=6) as small, scene.target(mib=24) as large:
        yield small, large


def top(daemon, *arguments, **options):
    return Terminal([paths.program("pagefold"), "--socket", daemon.socket_path, "top", *arguments],
                    **options)


def rows(lines):
    return [line for line in lines[ROW:-3] if line.strip()]


def ours(lines):
    """The rows of our targets: there may be virtual machines of others on this host."""
    return [line for line in rows(lines) if line.startswith("memcheck ")]


def resident(lines):
    return [float(line.split()[3]) for line in ours(lines)]


# ---- in a terminal ----

def test_the_screen_of_80_by_24_shows_the_host_and_every_vm(pair, needs_tmux):
    with observed(*pair) as daemon, top(daemon, "--interval", "0.2") as window:
        lines = window.wait_for(lambda lines: "observed" in "\n".join(lines[ROW:]))
        assert re.match(r"pagefold top   pass \d+, \d s ago   \d+ VMs: .*\b2 observed", lines[0])
        assert lines[1].startswith("Memory     ") and "ksmd: stand-by" in lines[1]
        assert lines[2].startswith("Reclaimed  0.0M, ") and lines[3].startswith("Cost       CPU ")
        assert lines[5] == HEADINGS
        assert len(ours(lines)) == 2
        assert "q quit" in lines[23]
        # It goes on by itself, and rates are there once there are two passes.
        window.wait_for(lambda lines: lines[ROW].split()[-1] != "-")
        first = window.screen()[0]
        window.wait_for(lambda lines: lines[0].split(",")[0] != first.split(",")[0])
        window.keys("q")
        window.wait_for("ended with 0")


def test_the_order_is_that_of_the_column(pair, needs_tmux):
    with observed(*pair) as daemon, top(daemon) as window:
        window.wait_for("by RECLAIMED")
        window.keys("Left")
        lines = window.wait_for("by RESIDENT")
        assert resident(lines) == sorted(resident(lines), reverse=True)
        window.keys("r")
        lines = window.wait_for("by RESIDENT, reversed")
        assert resident(lines) == sorted(resident(lines))
        for heading in ("RECLAIMED", "POTENTIAL", "BREAKS/s", "CPU%", "NAME", "GROUP", "STATE"):
            window.keys("s")
            window.wait_for(f"by {heading})")


def test_help_and_a_selected_vm(pair, needs_tmux):
    with observed(*pair) as daemon:
        daemon.write_policy("test.conf", merge_policy(*(f"pid:{target.pid}" for target in pair)))
        daemon.reload()
        daemon.wait_for(lambda _status: daemon.vm(pair[0].pid)["reason"])
        with top(daemon) as window:
            window.wait_for("q quit")
            assert "stand-by: VMs" not in window.screen()[22]
            window.keys("Down")
            window.wait_for(lambda lines: "stand-by: VMs are only observed" in lines[22])
            window.keys("h")
            window.wait_for("Any key goes back")
            window.keys("x")
            window.wait_for("q quit")


def test_more_vms_than_lines_are_scrolled_through(needs_tmux):
    with contextlib.ExitStack() as stack:
        targets = [stack.enter_context(procs.memcheck("--mib", size, "--hot-writes", 0, "--stray-writes",
                                                      0, "--pause-ms", 500)) for size in range(1, 7)]
        with observed(*targets) as daemon, top(daemon, lines=12) as window:
            lines = window.wait_for(lambda lines: len(rows(lines)) == 4)
            window.keys("End")
            window.wait_for(lambda now: len(rows(now)) == 4 and rows(now) != rows(lines))
            window.resize(80, 24)
            window.wait_for(lambda lines: len(ours(lines)) == 6)


def test_a_resize_is_followed_and_a_small_terminal_is_no_end(pair, needs_tmux):
    with observed(*pair) as daemon, top(daemon) as window:
        window.wait_for("q quit")
        window.resize(100, 30)
        window.wait_for(lambda lines: lines[29].startswith("q quit") and
                        lines[5] == HEADINGS.replace("NAME", "NAME" + 20 * " "))
        for size in ((60, 30), (80, 8), (20, 2), (1, 1)):
            window.resize(*size)
            window.wait_for(lambda lines: size[0] < 20 or "too small"[:size[0]] in "".join(lines))
        window.resize(80, 24)
        window.wait_for(lambda lines: lines[5] == HEADINGS)
        # Ctrl-C is as good as q, and the terminal is as it was.
        window.keys("C-c")
        lines = window.wait_for("ended with 0")
        assert "RECLAIMED" not in "".join(lines)


def test_a_daemon_that_goes_leaves_the_screen_and_one_that_comes_fills_it(pair, needs_tmux):
    with observed(*pair) as daemon, top(daemon, "--interval", "0.2") as window:
        window.wait_for("observed")
        daemon.kill()
        lines = window.wait_for("pagefoldd does not answer")
        assert len(ours(lines)) == 2
        assert "nobody listens there any more" in lines[22] or "not reachable" in lines[22]
        daemon.start()
        daemon.wait_ready()
        window.wait_for(lambda lines: "does not answer" not in lines[4] and "observed" in lines[ROW])


def test_hostile_names_do_not_reach_the_terminal(tmp_path, needs_tmux):
    """A process may call itself anything; what is on the screen is one line of harmless characters."""
    program = tmp_path / "x\x1b[2J\x07\udc9b1m\n\u202e"
    shutil.copy(paths.guest_program("memcheck"), program)
    with scene.target(program=program) as target, observed(target) as daemon:
        with top(daemon) as window:
            lines = window.wait_for(lambda lines: lines[ROW].startswith("x?"))
            assert lines[ROW].split()[0] == "x?[2J??1m????"
            assert sum("?" in line for line in rows(lines)) == 1
            assert lines[5] == HEADINGS
        batch = daemon.cli_run("top", "--count", "1")
        assert batch.returncode == DONE and "\nx?[2J?" in batch.stdout
        assert all(character >= " " or character == "\n" for character in batch.stdout)


def test_what_breaks_is_shown_as_a_rate(ksm_alone, needs_tmux):
    def rates(lines):
        return [float(line.split()[-2]) for line in ours(lines) if line.split()[-2] != "-"]

    with scene.pair() as (one, two), scene.pagefoldd(one, two) as daemon:
        scene.wait_folded(daemon, one, two)
        with top(daemon, "--interval", "0.2") as window:
            # What the first folds cost is past, and nothing is written.
            window.wait_for(lambda lines: rates(lines) == [0, 0])
            one.write(500)
            lines = window.wait_for(lambda lines: any(rates(lines)))
            assert sorted(rate > 0 for rate in rates(lines)) == [False, True]
            assert " folded " in ours(lines)[0] and "2 folded" in lines[0]
            # All is well, so that what is left to say is what it comes to.
            window.keys("Home")
            window.wait_for(lambda lines: " MiB net for " in lines[22])
            window.wait_for(lambda lines: rates(lines) == [0, 0])


# ---- without one ----

def test_without_a_terminal_it_says_what_to_use(pair):
    with observed(*pair) as daemon:
        done = daemon.cli_run("top")
        assert (done.returncode, done.stdout) == (FAILED, "")
        assert "top needs a terminal" in done.stderr and "pagefold status" in done.stderr


@pytest.mark.parametrize("term", ["dumb", "", "no-such-terminal"])
def test_a_terminal_that_cannot_be_drawn_on_is_refused(term, pair, needs_tmux):
    with observed(*pair) as daemon, top(daemon, environment={"TERM": term}, columns=200) as window:
        lines = window.wait_for("ended with 1")
        assert "pagefold: top cannot draw on this terminal (TERM); pagefold status" in "".join(lines)


def test_counted_frames_are_text(pair):
    with observed(*pair) as daemon:
        began = time.monotonic()
        done = daemon.cli_run("top", "--count", "3", "--interval", "0.5")
        assert time.monotonic() - began > 0.9
    assert (done.returncode, done.stderr) == (DONE, "")
    frames = done.stdout.strip().split("\n\n")
    assert len(frames) == 3
    for frame in frames:
        assert frame.startswith("pagefold top   pass ")
        assert frame.count("\nmemcheck ") == 2
        assert not any(line.endswith(" ") for line in frame.split("\n"))


def test_json_is_a_status_document_a_line(pair):
    with observed(*pair) as daemon:
        done = daemon.cli_run("top", "--count", "2", "--interval", "0.1", "--json")
        assert (done.returncode, done.stderr) == (DONE, "")
        documents = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(documents) == 2
        assert [set(document) for document in documents] == 2 * [set(daemon.status())]


def test_json_without_a_count_goes_on_until_the_daemon_ends(pair):
    with observed(*pair) as daemon:
        command = [paths.program("pagefold"), "--socket", daemon.socket_path, "top", "--interval", "0.1",
                   "--json"]
        stream = children.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            for _ in range(3):
                # Each line is there as soon as it is known, also in a pipe.
                assert json.loads(stream.stdout.readline())["schema"] == 1
            daemon.kill()
            _, complaint = stream.communicate(timeout=20)
            assert stream.returncode == NOT_REACHABLE and "not reachable" in complaint
        finally:
            children.end(stream)


def test_what_it_is_not_is_said_before_the_daemon_is_asked():
    def run(*arguments):
        return subprocess.run([paths.program("pagefold"), "--socket", "/nonexistent/api.sock", "top",
                               *arguments], capture_output=True, text=True, check=False)

    for words in (("--interval", "0"), ("--interval", "nan"), ("--interval", "1e3"), ("--interval", ""),
                  ("--interval", "3601"), ("--count", "0"), ("--count", "-1"), ("--count", "x"), ("web1",)):
        done = run(*words)
        assert done.returncode == USAGE and done.stderr, words
    for words in ((), ("--count", "1"), ("--json",)):
        done = run(*words)
        assert done.returncode == NOT_REACHABLE and "/nonexistent/api.sock" in done.stderr, words
