"""A cell against itself: what the same executable makes of the same samples when it runs them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from deltann.comparison.evidence import Outputs
from deltann.comparison.numeric import comparable, numeric_error
from deltann.comparison.rows import Array, root_mean_square, row_blocks, without_trailing_ones
from deltann.comparison.tolerance import Tolerance, Tolerances
from deltann.tasks import Task, infer_task
from deltann.tasks.classification import predictions


@dataclass(frozen=True)
class OutputNoise:
    """One output over all repeats, of which each number is the largest.

    `samples`: rows that were run again. `identical`: all repeats are equal bit by bit. `max_abs` and `rms` are of the
    difference over elements that are finite both times, in the output's unit; `outside` counts elements outside the
    tolerance, with those finite one time only; `labels_changed` counts samples that got another class (0 where the
    output is no classification). `problem`: why there is nothing to compare (a missing, extra or reshaped output), in
    one line; the numbers are then 0 and `identical` is False.
    """

    output: str
    samples: int
    identical: bool
    max_abs: float = 0.0
    rms: float = 0.0
    labels_changed: int = 0
    outside: int = 0
    problem: str | None = None

    @property
    def beyond(self) -> bool:
        """Whether the cell differs from itself beyond the tolerance."""
        return bool(self.outside or self.labels_changed or self.problem is not None)


def self_noise(
    outputs: Outputs, repeats: Sequence[Outputs], tolerances: Tolerances, tasks: Mapping[str, Task] | None = None
) -> tuple[OutputNoise, ...]:
    """Compare the first samples of `outputs` [N, …] with each of `repeats` [K, …], K <= N; in the order of `outputs`.

    Outputs that only a repeat has come last. `tasks` overrides what `infer_task` says of an output. The default
    tolerance is a share of the RMS over the K samples. Empty where there are no repeats.
    """
    if not repeats:
        return ()
    extra = dict.fromkeys(name for repeat in repeats for name in repeat if name not in outputs)
    found = [_noise(name, outputs, repeats, tolerances, (tasks or {}).get(name)) for name in outputs]
    return (*found, *(OutputNoise(name, 0, False, problem="it is there in a repeat only") for name in extra))


def describe(noise: OutputNoise) -> str | None:
    """What the noise is, in one line without the output's name; None where all repeats are equal bit by bit."""
    if noise.identical:
        return None
    if noise.problem is not None:
        return f"run again, {noise.problem}"
    if not noise.max_abs and not noise.outside:
        return f"{noise.samples} samples run again differ in no value, but in bits (signs of zeros, kinds of NaN)"
    text = f"{noise.samples} samples run again differ by up to {noise.max_abs:.2g} ({noise.rms:.2g} RMS)"
    counted = [(noise.outside, "elements outside the tolerance"), (noise.labels_changed, "labels changed")]
    return "; ".join([text, *(f"{count} {what}" for count, what in counted if count)])


def _noise(
    name: str, outputs: Outputs, repeats: Sequence[Outputs], tolerances: Tolerances, task: Task | None
) -> OutputNoise:
    if problem := next(filter(None, (_problem(outputs[name], repeat.get(name)) for repeat in repeats)), None):
        return OutputNoise(name, 0, False, problem=problem)
    samples = max(len(repeat[name]) for repeat in repeats)
    again = [(np.asarray(outputs[name][: len(repeat[name])]), np.asarray(repeat[name])) for repeat in repeats]
    again = [(x, y) for x, y in again if not _same_bits(x, y)]
    if not again:
        return OutputNoise(name, samples, True)
    if not comparable(outputs[name].dtype):
        return OutputNoise(name, samples, False, problem=f"its {outputs[name].dtype} numbers are others")
    errors = [numeric_error(y, x, _tolerance(name, x, tolerances)) for x, y in again]
    meant = task or infer_task(outputs[name])
    changed = [_labels_changed(x, y) for x, y in again] if meant is Task.CLASSIFICATION else [0]
    return OutputNoise(
        output=name,
        samples=samples,
        identical=False,
        max_abs=max(error.max_abs or 0.0 for error in errors),
        rms=max(error.rms or 0.0 for error in errors),
        labels_changed=max(changed),
        outside=max(error.outside + error.nonfinite_one_side for error in errors),
    )


def _problem(first: Array, again: Array | None) -> str | None:
    if again is None:
        return "it is missing"
    if first.dtype != again.dtype:
        return f"it is {again.dtype} instead of {first.dtype}"
    if not (first.ndim and again.ndim):
        return "it has no sample axis"
    if first.shape[1:] != again.shape[1:]:
        return f"a sample has the shape {list(again.shape[1:])} instead of {list(first.shape[1:])}"
    if len(again) > len(first):
        return f"it has {len(again)} samples, more than the {len(first)} there were"
    return None if again.size else "it is empty"


def _same_bits(x: Array, y: Array) -> bool:
    return all(x[block].tobytes() == y[block].tobytes() for block in row_blocks(len(x), x[:1].size))


def _tolerance(name: str, x: Array, tolerances: Tolerances) -> Tolerance:
    return tolerances.of(name, x.dtype, x.dtype, root_mean_square(x))


def _labels_changed(x: Array, y: Array) -> int:
    ours, theirs = (predictions(without_trailing_ones(scores)).label for scores in (x, y))
    return int(np.count_nonzero(ours != theirs))
