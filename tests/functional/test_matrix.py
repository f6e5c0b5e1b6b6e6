# SPDX-License-Identifier: GPL-2.0-or-later
"""`pagefold matrix` gives exactly what comparing every page with every other gives. Nothing is folded."""

import contextlib

import pytest

from lab import bruteforce, procs
from lab.daemon import Daemon

NUMBERS = ("pages_scanned", "zero_pages", "duplicate_pages", "distinct_contents", "saveable_bytes",
           "zero_bytes", "self_bytes", "cross_bytes")
WATCHING = {"cpu-percent": 1000, "scan-interval": 1, "settle-seconds": 0, "default-mode": "off",
            "ksm-owner": "stand-by"}


@contextlib.contextmanager
def observed(*layouts):
    """(a daemon that has read them, one process for each layout); a layout begins with its group."""
    with contextlib.ExitStack() as stack:
        targets = [stack.enter_context(procs.twins(*layout.split()[1:])) for layout in layouts]
        policy = "".join(
            f"[target t{target.pid}]\nmatch = pid:{target.pid}\nmode = observe\n"
            f"group = {layout.split()[0]}\n" for target, layout in zip(targets, layouts))
        daemon = stack.enter_context(Daemon(config=WATCHING, policies={"test.conf": policy}))
        pids = {target.pid for target in targets}
        daemon.wait_for(lambda status: pids <= {vm["pid"] for vm in status["vms"]
                                                if vm["pages_scanned"]})
        yield daemon, targets


def by_pids(matrix):
    """{(pid, pid): its numbers}"""
    for pair in matrix["pairs"]:
        assert pair["pids"] == sorted(pair["pids"])
    return {tuple(pair["pids"]): {name: pair[name] for name in
                                  ("common_bytes", "held_bytes", "cross_bytes")}
            for pair in matrix["pairs"]}


def assert_as_brute_force(matrix, targets):
    ranges = {target.pid: bruteforce.process_ranges(target.pid) for target in targets}
    assert by_pids(matrix) == bruteforce.matrix(ranges)
    expected = {vm["pid"]: vm for vm in bruteforce.estimate(ranges)["vms"]}
    assert sorted(vm["pid"] for vm in matrix["vms"]) == sorted(expected)
    for vm in matrix["vms"]:
        assert {name: vm[name] for name in NUMBERS} == \
            {name: expected[vm["pid"]][name] for name in NUMBERS}
        row = [pair["cross_bytes"][pair["pids"].index(vm["pid"])] for pair in matrix["pairs"]
               if vm["pid"] in pair["pids"]]
        assert sum(row) == vm["cross_bytes"]


@pytest.mark.parametrize("layouts", [
    pytest.param(["g c1*3 u*600", "g c1*1 u*90"], id="the example of the manual"),
    pytest.param(["g --scatter 1 z*70 r1*900 c7*40 u*500", "g --scatter 2 r300*900 c7*4 z*90",
                  "g --scatter 3 r700*900 c7*1 u*20", "g r1*50 r1500*300 c9*9"],
                 id="four that overlap"),
    pytest.param(["g u*700", "g z*300 u*400"], id="nothing in common but zero pages"),
])
def test_matrix_is_what_brute_force_counts(layouts):
    with observed(*layouts) as (daemon, targets):
        matrix = daemon.cli("matrix")
        assert_as_brute_force(matrix, targets)
        saves = [sum(pair["cross_bytes"]) for pair in matrix["pairs"]]
        assert saves == sorted(saves, reverse=True) and matrix["pairs_omitted"] == 0


def test_groups_have_nothing_in_common():
    with observed("web r1*900", "web r1*400 u*300", "db r1*900") as (daemon, targets):
        matrix = daemon.cli("matrix")
        assert by_pids(matrix) == bruteforce.matrix(
            {target.pid: bruteforce.process_ranges(target.pid) for target in targets[:2]})
        assert {vm["pid"]: vm["group"] for vm in matrix["vms"]} == dict(
            zip((target.pid for target in targets), ("web", "web", "db")))
        table = daemon.cli_run("matrix").stdout
    assert "WITH" in table and max(map(len, table.splitlines())) <= 80
