# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt as the control panel: 200 domains defined, eight of them running, one daemon beside them."""

import time

from lab import host, libvirtd as lab_libvirtd
from lab.daemon import Daemon
from lab.libvirt_domain import METADATA_URI

from benchmark.figures import AT_MOST, Figure
from benchmark.terms import BenchError, say

DEFINED, RUNNING = 200, 8
MEMORY_MIB = 128
FOLD_SECONDS = 120
IDLE_SECONDS = 120
# A VM is looked at often in its first two minutes, and ever less often after that.
REST_SECONDS = 300
TURNS = 10
POLL_SECONDS = 0.005
GOALS = {"libvirt_start_up": (AT_MOST, 2), "libvirt_idle_cpu": (AT_MOST, 0.1),
         "metadata_to_effect": (AT_MOST, 1), "metadata_off_to_released": (AT_MOST, 1)}
# virsh puts it into pagefold's namespace; in a domain's XML it has to be there.
MERGE = "<policy mode='merge' group='bench'/>"
DEFINED_MERGE = MERGE.replace("<policy", f"<policy xmlns='{METADATA_URI}'")


def _wait(condition, timeout):
    """Seconds until it held."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > timeout:
            raise BenchError(f"{condition.__doc__}: not within {timeout} s")
        time.sleep(POLL_SECONDS)
    return time.monotonic() - begin


def _define(libvirtd):
    """Eight that run real Linux guests, and the rest."""
    # mem-merge off: what is mergeable beside our marks would keep every burst from starting.
    running = [libvirtd.define(f"run{number}", memory_mib=MEMORY_MIB, mergeable=False,
                               policy=DEFINED_MERGE)
               for number in range(RUNNING)]
    for number in range(DEFINED - RUNNING):
        libvirtd.define(f"off{number}", memory_mib=MEMORY_MIB, mergeable=False,
                               policy=DEFINED_MERGE)
    for domain in running:
        domain.power_on()
    for domain in running:
        domain.wait_ready()
    return running


def _vm(daemon, domain):
    for vm in daemon.get("/v1/vms")[1]["vms"]:
        if vm["uuid"] == domain.uuid:
            return vm
    return {}


def _start_up(daemon, domains):
    def all_known():
        """all domains are known with their policies"""
        known = {vm["uuid"]: vm["mode"] for vm in daemon.get("/v1/vms")[1]["vms"]}
        return all(known.get(domain.uuid) == "merge" for domain in domains)
    begin = time.monotonic()
    daemon.start()
    daemon.wait_ready()
    ready = time.monotonic() - begin
    _wait(all_known, FOLD_SECONDS)
    return ready, time.monotonic() - begin


def _fold(daemon, domains):
    def all_folded():
        """all domains are folded"""
        return all(_vm(daemon, domain).get("state") == "folded" for domain in domains)
    _wait(all_folded, FOLD_SECONDS)


def _idle_share(daemon, domains_started):
    """CPU of all its threads, as a share of one core, while nothing happens and nobody asks."""
    time.sleep(max(0, domains_started + REST_SECONDS - time.monotonic()))
    begin, used = time.monotonic(), host.process_cpu_seconds(daemon.pid)
    used_ns = host.cpu_seconds(daemon.pid)
    time.sleep(IDLE_SECONDS)
    # What has ended meanwhile is in the one, the nanoseconds are in the other.
    spent = max(host.process_cpu_seconds(daemon.pid) - used, host.cpu_seconds(daemon.pid) - used_ns)
    return spent / (time.monotonic() - begin)


def _effects(daemon, domain):
    """Seconds from virsh's return: until the daemon has taken the policy, until the folds are gone."""
    taken, gone = [], []
    for _ in range(TURNS):
        def observed():
            """the new mode is in effect"""
            return _vm(daemon, domain)["mode"] == "observe"

        def merged():
            """the new mode is in effect"""
            return _vm(daemon, domain)["mode"] == "merge"
        for element, condition in (("<policy mode='observe' group='bench'/>", observed),
                                   (MERGE, merged)):
            domain.set_policy(element, "--live")
            taken.append(_wait(condition, 30))

    def released():
        """no page is folded"""
        return host.ram_usage(domain.pid, MEMORY_MIB << 20)["KSM"] == 0
    domain.set_policy("<policy mode='off'/>", "--live")
    gone.append(_wait(released, 30))
    return taken, gone


def _figures(ready, known, share, taken, gone):
    hosts = f"{DEFINED} domains defined, {RUNNING} running"
    return [Figure("libvirt_start_up", known, "s", GOALS["libvirt_start_up"], "until every domain is "
                   f"known with its policy; READY after {ready:.2f} s; {hosts}"),
            Figure("libvirt_idle_cpu", share * 100, "% of a core", GOALS["libvirt_idle_cpu"],
                   f"{hosts} for {REST_SECONDS} s before"),
            Figure.of("metadata_to_effect", taken, "s", GOALS["metadata_to_effect"], worst=True,
                      note="the slowest: virsh returned, until the mode is in effect"),
            Figure.of("metadata_off_to_released", gone, "s", GOALS["metadata_off_to_released"],
                      note="mode off: until no page of the domain is folded")]


def measure(_bench):
    reason = lab_libvirtd.missing()
    if reason:
        return [Figure(name, None, goal=goal, skipped=reason) for name, goal in GOALS.items()], {}
    with lab_libvirtd.Libvirtd() as libvirtd:
        say(f"  {DEFINED} domains, {RUNNING} of them running, {MEMORY_MIB} MiB each")
        domains = _define(libvirtd)
        started = time.monotonic()
        daemon = Daemon(config={"libvirt-uri": libvirtd.uri})
        try:
            ready, known = _start_up(daemon, domains)
            say(f"  ready after {ready:.2f} s, all policies known after {known:.2f} s")
            _fold(daemon, domains)
            share = _idle_share(daemon, started)
            say(f"  idle: {share * 100:.3f} % of a core over {IDLE_SECONDS} s")
            taken, gone = _effects(daemon, domains[0])
        finally:
            daemon.close()
    return _figures(ready, known, share, taken, gone), {}
