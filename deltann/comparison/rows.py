"""Walking over stored outputs in bounded memory: they may be memory-mapped files larger than what a machine holds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

PIECE = 1 << 16
"""Elements a piece: a few float64 buffers of this size stay in a core's second-level cache."""
BLOCK = 1 << 20
"""Elements a block of rows, for what needs whole rows (8 MiB a float64 temporary)."""


def row_blocks(rows: int, row_size: int, elements: int = BLOCK) -> Iterator[slice]:
    """Slices that cover `rows` rows in order, each of at most `elements` elements but of one row at least."""
    step = max(1, elements // max(1, row_size))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def flat_pieces(a: Array, b: Array, elements: int = PIECE) -> Iterator[tuple[int, Array, Array]]:
    """Both arrays (of one shape, [N, ...]) in C order, piece by piece: the first element's flat index, a's, b's.

    Pieces are views where the arrays are contiguous; otherwise one block of rows is copied at a time.
    """
    a, b = np.asarray(a), np.asarray(b)  # a slice of np.memmap costs more than a slice of its base class
    row_size = a[:1].size
    for block in row_blocks(len(a), row_size):
        x, y = a[block].reshape(-1), b[block].reshape(-1)
        for start in range(0, x.size, elements):
            yield block.start * row_size + start, x[start : start + elements], y[start : start + elements]


def without_trailing_ones(array: Array) -> Array:
    """A view without trailing dimensions of size 1, the sample axis excepted: [N, 1000, 1, 1] becomes [N, 1000]."""
    array = np.asarray(array)
    while array.ndim > 1 and array.shape[-1] == 1:
        array = array[..., 0]
    return array


def root_mean_square(array: Array) -> float:
    """The root mean square of the finite elements of [N, ...], in float64; 0.0 where there are none.

    Where the squares overflow, the largest magnitude, which bounds it: never infinite.
    """
    total = peak = 0.0
    count = 0
    for _, piece, _ in flat_pieces(array, array):
        values = piece.astype(np.float64)
        square = float(np.einsum("i,i", values, values))
        count += values.size
        if not math.isfinite(square):
            unknown = np.flatnonzero(~np.isfinite(values))
            values[unknown] = 0
            count -= unknown.size
            square = float(np.einsum("i,i", values, values))
            peak = max(peak, float(np.abs(values).max(initial=0)))
        total += square
    if not count:
        return 0.0
    return math.sqrt(total / count) if math.isfinite(total) else peak
