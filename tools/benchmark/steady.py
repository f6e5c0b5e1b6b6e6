# SPDX-License-Identifier: GPL-2.0-or-later
"""What it costs to keep what has been folded: idle guests, and guests that write a quarter of their
private memory anew each minute. The peer is ksmd with its scan-time advisor and smart_scan."""

import time

from lab import ksm
from lab.daemon import Daemon

from benchmark import race
from benchmark.contenders import KSMD_FLAT_OUT, PAGEFOLD, SAMPLE_SECONDS, merge_policies, run_ksmd
from benchmark.figures import AT_LEAST, AT_MOST, Figure
from benchmark.terms import MIB, fresh_guests, say, wait_settled

# ksmd as a host has it that turned both on and left the rest alone.
ADVISOR = {**KSMD_FLAT_OUT, "smart_scan": 1, "pages_to_scan": 100, "sleep_millisecs": 20,
           "advisor_mode": "scan-time"}
# Its target is 200 s a pass: it gets twice that for each.
ADVISOR_PASS_SECONDS = 400
REWRITTEN_SHARE = 4
GIB_4 = 4096 * MIB


def _cpu_share(before, after):
    return (after.cpu - before.cpu) / (after.wall - before.wall)


def _watch(meter, start, over):
    """From now until over(seconds, full scans): CPU a second, of all of it and of each pass of ksmd's, and
    what was saved, on average."""
    first = last = meter.sample()
    saved = [start["guests_anon_bytes"] - first.guests_anon]
    passes, ended = [], first
    while not over(last.wall - first.wall, last.full_scans - first.full_scans):
        time.sleep(SAMPLE_SECONDS * 20)
        last = meter.sample()
        saved.append(start["guests_anon_bytes"] - last.guests_anon)
        if last.full_scans > ended.full_scans:
            passes.append({"seconds": last.wall - ended.wall, "cpu_share": _cpu_share(ended, last)})
            say(f"  pass {last.full_scans - first.full_scans}: {passes[-1]['seconds']:.0f} s, CPU "
                f"{passes[-1]['cpu_share'] * 100:.3f} % of a core")
            ended = last
    outcome = {"cpu_share": _cpu_share(first, last),
               "ksmd_share": (last.ksmd - first.ksmd) / (last.wall - first.wall),
               "saved_bytes": sum(saved) / len(saved), "saved_first_bytes": saved[0],
               "saved_last_bytes": saved[-1], "seconds": last.wall - first.wall,
               "full_scans": last.full_scans - first.full_scans, "passes": passes}
    say(f"  CPU {outcome['cpu_share'] * 100:.3f} % of a core, {outcome['saved_bytes'] / MIB:.1f} "
        f"MiB saved on average, {saved[0] / MIB:.1f} first and {saved[-1] / MIB:.1f} last, "
        f"{outcome['seconds']:.0f} s, {outcome['full_scans']} full scans")
    return outcome


def _busy(shape, vms):
    for vm in vms:
        vm.filler.ask(str(shape.private_mib // REWRITTEN_SHARE))


def _pagefold(bench):
    say("steady state: pagefold")

    def over(seconds, _scans):
        return seconds >= bench.steady_seconds
    with fresh_guests(bench.shape, mergeable=False) as (vms, start), \
            Daemon(config={**PAGEFOLD, **bench.config}, policies=merge_policies(vms)) as daemon:
        wait_settled(vms)
        meter = race.Meter(vms)
        meter.watch(daemon.pid)
        idle = _watch(meter, start, over)
        _busy(bench.shape, vms)
        return {"start": start, "idle": idle, "rewriting": _watch(meter, start, over)}


def _advisor(bench):
    say("steady state: ksmd, scan-time advisor and smart_scan")

    def passes(count):
        return lambda seconds, scans: scans >= count or seconds >= count * ADVISOR_PASS_SECONDS
    with fresh_guests(bench.shape, mergeable=True) as (vms, start):
        run_ksmd(vms, start, race.Meter(vms), {})
        ksm.apply(ADVISOR)
        meter = race.Meter(vms)
        idle = _watch(meter, start, passes(bench.steady_passes))
        _busy(bench.shape, vms)
        return {"idle": idle, "rewriting": _watch(meter, start, passes(bench.rewriting_passes))}


def _measured(bench, name, run):
    """Each side is kept by itself: the peer's takes an hour."""
    result, known = bench.parts.once(f"steady.{name}", lambda: run(bench))
    if known:
        say(f"steady state: {name}: this build has done it")
    return result


def _ratio(state, peer_state, field):
    """None where the peer did nothing that can be measured."""
    return state[field] / peer_state[field] if peer_state[field] else None


def _ratio_to_last_pass(state, peer_state):
    """What the advisor takes differs much from pass to pass."""
    return _ratio(state, peer_state["passes"][-1], "cpu_share") if peer_state["passes"] else None


def measure(bench):
    ours, peer = _measured(bench, "pagefold", _pagefold), _measured(bench, "advisor", _advisor)
    idle, busy, peer_idle, peer_busy = (side[state] for side in (ours, peer)
                                        for state in ("idle", "rewriting"))
    scale = GIB_4 / ours["start"]["guests_anon_bytes"]
    enough = f"the peer: {peer_idle['full_scans']} and {peer_busy['full_scans']} full scans"
    return [
        Figure("steady_cpu_vs_advisor", _ratio(idle, peer_idle, "cpu_share"), "",
               (AT_MOST, 1 / 20), enough),
        Figure("steady_cpu_vs_last_pass_of_advisor", _ratio_to_last_pass(idle, peer_idle), ""),
        Figure("steady_savings_vs_advisor", _ratio(idle, peer_idle, "saved_bytes"), "",
               (AT_LEAST, 0.97)),
        Figure("steady_cpu_per_4_gib", idle["cpu_share"] * 100 * scale, "% of a core",
               (AT_MOST, 0.1)),
        Figure("rewriting_cpu_vs_advisor", _ratio(busy, peer_busy, "cpu_share"), "",
               (AT_MOST, 1 / 5), "a quarter of the private memory written anew each minute"),
        Figure("rewriting_cpu_vs_last_pass_of_advisor", _ratio_to_last_pass(busy, peer_busy), ""),
        Figure("rewriting_savings_vs_advisor", _ratio(busy, peer_busy, "saved_bytes"), "",
               (AT_LEAST, 0.97))], {"pagefold": ours, "advisor": peer}
