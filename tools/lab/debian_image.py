#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian userlands for guests, as disk images: built once, cached in .deps/ under a name that changes with
what is in them, and never written to by a guest.

    debian_image.py bench|host...
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

if __package__ is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab import paths  # noqa: E402

SUITE = "bookworm"
# The initramfs leaves its programs in /run/lab, so that the image needs none of ours.
AGENT_UNIT = """\
[Unit]
Description=Runs the host's commands
After=redis-server.service nginx.service

[Service]
ExecStart=/run/lab/agent
Environment=PATH=/run/lab:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

[Install]
WantedBy=multi-user.target
"""
# Nobody waits at the console, and nothing but the services should move in a measured guest.
MASKED = ("getty@tty1.service", "serial-getty@ttyS0.service", "apt-daily.timer",
          "apt-daily-upgrade.timer", "systemd-timesyncd.service", "e2scrub_all.timer",
          "fstrim.timer", "dpkg-db-backup.timer")


@dataclass(frozen=True)
class Image:
    """What is in an image; all of it counts for the name."""

    name: str
    packages: tuple
    mib: int
    masked: tuple = MASKED
    # What comes enabled and is to be started by hand: unit names.
    disabled: tuple = ()
    agent_unit: str = AGENT_UNIT
    suite: str = SUITE

    @property
    def path(self):
        key = hashlib.sha256(repr(self).encode()).hexdigest()[:12]
        return paths.DEPS / f"debian-{self.name}-{key}.ext4"


# What the benchmark's guests are.
BENCH = Image("bench", ("systemd-sysv", "redis-server", "nginx-light", "python3-minimal"), 1200)
# A host that pagefoldd is installed on: what its programs are linked with, and the other tuner of KSM.
HOST = Image("host", ("systemd-sysv", "libcurl3-gnutls", "libinih1", "libjansson4", "libjemalloc2",
                      "libmicrohttpd12", "libsystemd0", "liburing2", "libvirt0", "libxml2", "libxxhash0",
                      "ksmtuned", "procps", "python3-minimal"), 800,
             masked=(*MASKED, "e2scrub_reap.service", "getty.target", "getty-static.service",
                     "modprobe@dm_mod.service", "modprobe@efi_pstore.service", "modprobe@fuse.service",
                     "modprobe@loop.service", "systemd-journal-flush.service",
                     "systemd-random-seed.service", "systemd-update-utmp.service",
                     "systemd-update-utmp-runlevel.service", "systemd-user-sessions.service"),
             disabled=("ksm.service", "ksmtuned.service"))
IMAGES = {image.name: image for image in (BENCH, HOST)}


def build(image):
    """Returns the image's path; nothing is done where it is there."""
    if image.path.exists():
        return image.path
    if os.geteuid() != 0:
        sys.exit(f"debian_image.py: {image.path} is not there, and only root can build it")
    paths.DEPS.mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="debian.", dir=paths.DEPS))
    try:
        root = scratch / "root"
        # No service can start in there: there is no init that would.
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root",
                        f"--include={','.join(image.packages)}",
                        "--aptopt=APT::Install-Recommends no", image.suite, root], check=True)
        _configure(root, image)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-m", "0", "-d", root, "-L", "root",
                        scratch / "image", f"{image.mib}M"], check=True)
        os.rename(scratch / "image", image.path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _forget_older(image)
    return image.path


def _configure(root, image):
    system = root / "etc/systemd/system"
    (system / "lab-agent.service").write_text(image.agent_unit)
    wants = system / "multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / "lab-agent.service").symlink_to("/etc/systemd/system/lab-agent.service")
    for unit in image.disabled:
        (wants / unit).unlink()
    for unit in image.masked:
        (system / unit).symlink_to("/dev/null")
    for archive in (root / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()


def _forget_older(image):
    """What was built by this name before. Whoever has it open keeps it."""
    for older in paths.DEPS.glob(f"debian-{image.name}-*.ext4"):
        if older != image.path:
            older.unlink(missing_ok=True)


def main(names):
    if not names or not set(names) <= IMAGES.keys():
        sys.exit(f"usage: debian_image.py {'|'.join(IMAGES)}...")
    for name in names:
        print(build(IMAGES[name]))


if __name__ == "__main__":
    main(sys.argv[1:])
