"""How two classifiers differ over the same samples."""

from __future__ import annotations

from dataclasses import dataclass

from deltann.comparison.flips import Flip, Kind, flips
from deltann.comparison.ranking import MOST_ROWS, TOP_K, RankAgreement, rank_agreement, top_k_disagreements
from deltann.comparison.rows import Array
from deltann.comparison.statistics import proportion_interval
from deltann.comparison.summary import Choices
from deltann.comparison.tolerance import Tolerance
from deltann.tasks.classification import NO_PREDICTION


@dataclass(frozen=True)
class ClassificationError:
    """Top-1: `disagreements` of `samples` (rows with a NaN are among them), all listed in `flips`; `rate` is their
    share and `interval` its Wilson 95 % interval. `top_k_disagreements`: samples whose sets of the `k` best classes
    differ; `by_precision`: flips that a side's declared precision explains, known once the arbiter has judged them;
    they are in none of `ties` and `beyond_rounding`. k is 5, or one less than the classes where those are fewer (the
    set of all classes never differs).
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
    by_precision: int = 0


def classification_error(
    a: Array,
    b: Array,
    tolerance: Tolerance,
    ranked_rows: int = MOST_ROWS,
    choices: tuple[Choices | None, Choices | None] = (None, None),
) -> ClassificationError:
    """Compare scores [N, C], N >= 1 and C >= 2; b is the reference. Rankings are compared on `ranked_rows` at most.

    `choices` of a and of b, where they are already known.
    """
    samples, classes = a.shape
    ours, theirs = choices[0] or Choices.of(a), choices[1] or Choices.of(b)
    left, right = ours.predictions, theirs.predictions
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
        top_k_disagreements=top_k_disagreements(ours.best[:, :k], theirs.best[:, :k]),
        ranking=rank_agreement(a, b, ranked_rows),
        flips=flipped,
    )
