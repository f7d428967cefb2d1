"""Real numbers to a tensor's integers and back, by its scale and zero point: real = scale · (integer − zero point).

That is TFLite's 8-bit specification, https://ai.google.dev/edge/litert/models/quantization_spec. It leaves open how
ties are rounded: to even here, as LiteRT's QUANTIZE does with its optimised kernels (XNNPACK's and its own); its
reference kernel rounds them away from zero. XNNPACK multiplies by the reciprocal of the scale, so that where a scale
is no power of two, quotients within a rounding error of a tie may fall to the other side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from deltann.tflite_model import Port


def quantise(port: Port, real: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The integers of `port`'s type that stand for `real`: float32 quotients, rounded half to even, saturated.

    Raises:
        ValueError: a NaN, for which no integer stands.
    """
    if np.isnan(real).any():
        raise ValueError(f"'{port.name}' is quantised, and its values hold NaN, for which no {port.dtype} stands")
    limits = np.iinfo(port.dtype)
    quotient = np.rint(np.asarray(real, np.float32) / np.float32(port.scale or 1))
    # In float64, which holds the sum exactly; infinities saturate.
    integers = np.clip(quotient.astype(np.float64) + port.zero_point, limits.min, limits.max)
    return np.asarray(integers, port.dtype)


def dequantise(port: Port, integers: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The reals, in float32, that `port`'s integers stand for."""
    offset = integers.astype(np.float64) - port.zero_point
    return np.asarray(offset * np.float64(np.float32(port.scale or 1)), np.float32)
