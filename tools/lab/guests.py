# SPDX-License-Identifier: GPL-2.0-or-later
"""Real Linux guests in QEMU, driven over a serial line.

    with Lab() as lab:
        web1, web2 = lab.boot("web1", "web2", memory_mib=512)
        print(web1.run("uname -r"))
"""

import contextlib
import os
import shutil
import socket
import tempfile
import uuid
from pathlib import Path

from lab import accel, children, initramfs, paths
from lab.agent_line import AgentLine, GuestError

QEMU = "qemu-system-x86_64"


class Guest(AgentLine):
    """One virtual machine: pid, name, uuid, run(), close()."""

    def __init__(self, name, directory, memory_mib, command):
        super().__init__()
        self.name = name
        self.uuid = str(uuid.uuid4())
        self.memory_mib = memory_mib
        self.directory = Path(directory)
        self.console_path = self.directory / "console.log"
        self.qmp_path = self.directory / "qmp.sock"
        self._line, theirs = socket.socketpair()
        with theirs, children.shielded(), open(self.directory / "qemu.log", "wb") as log:
            self.process = children.start(
                [*command, *self._arguments(theirs.fileno())], stdin=children.subprocess.DEVNULL,
                stdout=log, stderr=log, pass_fds=[theirs.fileno()])
            self._pidfd = children.pidfd(self.process)
        self.pid = self.process.pid

    def _arguments(self, line):
        return ["-name", self.name, "-uuid", self.uuid, "-m", f"{self.memory_mib}M",
                "-chardev", f"file,id=console,path={self.console_path}",
                "-serial", "chardev:console",
                "-chardev", f"socket,id=line,fd={line}", "-serial", "chardev:line",
                "-qmp", f"unix:{self.qmp_path},server=on,wait=off"]

    def console(self):
        with contextlib.suppress(OSError):
            return self.console_path.read_text(errors="replace")
        return ""

    def close(self):
        """Ends QEMU at once and removes its files; what is in the guest's memory goes with it."""
        if self.process is None:
            return
        with children.shielded():
            children.end(self.process)
            self.process = None
            os.close(self._pidfd)
            self._line.close()
            shutil.rmtree(self.directory, ignore_errors=True)

    def _fail(self, complaint):
        log = ""
        with contextlib.suppress(OSError):
            log = (self.directory / "qemu.log").read_text(errors="replace")[-2000:]
        raise GuestError(f"guest {self.name} {complaint}\n{log}\n--- end of its console:\n"
                         f"{self.console()[-4000:]}")


class Lab:
    """A private directory and the guests in it; leaving it ends them all."""

    def __init__(self):
        self.guests = []
        self.directory = None

    def __enter__(self):
        with children.shielded():
            self.directory = Path(tempfile.mkdtemp(prefix="pagefold-lab-"))
        return self

    def __exit__(self, *_exception):
        with children.shielded():
            for guest in self.guests:
                guest.close()
            shutil.rmtree(self.directory, ignore_errors=True)

    def boot(self, *names, **options):
        """Starts guests together and waits until all are ready."""
        started = [self.start(name, **options) for name in names]
        return [guest.wait_ready() for guest in started]

    def start(self, name, memory_mib=512, mem_merge=False, disk=None, extra=(), kernel_options="",
              many_programs=False):
        """A guest that is on its way; wait_ready() waits for it. disk: an ext4 image to start from
        instead of busybox (it is not written to)."""
        boot = f"console=ttyS0 quiet panic=-1 random.trust_cpu=on {kernel_options}"
        if disk:
            boot += " lab.root=/dev/vda"
            extra = ["-drive", f"file={disk},if=virtio,format=raw,snapshot=on", *extra]
        command = [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                   "-machine", f"pc,mem-merge={'on' if mem_merge else 'off'}",
                   *accel.arguments(many_programs),
                   "-kernel", paths.DEPS / "kernel/vmlinuz",
                   "-initrd", initramfs.build(self.directory, bool(disk)), "-append", boot, *extra]
        with children.shielded():
            directory = tempfile.mkdtemp(prefix=f"{name}-", dir=self.directory)
            guest = Guest(name, directory, memory_mib, command)
            self.guests.append(guest)
        return guest
