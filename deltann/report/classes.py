"""Which classes go wrong: wrong answers, or disagreements where no labels are known, counted by class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deltann.pairing import reference_cell
from deltann.scores import scores, true_classes
from deltann.store import Cell
from deltann.tasks.classification import NO_PREDICTION, predictions

if TYPE_CHECKING:
    from deltann.result import Result

Labels = npt.NDArray[np.int64]


class Basis(StrEnum):
    """What says which class a sample is of. LABELS: its true class. REFERENCE: what one cell gives (`ClassRow.by`).
    MAJORITY: what most cells give.
    """

    LABELS = "labels"
    REFERENCE = "reference"
    MAJORITY = "majority"


@dataclass(frozen=True)
class ClassRow:
    """Of the `samples` of class `label` at an output (by its common name), how many each cell gives another class.

    `counts` goes by cell, in the run's order, and has every cell that gives scores there (0 where it errs nowhere);
    a row with a NaN counts as another class. `basis`: what says that they are of this class; `by`: the cell that does,
    where `basis` is REFERENCE.
    """

    output: str
    label: int
    samples: int
    counts: Mapping[str, int]
    basis: Basis
    by: str | None = None


def per_class(result: Result) -> tuple[ClassRow, ...]:
    """By output, the classes that any cell errs on or disagrees with, those with most first (then by class).

    With labels that fit the output: wrong answers by true class; samples without a label are left out. Else
    disagreements: with the cell that `--reference` names; with the class that most cells give a sample, where there are
    three or more (of classes given equally often that of the earliest cell); with the first cell where there are two.
    Of two models, the first one's cells say the class.
    """
    truth = true_classes(result)
    rows: list[ClassRow] = []
    for output, by_cell in scores(result).items():
        given = {cell: predictions(array).label for cell, array in by_cell.items()}
        if output in truth:
            known = np.array([NO_PREDICTION if label is None else label for label in truth[output]])
            basis, by = Basis.LABELS, None
        else:
            basis, by, known = _said(result, given)
        rows += _rows(output, given, known, basis, by)
    return tuple(rows)


def _said(result: Result, given: Mapping[Cell, Labels]) -> tuple[Basis, str | None, Labels]:
    """The class of each sample by the cells themselves, −1 where none gives it one."""
    reference = reference_cell(result.run.cells, result.criteria.reference)
    named = [cell for cell in given if cell == reference]
    voters = [cell for cell in given if cell.role == "model"] or list(given)
    if named or len(voters) < 3:
        cell = (named or voters)[0]
        return Basis.REFERENCE, str(cell), given[cell]
    return Basis.MAJORITY, None, _majority(np.stack([given[cell] for cell in voters]))


def _majority(labels: Labels) -> Labels:
    """Of labels [cells, N] the one given most often; of several that of the earliest cell; −1 counts for nothing."""
    votes = np.stack([(labels == row).sum(axis=0) for row in labels])
    votes[labels == NO_PREDICTION] = 0
    return np.asarray(np.take_along_axis(labels, votes.argmax(axis=0)[None], axis=0)[0])


def _rows(output: str, given: Mapping[Cell, Labels], known: Labels, basis: Basis, by: str | None) -> list[ClassRow]:
    missed = {cell: known[(labels != known) & (known != NO_PREDICTION)] for cell, labels in given.items()}
    samples = _count(known[known != NO_PREDICTION])
    counts = {str(cell): _count(labels) for cell, labels in missed.items()}
    rows = [
        ClassRow(
            output, label, samples[label], {cell: found.get(label, 0) for cell, found in counts.items()}, basis, by
        )
        for label in sorted(set().union(*counts.values()))
    ]
    return sorted(rows, key=lambda row: -sum(row.counts.values()))


def _count(labels: Labels) -> dict[int, int]:
    found, counts = np.unique(labels, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))
