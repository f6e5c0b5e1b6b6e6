# SPDX-License-Identifier: GPL-2.0-or-later
"""A private pagefoldd: its own directories, configuration and socket, and nothing left of it.

    with Daemon(config={"default-mode": "merge"}) as daemon:
        print(daemon.status()["savings"])
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from lab import children, paths

READY_SECONDS = 30
STOP_SECONDS = 30


class DaemonError(Exception):
    """The daemon, or the command line tool, did not do what it was told."""


class Daemon:
    """config: keys of [pagefold]; policies: {file name: text} of policy.d. What is given as directory
    stays when this ends, so that another Daemon can adopt what the first one left there."""

    def __init__(self, config=None, policies=None, arguments=(), directory=None, once=False,
                 environment=None, wrapper=()):
        self._own_directory = directory is None
        self.directory = Path(directory or tempfile.mkdtemp(prefix="pagefold-daemon-"))
        self.runtime_dir = self.directory / "run"
        self.state_dir = self.directory / "state"
        self.policy_dir = self.directory / "policy.d"
        self.config_path = self.directory / "pagefold.conf"
        self.socket_path = self.runtime_dir / "api.sock"
        self.log_path = self.directory / "log"
        self.arguments = [*(["--once"] if once else []), *arguments]
        self.notified = []
        self.process = None
        self._environment = environment or {}
        self._wrapper = wrapper
        self._notify = None
        for path in (self.runtime_dir, self.state_dir, self.policy_dir):
            path.mkdir(parents=True, exist_ok=True)
        self.write_config(config or {})
        for name, text in (policies or {}).items():
            self.write_policy(name, text)

    def write_config(self, keys):
        keys = {"policy-dir": self.policy_dir, "libvirt-uri": "", **keys}
        lines = ["[pagefold]", *(f"{key} = {value}" for key, value in keys.items())]
        self.config_path.write_text("\n".join(lines) + "\n")

    def write_policy(self, name, text):
        (self.policy_dir / name).write_text(text)

    def __enter__(self):
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exception):
        self.close()

    def start(self):
        """May be called again once the daemon has ended."""
        command = [*self._wrapper, paths.program("pagefoldd"), "-c", self.config_path,
                   "--runtime-dir", self.runtime_dir, "--state-dir", self.state_dir,
                   *self.arguments]
        self._open_notify_socket()
        environment = {**os.environ, "NOTIFY_SOCKET": str(self.directory / "notify"),
                       **self._environment}
        with children.shielded(), open(self.log_path, "ab") as log:
            self.process = children.start(command, stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log, env=environment)
        self.pid = self.process.pid

    def _open_notify_socket(self):
        path = self.directory / "notify"
        path.unlink(missing_ok=True)
        if self._notify:
            self._notify.close()
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._notify.bind(str(path))
        self.notified = []

    def wait_ready(self, timeout=READY_SECONDS):
        self.wait_notified("READY=1", timeout)
        return self

    def wait_notified(self, line, timeout=READY_SECONDS):
        """Until the daemon has said that line to its service manager."""
        deadline = time.monotonic() + timeout
        pidfd = children.pidfd(self.process)
        try:
            while line not in self.notified:
                readable = children.wait_readable([self._notify.fileno(), pidfd], deadline)
                if self._notify.fileno() in readable:
                    self.notified += self._notify.recv(65536).decode().splitlines()
                elif readable:
                    raise DaemonError(f"pagefoldd ended with {self.process.wait()} before it said "
                                      f"{line}:\n{self.log()}")
                else:
                    raise DaemonError(f"no {line} within {timeout} s:\n{self.log()}")
        finally:
            os.close(pidfd)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def wait(self, timeout):
        """Its exit status; subprocess.TimeoutExpired when it still runs."""
        return self.process.wait(timeout)

    def stop(self, timeout=STOP_SECONDS):
        """SIGTERM; its exit status."""
        self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise DaemonError(f"pagefoldd did not end within {timeout} s:\n{self.log()}") from None

    def kill(self):
        """kill -9"""
        self.process.kill()
        self.process.wait()

    def reload(self):
        """SIGHUP, and waits until it says that it is ready again."""
        self.notified = []
        self.process.send_signal(signal.SIGHUP)
        self.wait_ready()

    def close(self):
        with children.shielded():
            if self.process:
                children.end(self.process, STOP_SECONDS)
                self.process = None
            if self._notify:
                self._notify.close()
                self._notify = None
            if self._own_directory:
                shutil.rmtree(self.directory, ignore_errors=True)

    def log(self):
        with contextlib.suppress(OSError):
            return self.log_path.read_text(errors="replace")
        return ""

    def cli_run(self, *arguments):
        """pagefold ARGUMENTS at this daemon's socket: a CompletedProcess, whatever the exit status."""
        command = [paths.program("pagefold"), "--socket", self.socket_path, *arguments]
        return subprocess.run([str(word) for word in command], capture_output=True, text=True,
                              check=False, timeout=120)

    def cli(self, *arguments):
        """What pagefold ARGUMENTS --json says."""
        done = self.cli_run(*arguments, "--json")
        if done.returncode != 0:
            raise DaemonError(f"pagefold {' '.join(map(str, arguments))} ended with "
                              f"{done.returncode}: {done.stderr}{self.log()[-4000:]}")
        return json.loads(done.stdout)

    def get(self, path):
        """(HTTP status, JSON or text) of a GET, straight from the socket."""
        return self.request("GET", path)

    def request(self, method, path, body=""):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(120)
            connection.connect(str(self.socket_path))
            connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
                               f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
                               f"{body}".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        text = body.decode(errors="replace")
        return status, json.loads(text) if b"application/json" in head else text

    def status(self):
        return self.cli("status")

    def vm(self, pid):
        """The VM or process with that pid in `pagefold vms`; None: not there (yet)."""
        for vm in self.cli("vms")["vms"]:
            if vm["pid"] == pid:
                return vm
        return None

    def wait_for(self, condition, timeout=60, interval=0.1):
        """The first status that the condition holds for."""
        deadline = time.monotonic() + timeout
        while True:
            status = self.status()
            if condition(status):
                return status
            if time.monotonic() > deadline:
                raise DaemonError(f"not within {timeout} s; the last status:\n"
                                  f"{json.dumps(status, indent=2)}\n{self.log()[-4000:]}")
            time.sleep(interval)

    def wait_passes(self, more=1, timeout=60):
        """Until that many more passes have ended; the first of them may have begun before the call,
        so the state of now is in the second."""
        goal = self.status()["pass"]["number"] + more
        return self.wait_for(lambda status: status["pass"]["number"] >= goal, timeout)


def merge_policy(*matches, group="default", **keys):
    """The text of a policy file that merges what is matched: "vm:web*", "pid:4711", ..."""
    extra = "".join(f"{key} = {value}\n" for key, value in keys.items())
    return "".join(f"[target t{number}]\nmatch = {match}\nmode = merge\ngroup = {group}\n{extra}\n"
                   for number, match in enumerate(matches))
