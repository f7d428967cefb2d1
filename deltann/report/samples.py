"""The samples to look at: those that cells classify differently, and those whose numbers are furthest apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deltann.comparison.distribution import sample_errors
from deltann.comparison.flips import Flip, Kind
from deltann.comparison.output import OutputComparison
from deltann.comparison.rows import Array, row_blocks
from deltann.comparison.verdict import Verdict
from deltann.distributions import compared_arrays
from deltann.frames import flip_rows
from deltann.scores import scores, true_classes
from deltann.store import Cell
from deltann.tasks.classification import NO_PREDICTION, best_classes, predictions

if TYPE_CHECKING:
    from deltann.judging import Pair
    from deltann.result import Result

SHOWN_CLASSES = 3
WORST = 3
"""Samples named of each pair and output."""
_SERIOUS = (Kind.FAULT, Kind.BEYOND_ROUNDING, Kind.PRECISION, Kind.TIE)
_Rank = tuple[bool, int, float]
"""Of a flip: the less, the more serious."""
_Row = tuple[_Rank, Flip, dict[str, Any]]
_VERDICTS = (Verdict.DIFFER, Verdict.INCONCLUSIVE, Verdict.NOT_COMPARED, Verdict.AGREE)


@dataclass(frozen=True)
class Choice:
    """What one cell makes of one sample: its three best classes (fewer where there are fewer), best first.

    `scores`: theirs, in the output's unit, None where not finite. `margin`: the best score less the second best, None
    where it is not finite. A row with a NaN gives no prediction: `labels` is (−1,) and `scores` (None,).
    """

    cell: str
    labels: tuple[int, ...]
    scores: tuple[float | None, ...]
    margin: float | None


@dataclass(frozen=True)
class Dispute:
    """One sample that some pair of cells classifies differently at one output (by its common name).

    `index` is the sample's, `name` may be a stranger's. `expected`: its true class where labels are known and fit the
    output. `arbiter`: float64's class, None where it did not see the sample (or two models' float64 differ). `kind`:
    that of its most serious flip (a value of `deltann.comparison.flips.Kind`). `choices`: of every cell that gives
    scores there, in the run's order, those that agree too. `wrong`: the cells whose label is not excused in the flips
    of that kind ("models": two models' own float64 choose differently); empty without an arbiter. `pairs`: a row a pair
    that disagrees, as `deltann.frames.flip_rows` gives them, with `candidate`, `reference` and `judged`; most serious
    first.
    """

    index: int
    name: str
    output: str
    expected: int | None
    arbiter: int | None
    kind: str
    choices: tuple[Choice, ...]
    wrong: tuple[str, ...]
    pairs: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class WorstSample:
    """A sample whose numbers are far apart: `max_abs` is the largest |candidate − reference| over its elements.

    Infinite where an element is not finite on one side only.
    """

    index: int
    name: str
    output: str
    candidate: str
    reference: str
    max_abs: float


def disputed(result: Result) -> tuple[tuple[str, int], ...]:
    """(output, sample) of every dispute, most serious first; cheap, to be counted or cut before `disputes` is taken.

    By the most serious flip of each, in a pair that is judged where there is one: by kind (fault, beyond rounding,
    precision, tie), then by the larger margin of its sides (a score that is not finite counts as the largest), then in
    the samples' order. Outputs without a row a sample are left out.
    """
    found = _ranks(result)
    return tuple(sorted(found, key=lambda key: (*found[key], key[1])))


def disputes(result: Result, most: int | None = None) -> tuple[Dispute, ...]:
    """One a sample and output however many pairs disagree, in the order of `disputed`; at most `most`."""
    names, wanted = result.run.sample_names, disputed(result)[:most]
    rows: dict[tuple[str, int], list[_Row]] = {key: [] for key in wanted}
    for pair in result.compared:
        head = {"candidate": str(pair.candidate), "reference": str(pair.reference), "judged": pair.judged}
        for (output, flip), row in zip(_pair_flips(pair), flip_rows(result, pair), strict=True):
            if _by_sample(output, names) and (output.name, flip.sample) in rows:
                rows[output.name, flip.sample].append((_rank(pair, flip), flip, {**head, **row}))
    chosen, truth = _choices(result, wanted), true_classes(result)
    return tuple(_dispute(result, key, rows[key], chosen[key], names[key[1]], truth) for key in wanted)


def worst_samples(result: Result) -> tuple[WorstSample, ...]:
    """The three samples furthest apart of each pair that does not agree, at each output where labels do not tell.

    That is an output without classes, or without a label flip, or with elements outside the tolerance; and with a row a
    sample. Samples that are equal on both sides are left out. Judged pairs first, of those DIFFER before INCONCLUSIVE,
    each by error.
    """
    names = result.run.sample_names
    found: list[tuple[tuple[bool, int], WorstSample]] = []
    for pair, output, a, b in compared_arrays(result):
        if pair.judgement.verdict is Verdict.AGREE or len(a) != len(names) or not _numbers_tell(output):
            continue
        errors = sample_errors(a, b)
        for sample in map(int, np.argsort(-errors, kind="stable")[:WORST]):
            if errors[sample] > 0:
                sides, error = (str(pair.candidate), str(pair.reference)), float(errors[sample])
                worst = WorstSample(sample, names[sample], output.name, *sides, error)
                found.append(((not pair.judged, _VERDICTS.index(pair.judgement.verdict)), worst))
    found.sort(key=lambda item: (*item[0], -item[1].max_abs))
    return tuple(worst for _, worst in found)


def worth_seeing(result: Result, most: int) -> list[int]:
    """Samples, most serious first, at most `most`.

    First labels that differ beyond rounding, then the samples furthest apart of each pair, then labels that precision
    or rounding explains.
    """
    ranks, flipped = _ranks(result), disputed(result)
    grave = [sample for output, sample in flipped if ranks[output, sample][1] <= _SERIOUS.index(Kind.BEYOND_ROUNDING)]
    worst = [found.index for found in worst_samples(result)]
    return list(dict.fromkeys([*grave, *worst, *(sample for _, sample in flipped)]))[:most]


def _ranks(result: Result) -> dict[tuple[str, int], _Rank]:
    """Of each (output, sample) with a flip, the rank of its most serious one."""
    names = result.run.sample_names
    found: dict[tuple[str, int], _Rank] = {}
    for pair in result.compared:
        for output, flip in _pair_flips(pair):
            if _by_sample(output, names):
                key, rank = (output.name, flip.sample), _rank(pair, flip)
                found[key] = min(found.get(key, rank), rank)
    return found


def _pair_flips(pair: Pair) -> Iterator[tuple[OutputComparison, Flip]]:
    """In the order of `flip_rows`."""
    for output in pair.comparison.outputs if pair.comparison else ():
        for flip in output.classification.flips if output.classification else ():
            yield output, flip


def _by_sample(output: OutputComparison, names: Sequence[str]) -> bool:
    """Whether a row of the scores is a sample; of an output without a batch dimension it is a whole batch."""
    return output.classification is not None and output.classification.samples == len(names)


def _rank(pair: Pair, flip: Flip) -> _Rank:
    margins = (math.inf if margin is None else margin for margin in (flip.margin_a, flip.margin_b))
    return not pair.judged, _SERIOUS.index(flip.kind), -max(margins)


def _numbers_tell(output: OutputComparison) -> bool:
    """Whether the labels alone do not show how the two sides differ."""
    numeric, classes = output.numeric, output.classification
    beyond = numeric is not None and (numeric.outside or numeric.nonfinite_one_side)
    return bool(beyond) or classes is None or not classes.disagreements


def _dispute(
    result: Result,
    key: tuple[str, int],
    rows: Sequence[_Row],
    choices: tuple[Choice, ...],
    name: str,
    truth: Mapping[str, Sequence[int | None]],
) -> Dispute:
    rows = sorted(rows, key=lambda item: item[0])
    kind = rows[0][1].kind
    wrong = {cell for _, flip, row in rows if flip.kind is kind for cell in row["wrong"]}
    ordered = [cell for cell in (*(str(record.cell) for record in result.records), "models") if cell in wrong]
    truths = {flip.truth for _, flip, _ in rows if flip.truth is not None}
    return Dispute(
        index=key[1],
        name=name,
        output=key[0],
        expected=truth[key[0]][key[1]] if key[0] in truth else None,
        arbiter=truths.pop() if len(truths) == 1 else None,
        kind=kind.value,
        choices=choices,
        wrong=tuple(ordered),
        pairs=tuple(row for *_, row in rows),
    )


def _choices(result: Result, wanted: Sequence[tuple[str, int]]) -> dict[tuple[str, int], tuple[Choice, ...]]:
    """What every cell with scores makes of each (output, sample)."""
    found: dict[tuple[str, int], list[Choice]] = {key: [] for key in wanted}
    samples: dict[str, list[int]] = {}
    for output, sample in wanted:
        samples.setdefault(output, []).append(sample)
    for output, by_cell in scores(result).items():
        for cell, array in by_cell.items():
            for sample, choice in _chosen(cell, array, samples.get(output, [])):
                found[output, sample].append(choice)
    return {key: tuple(choices) for key, choices in found.items()}


def _chosen(cell: Cell, array: Array, samples: Sequence[int]) -> Iterator[tuple[int, Choice]]:
    """What the cell makes of those rows of its scores [N, C]."""
    for block in row_blocks(len(samples), array.shape[1]):
        rows = np.asarray(array[samples[block]])
        best = best_classes(rows, min(SHOWN_CLASSES, rows.shape[1]))
        margins = predictions(rows, best).margin
        for sample, row, labels, margin in zip(samples[block], rows, best, margins, strict=True):
            if labels[0] == NO_PREDICTION:
                yield sample, Choice(str(cell), (NO_PREDICTION,), (None,), None)
            else:
                values = tuple(_finite(float(row[label])) for label in labels)
                yield sample, Choice(str(cell), tuple(map(int, labels)), values, _finite(float(margin)))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
