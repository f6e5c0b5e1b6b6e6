# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs that measure parts of the daemon alone, small: what they find is as it must be."""

import json
import subprocess
import time

import pytest

from lab import paths, procs


def run(name, *arguments):
    return json.loads(subprocess.run([paths.bench_program(name), *map(str, arguments)], check=True,
                                     capture_output=True, text=True, timeout=100).stdout)


def test_simulated_host_is_counted_as_it_was_laid_out():
    result = run("simulate_host", 22)
    assert result["counted_is_true"]
    assert result["pages"] == 1 << 22
    assert 0.13 < result["twin_pages"] / result["pages"] < 0.17
    assert 0.13 < result["zero_pages"] / result["pages"] < 0.17
    # What the plan takes is nearly all there is, and nothing that is not there.
    assert 0.85 * result["saveable_pages"] < result["plan_saved_pages"] <= result["saveable_pages"]


def test_simulated_host_refuses_sizes_that_make_no_sense():
    for arguments in ((), ("3",), ("64",), ("22", "22")):
        done = subprocess.run([paths.bench_program("simulate_host"), *arguments], check=False,
                              capture_output=True, text=True, timeout=100)
        assert done.returncode == 2
        assert done.stderr.startswith("usage")


def test_the_scanner_is_timed_beside_reading_alone():
    for kind in ("small", "huge"):
        result = run("scan_memory", kind, 64, 2)
        assert result["pages"] == 64 * 256
        assert kind == "huge" or result["huge_pages"] == 0
        for name in ("readv_extents", "readv_pieces", "one_thread", "two_threads"):
            assert len(result[f"{name}_seconds"]) == 2
            assert all(seconds > 0 for seconds in result[f"{name}_seconds"])
    for arguments in ((), ("small", "0", "1"), ("large", "64", "1"), ("small", "64", "0")):
        done = subprocess.run([paths.bench_program("scan_memory"), *arguments], check=False,
                              capture_output=True, text=True, timeout=100)
        assert done.returncode == 2


@pytest.mark.parametrize("program", ["faultclock", "kvm_faultclock"])
def test_page_faults_of_a_target_are_timed(program, request):
    if program == "kvm_faultclock":
        request.getfixturevalue("needs_kvm")
    with procs.Target([paths.guest_program(program), "4", "1"]) as target:
        assert target.length == 4 << 20
        begin = time.monotonic()
        while time.monotonic() < begin + 0.5:
            count, median, p999, worst, p999_with_cpu, worst_with_cpu = map(
                int, target.ask("report").split())
        assert count > 100
        # A percentile is right to an eighth.
        assert 0 < median <= p999 <= worst * 9 / 8
        assert 0 < p999_with_cpu <= p999
        assert 0 < worst_with_cpu <= worst
        assert target.ask("reset") == "reset"
        assert int(target.ask("report").split()[0]) < count


def test_extents_of_real_processes_are_chosen_as_well_as_greedily():
    with procs.memcheck("--mib", "32", "--seed", "1") as one, \
            procs.memcheck("--mib", "32", "--seed", "1") as two:
        choices = run("choose_extents", one.pid, two.pid)
    assert set(choices) == {"keep", "balance", "fold"}
    for choice in choices.values():
        best = max(choice["greedy_upwards_pages"], choice["greedy_downwards_pages"])
        assert best * 0.98 <= choice["saved_pages"]
        saved = [pages for _huge, pages in choice["curve"]]
        assert saved == sorted(saved)
    # A fifth of them is zero pages.
    assert choices["fold"]["saved_pages"] > 2 * 32 * 256 / 5
    assert choices["keep"]["huge_pages"] == 0
