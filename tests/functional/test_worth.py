# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether folding is worth it is said, and what has stopped to pay is released."""

import os

import pytest

from lab import host, procs
from scene import pagefoldd, pair, wait_folded, wait_vm

HUGE = 2 << 20
# Half of every extent is twins of the other process's: worth a huge page.
EXTENTS, TWINS = 6, 256
SPECS = [spec for extent in range(EXTENTS)
         for spec in (f"r{1000 * extent + 1}*{TWINS}", f"u*{512 - TWINS}")]


def rewrite(process, extents, pages):
    """The first so many pages of some extents become what nobody else's are, as if the process had written them."""
    with open(f"/proc/{process.pid}/mem", "r+b", buffering=0) as memory:
        for extent in extents:
            for page in range(pages):
                memory.seek(process.start + extent * HUGE + page * host.PAGE)
                memory.write(os.urandom(host.PAGE))


def huge_bytes(process, extent):
    """How much of an extent is mapped by huge pages."""
    start = process.start + extent * HUGE
    return sum(vma.get("AnonHugePages", 0) for vma in host.vmas(process.pid)
               if vma["start"] <= start < vma["end"])


def folded(daemon, process):
    """The numbers of the extents that are folded."""
    show = daemon.cli("show", f"pid:{process.pid}")
    return [(extent["start"] - process.start) // HUGE for extent in show["extents"] if extent["folded"]]


def folded_twins(daemon, *processes):
    """Waits until all of what is there to be folded is."""
    for process in processes:
        wait_vm(daemon, process, lambda vm: vm["state"] == "folded" and
                vm["reclaimed_bytes"] > EXTENTS * TWINS * host.PAGE * 0.45)
        assert folded(daemon, process) == list(range(EXTENTS))


def test_extents_that_stopped_paying_are_released_and_huge_again(ksm_alone):
    with procs.twins("--hugepages", *SPECS) as one, procs.twins("--hugepages", *SPECS) as two:
        if not huge_bytes(one, 0) or not huge_bytes(two, 0):
            pytest.skip("this host has no huge pages to give")
        with pagefoldd(one, two, config={"cpu-percent": 100}) as daemon:
            folded_twins(daemon, one, two)
            assert huge_bytes(one, 1) == 0
            # All but a few of the folds of two extents break, and half of another one's, which still pays.
            for process in (one, two):
                rewrite(process, (1, 2), TWINS - 10)
                rewrite(process, (4,), TWINS // 2)
            daemon.wait_for(lambda _: folded(daemon, one) == folded(daemon, two) == [0, 3, 4, 5], 90)
            for process in (one, two):
                assert huge_bytes(process, 1) > 0 and huge_bytes(process, 2) > 0
                assert huge_bytes(process, 4) == 0
            # Nothing flaps: what is left stays, and what was released is left alone.
            daemon.wait_passes(2)
            assert folded(daemon, one) == folded(daemon, two) == [0, 3, 4, 5]
            assert "did not pay any more" in daemon.log()


def test_verdicts_are_given_with_their_numbers(ksm_alone):
    with pair() as processes, pagefoldd(*processes) as daemon:
        wait_folded(daemon, *processes)
        status = daemon.wait_for(lambda status: status["verdict"]["word"])
        vms = [vm["verdict"] for vm in status["vms"] if vm["state"] == "folded"]
        assert [verdict["word"] for verdict in vms] == ["worth it"] * 2
        for verdict in (status["verdict"], *vms):
            assert verdict["net_bytes_per_cpu_second"] == \
                pytest.approx(verdict["net_bytes"] / verdict["cpu_seconds_per_hour"], rel=0.01)
            worth = os.sysconf("SC_NPROCESSORS_ONLN") * 3600 * verdict["break_even_bytes_per_cpu_second"]
            assert worth == pytest.approx(status["host"]["memory_bytes"], rel=0.01)
            assert f'{verdict["net_bytes"] / (1 << 20):.1f} MiB net' in verdict["reason"]
        assert "Worth it?       worth it: " in daemon.cli_run("status").stdout or \
            status["verdict"]["word"] != "worth it"
