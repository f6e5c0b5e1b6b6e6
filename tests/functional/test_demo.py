# SPDX-License-Identifier: GPL-2.0-or-later
"""`make demo`, as a user runs it."""

import os
import re
import signal
import subprocess
import time

import pytest

from lab import children, ksm, paths

RESULT = re.compile(
    r"^reclaimed (\d+) MiB of (\d+) MiB resident \((\d+\.\d) %\), net of metadata (\d+) MiB, "
    r"CPU [\d.]+ s \(scan [\d.]+ s, ksmd [\d.]+ s, ring and helper [\d.]+ s\)$", re.MULTILINE)
CHECK = re.compile(r"^cross-check: the guests' smaps say (\d+) MiB, ", re.MULTILINE)


@pytest.fixture
def demo(ksm_alone, tmp_path):
    """Starts the demo, its temporary files in a directory of its own."""
    if not (paths.DEPS / "kernel/vmlinuz").exists():
        pytest.skip("no guest kernel: run `make deps-demo`")
    started = []

    def start():
        environment = {**os.environ, "TMPDIR": str(tmp_path), "PAGEFOLD_BUILD": str(paths.BUILD)}
        started.append(children.start([paths.TOP / "tools/demo"], stdout=subprocess.PIPE,
                                      text=True, env=environment))
        return started[0]

    yield start
    for process in started:
        children.end(process, 30)


def test_demo_says_what_came_back_and_the_kernel_agrees(demo):
    process = demo()
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    reclaimed, resident, percent, _ = RESULT.search(output).groups()
    # The kernels of four guests: something has to come back, and most of their memory has no twin.
    assert 100 < int(reclaimed) < int(resident) / 2
    assert abs(100 * int(reclaimed) / int(resident) - float(percent)) < 0.2
    assert abs(int(CHECK.search(output).group(1)) - int(reclaimed)) <= int(reclaimed) / 20


# After a second pass the demo may be over before it can be interrupted.
@pytest.mark.parametrize("line", ["booting", "each writes", "starting pagefoldd", "pass 1:"])
def test_demo_interrupted_leaves_nothing_behind(demo, tmp_path, line):
    before = ksm.knobs()
    process = demo()
    while line not in process.stdout.readline():
        assert process.poll() is None
    # Into the middle of what the line announced.
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    assert process.wait(30) == 130
    assert not list(tmp_path.iterdir())
    assert not _processes_below(tmp_path)
    assert ksm.knobs() == before


def _processes_below(directory):
    """Command lines that mention the directory: a guest's, the daemon's."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                if str(directory).encode() in file.read():
                    found.append(entry)
        except OSError:
            continue
    return found
