# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon as a service: what it says to its manager, its socket, its signals, and the operator's
commands."""

import contextlib
import os
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from lab import children, ksm, marks, paths, procs
from lab.daemon import Daemon, DaemonError, merge_policy

# default-mode: other virtual machines of this host are none of our business.
FAST = {"cpu-percent": 100, "scan-interval": 1, "settle-seconds": 0, "default-mode": "off"}
STILL = ("--hot-writes", "0", "--stray-writes", "0")
DONE, FAILED, USAGE, NOT_REACHABLE = range(4)


@pytest.fixture
def idle():
    """A daemon that leaves KSM alone and everybody out."""
    with Daemon(config={**FAST, "ksm-owner": "stand-by"}) as daemon:
        yield daemon


@pytest.fixture
def twins():
    with procs.memcheck("--mib", "16", *STILL) as one, procs.memcheck("--mib", "16", *STILL) as two:
        yield one, two


def folding(*targets, **keys):
    return Daemon(config={**FAST, **keys}, policies={
        "test.conf": merge_policy(*(f"pid:{target.pid}" for target in targets))})


def folded(*targets):
    def condition(status):
        states = {vm["pid"]: vm["state"] for vm in status["vms"]}
        return all(states.get(target.pid) == "folded" for target in targets)
    return condition


def of(status, *targets):
    """Of all on the host, what the status says of those."""
    pids = [target.pid for target in targets]
    return [vm for vm in status["vms"] if vm["pid"] in pids]


# ---- its manager ----


def test_manager_hears_of_start_reload_and_end(idle):
    assert idle.notified == ["READY=1"]
    idle.notified = []
    idle.process.send_signal(signal.SIGHUP)
    idle.wait_notified("READY=1")
    # Without the time of its beginning an earlier READY would do for the end of this reload.
    assert idle.notified[0] == "RELOADING=1"
    assert any(line.startswith("MONOTONIC_USEC=") for line in idle.notified)
    idle.process.terminate()
    with contextlib.suppress(DaemonError):
        idle.wait_notified("STOPPING=1", 10)
    assert "STOPPING=1" in idle.notified
    assert idle.wait(10) == 0


def test_watchdog_is_fed_in_time():
    period = 1
    with Daemon(config={**FAST, "ksm-owner": "stand-by"},
                environment={"WATCHDOG_USEC": str(int(period * 1e6))}) as daemon:
        began = time.monotonic()
        for _ in range(4):
            daemon.notified = []
            daemon.wait_notified("WATCHDOG=1", period)
        assert time.monotonic() - began < 4 * period


def test_without_a_watchdog_nobody_is_fed(idle):
    idle.wait_passes(2)
    idle.notified = []
    with pytest.raises(DaemonError, match="no WATCHDOG=1"):
        idle.wait_notified("WATCHDOG=1", 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_at_once_when_asked(idle, number):
    idle.process.send_signal(number)
    assert idle.wait(2) == 0
    assert not idle.socket_path.exists()


# ---- its configuration ----


def test_reload_takes_a_new_policy(ksm_alone, twins):
    one, two = twins
    with folding(one) as daemon:
        daemon.wait_passes(2)
        assert daemon.vm(two.pid) is None
        daemon.write_policy("more.conf", merge_policy(f"pid:{two.pid}"))
        daemon.reload()
        daemon.wait_for(folded(one, two), 30)
        # Switched off: what was folded is released.
        daemon.write_policy("more.conf", "[target two]\n"
                            f"match = pid:{two.pid}\nmode = off\n")
        daemon.reload()
        daemon.wait_for(lambda _: not marks.mergeable(two.pid) and not marks.ksm_bytes(two.pid), 30)
        daemon.wait_passes(1)
        assert daemon.vm(two.pid)["state"] == "off"
        assert daemon.vm(one.pid)["state"] in ("folded", "waiting")


def test_policy_that_switches_to_observe_keeps_what_is_folded(ksm_alone, twins):
    with folding(*twins) as daemon:
        before = daemon.wait_for(folded(*twins), 30)["savings"]["reclaimed_bytes"]
        text = (daemon.policy_dir / "test.conf").read_text()
        daemon.write_policy("test.conf", text.replace("mode = merge", "mode = observe"))
        daemon.reload()
        daemon.wait_passes(3)
        status = daemon.status()
        assert status["savings"]["reclaimed_bytes"] == pytest.approx(before, rel=0.01)
        vms = of(status, *twins)
        assert {(vm["mode"], vm["state"]) for vm in vms} == {("observe", "folded")}
        assert "observe" in vms[0]["reason"]


def test_process_without_a_policy_any_more_is_released_and_forgotten(ksm_alone, twins):
    with folding(*twins) as daemon:
        daemon.wait_for(folded(*twins), 30)
        (daemon.policy_dir / "test.conf").unlink()
        daemon.reload()
        daemon.wait_for(lambda status: not of(status, *twins), 30)
        for target in twins:
            assert not marks.mergeable(target.pid) and not marks.ksm_bytes(target.pid)
            assert not marks.recorded(daemon.state_dir, target.pid)
            target.wait_rounds(1)


@pytest.mark.parametrize("what", ["config", "policy"])
def test_wrong_new_configuration_keeps_the_old_one(idle, what):
    if what == "config":
        path = idle.config_path
        path.write_text(path.read_text() + "scan-intervall = 3\n")
        where = f"{path}:{len(path.read_text().splitlines())}: "
    else:
        idle.write_policy("bad.conf", "[target x]\nmatch = pid:1\ngrup = web\n")
        where = f"{idle.policy_dir}/bad.conf:3: "
    idle.reload()
    assert idle.alive()
    assert where in idle.log() and "the old one stays" in idle.log()
    idle.wait_passes(2)


# ---- pause ----


def wait_until(condition, seconds):
    """How long it took; a burst is over in less time than a status takes to ask for."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + seconds
    return time.monotonic() - began


def test_pause_in_the_middle_of_a_burst_stops_ksmd_at_once(ksm_alone):
    # At 2 % of a core a burst over 64 MiB takes seconds.
    with procs.memcheck("--mib", "32", *STILL) as one, procs.memcheck("--mib", "32", *STILL) as two:
        with folding(one, two, **{"cpu-percent": 2, "stall-budget-ms": 1}) as daemon:
            wait_until(lambda: ksm.read("run") == "1", 60)
            time.sleep(0.3)
            assert ksm.read("run") == "1"
            began = time.monotonic()
            assert daemon.cli_run("pause").returncode == DONE
            wait_until(lambda: ksm.read("run") == "0", 5)
            assert time.monotonic() - began < 0.5
            status = daemon.status()
            assert status["host"]["paused"] is True
            daemon.wait_passes(3)
            assert ksm.read("run") == "0"
            some = marks.private_bytes(one.pid, two.pid)
            assert daemon.cli_run("resume").returncode == DONE
            wait_until(lambda: ksm.read("run") == "1", 10)
            daemon.wait_for(lambda _: marks.private_bytes(one.pid, two.pid) < some - (1 << 20), 60)
            # The end does not wait for a burst either.
            began = time.monotonic()
            assert daemon.stop() == 0
            assert time.monotonic() - began < 1.5
            assert ksm.read("run") == "0"


def test_pause_keeps_what_is_folded(ksm_alone, twins):
    with folding(*twins) as daemon:
        before = daemon.wait_for(folded(*twins), 30)["savings"]["reclaimed_bytes"]
        daemon.cli("pause")
        daemon.wait_passes(2)
        status = daemon.status()
        assert status["savings"]["reclaimed_bytes"] == pytest.approx(before, rel=0.01)
        for vm in of(status, *twins):
            assert vm["state"] == "folded" and vm["reason"].startswith("paused")


# ---- its socket and the command line ----


def test_socket_is_for_root_and_its_group_only(idle):
    mode = idle.socket_path.stat()
    assert stat.S_ISSOCK(mode.st_mode)
    assert stat.S_IMODE(mode.st_mode) == 0o660
    assert mode.st_uid == 0
    assert stat.S_IMODE(idle.state_dir.stat().st_mode) & 0o022 == 0


def test_record_is_readable_by_root_only(idle):
    assert idle.cli_run("pause").returncode == DONE
    assert stat.S_IMODE((idle.state_dir / "state.json").stat().st_mode) == 0o600


def as_nobody(*command):
    return children.subprocess.run(
        ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *map(str, command)],
        capture_output=True, text=True, timeout=30, check=False)


def test_nobody_else_gets_an_answer(idle):
    for path in (idle.directory, idle.runtime_dir):
        os.chmod(path, 0o755)
    script = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])")
    done = as_nobody("/usr/bin/python3", "-c", script, idle.socket_path)
    assert "PermissionError" in done.stderr


def test_group_may_look_but_not_change(idle):
    """As if a group pagefold existed: the socket is opened to everybody, peers are judged."""
    for path in (idle.directory, idle.runtime_dir):
        os.chmod(path, 0o755)
    os.chmod(idle.socket_path, 0o666)
    script = ("import socket, sys\n"
              "s = socket.socket(socket.AF_UNIX)\n"
              "s.connect(sys.argv[1])\n"
              "s.sendall(sys.argv[2].encode() + b' HTTP/1.1\\r\\nHost: x\\r\\n'\n"
              "          b'Connection: close\\r\\nContent-Length: 0\\r\\n\\r\\n')\n"
              "print(s.recv(4096).decode())")
    look = as_nobody("/usr/bin/python3", "-c", script, idle.socket_path, "GET /v1/status")
    assert " 200 " in look.stdout, look
    change = as_nobody("/usr/bin/python3", "-c", script, idle.socket_path, "POST /v1/pause")
    assert " 403 " in change.stdout, change
    assert idle.status()["host"]["paused"] is False


def test_second_daemon_on_the_same_socket_refuses_to_start(idle):
    with Daemon(config={"ksm-owner": "stand-by"}) as other:
        other.stop()
        other.arguments = ["--runtime-dir", idle.runtime_dir]
        other.start()
        assert other.wait(10) == 1
        assert "another pagefoldd answers there" in other.log()
    assert idle.status()["schema"] == 1


def test_second_daemon_with_the_same_record_refuses_to_start(idle):
    """It would take the folds that it was not asked for for those of a policy that is gone."""
    with Daemon(config={"ksm-owner": "stand-by"}) as other:
        other.stop()
        other.arguments = ["--state-dir", idle.state_dir]
        other.start()
        assert other.wait(10) == 1
        assert f"keeps its record in {idle.state_dir}" in other.log()
    idle.wait_passes(1)


def test_stale_socket_of_a_killed_daemon_is_taken_over(idle):
    idle.kill()
    assert idle.socket_path.exists()
    idle.start()
    assert idle.wait_ready().status()["schema"] == 1


def test_exit_status_tells_what_happened(idle):
    assert idle.cli_run("status").returncode == DONE
    assert idle.cli_run("show", "pid:1").returncode == FAILED
    assert idle.cli_run("release").returncode == USAGE
    assert idle.cli_run("set", "web1", "merge").returncode == USAGE
    assert idle.cli_run("frobnicate").returncode == USAGE
    idle.stop()
    gone = idle.cli_run("status")
    assert gone.returncode == NOT_REACHABLE
    assert str(idle.socket_path) in gone.stderr


def test_socket_is_found_by_the_environment(idle):
    done = children.subprocess.run(
        [str(paths.program("pagefold")), "status"], capture_output=True, text=True, check=False,
        env={**os.environ, "PAGEFOLD_SOCKET": str(idle.socket_path)})
    assert done.returncode == DONE, done.stderr


def test_config_check_says_what_a_start_would_say(idle):
    def check():
        return children.subprocess.run(
            [str(paths.program("pagefold")), "config", "check", str(idle.config_path)],
            capture_output=True, text=True, check=False)

    good = check()
    assert good.returncode == DONE, good.stderr
    idle.config_path.write_text(idle.config_path.read_text() + "hook = rong\n")
    bad = check()
    assert bad.returncode == FAILED
    assert f"{idle.config_path}:{len(idle.config_path.read_text().splitlines())}: " in bad.stderr


# ---- the operator's commands on real targets ----


def test_set_folds_a_virtual_machine_and_switches_it_off_again(ksm_alone, lab):
    web1, web2 = lab.boot("web1", "web2", memory_mib=256)
    names = {"web1": web1.pid, "web2": web2.pid}
    with Daemon(config={**FAST, "default-mode": "observe"}) as daemon:
        daemon.wait_passes(2)
        assert {daemon.vm(pid)["state"] for pid in names.values()} == {"observed"}
        assert all(not marks.mergeable(pid) for pid in names.values())
        for name in names:
            answer = daemon.cli("set", name, "mode=merge", "group=web")
            assert (answer["mode"], answer["group"]) == ("merge", "web")
        daemon.wait_for(folded(web1, web2), 60)
        shown = daemon.cli("show", "web1")
        assert shown["uuid"] == web1.uuid and shown["kind"] == "vm" and shown["group"] == "web"
        assert shown["reclaimed_bytes"] > 8 << 20
        # Kept where an operator finds it, and good after a restart.
        kept = (daemon.policy_dir / "00-set.conf").read_text()
        assert web1.uuid in kept and web2.uuid in kept
        daemon.cli("set", web2.uuid, "mode=off")
        daemon.wait_for(lambda _: not marks.mergeable(web2.pid), 60)
        daemon.wait_passes(1)
        assert daemon.vm(web2.pid)["state"] == "off" and not marks.ksm_bytes(web2.pid)
        for vm in (web1, web2):
            assert vm.run("echo alive") == "alive\n"


def test_set_of_a_pid_means_the_process_that_has_it_now(idle):
    """The file is written anew for each; who has ended since, and whose pid is another one's, stays out."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with procs.memcheck("--mib", "4") as one, procs.memcheck("--mib", "4") as two, \
            procs.memcheck("--mib", "4") as successor:
        idle.write_policy("test.conf", merge_policy(f"pid:{one.pid}", f"pid:{two.pid}").replace(
            "mode = merge", "mode = observe"))
        # Of somebody who had the successor's pid before.
        idle.write_policy("00-set.conf", f"[target a]\nmatch = pid:{successor.pid}@1/{boot}\nmode = observe\n")
        idle.reload()
        idle.wait_for(lambda _: idle.vm(one.pid) and idle.vm(two.pid))
        for target in (one, two):
            idle.cli("set", f"pid:{target.pid}", "mode=observe", "group=web")
            kept = (idle.policy_dir / "00-set.conf").read_text()
            ticks = Path(f"/proc/{target.pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
            assert f"match = pid:{target.pid}@{ticks}/{boot}\n" in kept
        idle.wait_for(lambda _: idle.vm(one.pid)["group"] == idle.vm(two.pid)["group"] == "web")
        warning, = idle.wait_for(lambda status: status["host"]["warnings"])["host"]["warnings"]
        assert f"process {successor.pid} is another one by now" in warning
        assert idle.vm(successor.pid) is None
        checked = subprocess.run([paths.program("pagefold"), "config", "check", idle.config_path],
                                 check=False)
        assert checked.returncode == DONE


def test_set_beside_a_broken_file_changes_nothing_and_says_why(idle):
    with procs.memcheck("--mib", "4") as target:
        idle.write_policy("test.conf", merge_policy(f"pid:{target.pid}").replace("merge", "observe", 1))
        idle.reload()
        idle.wait_for(lambda _: idle.vm(target.pid))
        kept = idle.policy_dir / "00-set.conf"
        for before in (None, f"# mine\n[target a]\nmatch = pid:{target.pid}\n"):
            if before:
                kept.write_text(before)
            idle.write_policy("zz.conf", "[target b]\ncolour = red\n")
            done = idle.cli_run("set", f"pid:{target.pid}", "mode=off")
            assert done.returncode == FAILED
            for words in ("Not set", "zz.conf:2", "colour", "00-set.conf is as it was before"):
                assert words in done.stderr
            assert (kept.read_text() if kept.exists() else None) == before
            idle.wait_passes(2)
            assert idle.vm(target.pid)["mode"] == "observe"
            (idle.policy_dir / "zz.conf").unlink()
        idle.cli("set", f"pid:{target.pid}", "mode=off")
        idle.wait_for(lambda _: (idle.vm(target.pid) or {"mode": "off"})["mode"] == "off")


def test_knobs_are_given_back_as_soon_as_the_daemon_is_told_to_stand_by(ksm_alone, twins):
    # ksmd runs as somebody has set it; between the bursts it rests, and that is owed.
    ksm.apply({"pages_to_scan": 123, "sleep_millisecs": 45, "run": 1})
    before = ksm.knobs()
    with folding(*twins, **{"ksm-owner": "pagefold"}) as daemon:
        daemon.wait_for(folded(*twins), 60)
        daemon.wait_for(lambda _: ksm.read("run") == "0")
        daemon.write_config({**FAST, "ksm-owner": "stand-by"})
        daemon.reload()
        daemon.wait_for(lambda status: status["host"]["ksm_driver"] == "stand-by")
        assert ksm.knobs() == before
        ksm.write("run", 0)
        assert daemon.stop() == 0
        # The end is not one more time to give back.
        assert ksm.read("run") == "0"


def test_set_refuses_what_a_policy_file_refuses(idle):
    with procs.memcheck("--mib", "4") as target:
        idle.write_policy("test.conf", merge_policy(f"pid:{target.pid}"))
        idle.reload()
        idle.wait_passes(2)
        for words in (("mode=fold",), ("group=a b",), ("colour=red",)):
            done = idle.cli_run("set", f"pid:{target.pid}", *words)
            assert done.returncode == FAILED and done.stderr, words
        assert not (idle.policy_dir / "00-set.conf").exists()


def test_release_of_one_leaves_the_other_and_frees_nothing_twice(ksm_alone, twins):
    one, two = twins
    with folding(one, two) as daemon:
        daemon.wait_for(folded(one, two), 30)
        assert daemon.cli_run("release", f"pid:{one.pid}").returncode == DONE
        vm = daemon.vm(one.pid)
        assert vm["state"] == "released" and vm["reclaimed_bytes"] == 0
        assert "pagefold set" in vm["reason"]
        assert not marks.mergeable(one.pid) and not marks.ksm_bytes(one.pid)
        assert marks.mergeable(two.pid)
        assert daemon.cli_run("release", f"pid:{one.pid}").returncode == DONE
        assert daemon.cli_run("release", "--all").returncode == DONE
        assert not marks.mergeable(two.pid) and not marks.ksm_bytes(two.pid)
        daemon.wait_passes(3)
        assert {vm["state"] for vm in of(daemon.status(), *twins)} == {"released"}
        for target in twins:
            target.wait_rounds(1)


def test_release_of_a_process_that_has_ended_is_an_error(idle):
    with procs.memcheck("--mib", "4") as target:
        idle.write_policy("test.conf", merge_policy(f"pid:{target.pid}"))
        idle.reload()
        idle.wait_passes(2)
    done = idle.cli_run("release", f"pid:{target.pid}")
    assert done.returncode == FAILED and done.stderr
    idle.wait_passes(2)
    assert idle.vm(target.pid) is None


def test_nothing_is_written_outside_of_its_directories(idle):
    idle.cli_run("pause")
    names = {str(path.relative_to(idle.directory)) for path in Path(idle.directory).rglob("*")}
    assert names == {"run", "run/api.sock", "state", "state/state.json", "policy.d",
                     "pagefold.conf", "log", "notify"}
