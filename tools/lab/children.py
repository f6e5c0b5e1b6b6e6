# SPDX-License-Identifier: GPL-2.0-or-later
"""Child processes that cannot outlive us, and interrupts that cannot lose one."""

import contextlib
import os
import select
import signal
import subprocess
import threading
import time

_shield_depth = 0
_pending_signal = None


def _on_signal(number, _frame):
    global _pending_signal
    if _shield_depth:
        _pending_signal = number
    else:
        _raise_for(number)


def _raise_for(number):
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


@contextlib.contextmanager
def shielded():
    """A signal that arrives inside raises at the end, not in the middle.

    Around starting a child until it is written down who has to end it, and around ending things.
    """
    global _shield_depth, _pending_signal
    _shield_depth += 1
    try:
        yield
    finally:
        _shield_depth -= 1
        if _shield_depth == 0 and _pending_signal is not None:
            number, _pending_signal = _pending_signal, None
            _raise_for(number)


def handle_signals():
    """Ctrl-C, SIGTERM and SIGHUP unwind the stack, so that every context manager tidies up."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _on_signal)


def start(command, **options):
    """Popen in a session of its own (a Ctrl-C on the terminal is ours alone to handle), killed by the
    kernel should we die without having ended it."""
    command = ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)]
    return subprocess.Popen(command, start_new_session=True, **options)


def wait_readable(descriptors, deadline):
    """Those of the descriptors that can be read; none when the deadline (monotonic) has passed."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    left = max(0, deadline - time.monotonic())
    return [descriptor for descriptor, _ in poll.poll(left * 1000)]


def end(process, polite_seconds=0):
    """Ends a child: first asks, if it is given the time, then does not."""
    with shielded():
        if process.poll() is None and polite_seconds:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(polite_seconds)
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()


def pidfd(process):
    """Readable once the child has ended."""
    return os.pidfd_open(process.pid)
