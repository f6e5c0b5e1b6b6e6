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
import time
import uuid
from pathlib import Path

from lab import accel, children, initramfs, paths

QEMU = "qemu-system-x86_64"
# Enough for four guests that start together where every instruction is translated.
BOOT_SECONDS = 120
RUN_SECONDS = 60


class GuestError(Exception):
    """A guest did not do what it was told; the message ends with its console."""


class Guest:
    """One virtual machine: pid, name, uuid, run(), close()."""

    def __init__(self, name, directory, memory_mib, command):
        self.name = name
        self.uuid = str(uuid.uuid4())
        self.memory_mib = memory_mib
        self.directory = Path(directory)
        self.console_path = self.directory / "console.log"
        self.qmp_path = self.directory / "qmp.sock"
        self.ready_seconds = None
        self._begin = time.monotonic()
        self._received = b""
        self._programs = 0
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

    def wait_ready(self, timeout=BOOT_SECONDS):
        self._read_until(lambda: b"READY\n" in self._received, timeout, "did not get ready")
        self._received = self._received.split(b"READY\n", 1)[1]
        self.ready_seconds = time.monotonic() - self._begin
        return self

    def run(self, command, timeout=RUN_SECONDS, check=True):
        """What a shell command in the guest wrote, to either output."""
        status, output = self.run_status(command, timeout)
        if check and status != 0:
            raise GuestError(f"{self.name}: `{command}` ended with {status}: {output}")
        return output

    def run_status(self, command, timeout=RUN_SECONDS):
        """(exit status, output)"""
        body = command.encode()
        complaint = f"did not answer `{command}`"
        try:
            self._line.sendall(b"%d\n%s" % (len(body), body))
        except OSError:
            self._fail(complaint)
        self._read_until(lambda: b"\n" in self._received, timeout, complaint)
        header, self._received = self._received.split(b"\n", 1)
        status, length = map(int, header.split())
        self._read_until(lambda: len(self._received) >= length, timeout, complaint)
        output, self._received = self._received[:length], self._received[length:]
        return status, output.decode(errors="replace")

    def start(self, command):
        """Starts a program that goes on and is talked to in lines."""
        self._programs += 1
        return GuestProgram(self, command, f"/tmp/program{self._programs}")

    def fill(self, private_mib, common_mib=0, zero_mib=0):
        """Starts to fill memory with data of the guest's own (and, if asked, with some that every
        guest has, and zeros); the program returned reads "filled" when that is done."""
        return self.start(f"filler {private_mib} {common_mib} {zero_mib}")

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

    def _read_until(self, done, timeout, complaint):
        deadline = time.monotonic() + timeout
        while not done():
            readable = children.wait_readable([self._line.fileno(), self._pidfd], deadline)
            if not readable:
                self._fail(f"{complaint} within {timeout} s")
            received = self._line.recv(65536) if self._line.fileno() in readable else b""
            if not received:
                self._fail(f"{complaint}: QEMU has ended")
            self._received += received

    def _fail(self, complaint):
        log = ""
        with contextlib.suppress(OSError):
            log = (self.directory / "qemu.log").read_text(errors="replace")[-2000:]
        raise GuestError(f"guest {self.name} {complaint}\n{log}\n--- end of its console:\n"
                         f"{self.console()[-4000:]}")


class GuestProgram:
    """A program that runs in a guest, its standard input and output being two FIFOs."""

    def __init__(self, guest, command, path):
        self._guest = guest
        self._path = path
        # <> opens a FIFO without waiting for the other end. The sleep keeps both open, so that what
        # a program said last can still be read when it has ended.
        ends = f"<>{path}.in 1<>{path}.out 2>&1"
        self.pid = int(guest.run(f"mkfifo {path}.in {path}.out; sleep 999999999 {ends} & "
                                 f"{command} {ends} & echo $!"))

    def read_line(self, timeout=RUN_SECONDS):
        return self._guest.run(f"read -r line <{self._path}.out; echo \"$line\"", timeout).rstrip()

    def ask(self, line, timeout=RUN_SECONDS):
        self._guest.run(f"echo '{line}' >{self._path}.in")
        return self.read_line(timeout)

    def alive(self):
        return self._guest.run_status(f"kill -0 {self.pid}")[0] == 0

    def kill(self):
        self._guest.run_status(f"kill -9 {self.pid}; rm -f {self._path}.in {self._path}.out")


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

    def start(self, name, memory_mib=512, mem_merge=False, disk=None, extra=(), kernel_options=""):
        """A guest that is on its way; wait_ready() waits for it. disk: an ext4 image to start from
        instead of busybox (it is not written to)."""
        boot = f"console=ttyS0 quiet panic=-1 random.trust_cpu=on {kernel_options}"
        if disk:
            boot += " lab.root=/dev/vda"
            extra = ["-drive", f"file={disk},if=virtio,format=raw,snapshot=on", *extra]
        command = [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                   "-machine", f"pc,mem-merge={'on' if mem_merge else 'off'}", *accel.arguments(),
                   "-kernel", paths.DEPS / "kernel/vmlinuz",
                   "-initrd", initramfs.build(self.directory, bool(disk)), "-append", boot, *extra]
        with children.shielded():
            directory = tempfile.mkdtemp(prefix=f"{name}-", dir=self.directory)
            guest = Guest(name, directory, memory_mib, command)
            self.guests.append(guest)
        return guest
