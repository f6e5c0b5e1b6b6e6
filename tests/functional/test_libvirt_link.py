# SPDX-License-Identifier: GPL-2.0-or-later
"""The link to libvirt (libvirt_probe.c) against a real libvirtd with real domains."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from lab import libvirtd as lab_libvirtd, paths, procs

MERGE = "<policy mode='merge' group='web'/>"
OBSERVE = "<policy mode='observe'/>"


class Probe(procs.Target):
    """What the link says: wait_table() for the first table that a condition holds for."""

    def __init__(self, uri):
        super().__init__([paths.test_helper("libvirt_probe"), uri])
        self.tables = []
        self.answers = []

    def wait_ready(self, timeout=procs.ANSWER_SECONDS):
        assert "started" in json.loads(self.read_line(timeout))
        return self

    def _read(self, timeout):
        line = json.loads(self.read_line(timeout))
        (self.tables if "domains" in line else self.answers).append(line)
        return line

    def table(self):
        """What it says when it is asked."""
        self.tell("table")
        return self.wait_line(lambda line: "domains" in line and line["waited_ns"] is not None)

    def wait_line(self, condition, timeout=30):
        deadline = time.monotonic() + timeout
        while True:
            line = self._read(max(0, deadline - time.monotonic()))
            if condition(line):
                return line

    def wait_table(self, condition, timeout=30):
        """The table of now, or the next that it holds for."""
        if self.tables and condition(self.tables[-1]):
            return self.tables[-1]
        return self.wait_line(lambda line: "domains" in line and condition(line), timeout)

    def wait_connected(self, timeout=30):
        return self.wait_table(lambda table: table["trouble"] is None, timeout)

    def wait_domain(self, domain, condition=lambda _: True, timeout=30):
        """What it says of a domain, once the condition holds for it."""
        table = self.wait_table(lambda table: domain.uuid in table["domains"]
                                and condition(table["domains"][domain.uuid]), timeout)
        return table["domains"][domain.uuid]

    def wait_gone(self, domain, timeout=30):
        return self.wait_table(lambda table: domain.uuid not in table["domains"], timeout)

    def set(self, domain, element, timeout=30):
        """The answer to a change of its metadata; element None removes it."""
        self.tell(f"set {domain.uuid} {element}" if element else f"remove {domain.uuid}")
        return self.wait_answer(domain, timeout)

    def wait_answer(self, domain, timeout=30):
        return self.wait_line(lambda line: line.get("uuid") == domain.uuid, timeout)

    def stop(self):
        """Seconds that it took."""
        self.tell("stop")
        return self.wait_line(lambda line: "stopped" in line)["stopped"]

    def restart(self):
        """The same, and starts it again."""
        seconds = self.stop()
        self.tell("start")
        self.wait_line(lambda line: "started" in line)
        return seconds

    def quit(self):
        """Its exit status; built with a sanitizer it fails on a leak."""
        self.tell("quit")
        return self.process.wait(procs.ANSWER_SECONDS)

    def settle(self, domain):
        """Until what has happened so far has been told: a policy comes after it."""
        domain.set_policy(OBSERVE)
        self.wait_domain(domain, has_policy("observe"))
        return len(self.tables)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


@pytest.fixture
def probe(libvirtd):
    with Probe(libvirtd.uri) as watching:
        watching.wait_connected()
        yield watching
        assert watching.quit() == 0


@pytest.fixture
def web(libvirtd):
    """A domain that runs, and does nothing."""
    return libvirtd.define("web1", memory_mib=64, mergeable=False).power_on(paused=True)


def has_policy(*words):
    return lambda domain: domain["policy"] and all(word in domain["policy"] for word in words)


def has_no_policy(domain):
    return domain["policy"] is None


def test_domains_appear_and_disappear_by_events(libvirtd, probe):
    assert probe.wait_connected()["domains"] == {}
    web1 = libvirtd.define("web1", memory_mib=64, mergeable=False)
    quiet = libvirtd.define("quiet", memory_mib=64, nosharepages=True, policy=(
        "<p:policy xmlns:p='urn:pagefold:domain:1' mode='merge'/>"
        "<other xmlns='urn:someone:else'><policy mode='off'/></other>"))
    web1.power_on(paused=True)
    assert probe.wait_domain(web1) == {"policy": None, "nosharepages": False, "id": 1}
    quiet.power_on(paused=True)
    found = probe.wait_domain(quiet)
    assert found["nosharepages"] and found["policy"] == "<policy mode=\"merge\"/>"
    web1.power_off()
    assert set(probe.wait_gone(web1)["domains"]) == {quiet.uuid}
    # A defined domain that does not run is none of ours, and a restarted one is another.
    web1.power_on(paused=True)
    assert probe.wait_domain(web1)["id"] == 3


def test_metadata_takes_effect_within_a_second(probe, web):
    probe.wait_domain(web, has_no_policy)
    begin = time.monotonic()
    web.set_policy(MERGE, "--live", "--config")
    probe.wait_domain(web, has_policy("merge", "web"))
    assert time.monotonic() - begin < 1
    begin = time.monotonic()
    web.set_policy(OBSERVE)
    probe.wait_domain(web, has_policy("observe"))
    web.remove_policy()
    probe.wait_domain(web, has_no_policy)
    assert time.monotonic() - begin < 2
    # The persistent definition had it all along.
    web.power_off()
    web.power_on(paused=True)
    probe.wait_domain(web, has_policy("merge", "web"))


def test_metadata_of_others_is_nothing_new(libvirtd, probe, web):
    said = probe.settle(web)
    libvirtd.virsh("metadata", web.name, "--uri", "urn:someone:else", "--key", "x", "--set", "<a/>")
    libvirtd.virsh("desc", web.name, "another title", "--title")
    web.set_policy(MERGE)
    probe.wait_domain(web, has_policy("merge"))
    assert len(probe.tables) == said + 1


def test_set_writes_live_and_config_and_survives_a_restart_of_the_domain(probe, web):
    probe.wait_domain(web)
    assert probe.set(web, MERGE) == {"uuid": web.uuid, "error": 0, "message": None}
    assert "merge" in web.policy("--live") and "merge" in web.policy("--config")
    probe.wait_domain(web, has_policy("merge"))
    web.power_off()
    probe.wait_gone(web)
    web.power_on(paused=True)
    probe.wait_domain(web, has_policy("merge", "web"))
    assert probe.set(web, None)["error"] == 0
    assert web.policy("--live") is None and web.policy("--config") is None
    probe.wait_domain(web, has_no_policy)
    # The persistent definition of one that does not run is written, too.
    web.power_off()
    assert probe.set(web, OBSERVE)["error"] == 0
    assert "observe" in web.policy("--config")


def test_set_says_what_libvirt_refuses(libvirtd, probe, web):
    probe.wait_domain(web)
    answer = probe.set(web, "<policy mode='merge'")
    assert answer["error"] == -5 and "attributes" in answer["message"], answer
    web.power_off()
    libvirtd.virsh("undefine", web.name)
    answer = probe.set(web, MERGE)
    assert answer["error"] == -5 and "not found" in answer["message"], answer


def test_libvirtd_that_is_killed_and_restarted_changes_no_policy(libvirtd, probe, web):
    web.set_policy(MERGE)
    before = probe.wait_domain(web, has_policy("merge"))
    libvirtd.kill()
    table = probe.wait_table(lambda table: table["trouble"], timeout=2)
    assert libvirtd.uri in table["trouble"]
    assert table["domains"] == {web.uuid: before}
    answer = probe.set(web, OBSERVE)
    assert answer["error"] in (-107, -5), answer  # ENOTCONN, or it breaks in the middle
    libvirtd.start().wait_ready()
    assert probe.wait_connected(timeout=3)["domains"] == {web.uuid: before}
    web.set_policy(OBSERVE)
    probe.wait_domain(web, has_policy("observe"))


def test_domain_that_ends_while_libvirtd_is_away_is_gone_afterwards(libvirtd, probe, web):
    probe.wait_domain(web)
    pid = web.pid
    libvirtd.stop()
    probe.wait_table(lambda table: table["trouble"])
    os.kill(pid, 9)
    assert procs.Waiter(pid).wait_ended(30)
    libvirtd.start().wait_ready()
    assert probe.wait_connected(timeout=3)["domains"] == {}


def test_libvirtd_that_is_not_there_yet_is_waited_for():
    reason = lab_libvirtd.missing()
    if reason:
        pytest.skip(reason)
    with lab_libvirtd.Libvirtd(start=False) as libvirtd, Probe(libvirtd.uri) as probe:
        table = probe.wait_table(lambda table: "Failed to connect" in table["trouble"])
        assert table["domains"] == {}
        libvirtd.start().wait_ready()
        assert probe.wait_connected(timeout=3)["domains"] == {}
        # What is wrong was said once, not at each attempt.
        assert len([table for table in probe.tables if table["trouble"]]) <= 2


def test_libvirtd_that_hangs_holds_up_nobody(libvirtd, probe, web):
    web.set_policy(MERGE)
    before = probe.wait_domain(web, has_policy("merge"))
    libvirtd.hang()
    try:
        answer = probe.set(web, OBSERVE, timeout=10)
        assert answer["error"] == -110 and "does not answer" in answer["message"], answer
        table = probe.wait_table(lambda table: table["trouble"])
        assert "does not answer" in table["trouble"]
        assert table["domains"] == {web.uuid: before}
        assert probe.table()["waited_ns"] < 100_000_000
        # One that comes later waits no longer.
        answer = probe.set(web, OBSERVE, timeout=10)
        assert answer["error"] == -110, answer
    finally:
        libvirtd.go_on()
    # The first of them had been sent, and is now done; the second had not.
    probe.wait_domain(web, has_policy("observe"), timeout=10)
    assert probe.wait_connected(timeout=10)["trouble"] is None
    assert probe.set(web, MERGE)["error"] == 0


def test_libvirtd_that_hangs_for_long_is_given_up_and_found_again(libvirtd, probe, web):
    assert probe.set(web, MERGE)["error"] == 0
    probe.wait_domain(web, has_policy("merge"))
    libvirtd.hang()
    try:
        # Nothing is asked: it is the missing answers to keep-alive messages that tell.
        table = probe.wait_table(lambda table: table["trouble"], timeout=40)
        assert "does not answer" in table["trouble"]
        assert web.uuid in table["domains"]
        assert probe.restart() < 4
        # Opening a connection: the kernel accepts it, and nobody answers.
        probe.wait_line(lambda line: "does not answer" in (line.get("trouble") or ""))
        assert 2 < probe.restart() < 4
    finally:
        libvirtd.go_on()
    assert set(probe.wait_connected(timeout=10)["domains"]) == {web.uuid}


def test_restarts_leak_no_connections(libvirtd, probe, web):
    probe.wait_domain(web)
    libvirtd.kill()
    libvirtd.start().wait_ready()
    probe.wait_table(lambda table: table["trouble"])
    probe.wait_connected()
    before = probe.descriptors()
    for _ in range(4):
        libvirtd.kill()
        libvirtd.start().wait_ready()
        probe.wait_table(lambda table: table["trouble"])
        probe.wait_connected()
    assert probe.descriptors() == before
    assert probe.stop() < 1
    # The event loop's thread is gone as well.
    assert len(os.listdir(f"/proc/{probe.pid}/task")) == 1


def test_domain_that_is_saved_and_restored_keeps_its_policy(libvirtd, probe, web):
    web.set_policy(MERGE, "--live", "--config")
    probe.wait_domain(web, has_policy("merge"))
    libvirtd.virsh("save", web.name, libvirtd.directory / "lib/libvirt/web1.save")
    probe.wait_gone(web)
    libvirtd.virsh("restore", libvirtd.directory / "lib/libvirt/web1.save", "--paused")
    probe.wait_domain(web, has_policy("merge"))


def test_memory_that_is_plugged_in_is_told(libvirtd, probe):
    grows = libvirtd.define("grows", memory_mib=64, max_memory_mib=512, mergeable=False)
    grows.power_on(paused=True)
    said = probe.settle(grows)
    dimm = libvirtd.directory / "dimm.xml"
    dimm.write_text("<memory model='dimm'><target><size unit='MiB'>128</size><node>0</node></target>"
                    "</memory>")
    libvirtd.virsh("attach-device", grows.name, dimm)
    probe.wait_line(lambda line: "domains" in line)
    assert len(probe.tables) == said + 1


def test_the_command_line_tool_loads_no_libvirt():
    done = subprocess.run(["ldd", paths.program("pagefold")], capture_output=True, text=True,
                          check=True)
    assert "libcurl" in done.stdout and "libvirt" not in done.stdout


def test_nothing_of_a_libvirtd_is_left():
    reason = lab_libvirtd.missing()
    if reason:
        pytest.skip(reason)
    with lab_libvirtd.Libvirtd() as libvirtd:
        domain = libvirtd.define("web1", memory_mib=64, mergeable=False).power_on(paused=True)
        waiters = [procs.Waiter(domain.pid), procs.Waiter(libvirtd.pid)]
    assert all(waiter.wait_ended(10) for waiter in waiters)
    assert not libvirtd.directory.exists()
    assert str(libvirtd.directory) not in Path("/proc/mounts").read_text()
