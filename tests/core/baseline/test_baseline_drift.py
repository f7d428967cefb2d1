"""A run beside what was accepted: what fails, what passes, what is written, and what is left alone."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deltann.baseline.drift import Drift, Row, Standing, drift, update
from deltann.baseline.entries import Agreement, Entry, Failure, Time, entries
from deltann.baseline.file import read_baseline, write_baseline
from deltann.comparison.verdict import Verdict
from deltann.errors import UsageError
from deltann.outcome import Outcome, Status
from deltann.report.contents import Contents
from deltann.result import load
from deltann.testing.stored import write_against
from deltann.timing.verdict import TimeVerdict

sys.path.insert(0, str(Path(__file__).parent))
from baseline_runs import CRASHED, DECLINED, HERE, SCORES, SOUND, THERE, TIMES, judged, made, row_of, standings


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


def test_a_run_is_the_same_as_its_own_baseline(tmp_path: Path):
    cells = {**SOUND, "tract": DECLINED, "iree": CRASHED, "tflite": 0.5}
    contents = made(tmp_path / "run", cells, slowdowns=TIMES | {"tflite": 0.4})
    path = tmp_path / "baseline.jsonl"
    assert contents.exit_code == 1
    accepted = update(contents, path)
    assert accepted.updated
    assert set(standings(accepted).values()) == {Standing.NEW}
    assert replace(contents, drift=accepted).exit_code == 0
    found, code = judged(contents, path)
    assert set(standings(found).values()) == {Standing.SAME}
    assert all(row.changes == row.reasons == () for row in found.rows)
    assert found.obsolete == ()
    assert code == 0, "differences, failures and slowness that were accepted pass"
    kinds = {type(entry.value) for entry in read_baseline(path).entries}
    assert kinds == {Agreement, Failure, Time}


def test_noise_of_the_same_size_is_the_same_and_leaves_the_file_as_it_is(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "a", slowdowns=TIMES), path)
    before = path.read_bytes()
    again = made(tmp_path / "b", slowdowns=TIMES, seed=1)
    found, code = judged(again, path)
    assert code == 0
    assert set(standings(found).values()) == {Standing.SAME}
    assert entries(again) != read_baseline(path).entries, "the numbers are others"
    update(again, path)
    assert path.read_bytes() == before


def test_a_difference_that_was_not_there_fails(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "a"), path)
    found, code = judged(made(tmp_path / "b", {**SOUND, "torch": 0.5}), path)
    assert code == 1
    assert standings(found) == {
        "torch : ort, y": Standing.WORSE,
        "tvm : torch, y": Standing.WORSE,
        "tvm : ort, y": Standing.SAME,
    }
    assert [row.standing for row in found.rows] == sorted(
        (row.standing for row in found.rows), key=list(Standing).index
    )
    row = row_of(found, "torch : ort, y")
    assert ("verdict", "AGREE", "DIFFER") in row.changes
    assert any("elements outside the tolerance" in reason for reason in row.reasons)


def test_a_difference_that_is_gone_passes_and_is_told(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "a", {**SOUND, "torch": 0.5}), path)
    found, code = judged(made(tmp_path / "b"), path)
    assert code == 0
    assert row_of(found, "torch : ort, y").standing is Standing.BETTER


def test_an_accepted_difference_may_not_grow(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "a", {**SOUND, "torch": 0.02}), path)
    found, code = judged(made(tmp_path / "b", {**SOUND, "torch": 0.2}), path)
    assert code == 1
    assert "verdict" not in {what for what, *_ in row_of(found, "torch : ort, y").changes}


def test_an_output_that_is_lost_fails_even_where_the_pair_differed(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    both = {"y": SCORES, "z": SCORES}
    update(made(tmp_path / "a", {"ort": both, "torch": {"y": SCORES, "z": SCORES * 2}}), path)
    lost = made(tmp_path / "b", {"ort": both, "torch": {"y": SCORES}})
    found, code = judged(lost, path)
    assert code == 1
    row = row_of(found, "torch : ort, z")
    assert row.standing is Standing.WORSE
    assert {what for what, *_ in row.changes} == {"structural differences", "|Δ| p50", "|Δ| p99", "|Δ| max",
                                                  "labels that differ", "samples outside"}  # fmt: skip
    assert row_of(found, "torch : ort, y").standing is Standing.SAME
    assert found.obsolete == ()


def test_another_output_that_is_lost_than_the_accepted_one_fails(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    both = {"y": SCORES, "z": -SCORES}
    update(made(tmp_path / "a", {"ort": both, "torch": {"y": SCORES}}), path)
    assert judged(made(tmp_path / "b", {"ort": both, "torch": {"y": SCORES}}), path)[1] == 0
    found, code = judged(made(tmp_path / "c", {"ort": both, "torch": {"z": -SCORES}}), path)
    assert code == 1
    assert standings(found) == {"torch : ort, y": Standing.WORSE, "torch : ort, z": Standing.BETTER}


@pytest.mark.parametrize(("off", "expected"), [(1.2e-3, Standing.WORSE), (0.7e-3, Standing.SAME)])
def test_one_output_that_was_accepted_hides_no_other_of_the_pair(tmp_path: Path, off: float, expected: Standing):
    """`z` moves from within the tolerance to beyond it by less than twice, and changes no label."""
    path = tmp_path / "baseline.jsonl"
    signs = np.sign(np.random.default_rng(2).standard_normal(SCORES.shape)).astype(np.float32)
    ours = {"y": SCORES, "z": SCORES.reshape(40, 3, 2)}

    def theirs(by: float) -> dict[str, Any]:
        return {"y": SCORES + np.float32(0.1) * signs, "z": ours["z"] + np.float32(by) * signs.reshape(40, 3, 2)}

    update(made(tmp_path / "a", {"ort": ours, "torch": theirs(0.8e-3)}), path)
    kept = [entry.to_json() for entry in read_baseline(path).entries]
    assert {entry["output"]: entry["verdict"] for entry in kept} == {"y": "DIFFER", "z": "AGREE"}
    found, code = judged(made(tmp_path / "b", {"ort": ours, "torch": theirs(off)}), path)
    assert code == (1 if expected is Standing.WORSE else 0)
    assert standings(found) == {"torch : ort, y": Standing.SAME, "torch : ort, z": expected}
    row = row_of(found, "torch : ort, z")
    assert (("verdict", "AGREE", "DIFFER") in row.changes) is bool(code)
    assert any("elements outside the tolerance" in reason for reason in row.reasons) is bool(code)


@pytest.mark.parametrize(("rows", "expected"), [(9, Standing.WORSE), (2, Standing.SAME)])
@pytest.mark.parametrize("how", ["off", "nan", "flipped"])
def test_more_samples_of_an_accepted_difference_are_told(tmp_path: Path, how: str, rows: int, expected: Standing):
    path = tmp_path / "baseline.jsonl"
    scores = np.random.default_rng(3).standard_normal((1000, 6)).astype(np.float32)
    scores = scores if how == "flipped" else scores.reshape(1000, 3, 2)

    def run(name: str, count: int) -> Contents:
        other = scores.copy()
        if how == "flipped":
            other[:count] = np.roll(other[:count], 1, axis=1)
        else:
            other[:count] = np.nan if how == "nan" else other[:count] + 1
        return made(tmp_path / name, {"ort": {"y": scores}, "torch": {"y": other}})

    accepted = run("a", 1)
    assert accepted.exit_code == 1
    update(accepted, path)
    assert [entry.to_json()["outside"] for entry in read_baseline(path).entries] == [1]
    found, code = judged(run("b", rows), path)
    assert code == (1 if expected is Standing.WORSE else 0)
    row = row_of(found, "torch : ort, y")
    assert ("samples outside", "1 of 1000", f"{rows} of 1000") in row.changes or expected is Standing.SAME


def test_an_output_of_another_shape_fails_even_where_the_pair_differed(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "a", {"ort": 0.0, "torch": 0.5}), path)
    found, code = judged(made(tmp_path / "b", {"ort": 0.0, "torch": {"y": SCORES[:, :5]}}), path)
    assert code == 1
    assert {what for what, *_ in row_of(found, "torch : ort, y").changes} >= {"structural differences", "|Δ| max"}


def test_a_cell_that_has_come_to_fail_is_worse_and_its_pairs_are_obsolete(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "a"), path)
    for number, outcome in enumerate((CRASHED, DECLINED, Outcome(Status.UNAVAILABLE, reason="pip install tvm"))):
        found, code = judged(made(tmp_path / f"b{number}", {**SOUND, "tvm": outcome}), path)
        assert code == 1
        row = row_of(found, "tvm")
        assert row.standing is Standing.WORSE
        assert row.changes[0][:2] == ("status", "gave outputs")
        assert row.reasons == (outcome.reason,)
        assert {entry.key.title for entry in found.obsolete} == {"tvm : ort, y", "tvm : torch, y"}


def test_a_cell_that_has_come_to_work_is_new_and_says_why(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "a", {**SOUND, "tvm": DECLINED}), path)
    found, code = judged(made(tmp_path / "b"), path)
    assert row_of(found, "tvm : ort, y").standing is Standing.NEW
    assert row_of(found, "tvm : ort, y").reasons == ("tvm gave no outputs then (UNSUPPORTED while CONVERT)",)
    assert [entry.key.title for entry in found.obsolete] == ["tvm"]
    assert code == 0, "outside CI: it agrees"


@pytest.mark.parametrize(
    ("value", "fails"), [("true", True), ("True", True), ("1", True), ("", False), ("false", False), (None, False)]
)
def test_new_entries_fail_in_ci_until_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, fails: bool
):
    if value is not None:
        monkeypatch.setenv("CI", value)
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "a", {"ort": 0.0, "torch": 0.0}), path)
    more = made(tmp_path / "b", {"ort": 0.0, "torch": 0.0, "tvm": 1e-6})
    found, code = judged(more, path)
    assert row_of(found, "tvm : ort, y").standing is Standing.NEW
    assert found.ci is bool(fails)
    assert code == (1 if fails else 0)
    update(more, path)
    assert judged(more, path)[1] == 0


@pytest.mark.parametrize(("new", "code"), [(0.5, 1), (CRASHED, 3), (1e-6, 0)])
def test_elsewhere_a_new_entry_counts_as_without_a_baseline(tmp_path: Path, new: float | Outcome, code: int):
    path = tmp_path / "baseline.jsonl"
    cells = {"ort": 0.0, "torch": 0.9, "iree": DECLINED}
    made(tmp_path / "a", cells)
    update(Contents(load(tmp_path / "a", reference="ort")), path)
    made(tmp_path / "b", {**cells, "tvm": new})
    contents = Contents(load(tmp_path / "b", reference="ort"))
    assert contents.exit_code == 1, "of what is accepted"
    assert judged(contents, path)[1] == code


@pytest.mark.parametrize(("scores", "code"), [(SCORES, 0), (np.ones_like(SCORES), 4)])
def test_a_new_output_that_proves_nothing_counts_as_without_a_baseline(tmp_path: Path, scores: Any, code: int):
    """Beside another that agrees the pair agrees; with `y` the same for all samples too, nothing tells."""
    path = tmp_path / "baseline.jsonl"
    right = {"y": scores, "z": np.ones((40, 3), np.float32)}
    cells = {"ort": right, "torch": {**right, "y": -scores}}
    made(tmp_path / "a", cells)
    update(Contents(load(tmp_path / "a", reference="ort")), path)
    made(tmp_path / "b", {**cells, "tvm": right})
    contents = Contents(load(tmp_path / "b", reference="ort"))
    found, own = judged(contents, path)
    assert row_of(found, "tvm : ort, z").standing is Standing.NEW
    assert (contents.exit_code, own) == (1, code)


def test_a_baseline_that_knows_nothing_of_a_run_decides_nothing(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    write_baseline(path, [])
    contents = made(tmp_path / "a", {"ort": 0.0, "torch": 0.5})
    found, code = judged(contents, path)
    assert code == contents.exit_code == 1
    assert found.rows[0].reasons[0] == "nothing of model.onnx was accepted"
    alone = made(tmp_path / "b", {"ort": 0.0, "torch": DECLINED})
    assert judged(alone, path)[1] == alone.exit_code == 3


def test_other_inputs_are_new_and_said(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "a"), path)
    other = made(tmp_path / "b", inputs="2" * 64)
    found, _ = judged(other, path)
    assert set(standings(found).values()) == {Standing.NEW}
    assert found.rows[0].reasons == (f"accepted on other inputs ({'1' * 16}, here {'2' * 16})",)
    assert len(found.obsolete) == 3


def test_another_model_of_the_name_is_an_error_with_the_line_until_it_is_accepted(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "x", model="a.onnx", sha256="9" * 64), path)
    update(made(tmp_path / "a"), path)
    update(made(tmp_path / "there", host=THERE), path)
    changed = made(tmp_path / "b", sha256="f" * 64)
    with pytest.raises(UsageError, match=r"baseline\.jsonl:5: model\.onnx is sha256 0{16} there.*f{16}.*--update-bas"):
        drift(changed, path)
    removed = update(changed, path).obsolete
    assert {(entry.key.sha256, entry.key.host) for entry in removed} == {
        ("0" * 16, HERE["class"]),
        ("0" * 16, THERE["class"]),
    }
    assert judged(changed, path)[1] == 0
    assert {entry.key.model for entry in read_baseline(path).entries} == {"a.onnx", "model.onnx"}


def test_other_models_and_other_classes_of_hosts_are_left_alone(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "a", model="a.onnx", slowdowns=TIMES), path)
    update(made(tmp_path / "there", host=THERE, slowdowns={**TIMES, "torch": 2.0}), path)
    kept = set(path.read_text().splitlines())
    here = made(tmp_path / "here", slowdowns=TIMES)
    found, code = judged(here, path)
    assert set(standings(found).values()) == {Standing.NEW}, "a ratio of another kind of host says nothing here"
    assert row_of(found, "torch : ort, y").reasons == (f"accepted on {THERE['class']}; this is {HERE['class']}",)
    assert found.obsolete == ()
    assert code == here.exit_code
    update(here, path)
    assert kept < set(path.read_text().splitlines())
    assert judged(here, path)[1] == 0


def test_what_the_run_no_longer_has_is_named_and_removed_by_an_update(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "a", slowdowns=TIMES), path)
    fewer = made(tmp_path / "b", {"ort": 0.0, "torch": 1e-6}, slowdowns={"ort": 0.0, "torch": 0.1})
    found, code = judged(fewer, path)
    assert {entry.key.title for entry in found.obsolete} == {"tvm : ort, y", "tvm : torch, y", "tvm : ort, time"}
    assert code == 0
    assert len(read_baseline(path).entries) == 5, "looking removes nothing"
    assert update(fewer, path).obsolete == found.obsolete
    assert {entry.key.title for entry in read_baseline(path).entries} == {"torch : ort, y", "torch : ort, time"}


def test_a_run_with_parts_missing_is_never_accepted_and_never_passes(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    whole = made(tmp_path / "a")
    update(whole, path)
    before = path.read_bytes()
    partial = replace(whole, result=replace(whole.result, missing=("the outputs of tvm: gone",)))
    with pytest.raises(UsageError, match=r"parts missing.*the outputs of tvm: gone"):
        update(partial, path)
    assert path.read_bytes() == before
    found = drift(partial, path)
    assert found.missing
    fewer = made(tmp_path / "b", {"ort": 0.0, "torch": 1e-6})
    assert drift(fewer, path).obsolete
    lost = replace(fewer, result=replace(fewer.result, missing=("the outputs of tvm: gone",)))
    assert drift(lost, path).obsolete == (), "what cannot be read is not gone"
    assert replace(partial, drift=found).exit_code == partial.exit_code == 4


def test_only_pairs_that_are_judged_are_kept(tmp_path: Path):
    made(tmp_path / "a")
    result = load(tmp_path / "a", reference="torch")
    assert {entry.key.title for entry in entries(Contents(result))} == {"ort : torch, y", "tvm : torch, y"}


def test_two_models_are_named_by_both(tmp_path: Path):
    contents = made(tmp_path / "a", {"ort": 0.0, "torch": 0.0})
    run = write_against(contents.result.run, {"ort": {"y": SCORES}, "torch": {"y": SCORES}})
    found = entries(Contents(load(run)))
    assert {entry.key.title for entry in found} == {"against:ort : ort, y", "against:torch : torch, y"}
    assert {entry.key.model for entry in found} == {"model.onnx against other.onnx"}
    assert {entry.key.sha256 for entry in found} == {f"{'0' * 16}+{'1' * 16}"}
    assert {entry.key.inputs for entry in found} == {f"{'1' * 16}+{'1' * 16}"}


def test_a_damaged_baseline_is_not_overwritten(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    contents = made(tmp_path / "a")
    update(contents, path)
    harmed = path.read_text() + "<<<<<<< HEAD\n"
    path.write_text(harmed)
    with pytest.raises(UsageError, match=r"baseline\.jsonl:5: a conflict"):
        update(contents, path)
    assert path.read_text() == harmed


def test_the_report_of_it_is_plain_data(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "a", slowdowns=TIMES), path)
    cells = {"ort": 0.0, "torch": {"y": np.full_like(SCORES, np.nan)}, "tract": CRASHED}
    found = drift(made(tmp_path / "b", cells, slowdowns={"ort": 0.0, "torch": 0.1}), path)
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert [row["standing"] for row in data["rows"]] == [row.standing.value for row in found.rows]
    torch = next(row for row in data["rows"] if row["entry"].get("output") == "y")
    assert torch["entry"]["max"] == "inf"
    assert {"what": "verdict", "old": "AGREE", "new": "DIFFER"} in torch["changes"]
    assert len(data["obsolete"]) == len(found.obsolete) > 0
    assert set(data) == {"path", "ci", "updated", "rows", "obsolete"}


VALUES = st.sampled_from([0.0, 1e-6, 0.5, CRASHED, DECLINED])


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.tuples(VALUES, VALUES), second=st.tuples(VALUES, VALUES))
def test_what_is_accepted_passes_and_nothing_else_is_written(
    tmp_path_factory: pytest.TempPathFactory, first: tuple[Any, Any], second: tuple[Any, Any]
):
    folder = tmp_path_factory.mktemp("any")
    path = folder / "baseline.jsonl"
    one, two = (
        made(folder / name, {"ort": 0.0, "torch": a, "tvm": b}) for name, (a, b) in {"a": first, "b": second}.items()
    )
    update(one, path)
    assert judged(one, path)[1] == 0
    found = update(two, path)
    assert judged(two, path)[1] == 0
    assert drift(two, path).obsolete == ()
    keys = [entry.key for entry in entries(two)]
    assert [entry.key for entry in read_baseline(path).entries] == keys, "sorted, and of this run alone"
    if first == second:
        assert set(standings(found).values()) <= {Standing.SAME}


def test_codes_without_a_difference(tmp_path: Path):
    """Rows by hand: WORSE always fails, what is unknown and new asks the run."""
    path = tmp_path / "baseline.jsonl"
    contents = made(tmp_path / "a", {"ort": 0.0, "torch": 0.0})
    (entry,) = entries(contents)
    doubtful = Entry(entry.key, replace(entry.value, verdict=Verdict.INCONCLUSIVE))
    timed = Entry(replace(entry.key, output=None, measured="p50"), Time(TimeVerdict.REGRESSION, (1.2, 1.1, 1.3)))
    same = Row(entry, entry, Standing.SAME)
    assert Drift(path, (same,), (), ci=True).exit_code(4) == 0
    assert Drift(path, (same, Row(doubtful, None, Standing.NEW)), (), ci=False).exit_code(4) == 4
    assert Drift(path, (same, Row(doubtful, None, Standing.NEW)), (), ci=False).exit_code(0) == 0, "nobody judges it"
    assert Drift(path, (same, Row(timed, None, Standing.NEW)), (), ci=False).exit_code(1) == 1
    assert Drift(path, (same, Row(doubtful, None, Standing.NEW)), (), ci=True).exit_code(0) == 1
    assert Drift(path, (Row(entry, entry, Standing.WORSE),), (), ci=False).exit_code(0) == 1
    assert Drift(path, (Row(entry, entry, Standing.CHANGED),), (), ci=True).exit_code(4) == 0
    assert Drift(path, (), (), ci=True).exit_code(4) == 4
