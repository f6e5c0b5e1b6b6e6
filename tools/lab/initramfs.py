# SPDX-License-Identifier: GPL-2.0-or-later
"""The small system that guests start from: busybox, our agent as process 1, the lab's programs."""

import os
import shutil
import subprocess
from pathlib import Path

from lab import paths

# What is built into a kernel is not there and not needed.
VIRTIO_MODULES = ("virtio", "virtio_ring", "virtio_pci_legacy_dev", "virtio_pci_modern_dev",
                  "virtio_pci")
DISK_MODULES = (*VIRTIO_MODULES, "virtio_blk", "crc16", "mbcache", "jbd2", "ext4")
# Of a guest without a disk, in /drivers; loaded where a test wants them (AgentLine.load).
MEMORY_MODULES = (*VIRTIO_MODULES, "virtio_balloon", "virtio_mem", "pvpanic", "pvpanic-mmio")
BUSYBOX = Path("/bin/busybox")
GUEST_PROGRAMS = ("memcheck", "filler", "writeclock")


def build(directory, with_disk=False):
    """Writes directory/initramfs(-disk).cpio and returns its path; built once per directory."""
    archive = Path(directory) / ("initramfs-disk.cpio" if with_disk else "initramfs.cpio")
    if archive.exists():
        return archive
    root = archive.with_suffix(".root")
    try:
        _lay_out(root, with_disk)
        names = [str(path.relative_to(root)) for path in sorted(root.rglob("*"))]
        with open(archive.with_suffix(".part"), "wb") as out:
            subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=root,
                           input="\n".join(names).encode(), stdout=out, check=True)
        os.rename(archive.with_suffix(".part"), archive)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return archive


def _lay_out(root, with_disk):
    for name in ("bin", "sbin", "dev", "proc", "sys", "tmp", "modules", "drivers"):
        (root / name).mkdir(parents=True)
    shutil.copy(paths.guest_program("agent"), root / "init")
    for name in GUEST_PROGRAMS:
        shutil.copy(paths.guest_program(name), root / "bin" / name)
    if with_disk:
        _copy_modules(root / "modules", DISK_MODULES)
        return
    # Not in /modules, all of which the agent loads.
    _copy_modules(root / "drivers", MEMORY_MODULES)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True)
    for applet in applets.stdout.split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")


def _copy_modules(directory, names):
    modules = paths.DEPS / "kernel/modules"
    for path in modules.rglob("*.ko"):
        if path.stem in names:
            shutil.copy(path, directory)
