"""Outputs that could not have told two implementations apart, however wrong one of them is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deltann.comparison.rows import PIECE, Array, flat_pieces, row_blocks
from deltann.comparison.tolerance import Tolerance

NEARLY_ALL = 0.99
"""So large a share of the elements that are NaN, or of the rows that are saturated, is vacuous."""
NEAR_CONSTANT = 0.01
"""An output is nearly constant where the samples move it by less than this share of its RMS (in RMS, too).

Measured: real inputs move the outputs of seven trained networks by 19 to 92 %; random ones by 4 to 42 %, but those of
SqueezeNet, which then gives one class to all, by 0.6 %.
"""
ONE_SAMPLE = "one sample alone proves nothing: give more"
_FEWEST_ROWS, _MOST_ROWS, _BUDGET = 16, 512, 1 << 20


def vacuity(output: Array, tolerance: Tolerance) -> str | None:
    """Why [N, ...], N >= 1, is vacuous, or None if it is not.

    Of one sample alone: all of several elements are equal. Of more: all gave the same row within the tolerance (the
    model ignores its input, or the inputs do not differ). Of floats also: nearly every element is NaN; nearly every
    row holds one value again and again within the tolerance (all weights are equal), or nothing but the output's least
    and its greatest (a softmax or sigmoid at its bounds, which hides what is before it); the rows differ by less than
    `NEAR_CONSTANT`. These are taken on at most 512 rows and a million elements.
    """
    floats = output.dtype.kind == "f"
    drawn = _drawn(output) if floats else np.empty((0, 0))
    if floats and (nan := float(np.isnan(drawn).mean())) >= NEARLY_ALL:
        return f"{nan:.3%} of its elements are NaN" if nan < 1 else "every element is NaN"
    if len(output) == 1:
        first = output.reshape(-1)[:1]
        constant = output.size > 1 and all(bool((x == first).all()) for _, x, _ in flat_pieces(output, output))
        return "every element has the same value" if constant else None
    if _same_rows(output, tolerance):
        return "every sample gave the same output within the tolerance"
    return (_repeated(drawn, tolerance) or _saturated(drawn, tolerance) or _nearly_constant(drawn)) if floats else None


def one_label(labels: npt.NDArray[np.int64]) -> str | None:
    """Why a rate of label disagreement says nothing where a side predicts these labels [N], or None where it may."""
    if len(labels) == 1:
        return ONE_SAMPLE
    if len(labels) and bool((labels == labels[0]).all()):
        return f"all {len(labels)} samples got the same class, {labels[0]}, so that a rate of labels says nothing"
    return None


def _drawn(output: Array) -> npt.NDArray[np.float64]:
    """Evenly spaced rows of it as [R, elements], in float64; of large rows some elements at random, always the same."""
    rows, size = len(output), output[:1].size
    chosen = np.unique(np.linspace(0, rows - 1, min(rows, _MOST_ROWS, max(_FEWEST_ROWS, _BUDGET // size))).round())
    most = _BUDGET // len(chosen)
    columns = slice(None) if size <= most else np.random.default_rng(0).integers(0, size, most)
    return np.stack([np.asarray(output[int(row)]).reshape(-1)[columns] for row in chosen]).astype(np.float64)


def _same_rows(output: Array, tolerance: Tolerance) -> bool:
    row = output[:1].astype(np.float64)
    for block in row_blocks(len(output), row.size, PIECE):
        with np.errstate(invalid="ignore"):
            near = np.abs(output[block].astype(np.float64) - row) <= tolerance.atol + tolerance.rtol * np.abs(row)
        if not bool(near.all()):
            return False
    return True


def _repeated(rows: npt.NDArray[np.float64], tolerance: Tolerance) -> str | None:
    low, high = rows.min(axis=1), rows.max(axis=1)
    with np.errstate(invalid="ignore"):
        same = high - low <= tolerance.atol + tolerance.rtol * np.maximum(np.abs(low), np.abs(high))
    if rows.shape[1] < 2 or (same & np.isfinite(low) & np.isfinite(high)).mean() < NEARLY_ALL:
        return None
    return "each sample's elements all have one value within the tolerance"


def _saturated(rows: npt.NDArray[np.float64], tolerance: Tolerance) -> str | None:
    low, high = rows.min(), rows.max()
    if not np.isfinite([low, high]).all():
        return None
    near = rows - low <= tolerance.atol + tolerance.rtol * abs(low)
    near |= high - rows <= tolerance.atol + tolerance.rtol * abs(high)
    share = float(near.all(axis=1).mean())
    if share < NEARLY_ALL:
        return None
    return f"{share:.3g} of the samples hold nothing but {low:g} and {high:g} within the tolerance: it is saturated"


def _nearly_constant(rows: npt.NDArray[np.float64]) -> str | None:
    with np.errstate(over="ignore", invalid="ignore"):
        size = np.sqrt(np.mean(rows**2))
        share = np.sqrt(np.mean((rows - rows.mean(axis=0)) ** 2)) / size
    if not share < NEAR_CONSTANT:  # so are NaN and infinities
        return None
    return f"the samples move it by {share:.2g} of its RMS only: it is nearly constant"
