"""The measured times of one environment, and what makes such data unfit to judge by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]

FEWEST_ROUNDS = 5
"""A process keeps its luck (where its memory lies, say) for life, so a round counts once however often it runs."""

FEWEST_SLICES = 8
"""Half of a round must show whether the other half was warm-up."""

SHORTEST_RUN = 1e-6
"""Seconds. Reading a clock takes some 50 ns and calling a run as much again: below this they are what is measured."""

LONGEST_RUN = 1000.0
"""Times the round's median. A busy machine holds a run up for some 10 ms; a run this long, and of a second at least,
is a clock put forward or a machine that slept."""


@dataclass(frozen=True)
class Series:
    """Times of one environment: per round (a fresh process) an array of seconds [slices, runs].

    Slice i of every environment of one round was measured next to slice i of the others, in random order; so what
    disturbs the machine for longer than a slice disturbs all of them. Environments may differ in runs, not in slices.
    """

    environment: str
    rounds: tuple[Seconds, ...]


def unfit(candidate: Series, reference: Series) -> str | None:
    """Why these times cannot be compared, in one line; None if they can."""
    for series in (candidate, reference):
        for number, seconds in enumerate(series.rounds, 1):
            problem = _unfit_round(seconds)
            if problem:
                return f"{series.environment}, round {number}: {problem}"
    ours, theirs = ([seconds.shape[0] for seconds in series.rounds] for series in (candidate, reference))
    if len(ours) != len(theirs):
        return f"unequal data: {len(ours)} rounds of {candidate.environment}, {len(theirs)} of {reference.environment}"
    if len(ours) < FEWEST_ROUNDS:
        return f"not enough samples: {_count(len(ours), 'round')}, {FEWEST_ROUNDS} are needed"
    for number, (here, there) in enumerate(zip(ours, theirs, strict=True), 1):
        if here != there:
            return (
                f"unequal data: round {number} has {_count(here, 'slice')} of {candidate.environment} "
                f"and {there} of {reference.environment}"
            )
    if min(ours) < FEWEST_SLICES:
        return f"not enough samples: {_count(min(ours), 'slice')} in a round, {FEWEST_SLICES} are needed"
    for series in (candidate, reference):
        if all(seconds.min() == seconds.max() for seconds in series.rounds):
            return f"{series.environment}: all runs take exactly equal times, which no clock fine enough would say"
    return None


def _unfit_round(seconds: Seconds) -> str | None:
    if seconds.ndim != 2 or seconds.size == 0:
        return "not enough samples: no run"
    if not np.isfinite(seconds).all():
        return "a time is not a finite number"
    least, most, median = float(seconds.min()), float(seconds.max()), float(np.median(seconds))
    if least <= 0:
        return f"a run took {least:.3g} s: the clock jumped or is too coarse"
    if least < SHORTEST_RUN:
        return f"a run took {least * 1e9:.0f} ns: under 1 µs a clock cannot tell; time larger batches"
    if most > max(1.0, LONGEST_RUN * median):
        return f"a run took {most:.3g} s among runs of {median:.3g} s: the clock jumped or the machine slept"
    return None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
