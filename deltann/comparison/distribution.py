"""How large the errors of samples are: one error a sample, and how the errors of all samples lie."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deltann.comparison.numeric import comparable, integer_distance
from deltann.comparison.rows import PIECE, Array, row_blocks
from deltann.errors import Unsupported

BINS_PER_DECADE = 4
MOST_DECADES = 24
"""One denormal number among the errors would otherwise make hundreds of empty bins."""


@dataclass(frozen=True)
class Distribution:
    """Errors of samples, in the output's unit: a histogram whose bins are those of every other distribution.

    `zeros`: samples that are equal on both sides; `nonfinite`: those with an infinite error (an element that is not
    finite on one side only). Of the rest, `counts[i]` samples have an error in edges[i] <= error < edges[i + 1]; the
    `edges`, one more than the counts, are 10^(k/4) for consecutive whole k, so that bins of several distributions
    coincide; both are empty where there is no other error. Errors more than 24 decades below the largest finite one are
    counted in the first bin.

    `p50`, `p90`, `p99` are quantiles over all samples, zeros and infinite ones among them: the least error that this
    share of the samples does not exceed (type 1 of Hyndman and Fan, "Sample Quantiles in Statistical Packages", 1996:
    always an error that occurred). `max` is the largest. All four may be infinite.
    """

    zeros: int
    nonfinite: int
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    p50: float
    p90: float
    p99: float
    max: float

    @property
    def samples(self) -> int:
        """How many there are in all."""
        return self.zeros + self.nonfinite + sum(self.counts)


def sample_errors(a: Array, b: Array) -> npt.NDArray[np.float64]:
    """The largest |a − b| of each sample of [N, …], float64[N], in float64 (integers exactly, then rounded to it).

    Infinite where an element is NaN or infinite on one side only, or differently on both, or where the difference
    leaves float64; an element that is NaN, or the same infinity, on both sides adds nothing.

    Raises:
        ValueError: the shapes differ, or there is no sample axis or no element.
        Unsupported: a dtype that `numeric_error` does not take either.
    """
    if a.shape != b.shape or not a.ndim or not a.size:
        raise ValueError(f"the shapes are {a.shape} and {b.shape}")
    for dtype in (a.dtype, b.dtype):
        if not comparable(dtype):
            raise Unsupported(f"{dtype} cannot be compared")
    a, b = np.asarray(a), np.asarray(b)  # a slice of np.memmap costs more than a slice of its base class
    row_size = a[:1].size
    errors = np.zeros(len(a))
    with np.errstate(over="ignore", invalid="ignore"):
        for block in row_blocks(len(a), row_size, PIECE):
            x, y = (side[block].reshape(block.stop - block.start, row_size) for side in (a, b))
            for start in range(0, row_size, PIECE):  # more than one only where a row alone is larger
                largest = _largest(x[:, start : start + PIECE], y[:, start : start + PIECE])
                np.maximum(errors[block], largest, out=errors[block])
    return errors


def distribution(errors: npt.NDArray[np.float64]) -> Distribution:
    """How errors [N] (0 or more, infinite ones allowed) lie.

    Raises:
        ValueError: there are none, or one is negative or NaN.
    """
    if not errors.size or not (errors >= 0).all():
        raise ValueError("errors are numbers of at least 0, one at least")
    within = errors[(errors > 0) & np.isfinite(errors)]
    edges, counts = _histogram(within)
    ordered = np.sort(errors)
    p50, p90, p99 = (float(ordered[math.ceil(percent * len(ordered) / 100) - 1]) for percent in (50, 90, 99))
    return Distribution(
        zeros=int(np.count_nonzero(errors == 0)),
        nonfinite=int(np.count_nonzero(np.isinf(errors))),
        edges=edges,
        counts=counts,
        p50=p50,
        p90=p90,
        p99=p99,
        max=float(ordered[-1]),
    )


def _largest(x: Array, y: Array) -> npt.NDArray[np.float64]:
    """Of each row of two pieces [R, K]."""
    common = np.result_type(x.dtype, y.dtype)
    if common.kind != "f":
        whole = np.dtype(np.uint8) if common.kind == "b" else common
        apart = integer_distance(x.astype(whole, copy=False), y.astype(whole, copy=False))
        return np.asarray(apart.max(axis=1).astype(np.float64))
    apart = np.abs(np.subtract(x, y, dtype=np.float64))
    largest = np.asarray(apart.max(axis=1))
    for row in np.flatnonzero(~np.isfinite(largest)):
        equal = (x[row] == y[row]) | (np.isnan(x[row]) & np.isnan(y[row]))
        apart[row][equal] = 0  # the same infinity twice: their difference is NaN
        largest[row] = apart[row].max() if np.isfinite(apart[row]).all() else np.inf
    return largest


def _histogram(errors: npt.NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Edges and counts of errors that are finite and above 0."""
    if not errors.size:
        return (), ()
    bins = np.floor(np.log10(errors) * BINS_PER_DECADE).astype(np.int64)
    # The logarithm is rounded: an error next to an edge goes where the edges themselves put it.
    bins += (errors >= _edge(bins + 1)).astype(np.int64) - (errors < _edge(bins)).astype(np.int64)
    last = int(bins.max())
    bins = np.maximum(bins, last - MOST_DECADES * BINS_PER_DECADE + 1)
    first = int(bins.min())
    edges = _edge(np.arange(first, last + 2)).tolist()
    return tuple(edges), tuple(np.bincount(bins - first).tolist())


def _edge(number: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The lower edge of bins; infinite beyond the last number that float64 holds."""
    with np.errstate(over="ignore"):
        return np.asarray(10.0 ** (number / BINS_PER_DECADE))
