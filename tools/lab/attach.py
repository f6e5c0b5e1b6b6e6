# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs pagefold-attach by hand: one process, one answer (hypervisor-glue/attach/attach_protocol.h)."""

import ctypes
import errno
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from lab import children, paths

_libc = ctypes.CDLL(None, use_errno=True)
_SYS_PIDFD_GETFD = 438
_SOCKET_FD = 3
_MAGIC = b"PFA1"
# magic, error, io_uring_params, stopped_ns, descriptor_left_open, descriptor, reason
_REPLY = struct.Struct("=4si120sQIi256s")


@dataclass
class Answer:
    """What the helper said; error is the name of an errno, or None."""
    error: str | None
    reason: str
    stopped_seconds: float
    left_open: bool
    exit_status: int
    ring: int | None = None

    def close(self):
        """Lets go of the ring; its threads in the target end soon after."""
        if self.ring is not None:
            os.close(self.ring)
            self.ring = None


def _take(process, descriptor):
    """A copy of another process's descriptor."""
    pidfd = os.pidfd_open(process.pid)
    try:
        taken = _libc.syscall(_SYS_PIDFD_GETFD, pidfd, descriptor, 0)
        if taken < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        return taken
    finally:
        os.close(pidfd)


def start_ticks(pid):
    """When the process started, as /proc says it."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


class Attempt:
    """A helper under way; answer() waits for it."""

    def __init__(self, pid, ticks=None, helper=None, wrapper=(), **options):
        ticks = start_ticks(pid) if ticks is None else ticks
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        descriptor = theirs.fileno()

        def place():
            os.dup2(descriptor, _SOCKET_FD, inheritable=True)

        with children.shielded():
            self.process = children.start(
                [*wrapper, helper or paths.program("pagefold-attach"), pid, ticks],
                preexec_fn=place, pass_fds=[descriptor, _SOCKET_FD], **options)
        theirs.close()

    def answer(self, timeout=30, keep=False):
        """keep: the ring is taken over (Answer.ring), else it is gone with the helper."""
        ring = None
        try:
            self._socket.settimeout(timeout)
            message = self._socket.recv(4096)
            magic, error, _, stopped_ns, left_open, descriptor, reason = _REPLY.unpack(message)
            assert magic == _MAGIC, message
            if keep and not error:
                ring = _take(self.process, descriptor)
            # Closing the socket is what the helper waits for, with the ring in its hand.
            self._socket.close()
            status = self.process.wait(timeout)
        finally:
            self.end()
        return Answer(errno.errorcode[-error] if error else None, reason.rstrip(b"\0").decode(),
                      stopped_ns / 1e9, bool(left_open), status, ring)

    def end(self):
        self._socket.close()
        children.end(self.process, polite_seconds=10)


def attach(pid, ticks=None, keep=False, **options):
    return Attempt(pid, ticks, **options).answer(keep=keep)
