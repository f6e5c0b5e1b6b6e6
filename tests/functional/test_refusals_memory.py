# SPDX-License-Identifier: GPL-2.0-or-later
"""Where memory, mappings or the kind of memory forbid it: the numbers or the kind are said, nothing is done."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

import scene
from lab import children, guests, marks, paths, procs
from lab.daemon import merge_policy
from scene import memory_cgroup  # noqa: F401  pylint: disable=unused-import

pytestmark = pytest.mark.usefixtures("ksm_alone")

MAX_MAP_COUNT = Path("/proc/sys/vm/max_map_count")
HUGE_POOL = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
MIB = 1 << 20


# ---- mappings ----

def crowded(mappings, mib=8):
    return procs.Target([paths.test_helper("crowded"), mappings, mib])


def mapping_count(pid):
    return len(Path(f"/proc/{pid}/maps").read_text().splitlines())


def test_target_with_nearly_all_its_mappings_used_is_left_alone():
    limit = int(MAX_MAP_COUNT.read_text())
    with crowded(limit - 1000) as process, scene.pair() as beside, \
            scene.pagefoldd(process, *beside) as daemon:
        before = mapping_count(process.pid)
        scene.wait_folded(daemon, *beside)
        scene.wait_state(daemon, process, "blocked", "mappings", "raise vm.max_map_count")
        assert not marks.mergeable(process.pid)
        assert mapping_count(process.pid) == before
        assert process.ask("check") == "wrong 0"


def test_marks_leave_a_quarter_of_the_mappings_to_the_process():
    limit = int(MAX_MAP_COUNT.read_text())
    usable = limit - limit // 4
    with crowded(usable - 20) as process, scene.pair() as beside, \
            scene.pagefoldd(process, *beside) as daemon:
        scene.wait_folded(daemon, *beside)
        daemon.wait_passes(3)
        assert mapping_count(process.pid) <= usable + 2
        assert process.ask("check") == "wrong 0"
        assert daemon.cli_run("release", "--all").returncode == 0
        assert not marks.mergeable(process.pid)
        assert process.ask("check") == "wrong 0"


# ---- a release that needs more memory than there is ----

def test_release_beyond_the_cgroup_s_limit_is_refused_with_the_numbers(memory_cgroup):
    directory, limit = memory_cgroup
    with scene.target(mib=32, wrapper=scene.in_cgroup(directory)) as process, scene.pair() as beside, \
            scene.pagefoldd(process, *beside) as daemon:
        scene.wait_folded(daemon, process, *beside)
        reclaimed = daemon.vm(process.pid)["reclaimed_bytes"]
        limit.write_text(str(scene.usage_bytes(directory) + 4 * MIB))
        refused = daemon.cli_run("release", f"pid:{process.pid}")
        assert refused.returncode == 1
        for words in (f"pid {process.pid}", "it needs", "MiB", "memory cgroup", "has room for",
                      "raise its limit first", "--force"):
            assert words in refused.stderr
        # Not half released: refused before the first page.
        assert daemon.vm(process.pid)["reclaimed_bytes"] >= reclaimed * 0.98
        scene.wait_folded(daemon, process, *beside)

        # The refusal of a switch-off is told where the VM is listed.
        daemon.write_policy("00.conf", merge_policy(f"pid:{process.pid}").replace("merge", "off"))
        daemon.reload()
        scene.wait_vm(daemon, process, lambda vm: "it cannot be released" in (vm["reason"] or ""))

        limit.write_text(str(256 * MIB))
        scene.wait_state(daemon, process, "off")
        assert not marks.mergeable(process.pid)
        scene.check_memory(process)


def test_release_counts_the_clean_cache_of_files_as_room(memory_cgroup, tmp_path):
    """A VM with cache=writeback fills its cgroup with it, and the kernel takes it back when it is needed."""
    directory, limit = memory_cgroup
    cached = tmp_path / "disk"
    cached.write_bytes(os.urandom(64 * MIB))
    os.sync()
    with open(cached, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with scene.target(mib=32, wrapper=scene.in_cgroup(directory)) as process, scene.pair() as beside, \
            scene.pagefoldd(process, *beside) as daemon:
        scene.wait_folded(daemon, process, *beside)
        subprocess.run([*scene.in_cgroup(directory), "cat", cached], stdout=subprocess.DEVNULL, check=True)
        assert scene.usage_bytes(directory) > 64 * MIB
        limit.write_text(str(scene.usage_bytes(directory) + 4 * MIB))
        released = daemon.cli_run("release", f"pid:{process.pid}")
        assert released.returncode == 0, released.stderr
        assert not marks.mergeable(process.pid)
        scene.check_memory(process)


def test_forced_release_needs_no_headroom_of_ours(memory_cgroup):
    directory, limit = memory_cgroup
    with scene.target(mib=32, wrapper=scene.in_cgroup(directory)) as process, scene.pair() as beside, \
            scene.pagefoldd(process, *beside) as daemon:
        scene.wait_folded(daemon, process, *beside)
        limit.write_text(str(scene.usage_bytes(directory) + 4 * MIB))
        assert daemon.cli_run("release", f"pid:{process.pid}").returncode == 1
        limit.write_text(str(256 * MIB))
        forced = daemon.cli_run("release", f"pid:{process.pid}", "--force")
        assert forced.returncode == 0, forced.stderr
        scene.wait_state(daemon, process, "released", "pagefold set")


# ---- memory that KSM can never merge ----

@contextlib.contextmanager
def qemu(name, *arguments, ram="mem"):
    """A QEMU whose guest never starts: what matters here is its RAM alone."""
    command = [guests.QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-S",
               "-accel", "tcg,thread=single,tb-size=32", "-name", name, "-m", "64M", "-machine",
               f"pc,mem-merge=off,memory-backend={ram}" if ram else "pc,mem-merge=off", *arguments]
    process = children.start(command, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        children.end(process)


@pytest.fixture
def huge_pool():
    before = HUGE_POOL.read_text()
    HUGE_POOL.write_text("40")
    try:
        if int(HUGE_POOL.read_text()) < 32:
            pytest.skip("no 32 huge pages of 2 MiB can be reserved")
        yield
    finally:
        HUGE_POOL.write_text(before)


def check_ineligible(name, arguments, *words):
    with qemu(name, *arguments) as process, scene.pair() as beside:
        policies = {"vm.conf": merge_policy(f"vm:{name}")}
        with scene.pagefoldd(*beside, policies=policies) as daemon:
            scene.wait_folded(daemon, *beside)
            vm = scene.wait_state(daemon, process, "ineligible", "64 MiB of 64 MiB", *words)
            assert vm["name"] == name and not vm["reclaimed_bytes"]
            assert process.poll() is None


def test_shared_ram_is_ineligible():
    check_ineligible("shared", ["-object", "memory-backend-ram,id=mem,size=64M,share=on"],
                     "shared memory", "share=on")


def test_memfd_is_ineligible():
    check_ineligible("memfd", ["-object", "memory-backend-memfd,id=mem,size=64M,share=on"],
                     "shared memory", "memfd")


def test_file_backed_ram_is_ineligible(tmp_path):
    check_ineligible(
        "file", ["-object", f"memory-backend-file,id=mem,size=64M,mem-path={tmp_path}/ram,share=off"],
        "private mapping of a file")


def test_hugetlbfs_is_ineligible(huge_pool):
    check_ineligible("hugetlb", ["-object", "memory-backend-memfd,id=mem,size=64M,hugetlb=on,share=off"],
                     "hugetlbfs")


