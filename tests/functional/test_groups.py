# SPDX-License-Identifier: GPL-2.0-or-later
"""Trust groups, and what a change of mode or group does to what is folded."""

import pytest

import scene
from scene import memory_cgroup  # noqa: F401
from lab import host, marks
from lab.daemon import merge_policy
from lab.frame_watch import FrameWatch

pytestmark = pytest.mark.usefixtures("ksm_alone")

PAGE = host.PAGE


def group_policy(processes, group, mode="merge"):
    return merge_policy(*map(scene.match_text, processes), group=group).replace("merge", mode)


def two_groups(red, blue):
    return {"red.conf": group_policy(red, "red"), "blue.conf": group_policy(blue, "blue")}


def test_only_the_active_group_folds():
    with scene.pair() as red, scene.pair() as blue, \
            scene.pagefoldd(policies=two_groups(red, blue), config={"active-group": "red"}) as daemon:
        scene.wait_folded(daemon, *red)
        for process in blue:
            vm = scene.wait_state(daemon, process, "waiting",
                                  "its group blue is not the active one (red)")
            assert vm["reclaimed_bytes"] == 0
            assert not marks.mergeable(process.pid)
        assert daemon.status()["host"]["active_group"] == "red"


def test_the_group_that_saves_most_is_active_by_itself():
    with scene.pair() as red, scene.pair() as blue, scene.target(mib=16) as more:
        with scene.pagefoldd(policies=two_groups(red, [*blue, more])) as daemon:
            scene.wait_folded(daemon, *blue, more)
            assert daemon.status()["host"]["active_group"] == "blue"
            assert not any(marks.mergeable(process.pid) for process in red)


def test_switch_of_the_active_group_never_shares_a_frame_across_groups():
    with scene.pair() as red, scene.pair() as blue, FrameWatch({"red": red, "blue": blue}) as watch, \
            scene.pagefoldd(policies=two_groups(red, blue), config={"active-group": "red"}) as daemon:
        for group, folded, released in (("red", red, blue), ("blue", blue, red), ("red", red, blue)):
            daemon.write_config({**scene.EAGER, "active-group": group})
            daemon.reload()
            scene.wait_folded(daemon, *folded)
            status = daemon.status()
            assert status["host"]["active_group"] == group and not status["host"]["warnings"]
            for process in released:
                scene.wait_state(daemon, process, "waiting", f"not the active one ({group})")
                assert not marks.mergeable(process.pid) and marks.ksm_bytes(process.pid) == 0
        assert not watch.shared, watch.shared[:10]
        assert watch.looks > 5 and watch.is_alive()


def test_switch_of_the_active_group_is_refused_where_the_folds_do_not_fit(memory_cgroup):
    directory, limit = memory_cgroup
    with scene.pair() as red, scene.pair() as blue, \
            scene.pagefoldd(policies=two_groups(red, blue), config={"active-group": "red"}) as daemon:
        scene.wait_folded(daemon, *red)
        # What is folded is charged to nobody here: only what comes back would be.
        (directory / "cgroup.procs").write_text(str(red[0].pid))
        limit.write_text(str(1 << 20))
        daemon.write_config({**scene.EAGER, "active-group": "blue"})
        daemon.reload()
        status = daemon.wait_for(lambda status: status["host"]["warnings"])
        assert "group red stays active" in status["host"]["warnings"][0]
        assert "MiB" in status["host"]["warnings"][0]
        daemon.wait_passes(2)
        scene.wait_folded(daemon, *red)
        assert daemon.status()["host"]["warnings"], "it is still so, and still said"
        assert not any(marks.mergeable(process.pid) for process in blue)
        limit.write_text("-1" if "limit_in_bytes" in limit.name else "max")
        scene.wait_folded(daemon, *blue)
        assert daemon.status()["host"]["active_group"] == "blue"


def test_target_that_changes_its_group_is_released_first():
    with scene.pair() as red, scene.target() as traitor, \
            scene.pagefoldd(policies=two_groups([*red, traitor], []),
                            config={"active-group": "red"}) as daemon:
        scene.wait_folded(daemon, *red, traitor)
        set_to = daemon.cli_run("set", f"pid:{traitor.pid}", "mode=merge", "group=blue")
        assert set_to.returncode == 0, set_to.stderr
        scene.wait_state(daemon, traitor, "waiting", "its group blue is not the active one (red)")
        daemon.wait_for(lambda _status: not marks.mergeable(traitor.pid))
        assert marks.ksm_bytes(traitor.pid) == 0
        scene.check_memory(traitor)
        scene.wait_folded(daemon, *red)


def test_group_names_that_cannot_be_are_refused():
    with scene.pair() as (one, two), scene.pagefoldd(one, two) as daemon:
        scene.wait_folded(daemon, one, two)
        for group in ("auto", "a b", "", "x" * 64):
            refused = daemon.cli_run("set", f"pid:{one.pid}", f"group={group}")
            assert refused.returncode == 1 and "group" in refused.stderr
        assert daemon.vm(one.pid)["group"] == "default"


def test_off_is_not_read():
    with scene.pair() as beside, scene.target() as off, \
            scene.pagefoldd(*beside, policies={"00.conf": group_policy([off], "default", "off")}) \
            as daemon:
        scene.wait_folded(daemon, *beside)
        vm = scene.wait_state(daemon, off, "off")
        assert vm["pages_scanned"] is None and vm["reclaimed_bytes"] is None
        assert vm["potential_bytes"] is None


def set_mode(daemon, process, mode):
    done = daemon.cli_run("set", f"pid:{process.pid}", f"mode={mode}")
    assert done.returncode == 0, done.stderr


def test_from_merge_to_off_releases():
    with scene.pair() as beside, scene.target() as changed, \
            scene.pagefoldd(*beside, changed) as daemon:
        scene.wait_folded(daemon, *beside, changed)
        set_mode(daemon, changed, "off")
        scene.wait_state(daemon, changed, "off")
        assert not marks.mergeable(changed.pid) and marks.ksm_bytes(changed.pid) == 0
        assert not marks.recorded(daemon.state_dir, changed.pid)
        scene.check_memory(changed)
        set_mode(daemon, changed, "merge")
        scene.wait_folded(daemon, *beside, changed)


def unfolded_marked_bytes(process):
    """Memory that is marked and no page of KSM."""
    return sum(vma["Rss"] - vma.get("KSM", 0) for vma in host.vmas(process.pid)
               if "mg" in vma["flags"])


def test_from_merge_to_observe_keeps_the_folds_and_no_other_mark():
    with scene.pair() as beside, scene.target() as changed, \
            scene.pagefoldd(*beside, changed) as daemon:
        scene.wait_folded(daemon, *beside, changed)
        daemon.wait_passes(2)
        # Folds that break leave marks that hold nothing.
        changed.write(400)
        folded = marks.ksm_bytes(changed.pid)
        set_mode(daemon, changed, "observe")
        daemon.wait_for(lambda _status: unfolded_marked_bytes(changed) <= 16 * PAGE)
        vm = scene.wait_state(daemon, changed, "folded", "mode = observe", "stays")
        assert vm["mode"] == "observe"
        assert marks.ksm_bytes(changed.pid) >= folded * 0.98
        daemon.wait_passes(2)
        assert unfolded_marked_bytes(changed) <= 16 * PAGE
        # It stands in nobody's way.
        assert not daemon.status()["host"]["blocked_by"]
        scene.check_memory(changed)


def test_pause_keeps_what_is_folded_and_folds_nothing_new():
    with scene.pair() as processes, scene.pagefoldd(*processes) as daemon:
        scene.wait_folded(daemon, *processes)
        assert daemon.cli_run("pause").returncode == 0
        assert daemon.status()["host"]["paused"]
        with scene.target() as late:
            daemon.write_policy("late.conf", merge_policy(f"pid:{late.pid}"))
            daemon.reload()
            scene.wait_state(daemon, late, "waiting", "paused")
            daemon.wait_passes(2)
            assert not marks.mergeable(late.pid)
            for process in processes:
                scene.wait_state(daemon, process, "folded", "paused")
            assert daemon.cli_run("resume").returncode == 0
            scene.wait_folded(daemon, *processes, late)
