"""Simulated times: what a shared machine does to the measurement of two environments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deltann.timing.series import Series


@dataclass(frozen=True)
class Machine:
    """Noise, as standard deviations of log times unless said otherwise.

    `process`: luck of a process, for life. `run`: each run. `drift`: slow changes that hit neighbours alike. `burst`:
    a run beside a busy neighbour, whose bursts last some slices, takes up to (1 + burst) times as long. `frequency`:
    the log ratio of two clock rates. `steal`: the share of runs that the processor is taken from.
    """

    process: float = 0.02
    run: float = 0.05
    drift: float = 0.05
    burst: float = 0.0
    frequency: float = 0.0
    steal: float = 0.01


MACHINES = {
    "quiet": Machine(process=0.005, drift=0.01),
    "plain": Machine(),
    "unlucky processes": Machine(process=0.03),
    "busy neighbour": Machine(process=0.015, burst=3.0),
    "two clock rates": Machine(process=0.015, frequency=0.3),
    "stolen time": Machine(process=0.015, steal=0.1),
    "all at once": Machine(process=0.02, run=0.2, burst=1.0, frequency=0.2, steal=0.05),
}


def simulate(
    seed: int,
    machine: Machine = MACHINES["plain"],
    slowdown: float = 0.0,
    warm_up: tuple[float, float] = (0.0, 0.0),
    rounds: int = 5,
    slices: int = 24,
    runs: int = 6,
    seconds: float = 2e-3,
) -> tuple[Series, Series]:
    """(candidate, reference): `slowdown` is the candidate's; `warm_up` how much longer the very first runs take."""
    rng = np.random.default_rng(seed)
    every = rounds * slices
    walk = machine.drift * rng.standard_normal(every).cumsum() / np.sqrt(every)
    rate = machine.frequency * ((rng.random(every) < 0.05).cumsum() % 2)
    busy = rng.random(every // 3 + 1).repeat(3)[:every] < 0.4
    shape = (2, every, runs)
    logs = np.log(seconds) + (walk + rate)[None, :, None] + machine.run * rng.standard_normal(shape)
    logs = logs + machine.process * rng.standard_normal((2, rounds)).repeat(slices, axis=1)[:, :, None]
    hit = rng.random(shape) < rng.random((2, every, 1))
    logs = logs + np.log1p(machine.burst * rng.random(shape)) * (busy[None, :, None] & hit)
    logs = logs + (rng.random(shape) < machine.steal) * np.log1p(rng.exponential(3.0, shape))
    cold = np.exp(-np.arange(slices) / 2)[None, None, :, None]
    parts = logs.reshape(2, rounds, slices, runs) + np.log1p(np.array(warm_up)[:, None, None, None] * cold)
    times = np.exp(parts)
    times[0] *= 1 + slowdown
    candidate, reference = (Series(name, tuple(part)) for name, part in zip(("new", "old"), times, strict=True))
    return candidate, reference
