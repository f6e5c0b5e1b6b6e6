# SPDX-License-Identifier: GPL-2.0-or-later
"""What a daemon did outlives it: the next one takes it up where the last one ended."""

import contextlib
import json
import time

import pytest

from lab import ksm, marks, procs
from lab.daemon import Daemon, merge_policy

# default-mode: other virtual machines of this host are none of our business.
FAST = {"cpu-percent": 100, "scan-interval": 1, "settle-seconds": 0, "default-mode": "off"}
STILL = ("--hot-writes", "0", "--stray-writes", "0")
# None of them is what a burst sets.
KNOBS = {"pages_to_scan": 123, "sleep_millisecs": 45, "smart_scan": 1, "use_zero_pages": 0,
         "run": 0}


def are_folded(*pids):
    def condition(status):
        vms = {vm["pid"]: vm for vm in status["vms"]}
        return all(pid in vms and vms[pid]["state"] == "folded" and
                   (vms[pid]["potential_bytes"] or 0) < 64 * 4096 for pid in pids)
    return condition


def reclaimed(daemon, *pids):
    return sum(vm["reclaimed_bytes"] for vm in daemon.status()["vms"] if vm["pid"] in pids)


class Two:
    """Two processes with much in common, and a daemon's directory that stays."""

    def __init__(self, directory, *options):
        self.directory = directory
        self._options = options or STILL
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        self.targets = [self._stack.enter_context(procs.memcheck("--mib", "16", *self._options))
                        for _ in range(2)]
        self.pids = [target.pid for target in self.targets]
        self.policy = merge_policy(*(f"pid:{pid}" for pid in self.pids))
        return self

    def __exit__(self, *exception):
        self._stack.close()

    def daemon(self, policy=None, **options):
        options.setdefault("config", FAST)
        return Daemon(policies={"test.conf": policy or self.policy}, directory=self.directory,
                      **options)

    def folded(self, daemon):
        return daemon.wait_for(are_folded(*self.pids), 60)

    def mergeable(self):
        return [marks.mergeable(pid) for pid in self.pids]


@pytest.fixture
def two(tmp_path):
    with Two(tmp_path) as pair:
        yield pair


def test_stop_gives_the_knobs_back_and_keeps_the_folds(ksm_alone, two):
    ksm.apply(KNOBS)
    before = ksm.knobs()
    with two.daemon() as daemon:
        two.folded(daemon)
        gained = reclaimed(daemon, *two.pids)
        shares = marks.private_bytes(*two.pids)
        assert daemon.stop() == 0
    assert ksm.knobs() == before
    assert gained > 0 and marks.private_bytes(*two.pids) == pytest.approx(shares, abs=1 << 18)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_ksmd_that_ran_before_runs_again_afterwards(ksm_alone, two, how):
    """ksm-owner = pagefold takes ksmd from whoever had started it, and gives it back."""
    ksm.apply({**KNOBS, "run": 1})
    before = ksm.knobs()
    with two.daemon(config={**FAST, "ksm-owner": "pagefold"}) as daemon:
        two.folded(daemon)
        daemon.wait_for(lambda _: ksm.read("run") == "0", 5)
        getattr(daemon, how)()
        if how == "kill":
            assert ksm.read("run") == "0"
            daemon.start()
            daemon.wait_ready()
            daemon.stop()
    assert ksm.knobs() == before


def test_knobs_are_given_back_between_bursts_too(ksm_alone, two):
    ksm.apply(KNOBS)
    before = ksm.knobs()
    with two.daemon() as daemon:
        two.folded(daemon)
        daemon.wait_for(lambda _: ksm.knobs() == before, 5)


def test_restart_adopts_marks_and_folds(ksm_alone, two):
    with two.daemon() as daemon:
        two.folded(daemon)
        daemon.wait_passes(2)
        before, marked = reclaimed(daemon, *two.pids), two.mergeable()
        daemon.stop()
        for name in ("pages_shared", "pages_sharing"):
            assert ksm.counter(name) > 0
        merged = [ksm.process_stat(pid).get("ksm_merging_pages") for pid in two.pids]
        daemon.start()
        daemon.wait_ready()
        # What an earlier daemon did is in the first snapshot there is.
        status = daemon.wait_for(lambda now: now["pass"]["number"] >= 1)
        assert status["savings"]["reclaimed_bytes"] == pytest.approx(before, rel=0.001)
        assert [daemon.vm(pid)["state"] for pid in two.pids] == ["folded", "folded"]
        daemon.wait_passes(3)
        assert reclaimed(daemon, *two.pids) == pytest.approx(before, rel=0.001)
        assert two.mergeable() == marked
        assert [ksm.process_stat(pid).get("ksm_merging_pages") for pid in two.pids] == merged
        # Nothing to do means that nobody is bothered: no ring, no burst.
        log = daemon.log()[daemon.log().rindex("pagefoldd"):]
        assert "burst" not in log and "attached" not in log
    for target in two.targets:
        target.wait_rounds(1)


def test_paused_survives_a_restart(ksm_alone, two):
    # Time enough to pause before anything is folded.
    with two.daemon(config={**FAST, "settle-seconds": 2}) as daemon:
        daemon.cli("pause")
        daemon.stop()
        daemon.start()
        daemon.wait_ready()
        status = daemon.wait_passes(3)
        assert status["host"]["paused"] is True
        assert reclaimed(daemon, *two.pids) == 0
        assert two.mergeable() == [[], []]
        daemon.cli("resume")
        two.folded(daemon)
        daemon.kill()
        daemon.start()
        assert daemon.wait_ready().status()["host"]["paused"] is False


def held(daemon, pid):
    vm = daemon.vm(pid)
    return vm is not None and vm["state"] == "released"


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_release_holds_over_a_restart_until_the_policy_changes(ksm_alone, two, how):
    one, other = two.pids
    with two.daemon() as daemon:
        two.folded(daemon)
        daemon.cli("release", f"pid:{one}")
        assert held(daemon, one) and not marks.mergeable(one) and not marks.ksm_bytes(one)
        getattr(daemon, how)()
        daemon.start()
        daemon.wait_ready()
        daemon.wait_passes(3)
        assert held(daemon, one) and not marks.mergeable(one)
        assert daemon.vm(other)["state"] == "folded"
        # Another policy is another wish.
        daemon.write_policy("test.conf", two.policy.replace(
            "mode = merge", "mode = merge\nhugepages = fold"))
        daemon.reload()
        two.folded(daemon)
        assert not held(daemon, one)


def test_set_ends_a_hold_even_if_it_sets_what_was_set(ksm_alone, two):
    one, _ = two.pids
    with two.daemon() as daemon:
        two.folded(daemon)
        daemon.cli("release", f"pid:{one}")
        daemon.wait_passes(2)
        assert held(daemon, one)
        daemon.cli("set", f"pid:{one}", "mode=merge")
        two.folded(daemon)
        assert "merge" in (daemon.policy_dir / "00-set.conf").read_text()


def test_hold_survives_a_reload_that_changes_nothing(ksm_alone, two):
    one, _ = two.pids
    with two.daemon() as daemon:
        two.folded(daemon)
        daemon.cli("release", f"pid:{one}")
        daemon.reload()
        daemon.wait_passes(3)
        assert held(daemon, one)


def test_record_of_another_boot_counts_only_as_the_wish_to_pause(ksm_alone, two):
    ksm.apply(KNOBS)
    before = ksm.knobs()
    with two.daemon() as daemon:
        two.folded(daemon)
        daemon.cli("pause")
        daemon.stop()
        path = daemon.state_dir / "state.json"
        state = json.loads(path.read_text())
        assert state["targets"]
        state["boot_id"] = "00000000-0000-0000-0000-000000000000"
        state["ksm_knobs"] = {"run": 0, "pages_to_scan": 777, "sleep_millisecs": 7, "smart_scan": 0,
                              "use_zero_pages": 0, "advisor_scan_time": 0}
        path.write_text(json.dumps(state))
        daemon.start()
        daemon.wait_ready()
        status = daemon.wait_passes(2)
        assert ksm.knobs() == before
        assert status["host"]["paused"] is True
        assert reclaimed(daemon, *two.pids) == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"format": 1, "targets": []}'])
def test_record_that_cannot_be_read_is_not_overwritten(text):
    daemon = Daemon()
    try:
        path = daemon.state_dir / "state.json"
        path.write_text(text)
        daemon.start()
        assert daemon.wait(10) == 1
        assert f"{path} cannot be read" in daemon.log() and "move it away" in daemon.log()
        assert path.read_text() == text
        assert [entry.name for entry in daemon.state_dir.iterdir()] == ["state.json"]
    finally:
        daemon.close()


def test_khugepaged_sped_up_takes_no_fold_away(ksm_alone, tmp_path):
    """Huge pages that are broken for folds are what khugepaged likes best to rebuild."""
    with khugepaged_sped_up(), Two(tmp_path, "--hugepages", *STILL) as pair:
        with pair.daemon() as daemon:
            pair.folded(daemon)
            # KSM may have taken pages that it also gave up: what counts is what is shared now.
            before = marks.private_bytes(*pair.pids)
            count = khugepaged("full_scans")
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                daemon.wait_passes(2)
                assert marks.private_bytes(*pair.pids) <= before + (1 << 18)
            assert khugepaged("full_scans") > count + 10
            for target in pair.targets:
                target.wait_rounds(1)


def khugepaged(name, value=None):
    path = f"/sys/kernel/mm/transparent_hugepage/khugepaged/{name}"
    with open(path, "r" if value is None else "w", encoding="ascii") as file:
        return int(file.read()) if value is None else file.write(str(value))


@contextlib.contextmanager
def khugepaged_sped_up():
    wanted = {"scan_sleep_millisecs": 10, "alloc_sleep_millisecs": 10, "pages_to_scan": 100000}
    try:
        before = {name: khugepaged(name) for name in wanted}
    except OSError:
        pytest.skip("this kernel has no transparent huge pages")
    try:
        for name, value in wanted.items():
            khugepaged(name, value)
        yield
    finally:
        for name, value in before.items():
            khugepaged(name, value)
