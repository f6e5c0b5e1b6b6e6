# SPDX-License-Identifier: GPL-2.0-or-later
"""The tools of the other tests: a checker that overlooks a wrong byte would make all of them green."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from lab import bruteforce, children, host, ksm, paths, procs

HUGE = 2 << 20


def test_busybox_guests_boot_together_and_answer(lab):
    web1, web2 = lab.boot("web1", "web2", memory_mib=256)
    assert web1.run("echo $((6 * 7))") == "42\n"
    assert "MemTotal" in web2.run("cat /proc/meminfo")
    assert web2.run_status("exit 3") == (3, "")


def test_guest_that_dies_is_an_error_with_its_console(lab):
    (web1,) = lab.boot("web1", memory_mib=256)
    with pytest.raises(Exception, match="(?s)QEMU has ended.*console"):
        web1.run("poweroff -f")


def test_guest_fills_memory_that_has_no_twin_in_another(lab):
    vms = lab.boot("web1", "web2", memory_mib=256)
    for filler in [vm.fill(64) for vm in vms]:
        assert filler.read_line() == "filled"
    assert all(host.ram_usage(vm.pid, 256 << 20)["Rss"] > 64 << 20 for vm in vms)
    ranges = {vm.pid: [(vma["start"], vma["end"]) for vma in host.guest_ram(vm.pid, 256 << 20)]
              for vm in vms}
    for numbers in bruteforce.estimate(ranges)["vms"]:
        unlike = numbers["pages_scanned"] - numbers["zero_pages"] - numbers["duplicate_pages"]
        assert unlike >= (64 << 20) // bruteforce.PAGE


def test_memory_check_in_a_guest_counts_rounds(lab):
    (web1,) = lab.boot("web1", memory_mib=256)
    checker = web1.start("memcheck --mib 16")
    assert checker.read_line().startswith("ready ")
    assert checker.ask("write 100") == "wrote 100"
    assert checker.ask("status").endswith("errors 0")
    assert checker.ask("stop").endswith("errors 0")


def test_memory_check_in_a_guest_sees_what_the_host_corrupts(lab):
    (web1,) = lab.boot("web1", memory_mib=256)
    checker = web1.start("memcheck --mib 16 --zero 0 --twins 100 --contents 1 --hot 0 "
                         "--stray-writes 0")
    checker.read_line()
    # The page that there are thousands of: a twin. One of its bytes, in any copy.
    ranges = [(vma["start"], vma["end"]) for vma in host.guest_ram(web1.pid, 256 << 20)]
    procs.corrupt(web1.pid, _address_of_most_frequent_page(web1.pid, ranges))
    assert checker.read_line().startswith("wrong page ")
    assert checker.read_line().endswith("errors 1")


def _address_of_most_frequent_page(pid, ranges):
    addresses = {}
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for start, end in ranges:
            memory.seek(start)
            for address in range(start, end, bruteforce.PAGE):
                content = memory.read(bruteforce.PAGE)
                if content != bruteforce.ZERO:
                    addresses.setdefault(content, []).append(address)
    return max(addresses.values(), key=len)[0]


@pytest.mark.parametrize("start", [procs.memcheck, procs.tiny_kvm])
@pytest.mark.parametrize("hugepages", [(), ("--hugepages",)], ids=["small", "huge"])
def test_checker_runs_and_writes_without_an_error(start, hugepages, request):
    if start is procs.tiny_kvm:
        request.getfixturevalue("needs_kvm")
    with start("--mib", "16", *hugepages) as checker:
        assert checker.start % HUGE == 0 and checker.length == 16 << 20
        for _ in range(5):
            checker.write(500)
            checker.wait_rounds(2)
        rounds, errors, status = checker.stop()
    assert rounds >= 10 and errors == 0 and status == 0


@pytest.mark.parametrize("start", [procs.memcheck, procs.tiny_kvm])
@pytest.mark.parametrize("offset", [0, 4095, (5 << 20) + 77, (16 << 20) - 1])
def test_checker_ends_at_the_first_wrong_byte(start, offset, request):
    if start is procs.tiny_kvm:
        request.getfixturevalue("needs_kvm")
    with start("--mib", "16", "--hot-writes", "0", "--stray-writes", "0") as checker:
        procs.corrupt(checker.pid, checker.start + offset)
        wrong = checker.read_line()
        assert wrong.startswith(f"wrong page {offset // 4096} offset {offset % 4096 // 8 * 8} ")
        _, errors, status = checker.stop()
    assert errors == 1 and status == 1


def test_checkers_share_twins_and_nothing_else():
    with procs.memcheck("--mib", "8") as one, procs.memcheck("--mib", "8") as two:
        numbers = bruteforce.estimate({checker.pid: [(checker.start, checker.start + checker.length)]
                                       for checker in (one, two)})["total"]
    assert numbers["pages_scanned"] == 4096
    # 64 twins, less those that one byte sets apart at this moment; a fifth is zero.
    assert 60 <= numbers["distinct_contents"] <= 70
    assert 500 < numbers["zero_pages"] < 1200


def test_known_twins_are_what_counting_finds():
    with procs.twins("z*40", "c5*3", "r5*4", "u*7", "h*3", "o*2", "--scatter", "5") as twins:
        counted = bruteforce.estimate({twins.pid: [(twins.start, twins.start + twins.length)]})
    assert twins.expected == {"zero": 40, "duplicate": 4, "distinct": 1, "self": 3, "unique": 10,
                              "holes": 5}
    total = counted["total"]
    assert total["pages_scanned"] == 40 + 4 + 10
    assert (total["zero_pages"], total["duplicate_pages"], total["distinct_contents"]) == (40, 4, 1)
    assert total["saveable_bytes"] == (40 + 3) * 4096


def test_cross_savings_are_split_and_the_rest_goes_to_the_lowest_pid():
    with procs.twins("c1*3") as a, procs.twins("c1*1") as b, procs.twins("c1*1") as c:
        counted = bruteforce.estimate({target.pid: [(target.start, target.start + target.length)]
                                       for target in (a, b, c)})
    assert counted["total"]["self_bytes"] == 2 * 4096
    assert counted["total"]["cross_bytes"] == 2 * 4096
    assert [numbers["cross_bytes"] for numbers in counted["vms"]] == [2732, 2730, 2730]


def test_forked_workers_check_and_write_their_memory():
    with procs.prefork(3, 8, 4) as server:
        assert len(server.workers) == 3
        assert server.check() == 0
        server.write(100)
        assert server.check() == 0


def test_ksm_knobs_are_put_back_after_an_exception(ksm_alone):
    before = ksm_alone.knobs()
    with pytest.raises(ZeroDivisionError), ksm.saved():
        ksm.apply({"pages_to_scan": int(before["pages_to_scan"]) + 1, "sleep_millisecs": 7})
        assert ksm.knobs() != before
        1 / 0
    assert ksm.knobs() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_a_lab_that_is_ended(lab, number):
    """Even kill -9 leaves no QEMU behind: the kernel ends it."""
    script = ("import time; from lab import children, guests\n"
              "children.handle_signals()\n"
              "with guests.Lab() as lab:\n"
              "    print(lab.boot('web1', memory_mib=256)[0].pid, lab.directory, flush=True)\n"
              "    time.sleep(600)\n")
    owner = children.start([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True,
                           cwd=paths.TOP / "tools")
    pid, directory = owner.stdout.readline().split()
    try:
        qemu = procs.Waiter(int(pid))
        owner.send_signal(number)
        owner.wait(30)
        assert qemu.wait_ended(30)
        assert number == signal.SIGKILL or not os.path.exists(directory)
    finally:
        children.end(owner)
        shutil.rmtree(directory, ignore_errors=True)
