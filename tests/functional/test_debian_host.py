# SPDX-License-Identifier: GPL-2.0-or-later
"""pagefold as it is installed: the unit under a real systemd, on the kernel of Debian 12, inside a guest
whose KSM is its own."""

import os
import re

import pytest

from lab import debian_image, guests, paths
from lab.debian_host import DebianHost, check

MIB = 1 << 20
PAGE = 4096
NODE_PAGES = 1024
EAGER = {"cpu_percent": 1000, "scan_interval": 1, "settle_seconds": 0, "default_mode": "off"}
# What Linux 6.1 has of the features; what it has not: pagemap-scan, smaps-ksm, smart-scan, ksm-zero-pages.
FEATURES = ["ring", "collapse"]
CHECKER_MIB = 8
# What moves besides: a process's stack and heap, and what is counted in batches.
SLACK = 100 * PAGE
KNOBS = {"pages_to_scan": 321, "sleep_millisecs": 33, "use_zero_pages": 0}


@pytest.fixture(scope="module")
def machine():
    if not debian_image.HOST.path.exists() or not (paths.DEPS / "kernel/vmlinuz").exists():
        pytest.skip("no image of a Debian host: run `make deps-test`")
    if os.environ.get("PAGEFOLD_SANITIZED"):
        pytest.skip("what is installed has no sanitizer in it")
    with DebianHost(guests.Lab()) as running:
        yield running


@pytest.fixture
def host(machine):
    machine.clean()
    return machine


@pytest.fixture
def two(host):
    """Two processes that a policy names, and pagefoldd folds as fast as it can once it is started."""
    with host.checker(CHECKER_MIB) as one, host.checker(CHECKER_MIB) as other:
        host.configure(**EAGER)
        host.merge(f"pid:{one.pid}", f"pid:{other.pid}")
        yield [one, other]


def is_folded(host, *programs):
    vms = {vm["pid"]: vm for vm in host.pagefold("vms")["vms"]}
    return all(vms.get(program.pid, {}).get("state") == "folded" and
               (vms[program.pid]["potential_bytes"] or 0) < 64 * PAGE for program in programs)


def wait_folded(host, *programs):
    host.wait_for(lambda: is_folded(host, *programs))


def reclaimed(host, *programs):
    return sum(host.vm(program.pid)["reclaimed_bytes"] for program in programs)


def merging_pages(host, *programs):
    return [int(host.run(f"cat /proc/{program.pid}/ksm_merging_pages")) for program in programs]


def wait_anon_pages(host, expected, *programs):
    """Until the kernel counts so many: whatever begins or ends meanwhile is in the way of a single look."""
    host.wait_for(lambda: host.anon_pages(*(program.pid for program in programs)) ==
                  pytest.approx(expected, abs=SLACK))


def marked_ranges(host, program):
    return int(host.run(f"grep -c '^VmFlags:.* mg' /proc/{program.pid}/smaps", check=False))


def test_the_unit_starts_and_is_ready(host):
    assert host.run("systemd-analyze verify --man=no pagefoldd.service") == ""
    host.systemctl("enable", "--now", "pagefoldd")
    assert host.systemctl("is-active", "pagefoldd") == "active"
    assert host.systemctl("is-enabled", "pagefoldd") == "enabled"
    host.systemctl("disable", "pagefoldd")
    assert (host.property("Type"), host.property("WatchdogUSec")) == ("notify", "1min")
    assert host.property("NRestarts") == "0"
    status = host.pagefold("status")["host"]
    assert status["kernel"].startswith("6.1.")
    assert status["features"] == FEATURES
    assert (status["ksm_driver"], status["blocked_by"]) == ("pagefold", [])
    # There is no libvirtd: said, and in nobody's way.
    assert any("libvirt" in text for text in status["warnings"])


def test_the_unit_confines_the_daemon(host):
    host.systemctl("start", "pagefoldd")
    pid = host.property("MainPID")
    status = dict(line.split(":\t") for line in host.run(f"cat /proc/{pid}/status").splitlines()
                  if ":\t" in line)
    # CAP_CHOWN, CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, CAP_SYS_ADMIN.
    assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == 1 << 0 | 1 << 2 | 1 << 19 | 1 << 21
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "0")

    def inside(command):
        return host.guest.run_status(f"nsenter -t {pid} -m -- {command}")[0] == 0

    for path in ("/etc", "/usr/local/sbin", "/root", "/proc/sys/vm", "/sys/kernel/mm/transparent_hugepage"):
        assert not inside(f"test -w {path}"), path
    for path in ("/etc/pagefold/policy.d", "/var/lib/pagefold", "/run/pagefold", "/sys/kernel/mm/ksm/run"):
        assert inside(f"test -w {path}"), path
    assert host.run("stat -c %a /run/pagefold /run/pagefold/api.sock /var/lib/pagefold") == \
        "755\n660\n700\n"


def test_metrics_are_served_on_loopback_and_nowhere_else(host):
    host.configure(**EAGER, metrics_listen="127.0.0.1:9743")
    host.systemctl("start", "pagefoldd")
    question = "GET /metrics HTTP/1.0\\r\\n\\r\\n"
    answer = host.run(f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/9743 && printf \"{question}\" >&3 && cat <&3'")
    assert answer.startswith("HTTP/1.") and "\npagefold_paused 0\n" in answer.replace("\r", "")
    # As systemd has it, for IPv4 and IPv6.
    assert sorted(host.property("IPAddressDeny").split()) == ["0.0.0.0/0", "::/0"]
    assert sorted(host.property("IPAddressAllow").split()) == ["127.0.0.0/8", "::1/128"]
    # What alerts by them has come along.
    assert "alert: PagefoldDown" in host.run("cat /usr/local/share/pagefold/pagefold.rules.yml")


def test_a_daemon_that_hangs_is_killed_and_restarted_by_the_watchdog(host, two):
    host.drop_in("WatchdogSec=5", "RestartSec=100ms")
    host.systemctl("start", "pagefoldd")
    wait_folded(host, *two)
    before = reclaimed(host, *two)
    fed = host.property("WatchdogTimestampMonotonic")
    host.wait_for(lambda: host.property("WatchdogTimestampMonotonic") != fed)
    assert host.property("NRestarts") == "0"
    pid = host.property("MainPID")
    host.run(f"kill -STOP {pid}")
    host.wait_for(lambda: host.property("NRestarts") == "1" and
                  host.systemctl("is-active", "pagefoldd") == "active")
    assert host.property("MainPID") != pid
    assert "Failed with result 'watchdog'" in host.journal()
    wait_folded(host, *two)
    assert reclaimed(host, *two) == pytest.approx(before, rel=0.001)


def test_reload_takes_a_good_configuration_and_refuses_a_wrong_one(host):
    with host.checker(4) as program:
        host.systemctl("start", "pagefoldd")
        assert host.vm(program.pid) is None
        host.configure(**EAGER)
        host.merge(f"pid:{program.pid}")
        host.systemctl("reload", "pagefoldd")
        host.wait_for(lambda: host.vm(program.pid))

        before = host.now()
        host.write("/etc/pagefold/pagefold.conf.d/wrong.conf", "[pagefold]\ncpu-percnt = 5\n")
        assert host.guest.run_status("systemctl reload pagefoldd")[0] != 0
        assert "wrong.conf:2: " in host.journal(since=before)
        assert host.systemctl("is-active", "pagefoldd") == "active"
        # A signal by hand goes past that check, not past the daemon's own.
        before = host.now()
        host.run("systemctl kill -s HUP pagefoldd")
        host.wait_for(lambda: "the old one stays" in host.journal("-p", "err", since=before))
        assert "wrong.conf:2: " in host.journal("-p", "err", since=before)
        assert host.systemctl("is-active", "pagefoldd") == "active"
        assert host.vm(program.pid)["mode"] == "merge"


def test_services_fold_and_the_host_has_as_many_anonymous_pages_less(host):
    host.configure(**EAGER)
    host.systemctl("start", "pagefoldd")
    with host.checker(16, "--hugepages", service="ci-1") as one, \
            host.checker(16, "--hugepages", service="ci-2") as two, host.checker(4) as other:
        before = host.anon_pages(one.pid, two.pid)
        host.merge("cgroup:/system.slice/ci-*.service")
        host.systemctl("reload", "pagefoldd")
        wait_folded(host, one, two)
        back = reclaimed(host, one, two)
        # A fifth of 32 MiB is zero pages, and of the three tenths that are twins 64 frames stay.
        assert back > 15 * MIB
        wait_anon_pages(host, before - back, one, two)
        status = host.pagefold("status")
        assert host.vm(other.pid) is None
        assert {vm["hook"] for vm in status["vms"]} == {"ring"}
        assert 5 * MIB < status["savings"]["reclaimed_zero_bytes"] < 8 * MIB
        assert status["host"]["features"] == FEATURES
        check(one)
        # MADV_COLLAPSE makes huge pages again, also of what was merged with the zero page.
        host.pagefold("release", "--all")
        wait_anon_pages(host, before, one, two)


def nodes_of(host, program):
    """On which NUMA nodes its private memory is."""
    maps = host.run(f"grep ' anon=.* N' /proc/{program.pid}/numa_maps")
    return {int(node) for line in maps.splitlines() if "heap" not in line and "stack" not in line
            for node, pages in re.findall(r" N(\d+)=(\d+)", line) if int(pages) >= NODE_PAGES}


def test_what_ksm_keeps_apart_has_no_twins(host):
    host.set_knobs(merge_across_nodes=0)
    specs = f"r1*{NODE_PAGES}"
    with host.on_node(0, specs) as one, host.on_node(0, specs) as other, \
            host.on_node(1, specs) as far:
        assert [nodes_of(host, program) for program in (one, other, far)] == [{0}, {0}, {1}]
        estimate = host.pagefold("estimate", *(f"--pid {program.pid}" for program in (one, other, far)))
        assert estimate["total"]["saveable_bytes"] == pytest.approx(NODE_PAGES * PAGE, abs=SLACK)
        host.configure(**EAGER)
        host.merge(*(f"pid:{program.pid}" for program in (one, other, far)))
        host.systemctl("start", "pagefoldd")
        wait_folded(host, one, other)
        assert sum(merging_pages(host, one, other)) >= 2 * NODE_PAGES
        vm = host.vm(far.pid)
        assert vm["pages_scanned"] >= NODE_PAGES and vm["potential_bytes"] < SLACK
        assert merging_pages(host, far) == [0] and marked_ranges(host, far) == 0


def test_what_ksm_keeps_apart_no_more_is_folded(host):
    host.set_knobs(merge_across_nodes=0)
    with host.on_node(0, f"r1*{NODE_PAGES}") as one, host.on_node(1, f"r1*{NODE_PAGES}") as far:
        host.configure(**EAGER)
        host.merge(f"pid:{one.pid}", f"pid:{far.pid}")
        host.systemctl("start", "pagefoldd")
        host.wait_for(lambda: all(((host.vm(program.pid) or {}).get("pages_scanned") or 0) >= NODE_PAGES
                                  for program in (one, far)))
        assert marked_ranges(host, one) == marked_ranges(host, far) == 0
        host.set_knobs(merge_across_nodes=1)
        wait_folded(host, one, far)
        assert sum(merging_pages(host, one, far)) >= 2 * NODE_PAGES


def test_restart_adopts_and_release_works_afterwards(host, two):
    host.systemctl("start", "pagefoldd")
    wait_folded(host, *two)
    before, merged = reclaimed(host, *two), merging_pages(host, *two)
    scans = host.run("cat /sys/kernel/mm/ksm/full_scans")
    host.systemctl("restart", "pagefoldd")
    host.wait_for(lambda: host.pagefold("status")["pass"]["number"])
    wait_folded(host, *two)
    assert reclaimed(host, *two) == pytest.approx(before, rel=0.001)
    assert merging_pages(host, *two) == merged and min(merged) > 200
    assert host.run("cat /sys/kernel/mm/ksm/full_scans") == scans
    pids = [program.pid for program in two]
    folded = host.anon_pages(*pids)
    host.pagefold("release", f"pid:{two[0].pid}")
    assert host.vm(two[0].pid)["state"] == "released"
    assert marked_ranges(host, two[0]) == 0 and marked_ranges(host, two[1]) > 0
    # Linux 6.1 does not undo what it merged with the zero page.
    back = host.anon_pages(*pids) - folded
    assert back == pytest.approx(merged[0] * PAGE, abs=SLACK) and back < before / 2 - MIB
    check(two[0])
    check(two[1])


def test_stop_restores_every_knob_and_keeps_the_folds(host, two):
    host.set_knobs(**KNOBS)
    before = host.knobs()
    host.systemctl("start", "pagefoldd")
    wait_folded(host, *two)
    merged = merging_pages(host, *two)
    host.systemctl("stop", "pagefoldd")
    assert host.systemctl("is-active", "pagefoldd") == "inactive"
    assert host.knobs() == before
    assert merging_pages(host, *two) == merged and min(merged) > 200
    assert host.run("ls /run/pagefold 2>&1", check=False).endswith("No such file or directory\n")


# Waits for the burst that the daemon begins, and does something in the middle of it.
IN_A_BURST = """\
while read run </sys/kernel/mm/ksm/run && [ $run = 0 ]; do :; done
{what}; cat /sys/kernel/mm/ksm/run /sys/kernel/mm/ksm/pages_to_scan
"""


def test_stop_in_a_burst_restores_every_knob(host, two):
    host.set_knobs(**KNOBS)
    before = host.knobs()
    host.systemctl("start", "pagefoldd")
    host.run(IN_A_BURST.format(what="systemctl stop pagefoldd"))
    assert host.knobs() == before
    assert host.property("Result") == "success"


def test_killed_in_a_burst_it_is_restarted_and_gives_the_knobs_back(host, two):
    host.set_knobs(**KNOBS)
    before = host.knobs()
    host.drop_in("RestartSec=1")
    host.systemctl("start", "pagefoldd")
    pid = host.property("MainPID")
    _, pages_to_scan = host.run(IN_A_BURST.format(what=f"kill -9 {pid}")).split()
    # It did hit a burst (in which ksmd may just have been held, at the end of a scan).
    assert pages_to_scan != before["pages_to_scan"]
    wait_folded(host, *two)
    assert host.property("NRestarts") == "1"
    assert "KSM's knobs restored after an unclean end" in host.journal("-p", "notice")
    host.wait_for(lambda: host.knobs() == before)
    check(two[0])


# Stands for an attach helper that has a thread of a VM in its hands when the daemon dies.
SLOW_HELPER = """\
#!/bin/sh
echo $$ >/var/lib/pagefold/helper
sleep 2
echo done >/var/lib/pagefold/helper
"""


def test_the_attach_helper_outlives_a_daemon_that_is_killed(host, two):
    helper = "/usr/local/libexec/pagefold/pagefold-attach"
    host.run(f"cp -a {helper} {helper}.saved")
    try:
        host.write(helper, SLOW_HELPER)
        host.drop_in("Restart=no")
        host.systemctl("start", "pagefoldd")
        host.wait_for(lambda: host.run("cat /var/lib/pagefold/helper", check=False).strip().isdigit())
        host.run("systemctl kill --kill-whom=main -s KILL pagefoldd")
        host.wait_for(lambda: host.systemctl("is-active", "pagefoldd") == "failed")
        host.wait_for(lambda: host.run("cat /var/lib/pagefold/helper") == "done\n")
    finally:
        host.run(f"mv {helper}.saved {helper}")


def test_ksmtuned_and_the_unit_end_each_other(host):
    before = host.knobs()
    host.systemctl("start", "pagefoldd")
    host.systemctl("start", "ksmtuned")
    assert host.systemctl("is-active", "pagefoldd", "ksm", "ksmtuned").split() == \
        ["inactive", "active", "active"]
    host.systemctl("start", "pagefoldd")
    assert host.systemctl("is-active", "pagefoldd", "ksm", "ksmtuned").split() == \
        ["active", "inactive", "inactive"]
    # ksm.service had started ksmd, and would have left it running.
    assert host.knobs()["run"] == before["run"] == "0"
    status = host.pagefold("status")["host"]
    assert (status["ksm_driver"], status["blocked_by"]) == ("pagefold", [])


def test_ksmtuned_that_was_started_by_hand_drives_and_is_named(host, two):
    # It leaves its shell behind and goes on, like any daemon.
    host.run("ksmtuned >/dev/null 2>&1")
    pid = host.run("cat /run/ksmtune.pid").strip()
    try:
        host.systemctl("start", "pagefoldd")
        status = host.wait_for(lambda: (now := host.pagefold("status"))["host"]["blocked_by"] and now)
        assert status["host"]["ksm_driver"] == "other"
        assert status["host"]["blocked_by"] == [
            f"ksmtuned (pid {pid}) drives ksmd; stop it, or set ksm-owner = pagefold"]
        assert {vm["state"] for vm in status["vms"]} == {"blocked"}
        assert not any(marked_ranges(host, program) for program in two)
    finally:
        host.run(f"kill {pid}")
    wait_folded(host, *two)
    assert host.pagefold("status")["host"]["ksm_driver"] == "pagefold"


def test_a_process_that_marks_its_own_memory_is_noticed_once_ksmd_has_seen_it(host, two):
    """Before Linux 6.17 nothing tells of it earlier; the burst ends there."""
    with host.program("/mnt/twins --mergeable c1*512") as stranger:
        host.systemctl("start", "pagefoldd")
        status = host.wait_for(lambda: (now := host.pagefold("status"))["host"]["blocked_by"] and now)
        assert len(status["host"]["blocked_by"]) == 1
        assert f"twins (pid {stranger.pid}) has mergeable memory" in status["host"]["blocked_by"][0]
        assert "burst 1: stopped: memory of somebody else became mergeable" in host.journal()
        assert host.knobs()["run"] == "0"
    wait_folded(host, *two)


def test_the_ring_respects_the_seccomp_filters_of_services(host, two):
    """systemd's own filters: one that forbids other things, one that forbids making a ring."""
    with host.checker(8, service="permits SystemCallFilter=~@clock") as permits, \
            host.checker(8, service="forbids SystemCallFilter=~io_uring_setup") as forbids:
        host.merge(*(f"pid:{program.pid}" for program in (*two, permits, forbids)))
        host.systemctl("start", "pagefoldd")
        wait_folded(host, *two, permits)
        for program in (permits, forbids):
            assert host.run(f"grep ^Seccomp: /proc/{program.pid}/status").split()[1] == "2"
        assert host.vm(permits.pid)["hook"] == "ring" and reclaimed(host, permits) > MIB
        refused = host.vm(forbids.pid)
        assert refused["state"] == "blocked"
        assert "seccomp filter does not allow io_uring_setup" in refused["reason"]
        assert "let the filter allow" in refused["reason"]
        assert "does not allow io_uring_setup" in host.journal("-p", "warning")
        check(permits)
        check(forbids)


def test_the_group_pagefold_reads_and_changes_nothing(host, two):
    host.run("getent group pagefold >/dev/null || groupadd --system pagefold; "
             "getent passwd reader >/dev/null || useradd -G pagefold reader; "
             "getent passwd stranger >/dev/null || useradd stranger")
    host.systemctl("start", "pagefoldd")
    wait_folded(host, *two)

    def as_user(name, command):
        return host.guest.run_status(f"setpriv --reuid {name} --regid {name} --init-groups -- {command}")

    status, said = as_user("reader", "pagefold vms")
    assert status == 0 and str(two[0].pid) in said
    for change in ("pause", f"release pid:{two[0].pid}", f"set pid:{two[0].pid} mode=off"):
        status, said = as_user("reader", f"pagefold {change}")
        assert status == 1 and "root" in said, said
    assert host.pagefold("status")["host"]["paused"] is False and is_folded(host, *two)
    status, said = as_user("stranger", "pagefold vms")
    assert status == 3 and "/run/pagefold/api.sock" in said, said


def test_the_journal_has_every_message_with_its_priority(host, two):
    before = host.now()
    host.systemctl("start", "pagefoldd")
    wait_folded(host, *two)
    host.run("pagefold pause")
    messages = host.journal("-p info..info", "-t pagefoldd", since=before)
    assert "ready, /run/pagefold/api.sock" in messages and "burst 1: done" in messages
    assert f"memcheck (pid {two[0].pid}): attached, hook ring" in messages
    assert host.journal("-p notice..notice", "-t pagefoldd", since=before) == "paused by the operator\n"
    assert host.journal("-p err", since=before) == ""
    # The priority is the message's field, no longer a number in its text.
    assert "<" not in messages
