# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's ksmtuned, as its package has it, beside guests that it would not take for its own."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab import children, paths

SCRIPT = paths.DEPS / "ksmtuned/usr/sbin/ksmtuned"
CONF = "/etc/ksmtuned.conf"
# What it is given, and why; the rest is as it ships: a look each 60 s, 300 pages more each time up to 1,250
# a wake of 10 ms on a host of this size.
#   pgrep: it looks for "qemu-system.*-enable-kvm", which neither libvirt's guests nor translated ones are
#   called by. Its configuration is shell, so that it can be told.
#   KSM_THRES_COEF: ksmd is to start once so many percent of the memory are not free. At 100 it
#   starts, and is boosted at each look: as on a host that has run short.
CONF_TEXT = """\
pgrep() {{ echo {pids}; }}
KSM_THRES_COEF=100
"""
WHAT = ("ksmtuned, told by its configuration which processes are guests and that memory is short "
        "(KSM_THRES_COEF=100), for left alone it would not start ksmd")


def missing():
    return None if SCRIPT.exists() else f"{SCRIPT} is not there: run `make deps-bench`"


def _tree(pid):
    """The process and what descends from it."""
    yield pid
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
                yield from _tree(int(child))


def _ticks(pid):
    """Its own, and those of its children that it has waited for."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15]))
    return 0


class Ksmtuned:
    """Runs while one is inside of it; everything that it started ends with it, or with us."""

    def __init__(self, vms):
        self._vms = vms
        self._process = self._directory = None
        self._seconds = 0.0

    def __enter__(self):
        with children.shielded():
            self._directory = Path(tempfile.mkdtemp(prefix="pagefold-ksmtuned-"))
            try:
                # Its loop is a process that nobody waits for: the whole group, which is all that
                # it started, ends with its input, whether we close that or are killed.
                self._process = subprocess.Popen(
                    ["bash", "-c", '. "$0" </dev/null; read -r; kill -KILL 0', self._script()],
                    stdin=subprocess.PIPE, start_new_session=True,
                    env={**os.environ, "PIDFILE": str(self._directory / "pid")})
            except BaseException:
                shutil.rmtree(self._directory, ignore_errors=True)
                raise
        return self

    def __exit__(self, *_exception):
        with children.shielded():
            self._process.stdin.close()
            self._process.wait()
            shutil.rmtree(self._directory, ignore_errors=True)

    def _script(self):
        """The script, with its configuration where it is not the host's."""
        text = SCRIPT.read_text()
        if CONF not in text:
            raise ValueError(f"{SCRIPT} does not read {CONF}")
        conf = self._directory / "conf"
        conf.write_text(CONF_TEXT.format(pids=" ".join(str(vm.pid) for vm in self._vms)))
        script = self._directory / "ksmtuned"
        script.write_text(text.replace(CONF, str(conf)))
        return script

    def alive(self):
        return self._process.poll() is None

    def cpu_seconds(self):
        """Of the script and all that it starts, in ticks."""
        ticks = sum(_ticks(pid) for pid in _tree(self._process.pid))
        self._seconds = max(self._seconds, ticks / os.sysconf("SC_CLK_TCK"))
        return self._seconds
