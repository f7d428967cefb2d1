"""How sure a count makes one."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist


def proportion_interval(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of the proportion that k of n trials estimate: Wilson's score interval (JASA 1927).

    Without continuity correction. (scipy.stats has it too, but takes most of a second to import.)

    Raises:
        ValueError: no trials, or k outside 0..n.
    """
    if not 0 <= k <= n or n < 1:
        raise ValueError(f"{k} of {n} trials is no proportion")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * sqrt(k * (n - k) / n + z * z / 4)
    return (0.0 if k == 0 else centre - half, 1.0 if k == n else centre + half)
