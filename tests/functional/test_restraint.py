# SPDX-License-Identifier: GPL-2.0-or-later
"""What keeps folding back: memory that is not short yet, and memory that would be missing if every fold broke.

The daemon sees a /proc/meminfo and a /proc/pressure/memory of the test's own, which lie over the kernel's in a mount
namespace of its own."""

import contextlib
import os
import subprocess
import time

import pytest

import scene
from lab import marks
from lab.daemon import Daemon, merge_policy

pytestmark = pytest.mark.usefixtures("ksm_alone")

MIB = 1 << 20
UNDER_ONE_S_MOUNTS = ('mount --bind "$1/meminfo" /proc/meminfo && '
                      'mount --bind "$1/pressure" /proc/pressure/memory && shift && exec "$@"')


class Host:
    """What the daemon takes for the memory of its host."""

    def __init__(self, directory, total_mib):
        self.directory = directory
        self.total_mib = total_mib
        self.set(total_mib)
        self.wrapper = ["unshare", "--mount", "sh", "-c", UNDER_ONE_S_MOUNTS, "sh", directory]

    def set(self, available_mib, stalled="0.00", swap_mib=0):
        self._write("pressure", f"some avg10={stalled} avg60=0.00 avg300=0.00 total=0\n"
                                "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")
        self._write("meminfo", f"MemTotal: {self.total_mib << 10} kB\n"
                               f"MemAvailable: {available_mib << 10} kB\nAnonPages: 0 kB\n"
                               f"SwapFree: {swap_mib << 10} kB\n")

    def _write(self, name, text):
        # In place: what is bound is the file, not its name. Whoever reads half of it reads it again.
        (self.directory / name).write_text(text)


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path, 2048)
    if not os.path.exists("/proc/pressure/memory"):
        pytest.skip("this kernel has no pressure stall information")
    if subprocess.run([*host.wrapper, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace in which files of /proc can be replaced")
    return host


@contextlib.contextmanager
def pagefoldd(host, *processes, **config):
    with Daemon(config={**scene.EAGER, **config}, wrapper=host.wrapper,
                policies={"test.conf": merge_policy(*(f"pid:{one.pid}" for one in processes))}) as daemon:
        yield daemon


def plan_actions(daemon):
    return {entry["action"] for entry in daemon.cli("plan")["entries"]}


def test_folding_waits_for_pressure_and_keeps_what_it_folded(host):
    host.set(1290)
    with scene.target() as one, scene.target() as two, scene.target() as three, \
            pagefoldd(host, one, two, **{"fold-when": "pressure"}) as daemon:
        vm = scene.wait_state(daemon, one, "waiting", "fold-when = pressure", "63.0 % of memory",
                              "0.00 % of the time", "folding begins below 10 %")
        assert vm["potential_bytes"] is None or vm["reclaimed_bytes"] == 0
        daemon.wait_for(lambda _: plan_actions(daemon) == {"wait"})
        assert {entry["reason"] for entry in daemon.cli("plan")["entries"]} == \
            {"waits until memory gets short (fold-when = pressure)"}
        assert not marks.mergeable(one.pid)
        assert daemon.status()["host"]["warnings"] == []

        host.set(163)
        scene.wait_folded(daemon, one, two)

        # Over: what is folded stays, and nothing new is folded.
        host.set(1290)
        scene.wait_state(daemon, one, "folded", "63.0 % of memory")
        daemon.write_policy("more.conf", merge_policy(f"pid:{three.pid}"))
        daemon.reload()
        scene.wait_state(daemon, three, "waiting", "63.0 % of memory")
        daemon.wait_passes(3)
        assert not marks.mergeable(three.pid)
        assert all(daemon.vm(each.pid)["reclaimed_bytes"] > 4 * MIB for each in (one, two))

        # There is memory, but something waits for it.
        host.set(1290, stalled="12.50")
        scene.wait_folded(daemon, three)
        scene.check_memory(one, two, three)


def test_once_ends_where_it_waits_for_pressure(host):
    with scene.target() as one, Daemon(
            config={**scene.EAGER, "fold-when": "pressure"}, wrapper=host.wrapper, once=True,
            policies={"test.conf": merge_policy(f"pid:{one.pid}")}) as daemon:
        assert daemon.wait(30) == 0
        assert "--once: fold-when = pressure: 100.0 % of memory is available" in daemon.log()
        assert not marks.mergeable(one.pid)


def test_folding_stops_before_more_could_break_than_there_is_memory(host):
    """The host seems to lose at once whatever a burst frees: it always has so much, and no more."""
    available_mib, reserve_mib = 48, 2048 // 256
    with scene.target(mib=64) as one, scene.target(mib=64) as two, \
            pagefoldd(host, one, two) as daemon:
        host.set(available_mib)
        scene.wait_state(daemon, one, "folded", "nothing more is folded", timeout=60)
        status = daemon.wait_for(lambda now: "nothing more is folded" in "".join(now["host"]["warnings"]))
        exposure = status["savings"]["exposure_bytes"]
        # It went up to there and no further, though there was more to fold.
        assert exposure > (available_mib - 3 * reserve_mib) * MIB
        assert exposure <= available_mib * MIB
        assert exposure == sum(vm["exposure_bytes"] for vm in status["vms"])
        assert "as much as may be missing" in daemon.log()
        assert status["savings"]["potential_bytes"] > 16 * MIB
        warning, = [text for text in status["host"]["warnings"] if "every fold" in text]
        assert f"{available_mib} MiB available" in warning and f"{exposure >> 20} MiB would" in warning

        # Little more is not enough to go on (hysteresis); swap is as good as memory.
        host.set(available_mib + 4)
        daemon.wait_passes(3)
        assert daemon.status()["savings"]["exposure_bytes"] <= exposure
        host.set(available_mib, swap_mib=1024)
        daemon.wait_for(lambda now: now["savings"]["exposure_bytes"] > exposure + 16 * MIB and
                        now["host"]["warnings"] == [])
        scene.check_memory(one, two)


def test_new_vm_waits_while_the_host_could_not_bear_its_folds(host):
    with scene.target(mib=32) as one, scene.target(mib=32) as two, scene.target(mib=32) as late, \
            pagefoldd(host, one, two) as daemon:
        status = scene.wait_folded(daemon, one, two)
        host.set(status["savings"]["exposure_bytes"] // MIB)
        daemon.write_policy("more.conf", merge_policy(f"pid:{late.pid}"))
        daemon.reload()
        scene.wait_state(daemon, late, "waiting", "if every fold broke", "free memory, add swap")
        daemon.wait_passes(2)
        assert not marks.mergeable(late.pid)
        assert all(daemon.vm(each.pid)["reclaimed_bytes"] > 4 * MIB for each in (one, two))
        host.set(2048)
        lifted = time.monotonic()
        scene.wait_folded(daemon, late)
        assert time.monotonic() - lifted < 20
