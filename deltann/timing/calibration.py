"""What this machine can tell: its false-positive rate and the smallest slowdown it detects, from A/A measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deltann.comparison.statistics import proportion_interval
from deltann.errors import UsageError
from deltann.timing.estimate import slowdown
from deltann.timing.series import Series
from deltann.timing.student import critical
from deltann.timing.verdict import CONFIRMING_P, MARGIN, check_margin, looks_different, to_confirm

SCHEMA = 1
FEWEST_EXPERIMENTS = 5
CONFIDENCE = 0.95
DETECTION = 0.95
STEP, LARGEST = 0.005, 1.0
DRAWS = 4000
MACHINE = ("node", "cpu", "cores")
"""What tells machines apart, of `deltann.host.host()`."""


@dataclass(frozen=True)
class Calibration:
    """What `experiments` comparisons of an environment with itself (A/A) say of the machine that ran them.

    `false_positives`: how many looked slower or faster in one measurement, before confirmation, which makes it about
    the square of that rate; [low, high] is the rate's 95 % Wilson interval. `unusable`: further A/A comparisons whose
    data allowed no estimate. `detectable`: the smallest slowdown that, confirmation included, is beyond doubt at least
    95 % of the time with that many `rounds` (infinite: none up to 100 %). `spread`: standard deviation of the log time
    ratio from round to round. `host`: `deltann.host.host()`. `ratios`: that log in each round of all experiments.
    """

    experiments: int
    unusable: int
    rounds: int
    false_positives: int
    low: float
    high: float
    detectable: float
    spread: float
    margin: float
    percentile: float
    host: Mapping[str, Any]
    ratios: tuple[float, ...] = ()

    def detectable_with(self, rounds: int) -> float:
        """As `detectable`, had each experiment so many `rounds`: with more of them, less is detected."""
        return _detectable(np.array(self.ratios), rounds) if self.ratios else self.detectable

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; an infinite `detectable` is null."""
        data = {"schema": SCHEMA, **asdict(self), "ratios": list(self.ratios), "host": dict(self.host)}
        return data | {"detectable": self.detectable if math.isfinite(self.detectable) else None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        """Read what `to_json` made.

        Raises:
            UsageError: it is of another schema, or damaged.
        """
        if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
            raise UsageError("no calibration that this deltann reads: calibrate again (deltann bench --calibrate)")
        fields = {key: value for key, value in data.items() if key != "schema"}
        if fields.get("detectable", 0) is None:
            fields["detectable"] = math.inf
        try:
            calibration = cls(**fields | {"ratios": tuple(fields["ratios"])})
            single = [value for key, value in fields.items() if key not in ("host", "ratios")]
            sound = all(
                isinstance(value, (int, float)) and not math.isnan(value) for value in (*single, *calibration.ratios)
            )
        except (TypeError, KeyError):
            sound = False
        if not sound or not isinstance(calibration.host, Mapping):
            raise UsageError("a damaged calibration: calibrate again (deltann bench --calibrate)")
        return calibration

    def holds_for(self, host: Mapping[str, Any]) -> bool:
        """Whether `host` is the machine that this was measured on."""
        return same_machine(self.host, host)


def same_machine(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two `deltann.host.host()` are of one machine: same name, processor and number of cores."""
    return all(one.get(key) == other.get(key) for key in MACHINE)


def calibrate(
    experiments: Sequence[tuple[Series, Series]],
    host: Mapping[str, Any],
    margin: float = MARGIN,
    percentile: float = 50.0,
) -> Calibration:
    """Make a calibration of A/A experiments: pairs of series of one environment, measured as any two would be.

    For `detectable`, whole experiments and their confirmations are drawn from the rounds of all of them (with
    replacement, by a fixed seed, and with a random sign, since neither side is first), and every time of one side is
    scaled by 1 + s.

    Raises:
        UsageError: fewer than 5 experiments hold enough data.
    """
    check_margin(margin)
    estimates = [slowdown(candidate, reference, percentile, CONFIDENCE) for candidate, reference in experiments]
    usable = [estimate for estimate in estimates if estimate.enough is None]
    if len(usable) < FEWEST_EXPERIMENTS:
        why = next((f" (the first without: {e.enough})" for e in estimates if e.enough is not None), "")
        raise UsageError(
            f"calibration takes {FEWEST_EXPERIMENTS} A/A experiments with enough data, there are {len(usable)}{why}: "
            "give it more time"
        )
    flagged = sum(bool(to_confirm({("", ""): estimate}, margin)) for estimate in usable)
    low, high = proportion_interval(flagged, len(usable))
    ratios = tuple(ratio for estimate in usable for ratio in estimate.ratios)
    rounds = min(estimate.rounds for estimate in usable)
    return Calibration(
        experiments=len(usable),
        unusable=len(estimates) - len(usable),
        rounds=rounds,
        false_positives=flagged,
        low=low,
        high=high,
        detectable=_detectable(np.array(ratios), rounds),
        spread=float(np.sqrt(np.mean(np.square(ratios)))),
        margin=margin,
        percentile=percentile,
        host=host,
        ratios=ratios,
    )


def _detectable(ratios: npt.NDArray[np.float64], rounds: int) -> float:
    rng = np.random.default_rng(0)
    drawn = rng.choice(ratios, (2, DRAWS, rounds)) * rng.choice([-1.0, 1.0], (2, DRAWS, rounds))
    centre = drawn.mean(axis=2)
    error = drawn.std(axis=2, ddof=1) / np.sqrt(rounds)
    # Two-sided, of the first measurement and of the one that confirms it.
    alphas = (1 - CONFIDENCE, CONFIRMING_P)
    needed = np.array([[critical(1 - alpha, rounds - 1)] for alpha in alphas]) * error
    for step in range(1, round(LARGEST / STEP) + 1):
        shifted = centre + math.log1p(step * STEP)
        # That the margin is possible is granted: of a slowdown as large as the margin, even a perfect machine's
        # intervals deny it now and then, and what is asked for here is the machine's part.
        found = looks_different(shifted > needed, shifted, math.inf, step * STEP).all(axis=0)
        if found.mean() >= DETECTION:
            return round(step * STEP, 6)
    return math.inf
