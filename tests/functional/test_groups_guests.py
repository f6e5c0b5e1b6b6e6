# SPDX-License-Identifier: GPL-2.0-or-later
"""Two groups of guests that are all the same, and not one frame in common, whatever happens."""

import contextlib

import pytest

import scene
from lab import marks
from lab.agent_line import GuestError
from lab.daemon import merge_policy
from lab.frame_watch import FrameWatch

pytestmark = pytest.mark.usefixtures("ksm_alone")

RAM_MIB = 96
POLICIES = {f"{group}.conf": merge_policy(f"vm:{group}*", group=group) for group in ("red", "blue")}


def activate(daemon, group):
    daemon.write_config({**scene.EAGER, "active-group": group})
    daemon.reload()


def set_policy(daemon, guest, *words):
    done = daemon.cli_run("set", guest.name, *words)
    assert done.returncode == 0, done.stderr


def wait_released(daemon, *guests):
    daemon.wait_for(lambda _status: not any(marks.mergeable(guest.pid) for guest in guests))


def start(lab, watch, group, *names):
    """Watched from their first page on."""
    guests = [lab.start(name, memory_mib=RAM_MIB) for name in names]
    for guest in guests:
        watch.move(guest, group)
    return guests


def power_off(guest):
    """As its own administrator would; QEMU ends with it."""
    with contextlib.suppress(GuestError):
        guest.run("sync; reboot -f")
    assert guest.process.wait(30) == 0


def check_watch_sees_sharing(*guests):
    """Of one group, they have frames in common: a watch that takes them for two says so."""
    watch = FrameWatch({guest.name: [guest] for guest in guests})
    watch.look()
    assert watch.shared and "(KSM's)" in watch.shared[0]
    assert all(str(guest.pid) in watch.shared[0] for guest in guests)


def test_groups_of_guests_never_share_a_frame(lab):
    red, blue = lab.boot("red1", "red2", memory_mib=RAM_MIB), lab.boot("blue1", "blue2", memory_mib=RAM_MIB)
    with FrameWatch({"red": red, "blue": blue}) as watch, \
            scene.pagefoldd(policies=POLICIES, config={"active-group": "red"}) as daemon:
        scene.wait_folded(daemon, *red)
        check_watch_sees_sharing(*red)

        # VMs of the other group start while one is folding, and end: at once, and as they should.
        late = start(lab, watch, "blue", "blue3", "blue4")
        fresh, = start(lab, watch, "red", "red3")
        for guest in (*late, fresh):
            guest.wait_ready()
        for guest in late:
            scene.wait_state(daemon, guest, "waiting", "its group blue is not the active one (red)")
        scene.wait_folded(daemon, *red, fresh)
        late[0].process.kill()
        power_off(late[1])
        red.append(fresh)

        # The other group takes over; the daemon is killed in the middle of that.
        activate(daemon, "blue")
        daemon.wait_for(lambda status: status["host"]["active_group"] == "blue", interval=0.01)
        daemon.kill()
        daemon.start()
        daemon.wait_ready()
        scene.wait_folded(daemon, *blue)
        wait_released(daemon, *red)

        # One that is not folded comes over, and one that is leaves.
        watch.move(red[0], "blue")
        set_policy(daemon, red[0], "group=blue")
        scene.wait_folded(daemon, red[0], *blue)
        set_policy(daemon, blue[0], "group=red")
        wait_released(daemon, blue[0])
        watch.move(blue[0], "red")
        red, blue = [blue[0], *red[1:]], [red[0], *blue[1:]]

        # And left to itself, once the group that is folded is not asked for any more.
        activate(daemon, "auto")
        scene.wait_folded(daemon, *blue)
        for guest in blue:
            set_policy(daemon, guest, "mode=observe")
        scene.wait_folded(daemon, *red)
        wait_released(daemon, *blue)

        for guest in (*red, *blue):
            assert guest.run("echo alive").strip() == "alive"
        assert not watch.shared, watch.shared[:10]
        assert watch.looks > 50 and watch.is_alive()
        assert not daemon.status()["host"]["warnings"]
