# SPDX-License-Identifier: GPL-2.0-or-later
"""`pagefold estimate` gives exactly what comparing every page with every other gives, and leaves no
trace in what it read."""

import contextlib
import json
import subprocess
import sys
import time

import pytest

from lab import bruteforce, host, paths, procs

NUMBERS = ("pages_scanned", "zero_pages", "duplicate_pages", "distinct_contents", "saveable_bytes",
           "zero_bytes", "self_bytes", "cross_bytes")
PAGE = bruteforce.PAGE


def run_estimate(*arguments):
    return subprocess.run([paths.program("pagefold"), "estimate", *map(str, arguments)],
                          capture_output=True, text=True, timeout=120, check=False)


def estimate(*pids):
    arguments = [argument for pid in pids for argument in ("--pid", pid)]
    answer = run_estimate(*arguments, "--json")
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def numbers(part):
    return {name: part[name] for name in NUMBERS}


def assert_as_brute_force(*pids):
    """Every number of it; gives the estimate."""
    found = estimate(*pids)
    expected = bruteforce.estimate({pid: bruteforce.process_ranges(pid) for pid in pids})
    assert found["schema"] == 1
    assert numbers(found["total"]) == numbers(expected["total"])
    assert [vm["pid"] for vm in found["vms"]] == sorted(pids)
    for vm, by_hand in zip(found["vms"], expected["vms"]):
        assert numbers(vm) == numbers(by_hand)
    assert_adds_up(found)
    return found


def assert_adds_up(found):
    total, vms = found["total"], found["vms"]
    for name in NUMBERS:
        if name != "distinct_contents":
            assert sum(vm[name] for vm in vms) == total[name], name
    for part in [total, *vms]:
        assert part["zero_bytes"] == part["zero_pages"] * PAGE
        assert part["saveable_bytes"] == \
            part["zero_bytes"] + part["self_bytes"] + part["cross_bytes"]
        assert part["zero_pages"] + part["duplicate_pages"] <= part["pages_scanned"]


@contextlib.contextmanager
def all_twins(*layouts):
    """One process for each layout, given as the words of its specification."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(procs.twins(*layout.split())) for layout in layouts]


@pytest.mark.parametrize("layouts", [
    pytest.param(["z*100"], id="zero pages"),
    pytest.param(["z*7", "z*600"], id="zero pages are no twins across processes"),
    pytest.param(["u*300"], id="nothing alike"),
    pytest.param(["c1*2 c2*3 c3*40 u*9"], id="twins within a process"),
    pytest.param(["c1*1 u*50", "c1*1 u*20"], id="a pair across processes"),
    pytest.param(["r1*300 u*40", "u*3 r101*300"], id="runs across processes"),
    pytest.param(["c1*3", "c1*1"], id="the example of the manual"),
    pytest.param(["c1*3 c2*1", "c1*2 c2*2", "c1*1 c2*9 z*5"], id="three and more of a kind"),
    pytest.param(["r1*100", "r50*100", "r80*100", "r1*200"], id="four processes that overlap"),
    pytest.param(["h*50 c1*2 h*700 o*30 c1*1 h*3", "o*9 h*1 c1*1"], id="holes and untouched pages"),
    pytest.param(["--scatter 5 z*200 r1*300 c9*40 u*500 h*100",
                  "--scatter 8 z*90 r150*300 c9*4 u*300 o*50"], id="scattered pages"),
    pytest.param(["--hugepages z*300 r1*700 u*200", "--hugepages r500*900 h*40"],
                 id="huge pages"),
    pytest.param(["h*511 c1*2 h*510 r5*3", "c1*1 h*510 r5*3"], id="across the borders of extents"),
])
def test_estimate_is_what_brute_force_counts(layouts):
    with all_twins(*layouts) as targets:
        assert_as_brute_force(*(target.pid for target in targets))


@pytest.mark.parametrize("seed", range(1, 6))
def test_estimate_of_large_scattered_layouts_is_exact(seed):
    layouts = [f"--scatter {seed * 10 + n} z*{700 * n} r{n * 400}*1500 c{n % 2 + 90000}*{n * 30} "
               f"c99999*{n} u*{2000 - n * 100} h*300 o*70" for n in range(1, 5)]
    with all_twins(*layouts) as targets:
        found = assert_as_brute_force(*(target.pid for target in targets))
    assert found["total"]["duplicate_pages"] > 1000


def test_estimate_gives_the_remainder_to_the_lowest_pid():
    with all_twins("c1*3", "c1*1", "c1*1") as targets:
        found = assert_as_brute_force(*(target.pid for target in targets))
    shares = [vm["cross_bytes"] for vm in found["vms"]]
    assert shares[0] > shares[1] == shares[2]


def test_estimate_of_one_process_finds_what_was_laid_out():
    with procs.twins("z*40", "c5*3", "r5*4", "u*7", "h*3", "o*2") as twins:
        found = assert_as_brute_force(twins.pid)["vms"][0]
        assert found["kind"] == "process" and found["uuid"] is None and found["note"] is None
        assert found["zero_pages"] >= twins.expected["zero"]
        assert found["duplicate_pages"] >= twins.expected["duplicate"]
        assert found["self_bytes"] >= twins.expected["self"] * PAGE
        assert found["cross_bytes"] == 0


def test_estimate_takes_a_pid_named_twice_once():
    with procs.twins("c5*3", "u*9") as twins:
        assert estimate(twins.pid, twins.pid) == estimate(twins.pid)


# ---- without a trace ----

TRACES = ("Rss", "Pss", "Anonymous", "Swap", "AnonHugePages", "Private_Dirty", "Shared_Dirty")


def traces(pids):
    """Of the memory: sums of smaps, which count every page."""
    return {pid: {name: host.rollup(pid)[name] for name in TRACES} for pid in pids}


def test_estimate_faults_nothing_in():
    with all_twins("--scatter 3 z*200 h*900 o*300 r1*100", "h*4000 c1*1 u*5") as targets:
        pids = [target.pid for target in targets]
        before = traces(pids)
        assert_as_brute_force(*pids)
        assert traces(pids) == before


def test_estimate_leaves_what_is_shared_by_fork_shared():
    with procs.prefork(3, 8, 2) as server:
        pids = [server.pid, *server.workers]
        before = traces(pids)
        found = assert_as_brute_force(*pids)
        assert traces(pids) == before
        assert server.check() == 0
    # What is inherited by four is counted as the saving it is.
    assert found["total"]["cross_bytes"] > 8 << 20


MERGEABLE = """
import ctypes, mmap, os, sys
memory = mmap.mmap(-1, 4 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_NOHUGEPAGE)
for page in range(1024):
    word = b"%8d" % (page % 64) if page % 4 else os.urandom(8)
    memory[page * 4096:(page + 1) * 4096] = word * 512
memory.madvise(mmap.MADV_MERGEABLE)
print("ready", os.getpid(), hex(ctypes.addressof(ctypes.c_char.from_buffer(memory))), len(memory),
      flush=True)
sys.stdin.read()
"""


def merged_bytes(pid, start):
    return next(vma.get("KSM", 0) for vma in host.vmas(pid) if vma["start"] <= start < vma["end"])


def test_estimate_leaves_merged_pages_merged(ksm_alone):
    with procs.Target([sys.executable, "-c", MERGEABLE]) as one, \
            procs.Target([sys.executable, "-c", MERGEABLE]) as two:
        pids = [one.pid, two.pid]
        if not any("KSM" in vma for vma in host.vmas(one.pid)):
            pytest.skip("this kernel does not say in smaps what is merged")
        ksm_alone.apply(ksm_alone.FLAT_OUT)
        deadline = time.monotonic() + 60
        # 768 of the 1024 pages of each have a twin.
        while min(merged_bytes(target.pid, target.start) for target in (one, two)) < 760 * PAGE:
            assert time.monotonic() < deadline, "KSM has merged nothing"
            time.sleep(0.02)
        ksm_alone.write("run", 0)
        before = traces(pids), [merged_bytes(t.pid, t.start) for t in (one, two)]
        found = assert_as_brute_force(*pids)
        assert (traces(pids), [merged_bytes(t.pid, t.start) for t in (one, two)]) == before
    # What is folded already is counted as what folding saves.
    assert found["total"]["duplicate_pages"] >= 2 * 768


# ---- refusals ----

def test_estimate_of_a_process_that_is_gone_is_one_sentence():
    with procs.twins("u*1") as twins:
        gone = twins.pid
    answer = run_estimate("--pid", gone)
    assert answer.returncode == 1 and answer.stdout == ""
    assert answer.stderr == f"pagefold: process {gone}: not running (any more): " \
                            "No such process.\n"


@pytest.mark.parametrize("pid", ["0", "-1", "x", "", "99999999999", "1x"])
def test_estimate_of_what_is_no_pid_is_a_usage_error(pid):
    answer = run_estimate("--pid", pid)
    assert answer.returncode == 2 and answer.stdout == "" and answer.stderr


def test_estimate_without_the_right_to_read_is_one_sentence():
    with procs.twins("u*1") as twins:
        answer = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--",
             paths.program("pagefold"), "estimate", "--pid", str(twins.pid)],
            capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 1 and answer.stdout == ""
    assert f"process {twins.pid}: its memory cannot be read" in answer.stderr
    assert "CAP_SYS_PTRACE" in answer.stderr and answer.stderr.count("\n") == 1
