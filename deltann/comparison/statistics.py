"""How sure a count makes one. (scipy.stats takes most of a second to import, so only functions import it.)"""

from __future__ import annotations


def proportion_interval(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (without continuity correction) of the proportion that k of n trials estimate.

    Raises:
        ValueError: no trials, or k outside 0..n.
    """
    from scipy.stats import binomtest

    interval = binomtest(k, n).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)
