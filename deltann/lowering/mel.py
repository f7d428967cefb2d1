"""The mel filters of MelWeightMatrix: numpy only.

Source: the ONNX definition of MelWeightMatrix and its reference implementation in `onnx.reference`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def mel_weights(bins: int, length: int, rate: int, low: float, high: float) -> npt.NDArray[np.float64]:
    """Triangular filters `[length // 2 + 1, bins]` over the spectrum of a transform of `length` samples.

    `rate` is in samples a second, `low` and `high` in hertz; mel(f) = 2595 log10(1 + f / 700).
    """
    mels = 2595.0 * np.log10(1.0 + np.array([low, high]) / 700.0)
    edges = mels[0] + np.arange(bins + 2) * ((mels[1] - mels[0]) / (bins + 2))
    at = np.floor((length + 1) * 700.0 * (10.0 ** (edges / 2595.0) - 1.0) / rate)
    lower, centre, upper = at[:-2], at[1:-1], at[2:]
    k = np.arange(length // 2 + 1, dtype=np.float64)[:, None]
    # A filter may have no width on one side: what divides by it there is not chosen.
    with np.errstate(divide="ignore", invalid="ignore"):
        rising = np.where(centre == lower, k == centre, (k - lower) / (centre - lower))
        falling = (upper - k) / (upper - centre)
    weights = np.where(k <= centre, rising, falling)
    return np.where((k >= lower) & (k < upper) | (k == centre), weights, 0.0)
