# SPDX-License-Identifier: GPL-2.0-or-later
"""What the host or the operator lets a daemon not do: one sentence, nothing touched, and on it goes as soon
as nothing is in the way any more."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import scene
from lab import children, ksm, marks, paths
from lab.daemon import Daemon, merge_policy

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")

WRONG_CONFIGURATIONS = [
    ("colour", "blue", 'there is no key "colour"'),
    ("cpu-percent", "0", "a number from 1 to 1000"),
    ("memory-max", "lots", "a number of bytes"),
    ("default-mode", "fold", "one of: merge, observe, off"),
    ("take-over", "maybe", "yes or no"),
    ("ksm-owner", "me", "auto, pagefold, stand-by"),
    ("active-group", "a b", "active-group"),
    ("policy-dir", "policy.d", "an absolute path"),
    ("metrics-listen", "localhost", "an address and a port"),
    ("metrics-listen", "0.0.0.0:9743", "an address of loopback only"),
    ("fold-when", "never", "takes always or pressure"),
    ("hook", "magic", "hook"),
]


def refused(daemon, status=1):
    """The log of a daemon that does not start."""
    daemon.start()
    assert daemon.wait(20) == status
    return daemon.log()


@pytest.mark.parametrize("key, value, sentence", WRONG_CONFIGURATIONS,
                         ids=[f"{key}={value}" for key, value, _ in WRONG_CONFIGURATIONS])
def test_wrong_configuration_is_refused_with_file_and_line(key, value, sentence):
    with contextlib.closing(Daemon(config={key: value})) as daemon:
        line = daemon.config_path.read_text().splitlines().index(f"{key} = {value}") + 1
        log = refused(daemon)
        assert f"{daemon.config_path}:{line}: " in log
        assert sentence in log
        # One sentence, and the end of it is no riddle.
        assert len(log.splitlines()) == 1
        assert not list(daemon.state_dir.iterdir())


@pytest.mark.parametrize("text, sentence", [
    ("[target x]\nmode = merge\n", "no match = line"),
    ("[target x]\nmatch = pid:0\nmode = merge\n", "is no process id"),
    ("[target x]\nmatch = exe:*\nmode = merge\nhook = magic\n", "hook"),
    ("[target x]\nmatch = pid:1\nmoode = merge\n", 'no key "moode"'),
])
def test_wrong_policy_file_is_refused_with_file_and_line(text, sentence):
    with contextlib.closing(Daemon(policies={"wrong.conf": text})) as daemon:
        log = refused(daemon)
        assert f"{daemon.policy_dir}/wrong.conf:" in log
        assert sentence in log


def test_unknown_feature_is_a_usage_error():
    with contextlib.closing(Daemon(arguments=["--disable-feature", "rings"])) as daemon:
        assert 'no feature "rings"' in refused(daemon, status=2)


def test_without_root_it_does_not_start(tmp_path):
    program, = scene.public_copies(tmp_path, paths.program("pagefoldd"))
    wrapper = [*scene.as_nobody(), "sh", "-c", f"shift; exec {program} \"$@\"", "sh"]
    with contextlib.closing(Daemon(wrapper=wrapper)) as daemon:
        assert "must run as root" in refused(daemon)


def test_unreadable_state_record_is_not_overwritten():
    with contextlib.closing(Daemon()) as daemon:
        record = daemon.state_dir / "state.json"
        record.write_text("{ \"half\": ")
        log = refused(daemon)
        assert str(record) in log and "move it away" in log
        refused(daemon)
        assert record.read_text() == "{ \"half\": "


def test_wrong_configuration_at_reload_leaves_the_old_one_and_what_is_folded(ksm_alone):
    with scene.pair() as processes, scene.pagefoldd(*processes) as daemon:
        scene.wait_folded(daemon, *processes)
        daemon.write_config({**scene.EAGER, "colour": "blue"})
        daemon.reload()
        assert 'there is no key "colour"' in daemon.log()
        assert "the old one stays" in daemon.log()
        daemon.wait_passes(2)
        scene.wait_folded(daemon, *processes)


def test_kernel_without_ksm_leaves_observing(ksm_alone, tmp_path):
    hide = [  # a mount namespace of its own, in which there is no /sys/kernel/mm/ksm
        "unshare", "--mount", "sh", "-c",
        f'mount --bind {tmp_path} /sys/kernel/mm/ksm && exec "$@"', "sh"]
    with scene.pair() as processes, scene.pagefoldd(*processes, wrapper=hide) as daemon:
        for process in processes:
            vm = scene.wait_state(daemon, process, "blocked", "this kernel has no KSM")
            assert vm["potential_bytes"] > 1 << 20
        status = daemon.status()
        assert status["host"]["ksm_driver"] == "none"
        assert any("no KSM" in sentence for sentence in status["host"]["blocked_by"])
        assert status["savings"]["metadata_bytes"] is None


def check_stands_by(daemon, processes, driver, *words):
    for process in processes:
        scene.wait_state(daemon, process, "blocked", *words)
    status = daemon.status()
    assert status["host"]["ksm_driver"] == driver
    assert len(status["host"]["blocked_by"]) == 1
    assert status["savings"]["potential_bytes"] > 1 << 20


def test_running_ksmd_is_left_to_its_owner(ksm_alone):
    ksm.write("run", 1)
    with scene.pair() as processes, scene.pagefoldd(*processes) as daemon:
        check_stands_by(daemon, processes, "other", "ksmd is running", "ksm-owner = pagefold")
        assert ksm.read("run") == "1"
        # Its owner stops it: from then on it is ours, until the end.
        ksm.write("run", 0)
        scene.wait_folded(daemon, *processes)
        ksm.write("run", 1)
        daemon.wait_for(lambda status: status["host"]["ksm_driver"] == "other")


def test_running_ksmd_is_taken_and_given_back_when_told_so(ksm_alone):
    knobs = {"run": 1, "pages_to_scan": 123, "sleep_millisecs": 77}
    ksm.apply(knobs)
    with scene.pair() as processes, \
            scene.pagefoldd(*processes, config={"ksm-owner": "pagefold"}) as daemon:
        scene.wait_folded(daemon, *processes)
        assert daemon.status()["host"]["ksm_driver"] == "pagefold"
        daemon.wait_passes(2)
        assert ksm.read("run") == "0"
        assert ksm.read("pages_to_scan") == "123"
    assert ksm.read("run") == "1"


@contextlib.contextmanager
def ksmtuned(directory, wrapper=()):
    program = shutil.copy("/bin/sleep", directory / "ksmtuned")
    process = children.start([*wrapper, program, 1000])
    try:
        while Path(f"/proc/{process.pid}/comm").read_text() != "ksmtuned\n":
            pass
        yield process
    finally:
        children.end(process)


def test_ksmtuned_is_left_alone_until_it_ends(ksm_alone, tmp_path):
    with scene.pair() as processes, ksmtuned(tmp_path) as tuner, \
            scene.pagefoldd(*processes) as daemon:
        check_stands_by(daemon, processes, "other", f"ksmtuned (pid {tuner.pid})",
                        "ksm-owner = pagefold")
        children.end(tuner)
        scene.wait_folded(daemon, *processes)


def test_ksmtuned_is_overruled_when_told_so(ksm_alone, tmp_path):
    with scene.pair() as processes, ksmtuned(tmp_path), \
            scene.pagefoldd(*processes, config={"ksm-owner": "pagefold"}) as daemon:
        scene.wait_folded(daemon, *processes)


def test_anybody_s_process_of_that_name_is_not_believed(ksm_alone, tmp_path):
    scene.public_copies(tmp_path)
    with scene.pair() as processes, ksmtuned(tmp_path, scene.as_nobody()), \
            scene.pagefoldd(*processes) as daemon:
        scene.wait_folded(daemon, *processes)


def test_stand_by_only_observes(ksm_alone):
    with scene.pair() as processes, \
            scene.pagefoldd(*processes, config={"ksm-owner": "stand-by"}) as daemon:
        check_stands_by(daemon, processes, "stand-by", "ksm-owner = stand-by")


def test_second_daemon_observes_and_goes_on_once_the_first_has_ended(ksm_alone):
    with scene.pair() as processes, scene.pagefoldd(*processes) as second_daemons_time:
        scene.wait_folded(second_daemons_time, *processes)
        with scene.pair() as others, scene.pagefoldd(*others) as daemon:
            check_stands_by(daemon, others, "another pagefold", "another pagefoldd on this host")


def test_second_daemon_in_the_same_directory_does_not_start(ksm_alone):
    with scene.pagefoldd() as daemon:
        with contextlib.closing(Daemon(directory=daemon.directory)) as second:
            log = refused(second)
            assert "another pagefoldd" in log and "of its own" in log
        assert daemon.status()["schema"] == 1


def ended_pid():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_pid_rule_whose_process_has_ended_is_named(ksm_alone):
    pid = ended_pid()
    with scene.pair() as beside, scene.pagefoldd(f"pid:{pid}", *beside) as daemon:
        scene.wait_folded(daemon, *beside)
        assert daemon.vm(pid) is None
        warnings = [text for text in daemon.status()["host"]["warnings"] if f"process {pid}" in text]
        assert len(warnings) == 1
        assert "has ended" in warnings[0] and "test.conf:1" in warnings[0]


def recycled(pid):
    """A target under a pid that somebody else had before."""
    if not os.access(LAST_PID, os.W_OK):
        pytest.skip("pids cannot be chosen: no kernel.ns_last_pid")
    for _ in range(100):
        LAST_PID.write_text(str(pid - 1))
        process = scene.target()
        if process.pid == pid:
            return process
        process.close()
    pytest.skip("somebody else always took the pid first")
    return None


def test_recycled_pid_is_not_the_process_that_was_meant(ksm_alone):
    with scene.pair() as beside, scene.target() as meant, \
            scene.pagefoldd(meant, *beside) as daemon:
        scene.wait_folded(daemon, meant, *beside)
        meant.close()
        daemon.wait_passes(2)
        assert daemon.vm(meant.pid) is None
        # A rule is of the second in which it was written.
        os.utime(daemon.policy_dir / "test.conf", (1, 1))
        beside_rules = merge_policy(*map(scene.match_text, beside))
        (daemon.policy_dir / "00.conf").write_text(beside_rules)
        daemon.reload()
        with recycled(meant.pid) as other:
            daemon.wait_passes(3)
            assert daemon.vm(other.pid) is None
            assert not marks.mergeable(other.pid)
            assert any(f"process {other.pid}" in text and "another" in text
                       for text in daemon.status()["host"]["warnings"])
            scene.check_memory(other)
        scene.wait_folded(daemon, *beside)


def test_memory_max_that_is_too_small_is_said_and_can_be_raised(ksm_alone):
    with scene.pair() as processes, \
            scene.pagefoldd(*processes, config={"memory-max": "4K"}) as daemon:
        status = daemon.wait_for(lambda status: status["host"]["warnings"])
        assert "memory-max is reached" in status["host"]["warnings"][0]
        daemon.wait_passes(2)
        daemon.write_config(scene.EAGER)
        daemon.reload()
        scene.wait_folded(daemon, *processes)
        assert not daemon.status()["host"]["warnings"]




def test_once_says_what_is_in_the_way_and_ends(ksm_alone):
    ksm.write("run", 1)
    with scene.pair() as processes:
        policies = {"test.conf": merge_policy(*map(scene.match_text, processes))}
        with contextlib.closing(Daemon(config=scene.EAGER, policies=policies, once=True)) as daemon:
            log = refused(daemon, status=0)
            assert "--once: ksmd is running and pagefold did not start it" in log
        assert ksm.read("run") == "1"


def test_config_check_says_the_same_beforehand(tmp_path):
    config = tmp_path / "pagefold.conf"
    for text, status, sentence in (("[pagefold]\ncolour = blue\n", 1, f"{config}:2: there is no key"),
                                   (f"[pagefold]\npolicy-dir = {tmp_path}/none\n", 0, "")):
        config.write_text(text)
        done = subprocess.run([paths.program("pagefold"), "config", "check", config], check=False,
                              capture_output=True, text=True)
        assert done.returncode == status
        assert sentence in done.stderr
