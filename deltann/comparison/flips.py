"""Label flips: samples that the two sides classify differently, and whether rounding alone can explain it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from deltann.comparison.rows import Array
from deltann.comparison.tolerance import Tolerance
from deltann.tasks.classification import NO_PREDICTION, Predictions


class Kind(StrEnum):
    """TIE: the two labels are equal within rounding; what was chosen between them says nothing.

    Where the arbiter saw the sample (`deltann.comparison.triage`), all else is PRECISION, explained by the precision
    that a side declares, or FAULT; where it did not, BEYOND_ROUNDING.
    """

    TIE = "tie"
    PRECISION = "precision"
    FAULT = "fault"
    BEYOND_ROUNDING = "beyond rounding"


@dataclass(frozen=True)
class Flip:
    """Sample index, both labels (−1: a NaN in the row), and what decides between them, in units of the score.

    `margin_a` and `margin_b`: by how much each side prefers its own label to the other's, None where a score is not
    finite. This is the top-1/top-2 gap where the other's label is the runner-up, and larger where it is further down
    (which no rounding explains, however close the runner-up). `envelope` = 2·(atol + rtol·|top score|), the top score
    being the larger magnitude of the reference's two: the most by which two elements, each inside the tolerance, can
    shift a gap.

    The arbiter adds: `truth`, its own label; `deficit_a` and `deficit_b`, by how much it prefers that to each side's
    label; the `envelope` of what rounding explains in place of the above; and `wrong`, whose label is not excused
    ("a", "b", "a+b"; "models" where two models' own float64 choose differently; None for a tie, and
    where it is the label of the model itself that its export's float64 does not choose).
    """

    sample: int
    label_a: int
    label_b: int
    margin_a: float | None
    margin_b: float | None
    envelope: float | None
    kind: Kind
    truth: int | None = None
    deficit_a: float | None = None
    deficit_b: float | None = None
    wrong: str | None = None


def flips(a: Array, b: Array, left: Predictions, right: Predictions, tolerance: Tolerance) -> tuple[Flip, ...]:
    """Every flip between scores [N, C], given the predictions from them; b is the reference."""
    differ = (left.label != right.label) | (left.label == NO_PREDICTION)
    found = []
    for sample in map(int, np.flatnonzero(differ)):
        ours, theirs = int(left.label[sample]), int(right.label[sample])
        if NO_PREDICTION in (ours, theirs):
            found.append(Flip(sample, ours, theirs, None, None, None, Kind.BEYOND_ROUNDING))
            continue
        pair_a, pair_b = (np.asarray(side[sample, [ours, theirs]], np.float64) for side in (a, b))
        if not (np.isfinite(pair_a).all() and np.isfinite(pair_b).all()):
            found.append(Flip(sample, ours, theirs, None, None, None, Kind.BEYOND_ROUNDING))
            continue
        margin_a, margin_b = float(pair_a[0] - pair_a[1]), float(pair_b[1] - pair_b[0])
        envelope = 2 * (tolerance.atol + tolerance.rtol * float(np.abs(pair_b).max()))
        kind = Kind.TIE if max(margin_a, margin_b) <= envelope else Kind.BEYOND_ROUNDING
        found.append(Flip(sample, ours, theirs, margin_a, margin_b, envelope, kind))
    return tuple(found)
