"""Stored times, judged: from the raw rounds alone, by any criteria."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from deltann.comparison.verdict import Verdict
from deltann.errors import UsageError
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.store import Run, open_run
from deltann.testing.stored import write_run
from deltann.testing.times import HOST, write_times
from deltann.timing.against import against
from deltann.timing.calibration import Calibration
from deltann.timing.options import Options
from deltann.timing.rounds import Checks, Measured, Round, load_rounds, save_round
from deltann.timing.stored import document_of, rounds_short, timing
from deltann.timing.verdict import TimeVerdict

SCORES = np.random.default_rng(3).standard_normal((4, 5)).astype(np.float32)
CRASH = Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, "SIGSEGV while RUN", "the log")


def a_run(folder: Path, *, wrong: tuple[str, ...] = (), names: tuple[str, ...] = ("a", "b", "c")) -> Run:
    outputs = {name: {"y": SCORES * (2 if name in wrong else 1)} for name in names}
    return write_run(folder, outputs, facts={name: {"artifact": name} for name in names})


def calibrated(detectable: float, percentile: float = 50.0) -> dict[str, object]:
    found = Calibration(20, 0, 5, 1, 0.01, 0.2, detectable, 0.01, 0.05, percentile, HOST)
    return {"environment": "a", "created": "2026-01-01", "calibration": found.to_json()}


def verdicts(found) -> dict[str, TimeVerdict]:
    return {pair.candidate: pair.verdict for pair in found.pairs}


def test_a_run_that_was_not_timed_has_none(tmp_path):
    assert timing(a_run(tmp_path)) is None


def test_a_run_whose_times_are_gone_has_not_none(tmp_path):
    write_times(a_run(tmp_path), {"a": 0.0, "b": 0.0, "c": 0.0})
    shutil.rmtree(tmp_path / "timing")
    with pytest.raises(UsageError, match=r"timing\.json is missing; measure again"):
        timing(open_run(tmp_path))


@pytest.mark.parametrize("gone", [["003"], ["011"], ["000", "011"], [f"{number:03d}" for number in range(6, 12)]])
@pytest.mark.parametrize("old", [False, True], ids=["counted", "of old"])
def test_rounds_that_are_gone_are_missed(tmp_path, gone, old):
    """In a run of old, which does not say how many there were, at least those before the last one."""
    run = a_run(tmp_path)
    write_times(run, {"a": 0.0, "b": 0.3, "c": 0.0})
    assert timing(run).exit_code == 1
    if old:
        path = tmp_path / "timing" / "timing.json"
        path.write_text(json.dumps({key: value for key, value in document_of(run).items() if key != "rounds"}))
        assert timing(run).exit_code == 1
    for name in gone:
        shutil.rmtree(tmp_path / "timing" / "rounds" / name)
    if old and gone[0] > "005":
        assert timing(run) is not None
        return
    with pytest.raises(UsageError, match=rf"of 1[12] rounds are missing \(the first is {gone[0]}\)"):
        timing(run)


@pytest.mark.parametrize("number", [13, 10**30])
def test_more_rounds_than_there_are_are_missed(tmp_path, number):
    run = a_run(tmp_path)
    write_times(run, {"a": 0.0, "b": 0.0, "c": 0.0})
    path = tmp_path / "timing" / "timing.json"
    path.write_text(json.dumps({**document_of(run), "rounds": number}))
    with pytest.raises(UsageError, match=rf"{number - 12} of {number} rounds are missing \(the first is 012\)"):
        timing(run)


@pytest.mark.parametrize("slowdown", [-0.3, 0.0])
def test_times_that_did_not_end_are_no_proof(tmp_path, slowdown):
    run = a_run(tmp_path, names=("a", "b"))
    write_times(run, {"a": 0.0, "b": slowdown})
    assert timing(run).exit_code == 0
    assert timing(run).missing == ()
    write_times(run, {"a": 0.0, "b": slowdown}, complete=False)
    found = timing(run)
    assert verdicts(found) == {"b": TimeVerdict.INCONCLUSIVE}
    assert "measuring did not end" in found.pairs[0].reasons
    assert found.exit_code == 4
    assert found.missing == (f"the times: measuring did not end; to go on: deltann bench --out {tmp_path}",)


def test_a_slowdown_found_before_the_end_is_one(tmp_path):
    run = a_run(tmp_path, names=("a", "b"))
    write_times(run, {"a": 0.0, "b": 0.3}, complete=False)
    assert verdicts(timing(run)) == {"b": TimeVerdict.REGRESSION}


def test_slower_same_and_faster_are_told_apart(tmp_path):
    run = a_run(tmp_path)
    write_times(run, {"a": 0.0, "b": 0.3, "c": -0.3})
    found = timing(run)
    assert verdicts(found) == {"b": TimeVerdict.REGRESSION, "c": TimeVerdict.IMPROVED}
    assert [pair.symptom for pair in found.pairs] == [Symptom.SLOWDOWN, None]
    assert found.verdict is TimeVerdict.REGRESSION
    assert found.exit_code == 1
    assert found.pairs[0].estimate.slowdown == pytest.approx(0.3, abs=0.02)
    assert [cell.ms for cell in found.cells] == pytest.approx([1.0, 1.3, 0.7], rel=0.02)
    same = timing(run, reference="c")
    assert verdicts(same)["a"] is TimeVerdict.REGRESSION


def test_equal_times_are_equivalent(tmp_path):
    run = a_run(tmp_path)
    write_times(run, {"a": 0.0, "b": 0.0, "c": 0.0})
    found = timing(run)
    assert set(verdicts(found).values()) == {TimeVerdict.EQUIVALENT}
    assert found.exit_code == 0


def test_another_margin_changes_the_verdict_and_nothing_stored(tmp_path):
    run = a_run(tmp_path, names=("a", "b"))
    write_times(run, {"a": 0.0, "b": 0.08})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert verdicts(timing(run)) == {"b": TimeVerdict.REGRESSION}
    assert verdicts(timing(run, margin="20%")) == {"b": TimeVerdict.EQUIVALENT}
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_difference_that_was_not_confirmed_is_none(tmp_path):
    run = a_run(tmp_path, names=("a", "b"))
    write_times(run, {"a": 0.0, "b": 0.3}, rounds={"measure": 6})
    found = timing(run)
    assert verdicts(found) == {"b": TimeVerdict.INCONCLUSIVE}
    assert found.exit_code == 4


@pytest.mark.parametrize("checks", [Checks(60, stale=7, problem="stale"), Checks(60, wrong=60, problem="wrong")])
@pytest.mark.parametrize("guilty", ["a", "b"])
@pytest.mark.parametrize("slowdown", [-0.5, 0.0, 0.5])
def test_wrong_outputs_in_the_timed_loop_are_never_faster_or_slower(tmp_path, checks, guilty, slowdown):
    run = a_run(tmp_path, names=("a", "b"))
    write_times(run, {"a": 0.0, "b": slowdown}, checks={guilty: checks})
    found = timing(run)
    assert verdicts(found) == {"b": TimeVerdict.INCONCLUSIVE}
    assert checks.problem in found.pairs[0].reasons[0]
    assert f"of {12 * 60} runs" in found.pairs[0].reasons[0]


def test_faster_where_staleness_could_not_be_seen_is_not_believed(tmp_path):
    run = a_run(tmp_path, names=("a", "b"))
    write_times(run, {"a": 0.0, "b": -0.5}, checks={"b": Checks(60, tells=False)})
    found = timing(run)
    assert verdicts(found) == {"b": TimeVerdict.INCONCLUSIVE}
    assert "earlier run" in found.pairs[0].reasons[-1]


def test_as_fast_where_staleness_could_not_be_seen_is_not_believed(tmp_path):
    run = a_run(tmp_path, names=("a", "b"))
    write_times(run, {"a": 0.0, "b": 0.0}, checks={"b": Checks(60, tells=False)})
    found = timing(run)
    assert verdicts(found) == {"b": TimeVerdict.INCONCLUSIVE}
    assert "earlier run" in found.pairs[0].reasons[-1]
    assert found.exit_code == 4


def test_slower_is_believed_all_the_same(tmp_path):
    run = a_run(tmp_path, names=("a", "b"))
    write_times(run, {"a": 0.0, "b": 0.5}, checks={"b": Checks(60, tells=False)})
    assert verdicts(timing(run)) == {"b": TimeVerdict.REGRESSION}


def test_faster_with_other_outputs_says_so(tmp_path):
    run = a_run(tmp_path, names=("a", "b"), wrong=("b",))
    write_times(run, {"a": 0.0, "b": -0.5})
    found = timing(run)
    assert found.pairs[0].outputs is Verdict.DIFFER
    assert "but its outputs differ" in found.pairs[0].reasons
    assert found.exit_code == 1


def test_faster_with_the_same_outputs_adds_nothing(tmp_path):
    run = a_run(tmp_path, names=("a", "b"))
    write_times(run, {"a": 0.0, "b": -0.5})
    found = timing(run)
    assert verdicts(found) == {"b": TimeVerdict.IMPROVED}
    assert not any("outputs" in reason for reason in found.pairs[0].reasons)
    assert found.exit_code == 0


def test_whoever_fails_while_timed_costs_itself_alone(tmp_path):
    run = a_run(tmp_path)
    write_times(run, {"a": 0.0, "b": 0.0, "c": 0.0}, failed={"c": CRASH})
    found = timing(run)
    assert verdicts(found) == {"b": TimeVerdict.EQUIVALENT, "c": TimeVerdict.INCONCLUSIVE}
    assert found.cells[2].outcome == CRASH
    assert found.exit_code == 3


def test_a_margin_below_what_the_host_detects_decides_nothing(tmp_path):
    run = a_run(tmp_path, names=("a", "b"))
    write_times(run, {"a": 0.0, "b": 0.3}, calibration=calibrated(0.08))
    refused = timing(run)
    assert verdicts(refused) == {"b": TimeVerdict.INCONCLUSIVE}
    assert "this host detects" in refused.pairs[0].reasons[0]
    assert verdicts(timing(run, margin="10%")) == {"b": TimeVerdict.REGRESSION}


def test_a_calibration_of_another_percentile_is_left_aside(tmp_path):
    run = a_run(tmp_path, names=("a", "b"))
    write_times(run, {"a": 0.0, "b": 0.3}, calibration=calibrated(0.08, percentile=90.0))
    found = timing(run)
    assert found.calibration is None
    assert verdicts(found) == {"b": TimeVerdict.REGRESSION}


def test_high_percentiles_take_runs(tmp_path):
    run = a_run(tmp_path, names=("a", "b"))
    write_times(run, {"a": 0.0, "b": 0.3}, runs=3)
    found = timing(run, percentile=99)
    assert verdicts(found) == {"b": TimeVerdict.INCONCLUSIVE}
    assert "not enough samples" in found.pairs[0].reasons[0]
    write_times(run, {"a": 0.0, "b": 0.3}, runs=200)
    assert verdicts(timing(run, percentile=90)) == {"b": TimeVerdict.REGRESSION}


def test_too_few_rounds_say_what_it_would_take(tmp_path):
    run = a_run(tmp_path, names=("a", "b"))
    write_times(run, {"a": 0.0, "b": 0.3}, rounds={"measure": 2})
    found = timing(run)
    assert verdicts(found) == {"b": TimeVerdict.INCONCLUSIVE}
    assert rounds_short(found) == pytest.approx(10.0)


def test_rounds_come_back_as_they_were(tmp_path):
    seconds = np.random.default_rng(0).random((8, 3))
    measured = Measured("a", seconds, 0.1, 0.2, 3, None, Checks(24, 1, 2, 3, "why", False))
    failed = Measured("b", np.empty((0, 0)), outcome=CRASH)
    save_round(tmp_path, 0, Round("confirm", (measured, failed), (("a", "b"), ("a",)), 1.5))
    (found,) = load_rounds(tmp_path)
    assert (found.kind, found.order, found.took_s) == ("confirm", (("a", "b"), ("a",)), 1.5)
    assert found.measured[0].seconds.tolist() == seconds.tolist()
    assert found.measured[0].checks == measured.checks
    assert found.measured[1].outcome == CRASH


def test_half_a_round_is_none(tmp_path):
    save_round(tmp_path, 0, Round("measure", (Measured("a", np.ones((8, 3))),), (("a",),), 1.0))
    (tmp_path / "rounds" / "001").mkdir()
    np.save(tmp_path / "rounds" / "001" / "0.npy", np.ones((8, 3)))
    assert len(load_rounds(tmp_path)) == 1


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"cells": 3}', '{"kind": "x", "cells": [], "order": [], "took_s": 1}']
)
def test_a_damaged_round_is_told_in_a_line(tmp_path, content):
    run = a_run(tmp_path)
    write_times(run, {"a": 0.0, "b": 0.0, "c": 0.0})
    (tmp_path / "timing" / "rounds" / "000" / "round.json").write_text(content)
    with pytest.raises(UsageError, match="damaged"):
        timing(run)


def test_an_infinite_number_of_bytes_is_damage(tmp_path):
    run = a_run(tmp_path, names=("a", "b"))
    write_times(run, {"a": 0.0, "b": 0.0})
    path = tmp_path / "timing" / "rounds" / "000" / "round.json"
    data = json.loads(path.read_text())
    data["cells"][0]["peak_memory"] = float("inf")
    path.write_text(json.dumps(data))
    with pytest.raises(UsageError, match="damaged"):
        timing(run)


@pytest.mark.parametrize(
    "part", ["", "timing.json", "rounds", "rounds/000", "rounds/000/0.npy", "rounds/000/round.json"]
)
def test_times_that_lead_out_of_the_run_are_refused(tmp_path, part):
    run = a_run(tmp_path / "run", names=("a", "b"))
    write_times(run, {"a": 0.0, "b": 0.0})
    inside, outside = tmp_path / "run" / "timing" / part, tmp_path / "elsewhere"
    inside.rename(outside)
    inside.symlink_to(outside)
    with pytest.raises(UsageError, match="leads out of"):
        timing(run)


def test_a_link_to_itself_is_refused(tmp_path):
    run = a_run(tmp_path / "run", names=("a", "b"))
    (tmp_path / "run" / "timing").mkdir()
    (tmp_path / "run" / "timing" / "loop").symlink_to(tmp_path / "run" / "timing" / "loop")
    with pytest.raises(UsageError, match="a link that leads nowhere"):
        timing(run)


def test_a_link_within_the_run_is_followed(tmp_path):
    run = a_run(tmp_path / "run", names=("a", "b"))
    write_times(run, {"a": 0.0, "b": 0.0})
    (tmp_path / "run" / "timing").rename(tmp_path / "run" / "times")
    (tmp_path / "run" / "timing").symlink_to(tmp_path / "run" / "times")
    assert verdicts(timing(run)) == {"b": TimeVerdict.EQUIVALENT}


@pytest.mark.parametrize(
    "spoilt",
    [
        {"options": {}},
        {"complete": 3},
        {"host": None},
        {"calibration": {"x": 1}},
        {"rounds": -1},
        {"rounds": True},
        {"rounds": "12"},
    ],
)
def test_a_damaged_document_is_told_in_a_line(tmp_path, spoilt):
    run = a_run(tmp_path)
    write_times(run, {"a": 0.0, "b": 0.0, "c": 0.0})
    path = tmp_path / "timing" / "timing.json"
    path.write_text(json.dumps({**document_of(run), **spoilt}))
    with pytest.raises(UsageError, match="damaged"):
        timing(run)


def test_a_newer_schema_is_refused(tmp_path):
    run = a_run(tmp_path)
    write_times(run, {"a": 0.0, "b": 0.0, "c": 0.0})
    path = tmp_path / "timing" / "timing.json"
    path.write_text(json.dumps({**document_of(run), "schema": 99}))
    with pytest.raises(UsageError, match="newer"):
        timing(run)


class TestAgainst:
    def test_ratios_are_compared_where_the_reference_is_the_same(self, tmp_path):
        now, then = a_run(tmp_path / "now"), a_run(tmp_path / "then")
        write_times(now, {"a": 0.0, "b": 0.2, "c": 0.0})
        write_times(then, {"a": 0.0, "b": 0.0, "c": 0.0}, seed=1)
        found = against(timing(now), then)
        assert found.reference == "a"
        rows = {row.name: row for row in found.rows}
        assert rows["a"].change is None
        assert rows["b"].change == pytest.approx(0.2, abs=0.03)
        assert rows["c"].change == pytest.approx(0.0, abs=0.03)

    def test_with_another_reference_there_are_milliseconds_alone(self, tmp_path):
        now, then = a_run(tmp_path / "now"), a_run(tmp_path / "then")
        write_times(now, {"a": 0.0, "b": 0.2, "c": 0.0})
        write_times(then, {"a": 0.0, "b": 0.0, "c": 0.0}, options=Options(reference="c"))
        found = against(timing(now), then)
        assert found.reference is None
        assert all(row.change is None and row.ms_then > 0 for row in found.rows)

    def test_it_changes_no_verdict(self, tmp_path):
        now, then = a_run(tmp_path / "now"), a_run(tmp_path / "then")
        write_times(now, {"a": 0.0, "b": 0.0, "c": 0.0})
        write_times(then, {"a": 0.0, "b": -0.5, "c": 0.0})
        times = timing(now)
        against(times, then)
        assert times.exit_code == 0

    def test_another_model_is_refused(self, tmp_path):
        now, then = a_run(tmp_path / "now"), a_run(tmp_path / "then")
        write_times(now, {"a": 0.0, "b": 0.0, "c": 0.0})
        write_times(then, {"a": 0.0, "b": 0.0, "c": 0.0})
        document = json.loads((then.folder / "run.json").read_text())
        document["models"]["model"]["sha256"] = "1" * 64
        other = Run(then.folder, document)
        with pytest.raises(UsageError, match="another model"):
            against(timing(now), other)

    def test_a_run_without_times_is_refused(self, tmp_path):
        now, then = a_run(tmp_path / "now"), a_run(tmp_path / "then")
        write_times(now, {"a": 0.0, "b": 0.0, "c": 0.0})
        with pytest.raises(UsageError, match="no times"):
            against(timing(now), then)
