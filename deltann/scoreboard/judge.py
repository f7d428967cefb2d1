"""Whether an answer is the expected one, by the rule of onnx's own test runner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]


def wrong(got: Arrays, expected: Arrays, rtol: float, atol: float) -> str:
    """What is wrong with `got`, in a line; "" where nothing is.

    Right are the same names, element types and shapes, and |got − expected| ≤ atol + rtol·|expected| of every element;
    a NaN is right where a NaN is expected, and an infinity where the same one is.
    """
    if not expected:
        return "nothing was expected, so nothing can be right"
    for name in expected:
        if name not in got:
            return f"no output '{name}'"
    for name in got:
        if name not in expected:
            return f"an output '{name}' that the model has not"
    return next(filter(None, (_unlike(name, got[name], expected[name], rtol, atol) for name in expected)), "")


def _unlike(name: str, got: npt.NDArray[Any], want: npt.NDArray[Any], rtol: float, atol: float) -> str:
    if (got.dtype, got.shape) != (want.dtype, want.shape):
        return f"'{name}' is {_kind(got)}, expected {_kind(want)}"
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    x, y = got.astype(wide), want.astype(wide)
    finite = np.isfinite(x) & np.isfinite(y)
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(x - y)
        close = finite & (gap <= atol + rtol * np.abs(y))
    # Whole numbers of 64 bits are not all exact in float64.
    right = close | (got == want) | (np.isnan(x) & np.isnan(y))
    if right.all():
        return ""
    outside = int(np.count_nonzero(~right))
    worst = gap[finite & ~right]
    size = f", by up to {worst.max():.3g}" if worst.size else ""
    odd = int(np.count_nonzero(~finite & ~right))
    noted = f"; {odd} NaN or infinite on one side" if odd else ""
    return f"'{name}': {outside} of {right.size} elements differ{size}{noted} (rtol {rtol:g}, atol {atol:g})"


def _kind(array: npt.NDArray[Any]) -> str:
    return f"{array.dtype}{list(array.shape)}"
