"""What is asked of a bench."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from deltann import registry
from deltann.environment import Environment
from deltann.errors import UsageError
from deltann.timing.estimate import runs_needed
from deltann.timing.neighbours import parse_cpus
from deltann.timing.verdict import MARGIN

BUDGET_S = 60.0


@dataclass(frozen=True)
class Options:
    """`margin`: the slowdown, as a share, that must not go unnoticed. `percentile`: of runs, 50 being the median.

    `budget`: seconds that measuring may take in all; the fewest rounds are done whatever it is. `reference`: the
    environment (a spec) that the others are timed against, the first one where None. `pin`: processors that the
    environments may use, all where empty. `seed` decides the random order.
    """

    margin: float = MARGIN
    budget: float = BUDGET_S
    percentile: float = 50.0
    reference: str | None = None
    pin: tuple[int, ...] = ()
    seed: int = 0

    @classmethod
    def of(
        cls,
        margin: float | str = MARGIN,
        budget: float = BUDGET_S,
        percentile: float = 50.0,
        reference: str | None = None,
        pin: str | None = None,
    ) -> Options:
        """From the command line's texts.

        Raises:
            UsageError: one of them is out of range or cannot be read.
        """
        if not 0 < budget < math.inf:
            raise UsageError(f"--budget {budget:g}: give seconds, more than 0")
        runs_needed(percentile)
        cpus = () if pin is None else parse_cpus(pin)
        spec = None if reference is None else str(Environment.parse(reference))
        return cls(parse_margin(margin), float(budget), float(percentile), spec, cpus)

    def judged_by(
        self, margin: float | str | None = None, percentile: float | None = None, reference: str | None = None
    ) -> Options:
        """The same measurement judged by another margin, percentile or reference, each kept where None.

        Raises:
            UsageError: as `of`.
        """
        new = Options.of(
            self.margin if margin is None else margin,
            percentile=self.percentile if percentile is None else percentile,
            reference=self.reference if reference is None else reference,
        )
        return replace(self, margin=new.margin, percentile=new.percentile, reference=new.reference)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Options:
        """The opposite of `to_json`.

        Raises:
            TypeError, ValueError, KeyError: `data` holds something else.
        """
        numbers = {key: float(data[key]) for key in ("margin", "budget", "percentile")}
        reference = None if data["reference"] is None else str(data["reference"])
        return cls(**numbers, reference=reference, pin=tuple(map(int, data["pin"])), seed=int(data["seed"]))


def parse_margin(text: float | str) -> float:
    """A share, from `5%` or `0.05`.

    Raises:
        UsageError: not a number, not above 0, or above 100 %.
    """
    written = str(text).strip()
    try:
        value = float(written.removesuffix("%")) / (100 if written.endswith("%") else 1)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:
        raise UsageError(f"--margin {text}: write a share above 0 and up to 100%, such as 5% or 0.05")
    return value


def with_threads(environments: Sequence[Environment], threads: int) -> tuple[Environment, ...]:
    """The environments, each with its option `threads` set.

    Raises:
        UsageError: `threads` is below 1, an environment has no such option, or sets it itself.
    """
    if threads < 1:
        raise UsageError(f"--threads {threads}: give at least 1")
    without = []
    for environment in environments:
        if "threads" in dict(environment.options):
            raise UsageError(f"--threads {threads} and {environment}: the environment sets it too; drop one")
        try:
            if "threads" not in registry.get(environment.backend).options:
                without.append(str(environment))
        except registry.BrokenBackend:
            pass  # told as that environment's outcome
    if without:
        raise UsageError(
            f"--threads {threads}: {', '.join(without)} has no option 'threads'; leave out one or the other"
        )
    return tuple(replace(e, options=tuple(sorted((*e.options, ("threads", str(threads)))))) for e in environments)
