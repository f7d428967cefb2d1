"""How alike two rankings of the same classes are: top-k sets, Kendall's τ, rank-biased overlap.

All take score matrices [N, C] and rank by score; a list of class ids is no ranking that τ could be taken of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deltann.comparison.rows import PIECE, Array, row_blocks
from deltann.tasks.classification import NO_PREDICTION

TOP_K = 5
RBO_P = 0.9
MOST_ROWS, FEWEST_ROWS, BUDGET = 512, 16, 128_000
"""τ and RBO are taken on at most 512 rows and about 128,000 scores, but of 16 rows at least: some 0.1 s."""


@dataclass(frozen=True)
class RankAgreement:
    """Kendall's τ-b and RBO_ext over `rows` evenly spaced rows that are free of NaN on both sides.

    τ is undefined where all scores of a row are equal; `tau_rows` counts those where it is defined. None: no row.
    """

    rows: int
    tau_rows: int
    tau_mean: float | None
    tau_min: float | None
    rbo_mean: float | None
    rbo_min: float | None


def rank_agreement(a: Array, b: Array, most_rows: int = MOST_ROWS) -> RankAgreement:
    """Compare the rankings of scores [N, C] on both sides, on a fixed budget of rows."""
    rows, classes = a.shape
    used = min(rows, most_rows, max(FEWEST_ROWS, BUDGET // classes))
    chosen = np.unique(np.linspace(0, rows - 1, used).round().astype(np.int64))
    x, y = a[chosen].astype(np.float64), b[chosen].astype(np.float64)
    whole = ~(np.isnan(x).any(axis=1) | np.isnan(y).any(axis=1))
    x, y = x[whole], y[whole]
    tau, overlap = kendall_tau(x, y), rank_biased_overlap(x, y)
    tau = tau[~np.isnan(tau)]
    return RankAgreement(len(x), len(tau), *_mean_and_min(tau), *_mean_and_min(overlap))


def kendall_tau(a: Array, b: Array) -> npt.NDArray[np.float64]:
    """Kendall's τ-b between the scores of each row of [R, C]; NaN where all scores of a row are equal.

    Knight, "A Computer Method for Calculating Kendall's Tau with Ungrouped Data" (JASA 1966), on all rows at once:
    `scipy.stats.kendalltau` takes them one by one, and its import alone takes longer than all the rest of the judging.
    """
    blocks = row_blocks(len(a), a.shape[1], PIECE)
    return np.concatenate([np.empty(0), *(_kendall_tau(a[block], b[block]) for block in blocks)])


def _kendall_tau(a: Array, b: Array) -> npt.NDArray[np.float64]:
    x, y = _dense_ranks(a), _dense_ranks(b)
    classes = a.shape[1]
    both = x * classes + y
    order = np.argsort(both, axis=1)
    discordant = _inversions(np.take_along_axis(y, order, axis=1))
    pairs = classes * (classes - 1) // 2
    free_x, free_y = pairs - _tied_pairs(x), pairs - _tied_pairs(y)
    excess = free_x + free_y - pairs + _tied_pairs(both) - 2 * discordant
    with np.errstate(invalid="ignore"):
        return np.asarray(excess / np.sqrt(free_x.astype(np.float64) * free_y))


def rank_biased_overlap(a: Array, b: Array, p: float = RBO_P) -> npt.NDArray[np.float64]:
    """Extrapolated rank-biased overlap of each row of scores [R, C], in 0..1; weight of depth d falls as p^d.

    RBO_ext, equation 32 of Webber, Moffat and Zobel, "A Similarity Measure for Indefinite Rankings" (TOIS 2010),
    for rankings of equal length C: X_C/C · p^C + (1−p)/p · Σ_{d=1..C} X_d/d · p^d, with X_d the overlap of the first d.
    Equal scores rank by index.
    """
    count, classes = a.shape
    if not count:
        return np.empty(0)
    # A class is in both first-d sets as soon as its worse rank is below d.
    met = np.maximum(_ranks(a), _ranks(b)) + np.arange(count)[:, None] * classes
    overlap = np.bincount(met.ravel(), minlength=count * classes).reshape(count, classes).cumsum(axis=1)
    depth = np.arange(1, classes + 1)
    agreement = overlap / depth
    weight = (1 - p) / p * p**depth
    return np.asarray(agreement @ weight + agreement[:, -1] * p**classes)


def top_k_disagreements(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> int:
    """Rows whose sets differ, of the `best_classes` [N, k] of both sides; a row that holds a NaN always differs."""
    differ = (np.sort(a, axis=1) != np.sort(b, axis=1)).any(axis=1)
    return int(np.count_nonzero(differ | (a[:, 0] == NO_PREDICTION)))


def _ranks(scores: Array) -> npt.NDArray[np.int64]:
    """0 for the best class of each row; equal scores rank by index."""
    order = np.argsort(-scores.astype(np.float64), axis=1, kind="stable")  # unsigned integers have no negative
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(scores.shape[1])[None, :], axis=1)
    return ranks


def _dense_ranks(scores: Array) -> npt.NDArray[np.int64]:
    """0 for the least score of each row; equal scores share a rank."""
    order = np.argsort(scores, axis=1)
    ranks = np.empty(scores.shape, np.int64)
    np.put_along_axis(ranks, order, _starts(np.take_along_axis(scores, order, axis=1)).cumsum(axis=1) - 1, axis=1)
    return ranks


def _starts(ordered: Array) -> npt.NDArray[np.bool_]:
    """Where a run of equal items begins in each row."""
    starts = np.ones(ordered.shape, bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return starts


def _tied_pairs(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many pairs of each row are equal: over its runs, the sum of each item's place in its run."""
    starts = _starts(np.sort(keys, axis=1))
    place = np.arange(keys.shape[1])
    return np.asarray((place - np.maximum.accumulate(np.where(starts, place, 0), axis=1)).sum(axis=1))


def _inversions(ranks: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many pairs of each row stand in descending order, counted by the highest bit in which two ranks differ."""
    total = np.zeros(len(ranks), np.int64)
    ranks = ranks.astype(np.min_scalar_type(ranks.max(initial=0)))  # a stable sort of 16 bits is many times faster
    for bit in range(int(ranks.max(initial=0)).bit_length()):
        group = ranks >> (bit + 1)
        order = np.argsort(group, axis=1, kind="stable")
        ones = np.take_along_axis(ranks >> bit & 1, order, axis=1).astype(np.int32)
        before = ones.cumsum(axis=1, dtype=np.int32)
        starts = _starts(np.take_along_axis(group, order, axis=1))
        earlier_groups = np.maximum.accumulate(np.where(starts, before - ones, 0), axis=1)
        total += ((1 - ones) * (before - earlier_groups)).sum(axis=1, dtype=np.int64)
    return total


def _mean_and_min(values: npt.NDArray[np.float64]) -> tuple[float | None, float | None]:
    return (float(values.mean()), float(values.min())) if len(values) else (None, None)
