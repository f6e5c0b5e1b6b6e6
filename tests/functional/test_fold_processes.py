# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes that a policy names are folded, and what is said to have come back has come back."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lab import host, ksm, marks, paths, procs
from lab.daemon import Daemon, merge_policy

# As fast as it goes: what a test of the budgets would slow down.
# default-mode: other virtual machines of this host are none of our business.
FAST = {"cpu-percent": 100, "scan-interval": 1, "settle-seconds": 0, "default-mode": "off"}
PAGE = host.PAGE
MIB = 1 << 20
# What a process does besides (its stack, its heap), and what the kernel keeps in per-CPU batches.
SLACK = 300 * PAGE
# Checkers that check only, so that nothing of what is folded breaks between two looks.
STILL = ("--hot-writes", "0", "--stray-writes", "0")


def near(value, expected):
    return abs(value - expected) <= max(expected * 0.02, SLACK)


def all_folded(*pids):
    """Of those pids: folded, and nothing to speak of left to fold."""
    def condition(status):
        vms = {vm["pid"]: vm for vm in status["vms"]}
        return all(pid in vms and vms[pid]["state"] == "folded" and
                   (vms[pid]["potential_bytes"] or 0) < 64 * PAGE for pid in pids)
    return condition


def of(status, *pids):
    """Of all on the host, what the status says of those."""
    return [vm for vm in status["vms"] if vm["pid"] in pids]


def reclaimed(status, *pids):
    return sum(vm["reclaimed_bytes"] for vm in of(status, *pids))


@contextlib.contextmanager
def cgroup():
    """A memory cgroup of its own: (its directory, its name in /proc/PID/cgroup)."""
    for mounted in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup"):
        if (Path(mounted) / "memory.stat").exists() or \
                (Path(mounted) / "cgroup.subtree_control").exists():
            break
    else:
        pytest.skip("no memory cgroups on this host")
    name = f"pagefold-test-{os.getpid()}"
    directory = Path(mounted) / name
    directory.mkdir()
    try:
        if not (directory / "memory.stat").exists():
            pytest.skip("the memory controller is not enabled for child cgroups")
        yield directory, f"/{name}"
    finally:
        # What was in it has ended, but may not be gone yet.
        for _ in range(100):
            with contextlib.suppress(OSError):
                directory.rmdir()
                break
            time.sleep(0.05)


def cgroup_anon_bytes(directory):
    fields = dict(line.split() for line in (directory / "memory.stat").read_text().splitlines())
    return int(fields.get("total_rss", fields.get("anon")))


def folded_and_measured(pids, measure=marks.private_bytes):
    """Folds those processes: the status, and by how much what is measured fell."""
    policy = merge_policy(*(f"pid:{pid}" for pid in pids))
    with Daemon(config={**FAST, "settle-seconds": 1}, policies={"test.conf": policy}) as daemon:
        before = measure(*pids)
        daemon.wait_for(all_folded(*pids), 60)
        fall = before - measure(*pids)
        return daemon.status(), fall


def test_plain_processes_give_back_what_their_pss_falls_by(ksm_alone):
    with procs.memcheck("--mib", "32", *STILL) as one, procs.memcheck("--mib", "32", *STILL) as two:
        pids = [one.pid, two.pid]
        status, pss_fall = folded_and_measured(pids)
        one.wait_rounds(1)
        two.wait_rounds(1)
    # A fifth of 64 MiB is zero pages, and of the three tenths that are twins 64 frames stay.
    assert reclaimed(status, *pids) > 30 * MIB
    assert near(reclaimed(status, *pids), pss_fall)
    savings = status["savings"]
    assert savings["reclaimed_bytes"] == reclaimed(status, *pids)
    assert 10 * MIB < savings["reclaimed_zero_bytes"] < 16 * MIB
    assert savings["net_bytes"] == savings["reclaimed_bytes"] - savings["metadata_bytes"]
    for vm in of(status, *pids):
        assert (vm["kind"], vm["state"], vm["mode"], vm["hook"]) == \
            ("process", "folded", "merge", "ring")
        assert vm["reason"] is None


def test_host_has_as_many_anonymous_pages_less(ksm_alone):
    """Within 1 %, a server that forks among them."""
    if os.environ.get("PAGEFOLD_SANITIZED"):
        pytest.skip("a daemon under AddressSanitizer moves AnonPages by its own memory")
    for _ in range(3):
        large = ("--mib", "160", "--pause-ms", "200", *STILL)
        with procs.memcheck(*large) as one, procs.memcheck(*large) as two, \
                procs.prefork(3, 32, 16) as server:
            pids = [one.pid, two.pid, *server.workers]
            status, fall = folded_and_measured(pids, host.anon_bytes_without)
            if fall == pytest.approx(reclaimed(status, *pids), rel=0.01):
                return
            idle = [host.anon_bytes_without(*pids) for _ in range(4)]
    if max(idle) - min(idle) > SLACK:
        pytest.skip("other work on this host moves AnonPages by more than may be missing")
    assert fall == reclaimed(status, *pids)


def test_known_twins_come_back_to_the_page(ksm_alone):
    specs = ("z*300", "c1*200", "c2*100", "r100*300", "u*124", "--scatter", "7")
    with procs.twins(*specs) as a, procs.twins(*specs) as b:
        pids = [a.pid, b.pid]
        status, pss_fall = folded_and_measured(pids)
    # 600 zero pages; 600 twins of two contents, 600 of 300.
    saved = 600 + (600 - 2) + (600 - 300)
    assert near(pss_fall, saved * PAGE)
    # Pages that ksmd gave up (busy at the wrong moment) may be missing, never some too many.
    assert (saved - 16) * PAGE <= reclaimed(status, *pids) <= saved * PAGE
    assert status["savings"]["reclaimed_zero_bytes"] == pytest.approx(600 * PAGE, rel=0.02)
    # 200 + 100 in each of them have all but one of each content as twins within, and half a page without.
    savings = status["savings"]
    assert savings["reclaimed_self_bytes"] == pytest.approx(2 * (199 + 99) * PAGE, abs=16 * PAGE)
    assert savings["reclaimed_cross_bytes"] == pytest.approx((2 + 300) * PAGE, abs=16 * PAGE)
    for books in [savings, *of(status, *pids)]:
        assert books["reclaimed_bytes"] == books["reclaimed_zero_bytes"] + \
            books["reclaimed_self_bytes"] + books["reclaimed_cross_bytes"]
        assert books["exposure_bytes"] == books["reclaimed_bytes"]
        assert books["predicted_bytes"] == pytest.approx(books["reclaimed_bytes"], abs=16 * PAGE)
        assert books["delivered_bytes"] == books["reclaimed_bytes"]
        assert -2 < books["prediction_error_percent"] < 2


@pytest.mark.parametrize("whom", ["parent", "family"])
def test_forked_server_gives_back_what_the_pss_of_all_falls_by(ksm_alone, whom):
    """What workers share by fork is nobody's saving, before and after."""
    with procs.prefork(3, 32, 16) as server:
        family = [server.pid, *server.workers]
        targets = family if whom == "family" else [server.pid]
        policy = merge_policy(*(f"pid:{pid}" for pid in targets))
        with Daemon(config=FAST, policies={"test.conf": policy}) as daemon:
            pss = marks.private_bytes(*family)
            status = daemon.wait_for(
                lambda now: now["pass"]["number"] >= 6 and not plan_folds(daemon), 60)
            pss_fall = pss - marks.private_bytes(*family)
        assert server.check() == 0
    if whom == "family":
        # The workers' own twins: half of 16 MiB each, in 32 contents, at the least.
        assert reclaimed(status, *family) > 20 * MIB
    assert near(reclaimed(status, *family), pss_fall)


# Memory of twins; "fork" starts a child that keeps all of it.
FORKER = """
import mmap, os, sys, time
memory = mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in range(2048):
    memory[page * 4096:page * 4096 + 4096] = b"%08d" % (page % 64) * 512
print("ready", os.getpid(), 0, 8 << 20, flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        time.sleep(600)
    print(child, flush=True)
"""


@contextlib.contextmanager
def forked_child(parent):
    child = int(parent.ask("fork"))
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("how", ["release", "off", "restart", "parent ends"])
def test_what_a_folded_process_forks_is_undone_with_it(ksm_alone, tmp_path, how):
    with procs.Target(["/usr/bin/python3", "-c", FORKER]) as parent:
        policy = merge_policy(f"pid:{parent.pid}")
        with Daemon(config=FAST, policies={"test.conf": policy}, directory=tmp_path) as daemon, \
                contextlib.ExitStack() as stack:
            saved = reclaimed(daemon.wait_for(all_folded(parent.pid), 30), parent.pid)
            child = stack.enter_context(forked_child(parent))
            daemon.wait_for(lambda _: marks.recorded(daemon.state_dir, child))
            assert not marks.unrecorded(daemon.state_dir, child)
            # While its parent has them, its folds stay; and they are nobody's saving.
            daemon.wait_passes(3)
            assert marks.ksm_bytes(child) and daemon.vm(child)["mode"] == "observe"
            assert daemon.vm(child)["reclaimed_bytes"] == 0
            assert reclaimed(daemon.status(), parent.pid) == pytest.approx(saved, abs=16 * PAGE)
            if how == "restart":
                daemon.kill()
                daemon.start()
                daemon.wait_ready()
                daemon.wait_passes(2)
                assert marks.ksm_bytes(child) and not marks.unrecorded(daemon.state_dir, child)
            if how == "parent ends":
                parent.close()
            elif how == "off":
                daemon.write_policy("test.conf", policy.replace("mode = merge", "mode = off"))
                daemon.reload()
            else:
                daemon.cli("release", f"pid:{parent.pid}")
            daemon.wait_for(lambda _: not marks.mergeable(child))
            assert not marks.ksm_bytes(child) and os.path.exists(f"/proc/{child}")
            daemon.wait_for(lambda _: not marks.recorded(daemon.state_dir, child) and not daemon.vm(child))


def test_child_that_comes_to_be_asked_for_saves_nothing_by_what_it_has_from_its_parent(ksm_alone, tmp_path):
    with procs.Target(["/usr/bin/python3", "-c", FORKER]) as parent, \
            Daemon(config=FAST, policies={"test.conf": merge_policy(f"pid:{parent.pid}")},
                   directory=tmp_path) as daemon:
        saved = reclaimed(daemon.wait_for(all_folded(parent.pid), 30), parent.pid)
        with forked_child(parent) as child:
            daemon.write_policy("more.conf", merge_policy(f"pid:{child}"))
            daemon.reload()
            daemon.wait_for(lambda _: (vm := daemon.vm(child)) and vm["mode"] == "merge" and
                            vm["state"] == "folded")
            for again in (False, True):
                if again:
                    daemon.kill()
                    daemon.start()
                    daemon.wait_ready()
                status = daemon.wait_passes(3)
                assert reclaimed(status, parent.pid, child) == pytest.approx(saved, abs=128 * PAGE)
                # But both may write to all of it.
                exposure = sum(vm["exposure_bytes"] for vm in of(status, parent.pid, child))
                assert exposure > 1.8 * saved


# Shares nothing with its parent, and marks its memory itself when it is told to.
SELF_MARKER = FORKER.replace("for line in", """import signal
signal.signal(signal.SIGUSR1, lambda *_: memory.madvise(mmap.MADV_MERGEABLE))
for line in""").replace("    if child == 0:", """    if child == 0:
        memory.madvise(mmap.MADV_DONTNEED)""")


def test_child_that_marked_itself_is_never_taken_for_an_heir(ksm_alone):
    """It was there before its parent was folded, and marks the same addresses afterwards."""
    with procs.Target(["/usr/bin/python3", "-c", SELF_MARKER]) as parent, forked_child(parent) as child, \
            Daemon(config=FAST, policies={"test.conf": merge_policy(f"pid:{parent.pid}")}) as daemon:
        daemon.wait_for(all_folded(parent.pid), 30)
        assert not marks.mergeable(child)
        os.kill(child, signal.SIGUSR1)
        blocked = daemon.wait_for(lambda status: status["host"]["blocked_by"])["host"]["blocked_by"]
        assert len(blocked) == 1 and f"(pid {child})" in blocked[0]
        daemon.cli("release", f"pid:{parent.pid}")
        daemon.wait_passes(2)
        assert marks.mergeable(child) and not marks.recorded(daemon.state_dir, child)


def test_process_that_forks_when_it_is_folded_stands_in_nobodys_way(ksm_alone):
    """The child inherits the marks, though nobody named it."""
    with procs.Target(["/usr/bin/python3", "-c", FORKER]) as parent, \
            procs.memcheck("--mib", "8", *STILL) as other:
        policy = merge_policy(f"pid:{parent.pid}")
        with Daemon(config=FAST, policies={"test.conf": policy}) as daemon:
            daemon.wait_for(all_folded(parent.pid), 30)
            child = int(parent.ask("fork"))
            try:
                assert marks.mergeable(child)
                daemon.write_policy("more.conf", merge_policy(f"pid:{other.pid}"))
                daemon.reload()
                daemon.wait_for(all_folded(parent.pid, other.pid), 30)
                assert daemon.status()["host"]["blocked_by"] == []
            finally:
                os.kill(child, signal.SIGKILL)


def plan_folds(daemon):
    return [entry for entry in daemon.cli("plan")["entries"] if entry["action"] == "fold"]


def test_processes_are_chosen_by_their_executable(ksm_alone):
    exe = os.path.realpath(paths.guest_program("memcheck"))
    with procs.memcheck("--mib", "16", *STILL) as one, \
            procs.memcheck("--mib", "16", *STILL) as two, procs.twins("z*1024") as other:
        with Daemon(config=FAST, policies={"test.conf": merge_policy(f"exe:{exe}")}) as daemon:
            daemon.wait_for(all_folded(one.pid, two.pid), 60)
            assert daemon.vm(other.pid) is None
        assert not marks.mergeable(other.pid)


def test_processes_are_chosen_by_their_cgroup_and_it_is_charged_less(ksm_alone):
    with cgroup() as (directory, name):
        def enter():
            (directory / "cgroup.procs").write_text(str(os.getpid()))

        with procs.memcheck("--mib", "16", *STILL, preexec_fn=enter) as one, \
                procs.memcheck("--mib", "16", *STILL, preexec_fn=enter) as two, \
                procs.memcheck("--mib", "16", *STILL) as outside:
            before = cgroup_anon_bytes(directory)
            policy = merge_policy(f"cgroup:{name}")
            with Daemon(config=FAST, policies={"test.conf": policy}) as daemon:
                status = daemon.wait_for(all_folded(one.pid, two.pid), 60)
                assert daemon.vm(outside.pid) is None
                # What is charged in batches is given back when nobody charges any more.
                fall = before - cgroup_anon_bytes(directory)
    assert near(fall, reclaimed(status, one.pid, two.pid))


def test_new_twins_are_folded_later_and_broken_ones_are_not_counted(ksm_alone):
    with procs.memcheck("--mib", "16", *STILL) as one, procs.memcheck("--mib", "16", *STILL) as two:
        pids = [one.pid, two.pid]
        # Little by little: else an extent waits until it is worth another burst.
        policy = merge_policy(*(f"pid:{pid}" for pid in pids), hugepages="fold")
        with Daemon(config=FAST, policies={"test.conf": policy}) as daemon:
            before = reclaimed(daemon.wait_for(all_folded(*pids), 60), *pids)
            pss = marks.private_bytes(*pids)
            daemon.cli("pause")
            # A rewritten page is a zero page, a twin or neither, as likely as before.
            one.write(1500)
            one.wait_rounds(1)
            broken = marks.private_bytes(*pids) - pss
            daemon.wait_passes(2)
            now = reclaimed(daemon.status(), *pids)
            assert broken > MIB and near(before - now, broken)
            daemon.cli("resume")
            daemon.wait_for(lambda status: reclaimed(status, *pids) > now + broken // 2, 60)


def test_what_was_released_folds_again_as_soon_as_it_is_asked_for(ksm_alone):
    """It is read twice anew then, and does not wait for the visit that is due after a long rest."""
    with procs.twins("r1*2000") as one, procs.twins("r1*2000") as two:
        match = [f"pid:{one.pid}", f"pid:{two.pid}"]
        with Daemon(config={**FAST, "scan-interval": 300}, policies={"test.conf": merge_policy(*match)}) as daemon:
            daemon.wait_for(all_folded(one.pid, two.pid))
            for _ in range(2):
                # They are read once more after the burst: the next visit is hours away then.
                daemon.reload()
                daemon.wait_passes(1)
                daemon.cli("release", match[0])
                daemon.cli("set", match[0], "mode=merge")
                status = daemon.wait_for(all_folded(one.pid, two.pid))
                assert near(reclaimed(status, one.pid, two.pid), 2000 * PAGE)


def test_second_daemon_on_the_host_only_observes_and_says_so(ksm_alone):
    with procs.memcheck("--mib", "16", *STILL) as one, procs.memcheck("--mib", "16", *STILL) as two:
        policy = merge_policy(f"pid:{one.pid}", f"pid:{two.pid}")
        with Daemon(config=FAST, policies={"test.conf": policy}) as first:
            first.wait_for(all_folded(one.pid, two.pid), 60)
            with Daemon(config=FAST, policies={"test.conf": policy}) as second:
                second.wait_passes(3)
                status = second.status()
                assert status["host"]["ksm_driver"] == "another pagefold"
                assert any("only observes" in text for text in status["host"]["blocked_by"])
                vms = of(status, one.pid, two.pid)
                assert [vm["state"] for vm in vms] == ["blocked", "blocked"]
                assert "only observes" in vms[0]["reason"]
                assert not marks.recorded(second.state_dir, one.pid)
            assert first.status()["host"]["ksm_driver"] == "pagefold"
            assert first.status()["host"]["blocked_by"] == []


def test_once_ends_by_itself_and_leaves_the_folds(ksm_alone):
    before = ksm.knobs()
    with procs.memcheck("--mib", "16", *STILL) as one, procs.memcheck("--mib", "16", *STILL) as two:
        pss = marks.private_bytes(one.pid, two.pid)
        policy = merge_policy(f"pid:{one.pid}", f"pid:{two.pid}")
        with Daemon(config=FAST, policies={"test.conf": policy}, once=True) as daemon:
            assert daemon.wait(60) == 0
            assert "--once: nothing more to fold" in daemon.log()
        assert pss - marks.private_bytes(one.pid, two.pid) > 14 * MIB
        assert ksm.knobs() == before
        one.wait_rounds(1)


def test_once_with_nothing_to_do_ends_too(ksm_alone):
    with Daemon(config=FAST, once=True) as daemon:
        assert daemon.wait(30) == 0


@pytest.mark.parametrize("line, complaint", [
    ("cpu-percnt = 10", "cpu-percnt"),
    ("cpu-percent = lots", "cpu-percent"),
    ("fold-when = never", "takes always or pressure"),
])
def test_wrong_config_refuses_to_start_with_file_and_line(line, complaint):
    daemon = Daemon(config={"default-mode": "observe"})
    try:
        with open(daemon.config_path, "a", encoding="ascii") as config:
            config.write(line + "\n")
        daemon.start()
        assert daemon.wait(10) == 1
        lines = len(daemon.config_path.read_text().splitlines())
        assert f"{daemon.config_path}:{lines}: " in daemon.log() and complaint in daemon.log()
        assert not (daemon.state_dir / "state.json").exists()
    finally:
        daemon.close()


def test_wrong_policy_file_refuses_to_start_with_file_and_line():
    daemon = Daemon(policies={"web.conf": "[target web]\nmatch = pid:1\nmode = fold\n"})
    try:
        daemon.start()
        assert daemon.wait(10) == 1
        assert f"{daemon.policy_dir}/web.conf:3: " in daemon.log()
    finally:
        daemon.close()


def test_not_root_refuses_to_start():
    daemon = Daemon()
    try:
        os.chmod(daemon.directory, 0o755)
        program = paths.program("pagefoldd")
        done = subprocess.run(
            ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", program, "-c",
             daemon.config_path], capture_output=True, text=True, timeout=30, check=False)
        if "Permission denied" in done.stderr and "pagefoldd" not in done.stderr.split(":")[0]:
            pytest.skip("the build directory is not readable by others")
        assert done.returncode == 1 and "must run as root" in done.stderr
    finally:
        daemon.close()
