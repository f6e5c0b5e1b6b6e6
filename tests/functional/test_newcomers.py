# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual machines that start while the daemon sleeps. Nothing is folded, and whoever else drives KSM on this host
may go on doing so."""

from lab.daemon import Daemon


def test_vm_that_starts_between_two_passes_is_noticed(lab):
    config = {"ksm-owner": "stand-by", "default-mode": "observe", "scan-interval": 3600}
    with Daemon(config=config) as daemon:
        first = daemon.wait_for(lambda status: status["pass"]["number"])
        (guest,) = lab.boot("newcomer", memory_mib=256)
        assert guest.pid not in {vm["pid"] for vm in first["vms"]}
        # Nothing else brings the second pass forward by an hour.
        daemon.wait_for(lambda status: guest.pid in {vm["pid"] for vm in status["vms"]}, 15)
