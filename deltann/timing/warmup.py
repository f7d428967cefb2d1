"""Where the first, slower part of each process's life ends."""

from __future__ import annotations

import numpy as np

from deltann.timing.series import Series

LEAST_RISE = 0.02
"""A rise of under 2 % over the steady time is not called warm-up."""

SPREADS = 3.0
STANDARD_ERRORS = 4.0


def warm_up(series: Series) -> int | None:
    """How many slices at the beginning of every round are warm-up; None where even the second half is not steady yet.

    Warm-up comes again in every fresh process; a disturbance from outside does not come at the same slice each time.
    So it is looked for in the *profile*: the time of slice i over the time of its round's second half, median over
    the rounds. Warm-up lasts until two slices running lie no more than 2 % (or three times the scatter from slice to
    slice, if that is more) above the second half, and to the half at most. The second half itself is not steady, and
    nothing can be said of the steady time, where its own first part is slower than its last part by more than 2 %
    and by more than four standard errors over the rounds, in every round.

    All rounds must hold 4 slices or more. Of simulated series without warm-up (`benchmarks/simulated_times.py`) 3 to
    19 in 100 lose a slice or more needlessly, which costs little, and at most 4 in 1,000 are not found steady.
    """
    slices: int = min(seconds.shape[0] for seconds in series.rounds)
    half = slices // 2
    quarter = half + (slices - half) // 2
    logs = np.log([np.median(seconds[:slices], axis=1) for seconds in series.rounds])
    logs -= np.median(logs[:, half:], axis=1, keepdims=True)
    falls = np.median(logs[:, half:quarter], axis=1) - np.median(logs[:, quarter:], axis=1)
    error = float(falls.std(ddof=1)) / np.sqrt(falls.size) if falls.size > 1 else np.inf
    if bool((falls > 0).all()) and float(np.median(falls)) > max(LEAST_RISE, STANDARD_ERRORS * error):
        return None
    profile = np.median(logs, axis=0)
    # From the differences of neighbours, so that a slow drift does not count as scatter.
    scatter = 1.4826 * float(np.median(np.abs(np.diff(profile[half:])))) / np.sqrt(2)
    steady = profile <= max(LEAST_RISE, SPREADS * scatter)
    begins = np.flatnonzero(steady[:-1] & steady[1:])
    return min(int(begins[0]), half) if begins.size > 0 else half
