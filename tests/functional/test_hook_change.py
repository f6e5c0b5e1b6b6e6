# SPDX-License-Identifier: GPL-2.0-or-later
"""A policy may name another hook while the daemon runs; that takes effect at once."""

from pathlib import Path

from scene import EAGER, check_memory, is_folded, target, wait_folded, wait_state

from lab.daemon import Daemon, merge_policy

# After a refusal the ring is left alone for a minute; nobody should wait for that here.
AT_ONCE_SECONDS = 20


def has_ring(process):
    """Whether a thread of a ring's runs in it."""
    return any(path.read_text().startswith("iou-sqp")
               for path in Path(f"/proc/{process.pid}/task").glob("*/comm"))


def test_from_none_to_auto_folds_at_once(ksm_alone):
    with target() as one, target() as two:
        matches = f"pid:{one.pid}", f"pid:{two.pid}"
        with Daemon(config=EAGER, policies={"t.conf": merge_policy(*matches, hook="none")}) as daemon:
            wait_state(daemon, one, "blocked", "hook = none")
            assert daemon.cli("plan")["fold_pages"] > 0
            assert not has_ring(one)
            daemon.write_policy("t.conf", merge_policy(*matches))
            daemon.reload()
            wait_folded(daemon, one, two, timeout=AT_ONCE_SECONDS)
            assert has_ring(one)
        check_memory(one, two)


def test_from_auto_to_none_keeps_the_folds_and_marks_nothing_more(ksm_alone):
    with target() as one, target() as two, target() as three:
        matches = f"pid:{one.pid}", f"pid:{two.pid}"
        with Daemon(config=EAGER, policies={"t.conf": merge_policy(*matches)}) as daemon:
            wait_folded(daemon, one, two)
            matches += (f"pid:{three.pid}",)
            daemon.write_policy("t.conf", merge_policy(*matches, hook="none"))
            daemon.reload()
            wait_state(daemon, three, "blocked", "hook = none")
            daemon.wait_for(lambda _status: daemon.cli("plan")["fold_pages"] > 0, AT_ONCE_SECONDS)
            assert daemon.vm(one.pid)["hook"] == "none"
            assert is_folded(daemon.vm(one.pid)) and is_folded(daemon.vm(two.pid))
            assert not has_ring(three)
        check_memory(one, two, three)
