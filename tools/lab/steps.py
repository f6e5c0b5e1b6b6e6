# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps of a program, system call by system call: counted, or the last thing that it does."""

import collections
import re


def strace(output, steps, number=None, paths=()):
    """A wrapper that counts every kind of step, or kills at the number-th of the only kind."""
    command = ["strace", "-D", "-f", "-q", "-o", output]
    for path in paths:
        command += ["-P", path]
    command += ["-e", f"trace={','.join(steps)}"]
    if number is not None:
        step, = steps
        command += ["-e", f"inject={step}:signal=SIGKILL:when={number}"]
    return command


def steps_of(output):
    """How often the busiest thread took each kind of step: strace counts by thread."""
    counts = collections.Counter(re.findall(r"^(\d+) +(\w+)\(", output.read_text(), re.MULTILINE))
    most = collections.Counter()
    for (_, name), count in counts.items():
        most[name] = max(most[name], count)
    return most


def sample(count, kills):
    """The first and the last step and some in between."""
    if count <= kills:
        return range(1, count + 1)
    return sorted({1 + round(i * (count - 1) / (kills - 1)) for i in range(kills)})
