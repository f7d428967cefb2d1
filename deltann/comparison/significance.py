"""Whether a difference may be chance, and what asking many times does to that.

A few lines each; `scipy.stats` has the same, but its import takes longer than a whole judging.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb


def mcnemar(first_only: int, second_only: int) -> float:
    """The two-sided p-value of McNemar's exact test (Psychometrika 1947; the binomial form).

    Of the samples that one classifier gets right and the other wrong, `first_only` are the first one's. Where both
    are as good, each of them falls to either side like a coin.

    Raises:
        ValueError: a count below 0.
    """
    if first_only < 0 or second_only < 0:
        raise ValueError(f"{first_only} and {second_only} are no counts")
    trials, fewer = first_only + second_only, min(first_only, second_only)
    term = tail = 1.0
    for k in range(fewer, 0, -1):  # each probability as a multiple of that of `fewer`, which is the largest
        term *= k / (trials - k + 1)
        tail += term
    return min(1.0, 2 * float(comb(trials, fewer) / (1 << trials)) * tail)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values (Holm, Scand. J. Statist. 1979): the level they are read at holds for all of them together."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, most = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        most = max(most, min(1.0, p_values[index] * (len(p_values) - place)))
        adjusted[index] = most
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values (Benjamini and Hochberg, JRSS B 1995): of those below a level, that share is expected false."""
    order = sorted(range(len(p_values)), key=lambda index: -p_values[index])
    adjusted, least = [0.0] * len(p_values), 1.0
    for place, index in enumerate(order):
        least = min(least, p_values[index] * (len(p_values) / (len(p_values) - place)))
        adjusted[index] = least
    return adjusted
