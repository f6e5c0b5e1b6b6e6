# SPDX-License-Identifier: GPL-2.0-or-later
"""pagefoldd.service: what it takes away from the daemon, and that enough is left."""

import os
import re
import shutil
import subprocess

import pytest

from lab import paths, procs
from lab.daemon import Daemon, merge_policy

UNIT = paths.TOP / "daemon/pagefoldd.service.in"
# systemd carries these out with a seccomp filter, or turns on one that does; under one, the attach helper
# could not read the filters of VMs.
WITH_A_FILTER = {
    "SystemCallFilter", "SystemCallArchitectures", "SystemCallLog", "RestrictAddressFamilies",
    "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality",
    "MemoryDenyWriteExecute", "PrivateDevices", "DynamicUser", "ProtectClock", "ProtectHostname",
    "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables",
}


def settings():
    """{key: [values]} of the unit, in order."""
    found = {}
    for line in UNIT.read_text().splitlines():
        if match := re.match(r"([A-Z]\w+)=(.*)", line):
            found.setdefault(match[1], []).extend(match[2].split() or [""])
    return found


def test_nothing_in_the_unit_brings_a_seccomp_filter():
    assert not WITH_A_FILTER & set(settings())


def test_the_unit_leaves_no_network_but_loopback():
    """metrics-listen needs the host's own; nothing else is for the daemon."""
    unit = settings()
    assert (unit["IPAddressDeny"], unit["IPAddressAllow"]) == (["any"], ["localhost"])
    assert not [name for name in unit["CapabilityBoundingSet"] if name.startswith("CAP_NET_")]


def test_systemd_understands_the_unit(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    unit = tmp_path / "pagefoldd.service"
    text = re.sub("@S?BINDIR@/pagefoldd?", "/bin/true", UNIT.read_text())
    unit.write_text(re.sub("@[A-Z]+@", "/usr", text))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], text=True,
                          capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def confinement():
    """The command that leaves the command behind it what the unit leaves the daemon."""
    unit = settings()
    script = ["set -e", "mount --make-rprivate /"]

    def paths_of(key):
        """A minus in front of a path: it may be missing."""
        return [path.lstrip("-") for path in unit[key] if os.path.exists(path.lstrip("-"))]

    for path in paths_of("ReadWritePaths"):
        script.append(f"mount --bind {path} {path}")
    for path in paths_of("ReadOnlyPaths"):
        # Mounts below it that were there before become read-only too, as systemd has it.
        script.append(f"mountpoint -q {path} || mount --bind {path} {path}")
        script.append(f"mount -o remount,bind,ro {path}")
    for path in paths_of("InaccessiblePaths"):
        script.append(f"mount -t tmpfs -o mode=0 none {path}" if os.path.isdir(path)
                      else f"mount --bind /dev/null {path}")
    capabilities = ",".join("+" + name.removeprefix("CAP_").lower()
                            for name in unit["CapabilityBoundingSet"])
    script.append(f'exec setpriv --bounding-set=-all,{capabilities} --inh-caps=-all '
                  '--no-new-privs -- "$@"')
    return ["unshare", "--mount", "--ipc", "sh", "-c", "\n".join(script), "sh"]


@pytest.mark.skipif(os.geteuid() != 0, reason="the confinement is made by root")
def test_the_daemon_folds_with_what_the_unit_leaves_it(ksm_alone):
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    with procs.twins("c1*2048", "u*512", **nobody) as target:
        with Daemon(config={"scan-interval": 1, "settle-seconds": 1},
                    policies={"a.conf": merge_policy(f"pid:{target.pid}")},
                    wrapper=confinement()) as daemon:
            daemon.wait_for(lambda status: (status["savings"]["reclaimed_bytes"] or 0) > 1900 * 4096)
            (vm,) = daemon.cli("vms")["vms"]
            assert (vm["state"], vm["hook"]) == ("folded", "ring"), daemon.log()
            # It may write policies, and give memory back.
            assert daemon.cli("set", f"pid:{target.pid}", "mode=observe")["mode"] == "observe"
            daemon.cli("release", f"pid:{target.pid}")
            daemon.wait_for(lambda status: status["savings"]["reclaimed_bytes"] == 0)
            confined = dict(line.split(":\t") for line in
                            open(f"/proc/{daemon.pid}/status", encoding="ascii")
                            if line.startswith(("Cap", "NoNewPrivs", "Seccomp:")))
            assert confined["NoNewPrivs"].strip() == "1"
            assert confined["Seccomp"].strip() == "0"
            assert bin(int(confined["CapBnd"], 16)).count("1") == 4
