# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt metadata as the control panel: real domains of a real libvirtd, steered with virsh and pagefold."""

import contextlib
import time

import pytest

import scene
from lab import marks

pytestmark = pytest.mark.usefixtures("ksm_alone")

# No pass comes by itself within these tests: what happens, happens because libvirt said something.
CONFIG = {"scan-interval": 3600, "default-mode": "observe"}
SOON = 1.0


@contextlib.contextmanager
def pagefoldd(libvirtd, **config):
    # default-mode holds for the domains, not for other virtual machines of this host.
    ours = "".join(f"[target {domain.name}]\nmatch = vm:{domain.uuid}\n" for domain in libvirtd.domains)
    policies = {"domains.conf": f"{ours}[target others]\nmatch = vm:*\nmode = off\n"}
    with scene.pagefoldd(config={**CONFIG, "libvirt-uri": libvirtd.uri, **config},
                         policies=policies) as daemon:
        yield daemon


@pytest.fixture
def domains(libvirtd):
    """Two domains that run, whose kernels have much in common."""
    started = [libvirtd.define(name, mergeable=False) for name in ("web1", "web2")]
    for domain in started:
        domain.power_on()
    for domain in started:
        domain.wait_ready()
    return started


def wait_read(daemon, *domains):
    """Until their memory has been read."""
    for domain in domains:
        scene.wait_vm(daemon, domain, lambda vm: vm["pages_scanned"])


def wait_mode(daemon, domain, mode, timeout=30):
    return scene.wait_vm(daemon, domain, lambda vm: vm["mode"] == mode, timeout)


def merge_all(daemon, domains):
    for domain in domains:
        domain.set_policy("<policy mode='merge' group='web'/>", "--live")
    scene.wait_folded(daemon, *domains, timeout=60)


def test_metadata_folds_within_a_second_and_removing_it_keeps_the_folds(libvirtd, domains):
    with pagefoldd(libvirtd) as daemon:
        wait_read(daemon, *domains)
        for domain in domains:
            begin = time.monotonic()
            domain.set_policy("<policy mode='merge' group='web'/>", "--live")
            vm = wait_mode(daemon, domain, "merge", SOON + 1)
            assert time.monotonic() - begin < SOON
            assert vm["group"] == "web"
        scene.wait_folded(daemon, *domains, timeout=60)
        assert daemon.status()["host"]["active_group"] == "web"
        domains[0].remove_policy("--live")
        wait_mode(daemon, domains[0], "observe", SOON + 1)
        vm = scene.wait_state(daemon, domains[0], "observed")
        assert vm["group"] == "default"


def test_metadata_off_releases(libvirtd, domains):
    with pagefoldd(libvirtd) as daemon:
        merge_all(daemon, domains)
        domains[0].set_policy("<policy mode='off' group='web'/>", "--live")
        scene.wait_state(daemon, domains[0], "off")
        assert not marks.mergeable(domains[0].pid) and marks.ksm_bytes(domains[0].pid) == 0


def test_metadata_that_is_no_policy_only_observes_and_says_why(libvirtd, domains):
    # Before the daemon comes: what it would have folded by then it would keep.
    domains[0].set_policy("<policy mode='maybe' group='web'/>", "--live")
    with pagefoldd(libvirtd, **{"default-mode": "merge"}) as daemon:
        vm = scene.wait_vm(daemon, domains[0], lambda vm: "no policy" in (vm["reason"] or ""))
        assert vm["mode"] == "observe" and "mode" in vm["reason"]
        daemon.reload()
        daemon.wait_passes(2)
        assert daemon.log().count("is no policy") == 1
        assert not marks.mergeable(domains[0].pid)


def test_nosharepages_is_a_hard_no(libvirtd):
    domain = libvirtd.define("secret", nosharepages=True)
    domain.power_on()
    with pagefoldd(libvirtd, **{"default-mode": "merge"}) as daemon:
        domain.set_policy("<policy mode='merge'/>", "--live")
        vm = scene.wait_vm(daemon, domain, lambda vm: "nosharepages" in (vm["reason"] or ""))
        assert vm["mode"] == "observe"
        assert not marks.mergeable(domain.pid)


def test_set_writes_the_metadata_live_and_for_the_next_start(libvirtd, domains):
    with pagefoldd(libvirtd) as daemon:
        wait_read(daemon, *domains)
        done = daemon.cli_run("set", "web1", "mode=merge", "group=web")
        assert done.returncode == 0, done.stderr
        assert "libvirt" in done.stdout
        for flag in ("--live", "--config"):
            assert 'mode="merge"' in domains[0].policy(flag) or "mode='merge'" in domains[0].policy(flag)
        wait_mode(daemon, domains[0], "merge", SOON + 1)
        assert not (daemon.policy_dir / "00-set.conf").exists()
        domains[0].power_off()
        domains[0].power_on()
        wait_mode(daemon, domains[0], "merge")


def test_policies_outlive_a_libvirtd_that_goes(libvirtd, domains):
    with pagefoldd(libvirtd) as daemon:
        merge_all(daemon, domains)
        libvirtd.kill()
        daemon.wait_for(lambda status: any("libvirt" in warning
                                           for warning in status["host"]["warnings"]))
        for domain in domains:
            vm = daemon.vm(domain.pid)
            # A guest that is still awake has something new to fold now and then.
            assert vm["mode"] == "merge" and vm["state"] in ("folding", "folded")
        libvirtd.start()
        libvirtd.wait_ready()
        daemon.wait_for(lambda status: not status["host"]["warnings"])
        domains[0].set_policy("<policy mode='observe' group='web'/>", "--live")
        wait_mode(daemon, domains[0], "observe", SOON + 1)
        assert marks.ksm_bytes(domains[0].pid) > 1 << 20, "what is folded stays"


def test_domains_of_a_libvirt_that_does_not_answer_get_nothing_new(libvirtd, domains):
    domains[0].set_policy("<policy mode='off'/>", "--live")
    libvirtd.kill()
    with pagefoldd(libvirtd, **{"default-mode": "merge"}) as daemon:
        vm = scene.wait_vm(daemon, domains[0], lambda vm: "does not answer" in (vm["reason"] or ""))
        assert vm["mode"] == "observe"
        assert not any(marks.mergeable(domain.pid) for domain in domains)
        libvirtd.start()
        libvirtd.wait_ready()
        scene.wait_state(daemon, domains[0], "off")
        wait_mode(daemon, domains[1], "merge")


def test_once_waits_for_what_libvirt_says(libvirtd, domains):
    for domain in domains:
        domain.set_policy("<policy mode='merge'/>", "--live")
    with scene.pagefoldd(config={**CONFIG, "libvirt-uri": libvirtd.uri}, once=True) as daemon:
        assert daemon.wait(120) == 0
        assert all(marks.ksm_bytes(domain.pid) > 1 << 20 for domain in domains)
