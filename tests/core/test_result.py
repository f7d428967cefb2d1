"""Judging a stored run: which pairs, which verdict, which exit code."""

from __future__ import annotations

import numpy as np
import pytest

import deltann
from deltann.accuracies import check_labels
from deltann.comparison.verdict import Verdict
from deltann.errors import UsageError
from deltann.model import Model, TensorSpec
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.testing.stored import write_run

RNG = np.random.default_rng(11)
SCORES = RNG.standard_normal((30, 8)).astype(np.float32)
CRASH = Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, "SIGSEGV while RUN")
LACKS = Outcome(Status.UNSUPPORTED, Stage.CONVERT, None, "no operator Foo")


def noisy(amount):
    """The scores with noise."""
    return (SCORES + amount * RNG.standard_normal(SCORES.shape)).astype(np.float32)


@pytest.fixture
def judge(tmp_path):
    """`judge(cells, …)`: the result of a run with these cells."""

    def load(cells, limits=None, **settings):
        made = {name: given if isinstance(given, Outcome) else {"y": given} for name, given in cells.items()}
        return deltann.load(write_run(tmp_path / "run", made, **settings), **(limits or {}))

    return load


def same(amount=1e-6):
    """Scores within rounding."""
    return noisy(amount)


@pytest.mark.parametrize(
    ("cells", "verdict", "code"),
    [
        ({"ort": SCORES, "torch": same()}, "AGREE", 0),
        ({"ort": SCORES, "torch": noisy(1)}, "DIFFER", 1),
        ({"ort": SCORES, "torch": CRASH}, "NOT_COMPARED", 3),
        ({"ort": CRASH, "torch": LACKS}, "NOT_COMPARED", 3),
        ({"ort": SCORES, "torch": same(), "tvm": LACKS}, "AGREE", 3),
        ({"ort": SCORES, "torch": noisy(1), "tvm": CRASH}, "DIFFER", 1),
        ({"ort": np.ones_like(SCORES), "torch": np.ones_like(SCORES)}, "INCONCLUSIVE", 4),
        ({"ort": np.ones_like(SCORES), "torch": np.ones_like(SCORES), "tvm": CRASH}, "INCONCLUSIVE", 3),
        ({"ort": np.full_like(SCORES, np.nan), "torch": np.full_like(SCORES, np.nan)}, "DIFFER", 1),
        ({"ort": SCORES[:1], "torch": SCORES[:1]}, "INCONCLUSIVE", 4),
        ({"ort": SCORES[:1], "torch": noisy(1)[:1]}, "DIFFER", 1),
    ],
)  # fmt: skip
def test_verdict_and_exit_code(judge, cells, verdict, code):
    result = judge(cells)
    assert (result.verdict, result.exit_code) == (Verdict(verdict), code)


def test_every_pair_once_the_first_named_being_the_reference(judge):
    result = judge({"ort": SCORES, "torch": SCORES, "tvm": SCORES, "reference": SCORES})
    pairs = [(str(pair.candidate), str(pair.reference)) for pair in result.compared]
    assert pairs == [("torch", "ort"), ("tvm", "ort"), ("reference", "ort"),
                     ("tvm", "torch"), ("reference", "torch"), ("reference", "tvm")]  # fmt: skip


def test_the_reference_is_on_the_reference_s_side_wherever_it_stands(judge):
    result = judge({"ort": SCORES, "torch": SCORES, "tvm": SCORES}, {"reference": "torch"})
    assert {(str(p.candidate), str(p.reference)) for p in result.compared if p.judged} == {
        ("ort", "torch"),
        ("tvm", "torch"),
    }


def test_a_reference_is_found_by_any_spelling(judge):
    cells = {"ort[providers=A,threads=1]": SCORES, "torch": SCORES}
    result = judge(cells, {"reference": "ort[threads=1, providers=A]"})
    assert all(str(pair.reference).startswith("ort[") for pair in result.compared)


def test_the_sign_is_candidate_minus_reference_in_relative_tolerance(judge):
    """10 % above is within 10 % of what it is taken of, one way round only."""
    limits = {"rtol": 0.095, "atol": 0, "max_disagreement": 1}
    cells = {"ort": SCORES, "torch": SCORES * np.float32(1.1)}
    assert judge(cells, {**limits, "reference": "torch"}).verdict is Verdict.AGREE


def test_and_the_other_way_round_it_is_not(judge):
    limits = {"rtol": 0.095, "atol": 0, "max_disagreement": 1}
    cells = {"ort": SCORES, "torch": SCORES * np.float32(1.1)}
    assert judge(cells, {**limits, "reference": "ort"}).verdict is Verdict.DIFFER


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [
        ("26%", "AGREE"),
        (0.26, "AGREE"),
        ("10%", "INCONCLUSIVE"),
        (0.25, "INCONCLUSIVE"),
        (0.03, "DIFFER"),
        ("3%", "DIFFER"),
        (0, "DIFFER"),
    ],
)
def test_the_interval_decides_on_a_limit(judge, limit, verdict):
    """3 of 30 is between 3.5 and 25.6 %."""
    flipped = SCORES.copy()
    flipped[:3] = np.roll(SCORES[:3], 1, axis=1)
    result = judge({"ort": SCORES, "torch": flipped}, {"max_disagreement": limit})
    assert result.compared[0].comparison.outputs[0].classification.disagreements == 3
    assert result.verdict is Verdict(verdict)


def test_new_criteria_add_to_those_stored(judge, tmp_path):
    judge({"ort": SCORES, "torch": noisy(0.01)}, criteria=deltann.criteria.Criteria(atol=("0.2",), rtol=("0",)))
    assert deltann.load(tmp_path / "run").verdict is Verdict.AGREE
    assert deltann.load(tmp_path / "run", atol=1e-4).criteria.rtol == ("0",)
    assert deltann.load(tmp_path / "run", atol=1e-4).verdict is Verdict.DIFFER


def test_artifacts_are_identical_within_a_backend_only(judge):
    facts = {name: {"artifact": "1"} for name in ("ort", "ort-O0", "torch", "ort-O1")}
    result = judge({"ort": SCORES, "ort-O0": SCORES, "torch": SCORES, "ort-O1": CRASH}, facts=facts)
    assert [[str(cell) for cell in group] for group in result.identical] == [["ort", "ort-O0"]]


def test_accuracy_counts_what_is_labelled(judge):
    best = SCORES.argmax(axis=1)
    labels = [None, *((best[1:] + (np.arange(29) < 10)) % 8).tolist()]
    result = judge({"ort": SCORES, "torch": CRASH}, labels=labels)
    (hits,) = result.accuracies["ort"].values()
    assert (hits.correct, hits.labelled) == (19, 29)


def test_labels_belong_to_the_outputs_they_fit(tmp_path):
    labels = [7, *SCORES.argmax(axis=1).tolist()[1:]]
    outputs = {"boxes": SCORES[:, :4], "scores": SCORES}
    result = deltann.load(write_run(tmp_path / "run", {"ort": outputs, "torch": outputs}, labels=labels))
    assert set(result.accuracies["ort"]) == {"scores"}


def test_labels_that_fit_no_output_are_refused(tmp_path):
    run = write_run(tmp_path / "run", {"ort": {"boxes": SCORES[:, :4]}, "torch": CRASH}, labels=[7] * 30)
    with pytest.raises(UsageError, match="outside the model's classes 0–3"):
        deltann.load(run)


def _model(*shapes):
    outputs = tuple(TensorSpec(f"y{number}", "float32", shape) for number, shape in enumerate(shapes))
    return Model("m.onnx", "m.onnx", "", 17, (), outputs)


@pytest.mark.parametrize(
    "shapes", [[("n", 10)], [(1, 10)], [("n", 10, 1, 1)], [("n", 4), ("n", 10)], [("n", None)], [None]]
)
def test_labels_that_may_fit_pass_before_the_run(shapes):
    check_labels(_model(*shapes), [9, None], None)


@pytest.mark.parametrize("shapes", [[("n", 9)], [("n", 4), (1, 9, 1, 1)]])
def test_labels_that_cannot_fit_are_refused_before_the_run(shapes):
    with pytest.raises(UsageError, match="label 9 is outside"):
        check_labels(_model(*shapes), [9, None], None)


def test_the_trap_of_the_background_class_is_refused_before_the_run():
    with pytest.raises(UsageError, match="--label-offset 1"):
        check_labels(_model(("n", 1001)), [999], None)
    check_labels(_model(("n", 1001)), [999], 1)


def test_a_complete_run_without_one_of_its_records_is_damaged(judge, tmp_path):
    judge({"ort": SCORES, "torch": SCORES})
    (tmp_path / "run" / "cells" / "model" / "torch" / "cell.json").unlink()
    with pytest.raises(UsageError, match="the record of torch is missing"):
        deltann.load(tmp_path / "run")


BOXES = np.abs(RNG.standard_normal((30, 4))).astype(np.float32)


@pytest.mark.parametrize(("task", "verdict"), [((), "AGREE"), ("boxes=tensor", "DIFFER"), ("tensor", "DIFFER")])
def test_boxes_are_no_scores_where_the_user_says_so(tmp_path, task, verdict):
    cells = {"ort": {"boxes": BOXES, "y": SCORES}, "torch": {"boxes": 2 * BOXES, "y": SCORES}}
    labels = SCORES.argmax(axis=1).tolist()
    run = write_run(tmp_path / "run", cells, labels=labels)
    result = deltann.load(run, max_disagreement=0.2, task=task)
    assert result.verdict is Verdict(verdict)
    shown = {"boxes=tensor": {"y"}, "tensor": set(), (): {"boxes", "y"}}[task]
    assert set(result.samples["output"]) == shown
    assert "boxes" not in result.accuracies.get("ort", {}) or not task


def test_tasks_are_kept_with_the_run(judge):
    result = judge({"ort": SCORES, "torch": SCORES}, criteria=deltann.criteria.Criteria(tasks=("y=tensor",)))
    assert result.compared[0].comparison.outputs[0].classification is None


def test_a_task_of_no_output_lists_what_there_is(judge):
    with pytest.raises(UsageError, match="--task for 'z': no such output; the outputs: y"):
        judge({"ort": SCORES, "torch": SCORES}, {"task": "z=tensor"})


def test_a_task_of_an_output_that_one_side_did_not_return_is_a_difference_and_no_error(tmp_path):
    run = write_run(tmp_path / "run", {"ort": {"y": SCORES, "z": SCORES}, "torch": {"y": SCORES}})
    for task in ("z=tensor", "z=classification"):
        result = deltann.load(run, task=task)
        assert (result.verdict, result.exit_code) == (Verdict.DIFFER, 1)


def test_scores_that_one_side_returned_in_another_shape_are_a_difference_and_no_error(judge):
    result = judge({"ort": SCORES, "torch": SCORES[:, :, None]}, {"task": "y=classification"})
    assert result.verdict is Verdict.DIFFER


def test_what_is_nowhere_scores_cannot_be_called_so(judge):
    with pytest.raises(UsageError, match="'y' is no classification"):
        judge({"ort": SCORES[:, :, None], "torch": SCORES[:, :, None]}, {"task": "y=classification"})
