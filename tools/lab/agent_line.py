# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's agent (guest/agent.c) at the other end of a serial line."""

import time

from lab import children, initramfs

# Enough for four guests that start together where every instruction is translated.
BOOT_SECONDS = 120
RUN_SECONDS = 60


class GuestError(Exception):
    """A guest did not do what it was told; the message ends with its console."""


class AgentLine:
    """Runs commands in a guest. Whoever inherits this has a name, the serial line as the socket _line,
    QEMU's _pidfd, and _fail(complaint)."""

    def __init__(self):
        self.ready_seconds = None
        self._begin = time.monotonic()
        self._received = b""
        self._programs = 0

    def wait_ready(self, timeout=BOOT_SECONDS):
        self._read_until(lambda: b"READY\n" in self._received, timeout, "did not get ready")
        self._received = self._received.split(b"READY\n", 1)[1]
        self.ready_seconds = time.monotonic() - self._begin
        return self

    def is_ready(self):
        """Without waiting; wait_ready() is still to be called."""
        if children.wait_readable([self._line.fileno()], 0):
            self._received += self._line.recv(65536)
        return b"READY\n" in self._received

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

    def tell(self, command):
        """A shell command that nobody waits for: the guest may not be there any more to answer."""
        body = f"sync; {command}".encode()
        self._line.sendall(b"%d\n%s" % (len(body), body))

    def start(self, command):
        """Starts a program that goes on and is talked to in lines."""
        self._programs += 1
        return GuestProgram(self, command, f"/tmp/program{self._programs}")

    def load(self, *modules):
        """Loads modules of initramfs.MEMORY_MODULES in a guest without a disk."""
        names = " ".join((*initramfs.VIRTIO_MODULES, *modules))
        # Which needs which changes from kernel to kernel: as often as it takes.
        self.run(f"cd /drivers; for round in {names}; do for name in {names}; do "
                 "insmod $name.ko 2>/dev/null; done; done; true")
        for name in modules:
            self.run(f"grep -q '^{name.replace('-', '_')} ' /proc/modules")

    def fill(self, private_mib, common_mib=0, zero_mib=0):
        """Starts to fill memory with data of the guest's own (and, if asked, with some that every
        guest has, and zeros); the program returned reads "filled" when that is done."""
        return self.start(f"filler {private_mib} {common_mib} {zero_mib}")

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

    def move(self, guest):
        """It has been migrated, with all there was, to that one."""
        self._guest = guest

    def alive(self):
        return self._guest.run_status(f"kill -0 {self.pid}")[0] == 0

    def kill(self):
        self._guest.run_status(f"kill -9 {self.pid}; rm -f {self._path}.in {self._path}.out")
