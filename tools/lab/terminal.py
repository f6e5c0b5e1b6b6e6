# SPDX-License-Identifier: GPL-2.0-or-later
"""A terminal with a program in it (tmux, on a private socket), and nothing left of it.

    with Terminal(["pagefold", "top"]) as terminal:
        terminal.wait_for("RECLAIMED")
        terminal.keys("q")
"""

import os
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

WAIT_SECONDS = 20


class TerminalError(Exception):
    """The screen did not show what it should, or there is no terminal."""


def missing():
    """Why there is none; None where there is."""
    return None if shutil.which("tmux") else "no tmux here"


class Terminal:
    """The program's exit status is on the screen once it has ended: "ended with 0"."""

    def __init__(self, command, columns=80, lines=24, environment=None):
        self.directory = Path(tempfile.mkdtemp(prefix="pagefold-terminal-"))
        words = " ".join(shlex.quote(str(word)) for word in command)
        variables = {"LC_ALL": "C.UTF-8", **(environment or {})}
        self._start = ["new-session", "-d", "-x", columns, "-y", lines]
        for name, value in variables.items():
            self._start += ["-e", f"{name}={value}"]
        # TERM is tmux's own unless it was given.
        term = f"TERM={shlex.quote(variables['TERM'])} " if "TERM" in variables else ""
        self._start.append(f"{term}{words}; echo \"ended with $?\"; exec sleep 60")

    def _tmux(self, *arguments):
        command = ["tmux", "-u", "-f", "/dev/null", "-S", self.directory / "socket", *arguments]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                              check=False, timeout=WAIT_SECONDS,
                              env={**os.environ, "LC_ALL": "C.UTF-8"})
        if done.returncode != 0:
            raise TerminalError(f"tmux {arguments[0]}: {done.stderr}")
        return done.stdout

    def __enter__(self):
        try:
            self._tmux(*self._start)
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        return self

    def __exit__(self, *_exception):
        try:
            self._tmux("kill-server")
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def screen(self):
        """The lines, without blanks at their ends."""
        return self._tmux("capture-pane", "-p").split("\n")

    def keys(self, *names):
        self._tmux("send-keys", *names)

    def resize(self, columns, lines):
        self._tmux("resize-window", "-x", columns, "-y", lines)

    def wait_for(self, condition, timeout=WAIT_SECONDS):
        """The first screen with a text in it, or that a function of its lines holds for."""
        deadline = time.monotonic() + timeout
        while True:
            lines = self.screen()
            if condition in "\n".join(lines) if isinstance(condition, str) else condition(lines):
                return lines
            if time.monotonic() > deadline:
                raise TerminalError("not within %d s; the screen:\n%s" % (timeout, "\n".join(lines)))
            time.sleep(0.05)
