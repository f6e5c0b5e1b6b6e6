# SPDX-License-Identifier: GPL-2.0-or-later
"""Without a feature of the kernel (--disable-feature), or without a hook: the same job by other means, or the
sentence that says what is missing."""

import pytest

import scene
from lab import host, marks
from lab.steps import steps_of, strace

pytestmark = pytest.mark.usefixtures("ksm_alone")


def run_without(feature, *options):
    """(reclaimed, huge pages before, after the fold, after the release) of one run; the memory is right."""
    arguments = ["--disable-feature", feature] if feature else []
    with scene.target("--hugepages", *options) as one, scene.target("--hugepages", *options) as two, \
            scene.pagefoldd(one, two, arguments=arguments) as daemon:
        before = huge_bytes(one)
        scene.wait_folded(daemon, one, two)
        status = daemon.wait_for(lambda status: (status["savings"]["potential_bytes"] or 0) < 1 << 20)
        assert set(status["host"]["features"]) == \
            {"pagemap-scan", "smaps-ksm", "smart-scan", "ksm-zero-pages", "ring", "collapse"} - {feature}
        folded = huge_bytes(one)
        reclaimed = status["savings"]["reclaimed_bytes"]
        assert daemon.cli_run("release", "--all").returncode == 0
        assert not marks.mergeable(one.pid) and not marks.ksm_bytes(one.pid)
        scene.check_memory(one, two)
        return reclaimed, before, folded, huge_bytes(one)


def huge_bytes(process):
    return host.anonymous_usage(process.pid)["AnonHugePages"]


@pytest.fixture(scope="module")
def with_all():
    """What comes back where nothing is missing; filled in by the first test that asks."""
    return {}


@pytest.mark.parametrize("feature", ["pagemap-scan", "smaps-ksm", "smart-scan", "ksm-zero-pages"])
def test_without_it_the_same_comes_back(with_all, feature):
    if "reclaimed" not in with_all:
        with_all["reclaimed"] = run_without(None)[0]
    assert run_without(feature)[0] == pytest.approx(with_all["reclaimed"], rel=0.05)


@pytest.mark.parametrize("feature", [None, "smart-scan"])
def test_without_smart_scan_its_knob_is_not_touched(feature, tmp_path):
    wrapper = strace(tmp_path / "strace", ["write"], paths=["/sys/kernel/mm/ksm/smart_scan"])
    with scene.pair() as processes, scene.pagefoldd(
            *processes, wrapper=wrapper,
            arguments=["--disable-feature", feature] if feature else []) as daemon:
        scene.wait_folded(daemon, *processes)
    # A burst switches it off; each end of one, on again.
    assert bool(steps_of(tmp_path / "strace")["write"]) == (feature is None)


def test_without_collapse_huge_pages_are_left_to_khugepaged():
    _, before, folded, released = run_without(None)
    assert before > folded and released == before
    _, before, folded, released = run_without("collapse")
    assert before > folded and released < before


def check_only_planned(daemon, processes, *words):
    for process in processes:
        vm = scene.wait_state(daemon, process, "blocked", *words)
        assert vm["hook"] == "none"
        assert vm["potential_bytes"] > 1 << 20
        assert not marks.mergeable(process.pid)
    plan = daemon.cli("plan")
    assert {entry["pid"] for entry in plan["entries"]} == {process.pid for process in processes}
    assert {entry["action"] for entry in plan["entries"]} == {"fold"}


def test_without_ring_it_is_planned_only():
    with scene.pair() as processes, \
            scene.pagefoldd(*processes, arguments=["--disable-feature", "ring"]) as daemon:
        check_only_planned(daemon, processes, "io_uring is not available", "feature ring disabled")


def test_hook_none_is_planned_only():
    with scene.pair() as processes, \
            scene.pagefoldd(*processes, config={"hook": "none"}) as daemon:
        check_only_planned(daemon, processes, "hook = none", "not carried out")


def test_hook_none_of_one_policy_leaves_the_others():
    with scene.target() as planned, scene.pair() as beside:
        policies = {"00.conf": f"[target none]\nmatch = pid:{planned.pid}\nmode = merge\nhook = none\n"}
        with scene.pagefoldd(*beside, policies=policies) as daemon:
            scene.wait_folded(daemon, *beside)
            scene.wait_state(daemon, planned, "blocked", "hook = none")
            assert not marks.mergeable(planned.pid)
