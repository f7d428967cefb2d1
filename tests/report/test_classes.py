"""Which classes go wrong, by the labels or by what the cells say themselves."""

from __future__ import annotations

import numpy as np
import pytest

import deltann
from deltann.criteria import Criteria
from deltann.environment import Environment
from deltann.outcome import Outcome, Stage, Status
from deltann.report.classes import Basis, ClassRow, per_class
from deltann.testing.stored import write_against, write_run

FAILED = Outcome(Status.FAILED, Stage.LOAD, reason="no")


def scores(*labels, classes=5):
    """Scores that choose these classes; None: a row with a NaN."""
    rows = np.random.default_rng(41).uniform(0, 0.5, (len(labels), classes)).astype(np.float32)
    for row, label in zip(rows, labels, strict=True):
        row[0 if label is None else label] = np.nan if label is None else 1
    return {"y": rows}


@pytest.fixture
def rows(tmp_path):
    """`rows(cells, …)`: the rows by class of a run of these cells."""

    def made(cells, **how):
        return per_class(deltann.load(write_run(tmp_path / "run", cells, **how)))

    return made


def test_with_labels_wrong_answers_count_by_true_class(rows):
    cells = {"ort": scores(0, 1, 1, 2, 3, 3), "torch": scores(0, 1, 2, 2, 0, 0), "tvm": FAILED}
    assert rows(cells, labels=[0, 1, 1, 1, 3, None]) == (
        ClassRow("y", 1, 3, {"ort": 1, "torch": 2}, Basis.LABELS),
        ClassRow("y", 3, 1, {"ort": 0, "torch": 1}, Basis.LABELS),
    )


def test_without_labels_disagreements_with_the_majority_count(rows):
    cells = {"ort": scores(0, 1, 1, 2), "torch": scores(0, 1, 2, None), "tvm": scores(4, 1, 1, 2)}
    assert rows(cells) == (
        ClassRow("y", 0, 1, {"ort": 0, "torch": 0, "tvm": 1}, Basis.MAJORITY),
        ClassRow("y", 1, 2, {"ort": 0, "torch": 1, "tvm": 0}, Basis.MAJORITY),
        ClassRow("y", 2, 1, {"ort": 0, "torch": 1, "tvm": 0}, Basis.MAJORITY),
    )


def test_where_as_many_say_another_the_earliest_cell_counts_and_no_prediction_is_no_vote(rows):
    cells = {"ort": scores(None, 3), "torch": scores(None, 2), "tvm": scores(4, 2), "tf": scores(1, 3)}
    assert rows(cells) == (
        ClassRow("y", 4, 1, {"ort": 1, "torch": 1, "tvm": 0, "tf": 1}, Basis.MAJORITY),
        ClassRow("y", 3, 1, {"ort": 0, "torch": 1, "tvm": 1, "tf": 0}, Basis.MAJORITY),
    )


def test_two_cells_have_no_majority_and_a_reference_needs_none(rows, tmp_path):
    cells = {"ort": scores(0, 1), "torch": scores(0, 2)}
    assert rows(cells) == (ClassRow("y", 1, 1, {"ort": 0, "torch": 1}, Basis.REFERENCE, "ort"),)
    result = deltann.load(tmp_path / "run", reference="torch")
    assert per_class(result) == (ClassRow("y", 2, 1, {"ort": 1, "torch": 0}, Basis.REFERENCE, "torch"),)


def test_the_reference_goes_before_the_majority(rows):
    cells = {"ort": scores(0), "torch": scores(3), "tvm": scores(0)}
    (row,) = rows(cells, criteria=Criteria(reference="torch"))
    assert (row.label, row.counts, row.by) == (3, {"ort": 1, "torch": 0, "tvm": 1}, "torch")


def test_the_reference_may_be_spelt_in_any_way(rows):
    name = str(Environment.parse("torch[threads=1,precision=float32]"))
    assert name != "torch[threads=1,precision=float32]"
    cells = {"ort": scores(0), name: scores(3), "tvm": scores(0)}
    (row,) = rows(cells, criteria=Criteria(reference="torch[threads=1,precision=float32]"))
    assert (row.label, row.basis, row.by) == (3, Basis.REFERENCE, name)


def test_nothing_is_told_where_all_agree_or_nobody_has_scores(rows, tmp_path):
    assert rows({"ort": scores(0, 1), "torch": scores(0, 1)}) == ()
    box = {"box": np.random.default_rng(1).standard_normal((3, 2, 2))}
    run = write_run(tmp_path / "box", {"ort": box, "torch": {"box": box["box"] + 1}})
    assert per_class(deltann.load(run)) == ()


def test_an_output_that_labels_do_not_fit_is_told_by_the_cells(rows):
    two = {"z": np.eye(2, dtype=np.float32)[[0, 1]]}
    cells = {"ort": scores(4, 1) | two, "torch": scores(4, 1) | {"z": two["z"][::-1].copy()}}
    assert rows(cells, labels=[4, 4]) == (
        ClassRow("y", 4, 2, {"ort": 1, "torch": 1}, Basis.LABELS),
        ClassRow("z", 0, 1, {"ort": 0, "torch": 1}, Basis.REFERENCE, "ort"),
        ClassRow("z", 1, 1, {"ort": 0, "torch": 1}, Basis.REFERENCE, "ort"),
    )


def test_of_two_models_the_first_says_the_class(tmp_path):
    run = write_run(tmp_path, {"ort": scores(0, 1)})
    run = write_against(run, {"ort": {"z": scores(0, 3)["y"]}}, {"y": "z"})
    assert per_class(deltann.load(run)) == (ClassRow("z", 1, 1, {"ort": 0, "against:ort": 1}, Basis.REFERENCE, "ort"),)


def test_classes_with_most_come_first(rows):
    cells = {"ort": scores(2, 0, 0, 1, 1, 1), "torch": scores(3, 4, 4, 4, 4, 4)}
    assert [(row.label, row.counts["torch"]) for row in rows(cells)] == [(1, 3), (0, 2), (2, 1)]
