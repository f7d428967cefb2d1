"""Outputs that could not have told two implementations apart, however wrong one of them is."""

from __future__ import annotations

import numpy as np

from deltann.comparison.rows import PIECE, Array, flat_pieces, row_blocks
from deltann.comparison.tolerance import Tolerance


def vacuity(output: Array, tolerance: Tolerance) -> str | None:
    """Why [N, ...], N >= 1, is vacuous, or None if it is not.

    It is where all N >= 2 samples gave the same row within the tolerance (the model ignores its input, or the inputs
    do not differ), or where one sample alone gave several elements that are all equal.
    """
    if len(output) == 1:
        first = output.reshape(-1)[:1]
        constant = output.size > 1 and all(bool((x == first).all()) for _, x, _ in flat_pieces(output, output))
        return "every element has the same value" if constant else None
    for block in row_blocks(len(output), output[:1].size, PIECE):
        part = output[block].astype(np.float64)
        row = output[:1].astype(np.float64)
        with np.errstate(invalid="ignore"):
            if not bool((np.abs(part - row) <= tolerance.atol + tolerance.rtol * np.abs(row)).all()):
                return None
    return "every sample gave the same output within the tolerance"
