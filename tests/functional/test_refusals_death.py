# SPDX-License-Identifier: GPL-2.0-or-later
"""Targets that die at the worst of times: the daemon goes on with the others, and owes KSM nothing."""

import os
import shutil
import signal
import subprocess

import pytest

import scene
from lab import children, host, ksm, paths

pytestmark = pytest.mark.usefixtures("ksm_alone")

# So little of a core makes seconds of milliseconds.
SLOW_SCAN = {"cpu-percent": 1}
SLOW_BURST = {"cpu-percent": 4}


def kill(process):
    os.kill(process.pid, signal.SIGKILL)


def wait_gone(daemon, process):
    daemon.wait_for(lambda _status: daemon.vm(process.pid) is None)


def check_clean(daemon):
    """Nothing to complain of: that a VM ends is normal."""
    status = daemon.status()
    assert not status["host"]["blocked_by"]
    assert not [text for text in status["host"]["warnings"] if "has ended" not in text]
    for word in ("err:", "failed"):
        assert word not in daemon.log()


def test_death_in_the_middle_of_a_scan():
    with scene.target(mib=512) as dying, scene.pair() as beside, \
            scene.pagefoldd(dying, *beside, config=SLOW_SCAN) as daemon:
        # Below its first pass, the daemon has read a part of it: 512 MiB take it some seconds.
        before = host.process_cpu_seconds(daemon.pid)
        while host.process_cpu_seconds(daemon.pid) == before:
            pass
        assert daemon.status()["pass"]["number"] == 0
        kill(dying)
        daemon.write_config(scene.EAGER)
        daemon.reload()
        scene.wait_folded(daemon, *beside)
        wait_gone(daemon, dying)
        check_clean(daemon)


def wait_bursting(daemon, *processes):
    """Until ksmd is at work in them; in between it rests, to keep to its budget."""
    daemon.wait_for(lambda _status: all((vm := daemon.vm(process.pid)) and vm["state"] == "folding"
                                        for process in processes) and ksm.read("run") == "1",
                    interval=0.02)


def test_death_in_the_middle_of_a_burst():
    with scene.target(mib=32) as dying, scene.pair() as beside, \
            scene.pagefoldd(dying, *beside, config=SLOW_BURST) as daemon:
        wait_bursting(daemon, dying)
        kill(dying)
        wait_gone(daemon, dying)
        scene.wait_folded(daemon, *beside)
        check_clean(daemon)


def test_death_of_all_in_the_middle_of_a_burst_ends_it():
    with scene.target(mib=32) as one, scene.target(mib=32) as two, \
            scene.pagefoldd(one, two, config=SLOW_BURST) as daemon:
        wait_bursting(daemon, one, two)
        kill(one)
        kill(two)
        wait_gone(daemon, one)
        wait_gone(daemon, two)
        assert ksm.read("run") == "0"
        check_clean(daemon)


def with_helper(directory, script):
    """A daemon beside which there is another attach helper: a shell script that may call the real one."""
    program = shutil.copy(paths.program("pagefoldd"), directory)
    helper = directory / "pagefold-attach"
    helper.write_text(f"#!/bin/sh\nreal={paths.program('pagefold-attach')}\n{script}\n")
    helper.chmod(0o755)
    return ["sh", "-c", f"shift; exec {program} \"$@\"", "sh"]


@pytest.mark.parametrize("script", [
    'kill -9 {pid}; exec $real "$@"',
    '[ $1 = {pid} ] && kill -9 $1 & exec $real "$@"',
    '[ $1 = {pid} ] && (sleep 0.002; kill -9 $1) & exec $real "$@"',
    '[ $1 = {pid} ] && (sleep 0.003; kill -9 $1) & exec $real "$@"',
], ids=["before", "at-once", "within-2-ms", "within-3-ms"])
def test_death_in_the_middle_of_an_attach(tmp_path, script):
    with scene.target() as dying, scene.pair() as beside:
        wrapper = with_helper(tmp_path, script.format(pid=dying.pid))
        with scene.pagefoldd(dying, *beside, wrapper=wrapper) as daemon:
            wait_gone(daemon, dying)
            scene.wait_folded(daemon, *beside)
            assert not daemon.status()["host"]["blocked_by"]
            assert "err:" not in daemon.log()


@pytest.mark.parametrize("script, words", [
    ("kill -9 $$", ["was killed"]),
    ("exit 0", ["not the attach helper of this version"]),
    ("exec sleep 60", ["did not answer within"]),
    ("echo PFA1 nonsense >&3", ["not the attach helper of this version"]),
], ids=["killed", "mute", "hanging", "babbling"])
def test_attach_helper_that_fails_is_named_and_nobody_harmed(tmp_path, script, words):
    with scene.target() as process, scene.pair() as beside:
        wrapper = with_helper(tmp_path, f'[ $1 = {process.pid} ] || exec $real "$@"\n{script}')
        with scene.pagefoldd(process, *beside, wrapper=wrapper) as daemon:
            scene.wait_folded(daemon, *beside)
            scene.wait_state(daemon, process, "blocked", *words)
            scene.check_memory(process)


def test_attach_helper_that_is_missing_is_named(tmp_path):
    program = shutil.copy(paths.program("pagefoldd"), tmp_path)
    wrapper = ["sh", "-c", f"shift; exec {program} \"$@\"", "sh"]
    with scene.pair() as processes, scene.pagefoldd(*processes, wrapper=wrapper) as daemon:
        if not os.path.exists("/usr/libexec/pagefold/pagefold-attach"):
            for process in processes:
                scene.wait_state(daemon, process, "blocked", "pagefold-attach", "install it")


def test_death_of_a_process_while_it_is_released():
    with scene.target(mib=64) as dying, scene.pair() as beside, \
            scene.pagefoldd(dying, *beside) as daemon:
        scene.wait_folded(daemon, dying, *beside)
        release = children.start(
            [paths.program("pagefold"), "--socket", daemon.socket_path, "release",
             f"pid:{dying.pid}"], stderr=subprocess.PIPE, text=True)
        kill(dying)
        _, sentence = release.communicate(timeout=30)
        assert release.returncode == 0 or f"pid {dying.pid}" in sentence or "ended" in sentence
        wait_gone(daemon, dying)
        scene.wait_folded(daemon, *beside)
        check_clean(daemon)
