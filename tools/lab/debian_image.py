#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian userland for guests, as a disk image: systemd, redis, nginx, python. Built once, cached in
.deps/, and never written to by a guest. `make deps-bench` runs this."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

if __package__ is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab import paths  # noqa: E402

IMAGE = paths.DEPS / "debian.ext4"
SUITE = "bookworm"
PACKAGES = ("systemd-sysv", "redis-server", "nginx-light", "python3-minimal")
IMAGE_MIB = 1200
# The initramfs leaves its programs in /run/lab, so that the image needs none of ours.
AGENT_UNIT = """\
[Unit]
Description=Runs the host's commands
After=redis-server.service nginx.service

[Service]
ExecStart=/run/lab/agent
Environment=PATH=/run/lab:/usr/sbin:/usr/bin:/sbin:/bin

[Install]
WantedBy=multi-user.target
"""


def build():
    """Returns the image's path; nothing is done where it is there."""
    if IMAGE.exists():
        return IMAGE
    paths.DEPS.mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="debian.", dir=paths.DEPS))
    try:
        root = scratch / "root"
        # No service can start in there: there is no init that would.
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root",
                        f"--include={','.join(PACKAGES)}", "--aptopt=APT::Install-Recommends no",
                        SUITE, root], check=True)
        _configure(root)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-m", "0", "-d", root, "-L", "root",
                        scratch / "image", f"{IMAGE_MIB}M"], check=True)
        os.rename(scratch / "image", IMAGE)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return IMAGE


def _configure(root):
    (root / "etc/systemd/system/lab-agent.service").write_text(AGENT_UNIT)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / "lab-agent.service").symlink_to("/etc/systemd/system/lab-agent.service")
    # Nobody waits at the console, and nothing but the services should move in a measured guest.
    for unit in ("getty@tty1.service", "serial-getty@ttyS0.service", "apt-daily.timer",
                 "apt-daily-upgrade.timer", "systemd-timesyncd.service", "e2scrub_all.timer",
                 "fstrim.timer", "dpkg-db-backup.timer"):
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
    for archive in (root / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()


if __name__ == "__main__":
    print(build())
