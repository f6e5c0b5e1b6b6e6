# SPDX-License-Identifier: GPL-2.0-or-later
"""A process whose memory cgroup is full: whatever is charged to it next has the kernel end it, be it a VMA of a
mark or the memory of a ring. So nothing is."""

import contextlib

import pytest

import scene
from scene import memory_cgroup  # noqa: F401  pylint: disable=unused-import
from lab import marks

pytestmark = pytest.mark.usefixtures("ksm_alone")

# With what the kernel has put aside for each CPU this is less than a ring may take.
LEFT = 256 << 10
ROOMY = 256 << 20


def leave(directory, limit, room):
    """For anonymous memory and the kernel's own: files' cache would be room, too."""
    for name, text in (("memory.force_empty", "0"), ("memory.reclaim", "256M")):
        with contextlib.suppress(OSError): # as much as there is
            (directory / name).write_text(text)
    limit.write_text(str(scene.usage_bytes(directory) + room))


def killed_in(directory):
    """How many processes the kernel has ended in that cgroup for want of memory."""
    for name in ("memory.oom_control", "memory.events"):
        if (directory / name).exists():
            fields = dict(line.split() for line in (directory / name).read_text().splitlines())
            return int(fields["oom_kill"])
    raise FileNotFoundError(directory)


def test_process_whose_cgroup_is_full_is_left_alone_and_folded_once_it_has_room(memory_cgroup):
    directory, limit = memory_cgroup
    with scene.target(mib=32, wrapper=scene.in_cgroup(directory)) as poor, scene.pair() as beside:
        poor.wait_rounds(1)
        leave(directory, limit, LEFT)
        with scene.pagefoldd(poor, *beside) as daemon:
            scene.wait_state(daemon, poor, "blocked", "memory cgroup", "KiB", "raise the cgroup's limit")
            scene.wait_folded(daemon, *beside)
            daemon.wait_passes(2)
            assert not marks.mergeable(poor.pid) and not marks.recorded(daemon.state_dir, poor.pid)
            assert f"(pid {poor.pid}): attached" not in daemon.log()
            assert not killed_in(directory)
            limit.write_text(str(ROOMY))
            scene.wait_folded(daemon, poor, *beside)
            scene.check_memory(poor)


def test_no_ring_is_made_in_a_full_cgroup_to_release(memory_cgroup):
    """The ring goes with the daemon that made it, and another one has to make its own."""
    directory, limit = memory_cgroup
    with scene.target(mib=32, wrapper=scene.in_cgroup(directory)) as poor, scene.pair() as beside, \
            scene.pagefoldd(poor, *beside) as daemon:
        scene.wait_folded(daemon, poor, *beside)
        daemon.kill()
        leave(directory, limit, LEFT)
        daemon.start()
        daemon.wait_ready()
        scene.wait_state(daemon, poor, "folded")
        refused = daemon.cli_run("release", f"pid:{poor.pid}")
        assert refused.returncode == 1
        for words in ("memory cgroup has room for less than", "KiB", "the ring", "raise its limit first"):
            assert words in refused.stderr
        assert marks.ksm_bytes(poor.pid) > 1 << 20 and not killed_in(directory)
        # It is not a minute until that is looked at again.
        limit.write_text(str(ROOMY))
        assert daemon.cli_run("release", f"pid:{poor.pid}").returncode == 0
        assert not marks.mergeable(poor.pid)
        scene.check_memory(poor)
