"""How two classifiers differ over the same samples."""

from __future__ import annotations

from dataclasses import dataclass

from deltann.comparison.flips import Flip, Kind, flips
from deltann.comparison.ranking import MOST_ROWS, TOP_K, RankAgreement, rank_agreement, top_k_disagreements
from deltann.comparison.rows import Array
from deltann.comparison.statistics import proportion_interval
from deltann.comparison.tolerance import Tolerance
from deltann.tasks.classification import NO_PREDICTION, predictions


@dataclass(frozen=True)
class ClassificationError:
    """Top-1: `disagreements` of `samples` (rows with a NaN are among them), all listed in `flips`; `rate` is their
    share and `interval` its Wilson 95 % interval. `top_k_disagreements`: samples whose sets of the `k` best classes
    differ; k is 5, or one less than the classes where those are fewer (the set of all classes never differs).
    """

    samples: int
    classes: int
    disagreements: int
    rate: float
    interval: tuple[float, float]
    ties: int
    beyond_rounding: int
    no_prediction: int
    k: int
    top_k_disagreements: int
    ranking: RankAgreement
    flips: tuple[Flip, ...]


def classification_error(a: Array, b: Array, tolerance: Tolerance, ranked_rows: int = MOST_ROWS) -> ClassificationError:
    """Compare scores [N, C], N >= 1 and C >= 2; b is the reference. Rankings are compared on `ranked_rows` at most."""
    samples, classes = a.shape
    left, right = predictions(a), predictions(b)
    flipped = flips(a, b, left, right, tolerance)
    ties = sum(flip.kind is Kind.TIE for flip in flipped)
    k = min(TOP_K, classes - 1)
    return ClassificationError(
        samples=samples,
        classes=classes,
        disagreements=len(flipped),
        rate=len(flipped) / samples,
        interval=proportion_interval(len(flipped), samples),
        ties=ties,
        beyond_rounding=len(flipped) - ties,
        no_prediction=int(((left.label == NO_PREDICTION) | (right.label == NO_PREDICTION)).sum()),
        k=k,
        top_k_disagreements=top_k_disagreements(a, b, k),
        ranking=rank_agreement(a, b, ranked_rows),
        flips=flipped,
    )
