"""What a cell computes in, how far one rounding there moves a number, and how far all of them may move an output."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum


class Precision(StrEnum):
    """From fine to coarse, in which order two of them compare by `coarser`."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"
    TF32 = "tf32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"


_ROUNDOFF: Mapping[Precision, float] = {
    Precision.FLOAT64: 2.0**-53,
    Precision.FLOAT32: 2.0**-24,
    Precision.TF32: 2.0**-11,
    Precision.FLOAT16: 2.0**-11,
    Precision.BFLOAT16: 2.0**-8,
    Precision.INT8: 2.0**-6,
}

K: Mapping[Precision, float] = {
    Precision.FLOAT64: 8.0,
    Precision.FLOAT32: 8.0,
    Precision.TF32: 3.0,
    Precision.FLOAT16: 4.0,
    Precision.BFLOAT16: 2.0,
    Precision.INT8: 2.0,
}
FLOOR: Mapping[Precision, float] = {
    Precision.FLOAT64: 64.0,
    Precision.FLOAT32: 64.0,
    Precision.TF32: 4.0,
    Precision.FLOAT16: 4.0,
    Precision.BFLOAT16: 4.0,
    Precision.INT8: 16.0,
}
"""`K` and `FLOOR` are chosen from measurement: eight trained networks (ten outputs), photographs and noise, torch as
arbiter and yardstick, 23 faithful environments of nine engines in all of these precisions but float64 and TF32.

In float32, error / rounding is 0.5 to 1.9, but 3.1 where rounding is a mere 1 u of the RMS, and 16 (17 u of the RMS)
where torch sums 256 numbers pairwise and others in a row; error is at most 0.22 of the bound. Of 300 runs of sabotaged
copies, 296 have an error of 20 times the bound or more, and 4, whose fault these inputs do not reach, below 0.24 of it.
Coarser, error / (rounding · u / u of float32) is at most 0.76 in bfloat16; 1.6 in float16, by an engine that adds up in
float16 too; in int8 1.04, but 10 where rounding is a mere 1 u of the RMS.
"""
MOST = 0.75
"""No precision excuses an error of more than this share of the RMS: an output of zeros has an error of 1."""
WORST = 2.0
"""How many times K and FLOOR the largest single error may take, beside float32's largest and the largest number.

Measured on the same networks (1,000 to 5,500,000 elements): the largest error is 4 to 110 times the RMSE, by the kind
of output, but that of an engine beside float32's (with its perturbed runs) is as its RMSE beside float32's: 0.3 to 1.1
in float32, 3.2 where rounding is 1 u; 0.1 to 1.1 in bfloat16 and 0.1 to 0.9 in float16, a share of what each may have.
The largest of many varies more than their mean, hence the factor: on pictures faithful engines reach 0.07 of this bound
in float32, 0.12 in float16, 0.47 in bfloat16 and 0.14 in calibrated int8. One wrong element of a million is in no RMSE.
"""
INTEGER_FLOOR = 1e-5
"""Of half a million pixels labelled after float32 scores, faithful engines label none or one otherwise than float64.
Fewer than 100,000 integers must all be equal.
"""
INTEGER_MOST = 0.05
"""Where float32 has a share of integers otherwise than float64, K times as many are excused up to this share; beyond it
twice as many: of 16 labels float32 may turn one by chance, which excuses no 8.
"""

_NAMES: Mapping[str, Precision] = {
    "float64": Precision.FLOAT64,
    "f64": Precision.FLOAT64,
    "float32": Precision.FLOAT32,
    "f32": Precision.FLOAT32,
    "fp32": Precision.FLOAT32,
    "tf32": Precision.TF32,
    "float16": Precision.FLOAT16,
    "f16": Precision.FLOAT16,
    "fp16": Precision.FLOAT16,
    "bfloat16": Precision.BFLOAT16,
    "bf16": Precision.BFLOAT16,
    "int8": Precision.INT8,
    "uint8": Precision.INT8,
    "int16": Precision.INT8,
}
"""How options and engines spell them. Where activations are int16, weights are int8."""
_OPTIONS: Mapping[str, Precision] = {**_NAMES, "dynamic": Precision.INT8}
_TOLD = re.compile(r"^(\w+)(?= \(|$)|[;,] (\w+)(?=: \d)")
"""`float32`, or `int8 (36 of 40 convolutions and products; float32: 4)`."""
_NOTED = re.compile(r"(?:\d (?:\w+|%)|may compute float32 \w+) in (\w+)")
"""`12 Convolution in bfloat16`, `97 % in int8`, `may compute float32 products in TF32`."""


def unit_roundoff(precision: Precision) -> float:
    """The largest relative error of one rounding to nearest: half the distance from 1 to the next number.

    2^−t for t significant bits (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed. 2002, §2.1): 53 bits
    for float64, 24 for float32, 11 for TF32 and float16, 8 for bfloat16. Int8 has steps of one size, so its error is
    relative to the whole tensor: 256 steps over a range of about 8 RMS (±4 standard deviations) are RMS/32 wide, and
    rounding moves a number by half of one, 2^−6 of the RMS.
    """
    return _ROUNDOFF[precision]


def coarser(*precisions: Precision) -> Precision:
    """The last of them in the order of `Precision`."""
    return max(precisions, key=list(Precision).index)


def declared(
    backend_options: Mapping[str, object],
    actual: str | None,
    model: Precision = Precision.FLOAT32,
    note: str | None = None,
) -> Precision:
    """What a cell is to be judged as: the coarsest of what was asked for, what the engine told, and the model's own.

    `backend_options` are all options by name (`deltann.backend.settings`), of which `precision` is read; `actual` and
    `note` are what the engine told under the keys "precision" and "note" (`deltann.backend.ACTUAL`). Every type that
    they count counts (of `int8 (36 of 40 …; float32: 4)` int8), and nothing else that they say: an operator may be
    called after a type. `model` is the coarsest floating type that the model's file holds, to which numbers are
    rounded whatever computes them. A word that is no known type says nothing.
    """
    asked = _OPTIONS.get(str(backend_options.get("precision")).lower(), model)
    counted = [word for match in _TOLD.finditer(actual or "") for word in match.groups() if word]
    counted += _NOTED.findall(note or "")
    return coarser(model, asked, *(_NAMES[word.lower()] for word in counted if word.lower() in _NAMES))


def bound(rounding: float, scale: float, precision: Precision) -> float:
    """The largest RMSE of a sound output, against float64, where float32 has `rounding` and float64 an RMS of `scale`.

    K · rounding · u_p / u_float32 + FLOOR · u_p · scale, with u_p of `unit_roundoff`, and MOST · scale at most.
    """
    unit = unit_roundoff(precision)
    scaled = K[precision] * rounding * unit / unit_roundoff(Precision.FLOAT32) + FLOOR[precision] * unit * scale
    return min(scaled, MOST * scale)


def integer_bound(rounding: float, precision: Precision) -> float:
    """The largest share of integers unequal to float64's in a sound output, where float32 has the share `rounding`."""
    return max(2 * rounding, min(K[precision] * rounding, INTEGER_MOST)) + INTEGER_FLOOR


def worst_bound(worst: float, peak: float, precision: Precision) -> float:
    """The largest single error of a sound output, where float32's is `worst` and the largest number of float64 `peak`.

    As `bound`, with WORST times its K and FLOOR, the two largest in place of RMSE and RMS. Where float32 itself is off
    by more than MOST of the largest number in some place, an output as far off is not unsound by that.
    """
    unit = unit_roundoff(precision)
    scaled = K[precision] * worst * unit / unit_roundoff(Precision.FLOAT32) + FLOOR[precision] * unit * peak
    return min(WORST * scaled, max(MOST * peak, WORST * worst))
