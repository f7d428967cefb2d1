"""Label flips judged by the arbiter: two classes that rounding cannot tell apart, or a wrong answer, and whose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from deltann.comparison.evidence import Arbitration
from deltann.comparison.flips import Flip, Kind
from deltann.comparison.output import Comparison, OutputComparison
from deltann.comparison.precision import Precision
from deltann.comparison.rows import Array, without_trailing_ones
from deltann.comparison.soundness import Moved, Soundness, moved
from deltann.tasks.classification import NO_PREDICTION


@dataclass(frozen=True, eq=False)
class Side:
    """What the arbiter knows of one output of one cell.

    `scores` [M, C] are the arbiter's, `rows` says which of them a sample has. `rounding` and `allowed`: the envelopes
    (`deltann.comparison.soundness.Moved`) of float32 and of the cell's own precision. `sound`: the cell's output.
    """

    scores: Array
    rows: Mapping[int, int]
    rounding: float
    allowed: float
    sound: bool | None


@dataclass(frozen=True, eq=False)
class Scores:
    """What the arbiter knows of one output, of which every cell has its `Side`; `scores` and `rows` as there."""

    scores: Array
    rows: Mapping[int, int]
    moved: Moved

    @classmethod
    def of(cls, arbitration: Arbitration, output: str) -> Scores | None:
        """None where the arbiter has no scores [M, C] of that name."""
        if output not in arbitration.float64:
            return None
        scores = without_trailing_ones(arbitration.float64[output])
        if scores.ndim != 2 or scores.dtype.kind != "f" or scores.shape[1] < 2:
            return None
        rows = {int(sample): row for row, sample in enumerate(arbitration.samples)}
        return cls(scores, rows, moved(arbitration, output))

    def side(self, judged: Soundness) -> Side | None:
        """A cell's; None where its output is none like the arbiter's, and may choose classes that are not there."""
        if judged.unlike is not None:
            return None
        rounding = self.moved.envelope(Precision.FLOAT32)
        return Side(
            self.scores, self.rows, rounding, max(rounding, self.moved.envelope(judged.precision)), judged.sound
        )


def triage(flip: Flip, a: Side, b: Side) -> Flip:
    """The flip with its kind judged anew, if the arbiter saw that sample; the same where it did not.

    A side's *deficit* is by how much float64 prefers the best class to the one that the side chose; it is *off* by
    that, or by how much its gap between the two labels differs from float64's, if that is more. TIE: float32 may
    choose either (both are off by no more than the float32 envelope). PRECISION: no tie, but each is off by no more
    than the envelope of its precision, and its output is sound for that. FAULT: anything else, a NaN included.
    `wrong` tells which side's choice is not excused, of PRECISION which one is further off; "models" where each side
    follows its own model's float64, and the two models choose differently.
    """
    at_a, at_b = a.rows.get(flip.sample), b.rows.get(flip.sample)
    if at_a is None or at_b is None:
        return flip
    truth_a, truth_b = (np.asarray(side.scores[at], np.float64) for side, at in ((a, at_a), (b, at_b)))
    if not (np.isfinite(truth_a).all() and np.isfinite(truth_b).all()):
        return flip
    label_a, label_b = int(truth_a.argmax()), int(truth_b.argmax())
    truth = label_a if label_a == label_b else None
    if NO_PREDICTION in (flip.label_a, flip.label_b):
        wrong = [side for side, label in (("a", flip.label_a), ("b", flip.label_b)) if label == NO_PREDICTION]
        return replace(flip, kind=Kind.FAULT, truth=truth, wrong="+".join(wrong))
    deficit_a, deficit_b = (
        float(scores.max() - scores[label]) for scores, label in ((truth_a, flip.label_a), (truth_b, flip.label_b))
    )
    # Two models may each be followed faithfully, and choose otherwise.
    apart = max(
        float(truth_a[flip.label_a] - truth_a[flip.label_b]), float(truth_b[flip.label_b] - truth_b[flip.label_a])
    )
    if flip.margin_a is None or flip.margin_b is None:
        return flip
    judged = replace(flip, truth=truth, deficit_a=deficit_a, deficit_b=deficit_b, envelope=max(a.allowed, b.allowed))
    # A near tie by float64 excuses no side that prefers its own label by far.
    off_a = max(deficit_a, abs(flip.margin_a - float(truth_a[flip.label_a] - truth_a[flip.label_b])))
    off_b = max(deficit_b, abs(flip.margin_b - float(truth_b[flip.label_b] - truth_b[flip.label_a])))
    if max(off_a, apart) <= a.rounding and max(off_b, apart) <= b.rounding:
        return replace(judged, kind=Kind.TIE)
    faults = [
        name
        for name, side, off in (("a", a, off_a), ("b", b, off_b))
        if off > side.rounding and (off > side.allowed or side.sound is not True)
    ]
    if not faults and apart > max(a.allowed, b.allowed):
        return replace(judged, kind=Kind.FAULT, wrong="models")
    if not faults:
        return replace(judged, kind=Kind.PRECISION, wrong="a" if off_a >= off_b else "b")
    return replace(judged, kind=Kind.FAULT, wrong="+".join(faults))


def triaged(comparison: Comparison, sides: Mapping[str, tuple[Side | None, Side | None]]) -> Comparison:
    """The comparison with the flips of each output judged by its sides, where both are known, and counted anew."""
    outputs = [_triaged(output, sides.get(output.name, (None, None))) for output in comparison.outputs]
    return replace(comparison, outputs=tuple(outputs))


def _triaged(output: OutputComparison, sides: tuple[Side | None, Side | None]) -> OutputComparison:
    found, (a, b) = output.classification, sides
    if found is None or a is None or b is None:
        return output
    flips = tuple(triage(flip, a, b) for flip in found.flips)
    counts = count(flips)
    beyond = counts[Kind.BEYOND_ROUNDING] + counts[Kind.FAULT]
    classes = replace(
        found, flips=flips, ties=counts[Kind.TIE], beyond_rounding=beyond, by_precision=counts[Kind.PRECISION]
    )
    return replace(output, classification=classes)


def count(flips: Sequence[Flip]) -> dict[Kind, int]:
    """How many there are of each kind."""
    return {kind: sum(flip.kind is kind for flip in flips) for kind in Kind}
