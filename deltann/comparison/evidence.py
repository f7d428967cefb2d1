"""What is known beyond the outputs themselves: the arbiter's, the same cell's again, and those of sabotaged models.

Plain data, read from a stored run by `deltann.evidence.stored`; the judging functions beside this module take it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deltann.comparison.rows import Array

Outputs = Mapping[str, Array]


@dataclass(frozen=True)
class Arbitration:
    """The graph of one model in float64 (the arbiter) and in float32 (the yardstick), by one engine.

    `samples` [M]: which of the run's samples, as indices; the first `chosen` of them were chosen before any output was
    seen, the others because a label flipped there or a difference was largest. `float64`, `float32` and each of
    `perturbed` hold every output [M, …] for those samples, by the model's own output names; outputs of which one
    array holds all samples of a batch are left out. `perturbed`: the float32 graph with each intermediate value
    rounded at random, up or down.
    """

    environment: str
    samples: npt.NDArray[np.int64]
    chosen: int
    float64: Outputs
    float32: Outputs
    perturbed: tuple[Outputs, ...] = ()

    def chosen_alone(self) -> Arbitration:
        """The part about the samples chosen beforehand, as if they were all the samples there are."""
        parts = [
            {name: array[: self.chosen] for name, array in outputs.items()}
            for outputs in (self.float64, self.float32, *self.perturbed)
        ]
        return Arbitration(self.environment, np.arange(self.chosen), self.chosen, parts[0], parts[1], tuple(parts[2:]))


@dataclass(frozen=True)
class Sabotaged:
    """A copy of the model with one fault: `kind` is one of the six classes in which converters really fail.

    `outputs` [K, …] are of the first K of the arbiter's chosen samples; None where the copy did not run, for the
    `reason`: anybody notices that on any inputs, so that it says nothing of these.
    """

    name: str
    kind: str
    description: str
    outputs: Outputs | None
    reason: str = ""


@dataclass(frozen=True)
class Sabotage:
    """Sabotaged copies, all run by `environment`, and what it makes of the model as it is (`sound` [K, …])."""

    environment: str
    sound: Outputs
    copies: tuple[Sabotaged, ...]
