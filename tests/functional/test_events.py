# SPDX-License-Identifier: GPL-2.0-or-later
"""/v1/events, as curl hears it: what happens, while it happens. Nothing is folded."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lab import children, procs
from lab.daemon import Daemon

WATCHING = {"cpu-percent": 1000, "scan-interval": 1, "settle-seconds": 0, "default-mode": "off",
            "ksm-owner": "stand-by"}
EVENT_SECONDS = 20


class Stream:
    """curl --no-buffer; its lines as they come."""

    def __init__(self, daemon):
        self._process = children.start(
            ["curl", "--silent", "--no-buffer", "--unix-socket", str(daemon.socket_path),
             "http://localhost/v1/events"], stdout=subprocess.PIPE)
        self.pid = self._process.pid
        self._received = b""

    def next(self, timeout=EVENT_SECONDS):
        deadline = time.monotonic() + timeout
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._received:
            assert children.wait_readable([descriptor], deadline), "no event came"
            received = os.read(descriptor, 65536)
            assert received, "the stream has ended"
            self._received += received
        line, self._received = self._received.split(b"\n", 1)
        return json.loads(line)

    def wait(self, event, **fields):
        """The next event of that kind with these fields, and all that came before it."""
        before = []
        while True:
            found = self.next()
            if found["event"] == event and fields.items() <= found.items():
                return found, before
            before.append(found)

    def ended(self, timeout=EVENT_SECONDS):
        return self._process.wait(timeout)

    def close(self):
        children.end(self._process)


@contextlib.contextmanager
def listening(daemon):
    if not shutil.which("curl"):
        pytest.skip("no curl here")
    with contextlib.closing(Stream(daemon)) as stream:
        assert stream.next()["event"] == "start"
        yield stream


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def resident(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def policy(target, mode):
    return f"[target t]\nmatch = pid:{target.pid}\nmode = {mode}\ngroup = web\n"


def test_a_process_comes_changes_its_policy_and_goes():
    with Daemon(config=WATCHING) as daemon, listening(daemon) as stream:
        with procs.twins("r1*600") as target:
            daemon.write_policy("t.conf", policy(target, "observe"))
            daemon.reload()
            came, before = stream.wait("vm-came", pid=target.pid)
            assert came["kind"] == "process" and came["uuid"] is None
            told, _ = stream.wait("vm-policy", pid=target.pid)
            assert (told["mode"], told["group"]) == ("observe", "web")
            daemon.write_policy("t.conf", policy(target, "off"))
            daemon.reload()
            stream.wait("vm-policy", pid=target.pid, mode="off")
            stream.wait("vm-state", pid=target.pid, state="off", was="observed")
        went, between = stream.wait("vm-went", pid=target.pid)
        assert {"pass"} <= {event["event"] for event in before + between}
        numbers = [event["sequence"] for event in between] + [went["sequence"]]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_pauses_and_warnings_are_told_and_the_stream_ends_with_the_daemon():
    with Daemon(config=WATCHING) as daemon, listening(daemon) as stream:
        daemon.cli("pause")
        stream.wait("paused")
        daemon.cli("resume")
        stream.wait("resumed")
        daemon.write_policy("gone.conf", "[target gone]\nmatch = pid:4194304\nmode = observe\n")
        daemon.reload()
        warning, _ = stream.wait("warning")
        assert "4194304" in warning["text"]
        (daemon.policy_dir / "gone.conf").unlink()
        daemon.reload()
        stream.wait("warning-over", text=warning["text"])
        assert daemon.stop() == 0
        assert stream.ended() == 0


def test_a_reader_that_is_stopped_costs_nothing():
    with Daemon(config=WATCHING) as daemon, listening(daemon) as stalled, \
            listening(daemon) as reader:
        os.kill(stalled.pid, signal.SIGSTOP)
        try:
            before = resident(daemon.pid)
            for _ in range(60):
                daemon.request("POST", "/v1/pause")
                daemon.request("POST", "/v1/resume")
            for _ in range(60):
                assert not any(event["event"] == "lost" for event in reader.wait("resumed")[1])
            assert resident(daemon.pid) - before < 8 << 20
        finally:
            os.kill(stalled.pid, signal.SIGCONT)


def test_a_stream_on_which_nothing_happens_takes_no_time():
    with Daemon(config={**WATCHING, "scan-interval": 3600}) as daemon, listening(daemon):
        daemon.wait_for(lambda status: status["pass"]["number"] >= 1)
        before = cpu_seconds(daemon.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(1)
        assert daemon.alive() and cpu_seconds(daemon.pid) - before < 0.2
