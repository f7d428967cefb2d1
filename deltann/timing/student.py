"""Student's t distribution for whole degrees of freedom, without the half second that importing scipy takes."""

from __future__ import annotations

import math


def two_sided(t: float, freedom: int) -> float:
    """P(|T| ≥ |t|), accurate to about 1e-15; NaN for NaN (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4)."""
    if math.isnan(t):
        return math.nan
    angle = math.atan2(abs(t), math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = freedom % 2 == 1
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    inside = (angle + sine * total) * 2 / math.pi if odd else sine * total
    return min(1.0, max(0.0, 1 - inside))


def critical(confidence: float, freedom: int) -> float:
    """The t with P(|T| < t) = `confidence`, by bisection."""
    low, high = 0.0, 1.0
    while 1 - two_sided(high, freedom) < confidence:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        if 1 - two_sided(middle, freedom) < confidence:
            low = middle
        else:
            high = middle
    return high
