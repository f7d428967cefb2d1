"""How many samples are off: those with an element outside the tolerance, or not finite."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deltann.comparison.numeric import integer_distance
from deltann.comparison.rows import PIECE, Array, row_blocks
from deltann.comparison.tolerance import Tolerance


def samples_outside(a: Array, b: Array, tolerance: Tolerance) -> int:
    """Rows of [N, …] with an element where |a − b| > atol + rtol·|b|, or one that is NaN or infinite on any side.

    Integers are subtracted exactly. The dtypes are those that `numeric_error` takes.

    Raises:
        ValueError: the shapes differ, or there is no sample axis.
    """
    if a.shape != b.shape or not a.ndim:
        raise ValueError(f"the shapes are {a.shape} and {b.shape}")
    a, b = np.asarray(a), np.asarray(b)  # a slice of np.memmap costs more than a slice of its base class
    row_size = a[:1].size
    off = np.zeros(len(a), bool)
    with np.errstate(over="ignore", invalid="ignore"):
        for block in row_blocks(len(a), row_size, PIECE):
            x, y = (side[block].reshape(block.stop - block.start, row_size) for side in (a, b))
            for start in range(0, row_size, PIECE):  # more than one only where a row alone is larger
                piece = slice(start, start + PIECE)
                off[block] |= _outside(x[:, piece], y[:, piece], tolerance).any(axis=1)
    return int(np.count_nonzero(off))


def _outside(x: Array, y: Array, tolerance: Tolerance) -> npt.NDArray[np.bool_]:
    common = np.result_type(x.dtype, y.dtype)
    if common.kind == "f":
        apart = np.abs(np.subtract(x, y, dtype=np.float64))
    else:
        whole = np.dtype(np.uint8) if common.kind == "b" else common
        apart = integer_distance(x.astype(whole, copy=False), y.astype(whole, copy=False)).astype(np.float64)
    bound = np.abs(y.astype(np.float64)) * tolerance.rtol + tolerance.atol
    # A bound may be infinite or NaN where the reference is, and the difference of two infinities is NaN.
    return np.asarray(~(apart <= bound) | ~np.isfinite(apart))
