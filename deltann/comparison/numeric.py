"""How far two arrays are apart: absolutely, in root mean square, in units in the last place, as an angle.

ULP distance: floats of one format, read as sign-magnitude integers, are in the order of their values, so the
distance of two is the count of steps between them (Dawson, "Comparing Floating Point Numbers", 2012).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from deltann.comparison.rows import PIECE, Array, flat_pieces
from deltann.comparison.tolerance import Tolerance
from deltann.errors import Unsupported

_FLOATS = ("float16", "float32", "float64")


@dataclass(frozen=True)
class NumericError:
    """Differences over the elements that are finite on both sides; None where there are none.

    `max_abs` is an exact int for integer and bool outputs, and infinite where the difference overflows float64.
    `cosine` is None where a side is all zeros (or its squares leave the range of float64); `max_ulp` is None unless
    both sides are floats, and counts steps of the wider format where they differ in it.
    `nonfinite_one_side`: elements that are NaN or infinite on one side only, or differently on both;
    `nonfinite_both`: elements that are both NaN or the same infinity, which proves no agreement.
    `outside`: finite elements with |a − b| > atol + rtol·|b|. `worst_sample`: the row of the first one-sided
    non-finite element, else of the largest difference; None where nothing differs.
    """

    elements: int
    max_abs: float | None
    mean_abs: float | None
    rms: float | None
    max_ulp: int | None
    cosine: float | None
    nonfinite_one_side: int
    nonfinite_both: int
    outside: int
    worst_sample: int | None


class _Part(NamedTuple):
    """The share of one piece, `finite` of whose elements are so on both sides; `one_sided` indexes the first that is
    not on one side only, `worst` the largest difference; `aa`… are sums of products.
    """

    finite: int
    one_side: int
    both: int
    one_sided: int | None
    largest: float
    worst: int
    ulp: int
    outside: int
    total: float
    dd: float
    aa: float
    bb: float
    ab: float


def numeric_error(a: Array, b: Array, tolerance: Tolerance, piece: int = PIECE) -> NumericError:
    """Compare [N, ...] with [N, ...] in float64 (integers exactly), `piece` elements at a time, in one pass.

    Int64 against uint64 has no common integer type in numpy and is compared in float64.

    Raises:
        ValueError: the shapes differ.
        Unsupported: a dtype other than bool, integers, float16, float32 and float64.
    """
    if a.shape != b.shape:
        raise ValueError(f"the shapes differ: {a.shape} and {b.shape}")
    for dtype in (a.dtype, b.dtype):
        if not comparable(dtype):
            raise Unsupported(f"{dtype} cannot be compared; only bool, integers, {', '.join(_FLOATS)} can")
    common = np.result_type(a.dtype, b.dtype)
    if common.kind == "b":
        common = np.dtype(np.uint8)
    largest: float = -1
    worst = one_sided = None
    parts = []
    with np.errstate(over="ignore", invalid="ignore"):
        for start, x, y in flat_pieces(a, b, piece):
            part = _part(x, y, common, tolerance)
            if one_sided is None and part.one_sided is not None:
                one_sided = start + part.one_sided
            if part.largest > largest:
                largest, worst = part.largest, start + part.worst
            parts.append(part)
    worst = one_sided if one_sided is not None else worst if largest > 0 else None
    finite, one_side, both = (sum(getattr(part, name) for part in parts) for name in ("finite", "one_side", "both"))
    elements = finite + one_side + both
    if not finite:
        return NumericError(elements, None, None, None, None, None, one_side, both, 0, _row(worst, a))
    total, dd, aa, bb, ab = (sum(getattr(part, name) for part in parts) for name in ("total", "dd", "aa", "bb", "ab"))
    return NumericError(
        elements=elements,
        max_abs=largest,
        mean_abs=total / finite,
        rms=math.sqrt(dd / finite),
        max_ulp=max(part.ulp for part in parts) if a.dtype.kind == b.dtype.kind == "f" else None,
        cosine=_cosine(ab, aa, bb),
        nonfinite_one_side=one_side,
        nonfinite_both=both,
        outside=sum(part.outside for part in parts),
        worst_sample=_row(worst, a),
    )


def comparable(dtype: np.dtype[Any]) -> bool:
    """Whether `numeric_error` takes it."""
    return dtype.kind in "biu" or dtype.name in _FLOATS


def _part(x: Array, y: Array, common: np.dtype[Any], tolerance: Tolerance) -> _Part:
    a, b = x.astype(np.float64), y.astype(np.float64)
    aa, bb = _product(a, a), _product(b, b)
    finite, one_side, both, one_sided = x.size, 0, 0, None
    # Finite sums of squares prove every element finite, which spares looking at each of them.
    if not math.isfinite(aa + bb):
        out = np.flatnonzero(~(np.isfinite(x) & np.isfinite(y)))
        same = (x[out] == y[out]) | (np.isnan(x[out]) & np.isnan(y[out]))
        both = int(np.count_nonzero(same))
        finite, one_side = x.size - out.size, out.size - both
        one_sided = int(out[same.argmin()]) if one_side else None
        x, y = x.copy(), y.copy()
        for side in (x, y, a, b):
            side[out] = 0  # on both sides: which changes nothing of what follows
        aa, bb = _product(a, a), _product(b, b)
    ab = _product(a, b)
    if common.kind == "f":
        difference = np.abs(np.subtract(a, b, out=a), out=a)
    else:
        difference = integer_distance(x.astype(common, copy=False), y.astype(common, copy=False))
    worst = int(difference.argmax())
    largest: float = difference[worst].item()
    if not largest:
        return _Part(finite, one_side, both, one_sided, largest, worst, 0, 0, 0.0, 0.0, aa, bb, ab)
    ulp = 0
    if common.kind == "f":
        ulp = _ulp_distance(x.astype(common, copy=False), y.astype(common, copy=False))
    else:
        difference = difference.astype(np.float64)
    outside = 0
    if largest > tolerance.atol:  # otherwise no element can be outside
        bound = np.abs(b, out=b)
        bound *= tolerance.rtol
        bound += tolerance.atol
        outside = int(np.count_nonzero(difference > bound))
    total, dd = float(difference.sum()), _product(difference, difference)
    return _Part(finite, one_side, both, one_sided, largest, worst, ulp, outside, total, dd, aa, bb, ab)


def _product(a: Array, b: Array) -> float:
    """The inner product in one thread: a BLAS would take several, and another sum with each count of them."""
    return float(np.einsum("i,i", a, b))


def integer_distance(x: Array, y: Array) -> Array:
    """|x − y| as unsigned integers of the same width, in which it always fits."""
    unsigned = np.dtype(f"u{x.dtype.itemsize}")
    return np.asarray(np.maximum(x, y).view(unsigned) - np.minimum(x, y).view(unsigned))


def _ulp_distance(x: Array, y: Array) -> int:
    """The largest count of representable steps between two floats of one place; both zeros are one value."""
    width = x.dtype.itemsize
    p, q = x.view(f"i{width}"), y.view(f"i{width}")
    steps = np.abs(p - q).view(f"u{width}")
    opposite = np.flatnonzero((p ^ q) < 0)
    if opposite.size:  # of two signs: the way to zero and on from there
        magnitude = np.iinfo(p.dtype).max
        steps[opposite] = (p[opposite] & magnitude).view(f"u{width}") + (q[opposite] & magnitude).view(f"u{width}")
    return int(steps.max())


def _cosine(ab: float, aa: float, bb: float) -> float | None:
    norms = math.sqrt(aa) * math.sqrt(bb)
    if norms == 0 or not math.isfinite(norms):
        return None
    return max(-1.0, min(1.0, ab / norms))


def _row(index: int | None, array: Array) -> int | None:
    return None if index is None else index // array[:1].size
