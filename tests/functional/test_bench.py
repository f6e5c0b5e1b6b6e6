# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benchmark makes of its samples: figures that are wrong look like figures that are right."""

import json

import pytest

from benchmark import (budget, figures, folding, increment, parts, peers, race, scan, steady, terms,
                       verdict)

MIB = 1 << 20


def outcome(curve, savings_mib, others_mib=0):
    """curve: (wall clock, CPU, MiB that came back) of each sample."""
    before = 1000 * MIB
    samples = [race.Sample(wall=wall, anon=before - int(saved * MIB), guests_anon=before -
                           int(saved * MIB), cpu=cpu, ksmd=cpu, daemon=0.0, ring=0.0, khugepaged=0.0,
                           rmap_items=int(100 * cpu), full_scans=1) for wall, cpu, saved in curve]
    return {"samples": samples, "settled": True, "rmap_items": 10, "metadata_bytes": MIB,
            "huge_bytes": MIB, "final": {"cpu": curve[-1][1]},
            "start": {"anon_bytes": before, "guests_anon_bytes": before, "anon_huge_bytes": MIB},
            "savings_bytes": (savings_mib + others_mib) * MIB,
            "guests_savings_bytes": savings_mib * MIB}


def judged(ksmd, pagefold):
    results = {"order": ["ksmd", "pagefold"], "ksmd": ksmd, "pagefold": pagefold}
    verdict.judge(results)
    return results


def test_costs_are_compared_where_both_have_95_percent_of_what_ksmd_brings_back():
    ksmd = outcome([(1, 1.0, 50), (2, 2.0, 94), (3, 4.0, 95), (4, 8.0, 100)], 100)
    pagefold = outcome([(1, 0.5, 94), (1.5, 1.0, 96), (2, 3.0, 98)], 98)
    ratios = judged(ksmd, pagefold)["ratios"]
    assert ratios == {"savings_vs_ksmd_flat_out": pytest.approx(0.98),
                      "cpu_to_95_vs_ksmd_flat_out": pytest.approx(0.25),
                      "rmap_items_vs_ksmd_flat_out": pytest.approx(0.25),
                      "wall_to_95_vs_ksmd_flat_out": pytest.approx(0.5)}


def test_what_never_gets_there_has_no_ratio():
    ksmd = outcome([(1, 1.0, 100)], 100)
    results = judged(ksmd, outcome([(1, 0.1, 90)], 90))
    assert results["pagefold"]["at_95"] is None
    assert results["ratios"]["savings_vs_ksmd_flat_out"] == pytest.approx(0.9)
    assert results["ratios"]["cpu_to_95_vs_ksmd_flat_out"] is None
    assert verdict.spread([results])["cpu_to_95_vs_ksmd_flat_out"] is None


def test_where_others_move_anon_pages_the_guests_part_counts():
    quiet = judged(outcome([(1, 1.0, 100)], 100), outcome([(1, 1.0, 100)], 100))
    assert quiet["judged_by"] == "anon"
    noisy = judged(outcome([(1, 1.0, 100)], 100), outcome([(1, 1.0, 100)], 100, others_mib=30))
    assert noisy["judged_by"] == "guests_anon"
    assert noisy["ratios"]["savings_vs_ksmd_flat_out"] == pytest.approx(1.0)


def test_rounds_become_figures_json_and_a_table(capsys):
    rounds = [judged(outcome([(1, cpu, 100)], 100), outcome([(1, 1.0, 100)], 100))
              for cpu in (4.0, 5.0, 10.0)]
    assert json.loads(json.dumps(verdict.plain(rounds)))[0]["ratios"] == rounds[0]["ratios"]
    documents = json.loads(json.dumps([figure.document() for figure in folding.figures(rounds)]))
    cpu, = [one for one in documents if one["name"] == "cpu_to_95_vs_ksmd_flat_out"]
    assert cpu["value"] == pytest.approx(0.2)
    assert cpu["met"] is False
    assert cpu["spread"] == {"min": pytest.approx(0.1), "median": pytest.approx(0.2),
                             "max": pytest.approx(0.25)}
    figures.print_table(documents)
    assert "cpu_to_95_vs_ksmd_flat_out" in capsys.readouterr().out
    verdict.print_round(0, rounds[0])
    assert "ksmd flat out" in capsys.readouterr().out


def test_goals_are_met_or_missed_and_what_was_not_reached_is_missed():
    at_most = (figures.AT_MOST, 2)
    assert figures.Figure("a", 2.0, "s", at_most).met()
    assert not figures.Figure("a", 2.1, "s", at_most).met()
    assert figures.Figure("a", 2.1, "s", (figures.AT_LEAST, 2)).met()
    assert figures.Figure("a", None, "s", at_most).met() is False
    assert figures.Figure("a", 1.0).met() is None
    assert figures.Figure.of("a", [1.0, None, 3.0], goal=at_most).value is None
    assert figures.Figure.of("a", [1.0, 5.0, 3.0]).value == 3.0
    assert figures.Figure.of("a", [1.0, 5.0, 3.0], worst=True).value == 5.0


def test_a_peer_that_does_not_arrive_says_what_is_known():
    at_most = (figures.AT_MOST, 0.1)
    less = figures.Figure("a", None, "", at_most, limit=(figures.LESS_THAN, 0.05))
    assert less.met() is True
    assert not figures.Figure("a", None, "", at_most, limit=(figures.LESS_THAN, 0.2)).met()
    assert not figures.Figure("a", None, "s", at_most, limit=(figures.MORE_THAN, 0.05)).met()


def test_what_a_host_cannot_measure_is_neither_met_nor_missed(capsys):
    skipped = figures.Figure("a", None, "s", (figures.AT_MOST, 1), skipped="no KVM here")
    assert skipped.met() is None
    figures.print_table([skipped.document(), figures.Figure(
        "b", None, "s", limit=(figures.MORE_THAN, 600)).document()])
    printed = capsys.readouterr().out
    assert "SKIPPED" in printed
    assert "no KVM here" in printed
    assert "> 600" in printed


def test_what_was_measured_for_the_same_build_is_not_measured_again(tmp_path):
    def measure():
        return {"cpu": (1, 2)}

    def never():
        raise AssertionError("it was known")
    assert parts.Parts(tmp_path, "key", True).once("a", measure) == ({"cpu": [1, 2]}, False)
    assert parts.Parts(tmp_path, "key", True).once("a", never) == ({"cpu": [1, 2]}, True)
    for other in (parts.Parts(tmp_path, "key", False), parts.Parts(tmp_path, "build", True)):
        assert other.once("a", measure)[1] is False


def test_a_peer_is_judged_where_it_arrives_or_by_what_it_had_used():
    target = 95 * MIB
    ours = peers.summary(outcome([(1, 0.5, 50), (2, 1.0, 95)], 95), target)
    slow = peers.summary(outcome([(10, 4.0, 20), (60, 20.0, 40)], 40), target)
    assert peers.ratio(ours, slow, "cpu") == (None, (figures.LESS_THAN, pytest.approx(0.05)))
    assert slow["reached_bytes"] == 40 * MIB
    there = peers.summary(outcome([(10, 4.0, 20), (60, 20.0, 96)], 96), target)
    assert peers.ratio(ours, there, "wall") == (pytest.approx(2 / 60), None)
    assert peers.ratio(slow, there, "cpu") == (None, None)
    assert peers.summary(outcome([(1, 1.0, 100)], 100), None)["target_bytes"] == target
    results = {"pagefold": ours, "ksmd_defaults": slow, "ksmd_advisor": there,
               "ksmtuned": {"skipped": "it is not there"}}
    documents = [figure.document() for figure in peers.figures(results)]
    by_name = {document["name"]: document for document in documents}
    assert by_name["wall_to_95_ksmd_defaults"]["limit"] == [figures.MORE_THAN, 60]
    assert by_name["wall_to_95_ksmd_advisor"]["value"] == 60
    assert by_name["cpu_to_95_ksmtuned"]["skipped"] == "it is not there"


def test_reading_alone_is_the_faster_of_both_ways_to_do_it():
    found = scan.ratios({"readv_extents_seconds": [3.0, 3.0], "readv_pieces_seconds": [2.0, 2.0],
                         "one_thread_seconds": [4.0, 4.0], "two_threads_seconds": [2.0, 1.0]})
    assert found["vs_readv"] == [0.5, 0.5]
    assert found["two_vs_one"] == [2.0, 4.0]


def test_a_burst_is_measured_from_before_ksmd_starts():
    samples = outcome([(wall / 10, wall / 100, 0) for wall in range(10)], 0)["samples"]
    running = [False] * 6 + [True] * 3 + [False]
    assert increment.run_up(samples, running).wall == pytest.approx(0.3)
    assert increment.run_up(samples, [False] * 10).wall == pytest.approx(0.6)
    assert increment.run_up(samples, [True] * 10).wall == 0


def test_what_a_folded_page_adds_to_a_burst_is_per_scan():
    alone = [{"cpu": 0.1, "scans": 9}, {"cpu": 0.3, "scans": 1}, {"cpu": 0.2, "scans": 3}]
    beside = [{"cpu": 0.6, "scans": 4}]
    assert increment.excess_us(alone, beside, 100000) == [pytest.approx(1.0)]


def test_too_little_cpu_is_as_far_off_as_too_much():
    parts = {"ksmd": 0, "daemon": 0, "ring": 0, "khugepaged": 0, "seconds": 300,
             "waiting_share": 1.0, "folded_mib": 1}
    for cpu, met in ((34.5, True), (45.5, True), (33, False), (47, False)):
        assert budget.figure({"cpu": cpu, "percent": 40, **parts}).met() is met


def test_ratios_that_were_not_measured_are_null():
    measured = figures.Figure("cpu_to_95_vs_ksmd_flat_out", 0.1).document()
    assert figures.ratios([measured, figures.Figure("release_speed", 1.0).document()]) == {
        "cpu_to_95_vs_ksmd_flat_out": 0.1, "wall_to_95_vs_ksmd_flat_out": None,
        "steady_cpu_vs_advisor": None, "rmap_items_vs_ksmd_flat_out": None}


def test_steady_state_is_judged_from_both_sides_kept_apart(tmp_path):
    def side(cpu):
        passes = [{"seconds": 50, "cpu_share": 2 * cpu}, {"seconds": 200, "cpu_share": cpu / 4}]
        state = {"cpu_share": cpu, "saved_bytes": 97 * MIB, "full_scans": 9, "passes": passes}
        return {"start": {"guests_anon_bytes": 4096 * MIB}, "idle": state, "rewriting": state}
    kept = parts.Parts(tmp_path, "key", True)
    kept.once("steady.pagefold", lambda: side(0.001))
    kept.once("steady.advisor", lambda: side(0.1))
    found = {one.name: one.value for one in steady.measure(terms.Bench(None, parts=kept))[0]}
    assert found["steady_cpu_vs_advisor"] == pytest.approx(0.01)
    assert found["steady_cpu_vs_last_pass_of_advisor"] == pytest.approx(0.04)
    assert found["steady_cpu_per_4_gib"] == pytest.approx(0.1)
    assert found["rewriting_savings_vs_advisor"] == 1
