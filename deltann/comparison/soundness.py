"""Whether a candidate is as near to float64 (the arbiter) as its precision allows; float32 is the yardstick."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deltann.comparison.evidence import Arbitration, Outputs
from deltann.comparison.precision import MOST, Precision, bound, integer_bound, unit_roundoff, worst_bound
from deltann.comparison.rows import Array, row_blocks, without_trailing_ones

_INTEGERS = "biu"
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_LARGEST_FLOAT16 = 65504.0


@dataclass(frozen=True)
class Soundness:
    """One output of a candidate beside the arbiter's, on the `samples` rows that the arbiter ran.

    `error` and `rounding` are the RMSE against float64 of the candidate and of the yardstick, `perturbed` the largest
    of the yardstick's perturbed runs (None: there are none), all in the output's unit, over elements that are finite on
    all sides. Of an integer or bool output they are shares of elements unequal to the arbiter's. `worst` is the largest
    single error of the candidate, `worst_rounding` that of the yardstick and its perturbed runs; None of integers.

    `sound`: error <= bound and worst <= worst_bound (one wrong element of a million is in no RMSE), and nothing
    non-finite that should be finite or the other way round (`nonfinite` counts such elements). False without any number
    where the output is missing or no array as the arbiter's, for the reason `unlike`; None where it could not be
    judged, for the reason `unjudged` (of integers that differ more than their bound, but may by what is rounded before
    them, `error` and `bound` are known all the same). `ratio` is error / rounding, None where rounding is 0.
    """

    output: str
    samples: int
    precision: Precision
    error: float | None = None
    rounding: float | None = None
    perturbed: float | None = None
    bound: float | None = None
    ratio: float | None = None
    nonfinite: int = 0
    sound: bool | None = None
    unjudged: str | None = None
    unlike: str | None = None
    worst: float | None = None
    worst_rounding: float | None = None
    worst_bound: float | None = None

    @property
    def may_turn(self) -> bool:
        """Whether these are integers that may come from comparisons of numbers rounded more coarsely than float32."""
        coarse = unit_roundoff(self.precision) > unit_roundoff(Precision.FLOAT32)
        return coarse and self.error is not None and self.worst is None


class Apart(NamedTuple):
    """The RMSE of an output beside float64's, the RMS of float64's, and the largest error; of integers the share that
    is unequal, and 0.
    """

    error: float
    scale: float
    worst: float


def soundness(
    candidate: Outputs,
    arbitration: Arbitration,
    precision: Precision,
    perturbed: Mapping[str, Sequence[Apart]] | None = None,
) -> tuple[Soundness, ...]:
    """Judge every output that the arbiter has; `candidate` holds [N, …] of all samples, by the model's own names.

    Only the rows `arbitration.samples` of it are read, one block at a time. `perturbed`: what `perturbations` gives,
    to be taken once for many candidates.
    """
    runs = perturbations(arbitration) if perturbed is None else perturbed
    return tuple(_judged(name, candidate, arbitration, precision, runs[name]) for name in arbitration.float64)


def perturbations(arbitration: Arbitration) -> dict[str, list[Apart]]:
    """By output, how far each perturbed run is from float64."""
    return {
        name: [_apart(run[name], truth) for run in arbitration.perturbed] for name, truth in arbitration.float64.items()
    }


class Moved(NamedTuple):
    """How far float32 moves a score (`rounding`), and the RMS of float64's scores (`scale`), in the output's unit."""

    rounding: float
    scale: float

    def envelope(self, precision: Precision) -> float:
        """The most by which rounding at `precision` moves the gap between two scores of a row.

        Twice the bound of a sound candidate: one score may go up by it and the other down.
        """
        return 2 * bound(self.rounding, self.scale, precision)


def moved(arbitration: Arbitration, output: str) -> Moved:
    """What `Moved.envelope` rests on, in one pass over the arbiter's output.

    `rounding` is the RMSE of the yardstick or, where that is larger, of its two best scores alone: high scores err more
    than low ones.

    Raises:
        KeyError: the arbiter has no such output.
        ValueError: the output holds no scores [M, C] with C >= 2.
    """
    truth, yardstick = arbitration.float64[output], arbitration.float32[output]
    everywhere, scale, _ = _apart(yardstick, truth)
    return Moved(max(everywhere, _best_apart(output, [yardstick], truth) or 0.0), scale)


def envelope(arbitration: Arbitration, output: str, precision: Precision) -> float:
    """`Moved.envelope` of one output; errors as those of `moved`."""
    return moved(arbitration, output).envelope(precision)


def stochastic_envelope(arbitration: Arbitration, output: str, precision: Precision) -> float | None:
    """`envelope` by other means, the perturbed runs in the yardstick's place; None where there are none.

    Measured: 0.9 to 1.5 times `envelope` on the classifiers that K was measured on; tests hold it to a factor of 3.

    Raises:
        KeyError: the arbiter has no such output.
        ValueError: the output holds no scores [M, C] with C >= 2.
    """
    truth, runs = arbitration.float64[output], [run[output] for run in arbitration.perturbed]
    best = _best_apart(output, runs, truth)
    if best is None:
        return None
    errors, scales, _ = zip(*(_apart(run, truth) for run in runs), strict=True)
    everywhere = math.sqrt(sum(error**2 for error in errors) / len(runs))
    return 2 * bound(max(everywhere, best), max(scales), precision)


def _best_apart(output: str, runs: Sequence[Array], truth: Array) -> float | None:
    """How far `runs` move the gap between the two best scores of `truth`: RMS over rows and runs, divided by √2.

    So much is each of the two off, where they err independently. None where there is no finite gap to move.
    """
    truth = without_trailing_ones(truth)
    if truth.ndim != 2 or truth.shape[1] < 2:
        raise ValueError(f"output '{output}' is {list(truth.shape)}: no scores [M, C], C >= 2, that could have a gap")
    squares, count = 0.0, 0
    for block in row_blocks(*truth.shape):
        exact = _doubles(truth[block])
        best = np.argpartition(exact, -2, axis=1)[:, -2:]
        for run in runs:
            moved = _doubles(without_trailing_ones(run)[block])
            with np.errstate(invalid="ignore"):
                shift = np.diff(np.take_along_axis(moved, best, 1) - np.take_along_axis(exact, best, 1))[:, 0]
            shift = shift[np.isfinite(shift)]
            squares, count = squares + float(shift @ shift), count + shift.size
    return math.sqrt(squares / count / 2) if count else None


@dataclass
class _Found:
    """Sums of squares: of differences from float64 (of integers the count of unequal ones), and of float64 itself.

    `worst`, `worst_rounding` and `peak` are the largest magnitudes of the same three.
    """

    error: float = 0.0
    rounding: float = 0.0
    size: float = 0.0
    worst: float = 0.0
    worst_rounding: float = 0.0
    peak: float = 0.0
    compared: int = 0
    nonfinite: int = 0


def _judged(
    name: str, candidate: Outputs, arbitration: Arbitration, precision: Precision, runs: Sequence[Apart]
) -> Soundness:
    truth, yardstick, rows = arbitration.float64[name], arbitration.float32[name], arbitration.samples

    def unjudged(reason: str) -> Soundness:
        return Soundness(name, len(rows), precision, unjudged=reason)

    if not _numbers(truth):
        return unjudged(f"the arbiter's is {truth.dtype}, neither a number nor a truth value")
    array = candidate.get(name)
    unlike = "it is missing" if array is None else _unlike(array, truth, rows)
    if array is None or unlike is not None:
        return Soundness(name, len(rows), precision, sound=False, unlike=unlike)
    found = _Found()
    integers = truth.dtype.kind in _INTEGERS
    for block in row_blocks(len(rows), truth[:1].size):
        triple = array[rows[block]], truth[block], yardstick[block]
        _count_unequal(found, *triple) if integers else _add_errors(found, *triple, precision)
    if not found.compared and not found.nonfinite:
        return unjudged("no element of it is finite both in float64 and in float32")
    totals = found.error, found.rounding, found.size
    error, rounding, scale = (_mean(total, found.compared, integers) for total in totals)
    if not math.isfinite(scale):
        return unjudged("its squares leave the range of float64")
    perturbed = max((run.error for run in runs), default=None)
    most = max(rounding, perturbed or 0.0)
    if not integers and most > MOST * scale:
        return unjudged("float32 misses float64 by as much as its own size: there is nothing to be near to")
    limit = integer_bound(most, precision) if integers else bound(most, scale, precision)
    if integers and error > limit and unit_roundoff(precision) > unit_roundoff(Precision.FLOAT32):
        turned = f"integers may come from comparisons, which rounding to {precision} turns"
        return replace(unjudged(turned), error=error, rounding=rounding, perturbed=perturbed, bound=limit)
    ratio = error / rounding if rounding else None
    sound = error <= limit and not found.nonfinite
    if integers:
        return Soundness(name, len(rows), precision, error, rounding, perturbed, limit, ratio, found.nonfinite, sound)
    worst_rounding = max(found.worst_rounding, *(run.worst for run in runs), 0.0)
    most_worst = worst_bound(worst_rounding, found.peak, precision)
    return Soundness(
        output=name,
        samples=len(rows),
        precision=precision,
        error=error,
        rounding=rounding,
        perturbed=perturbed,
        bound=limit,
        ratio=ratio,
        nonfinite=found.nonfinite,
        sound=sound and found.worst <= most_worst,
        worst=found.worst,
        worst_rounding=worst_rounding,
        worst_bound=most_worst,
    )


def _unlike(array: Array, truth: Array, rows: npt.NDArray[np.int64]) -> str | None:
    """Why it is no array as the arbiter's."""
    if array.shape[1:] != truth.shape[1:] or array.ndim != truth.ndim:
        return f"a sample has the shape {list(array.shape[1:])}, and float64's {list(truth.shape[1:])}"
    if len(array) <= rows.max(initial=-1):
        return f"it has {len(array)} samples, and float64 ran sample {rows.max()}"
    if not _numbers(array):
        return f"it is {array.dtype}, neither a number nor a truth value"
    if (array.dtype.kind in _INTEGERS) != (truth.dtype.kind in _INTEGERS):
        return f"it is {array.dtype}, and float64's is {truth.dtype}"
    return None


def _numbers(array: Array) -> bool:
    return array.dtype.kind in _INTEGERS or array.dtype.name in _FLOATS


def _add_errors(found: _Found, ours: Array, truth: Array, yardstick: Array, precision: Precision) -> None:
    """Add what a block holds: differences where all are finite, and how many others are not as they should be.

    Excused are what float32 must have as well, and infinities where the number is beyond the largest float16.
    """
    a, t, y = (_doubles(array) for array in (ours, truth, yardstick))
    finite = np.isfinite(a) & np.isfinite(t) & np.isfinite(y)
    if not finite.all():
        wrong = _otherwise_infinite(a, t) & ~_otherwise_infinite(y, t)
        if precision is Precision.FLOAT16:
            wrong &= ~(np.isinf(a) & (np.abs(t) > _LARGEST_FLOAT16) & (np.sign(a) == np.sign(t)))
        found.nonfinite += int(np.count_nonzero(wrong))
        a, t, y = a[finite], t[finite], y[finite]
    error, worst = _squares(a, t)
    rounding, worst_rounding = _squares(y, t)
    size, peak = _squares(t)
    found.error, found.rounding, found.size = found.error + error, found.rounding + rounding, found.size + size
    found.worst, found.peak = max(found.worst, worst), max(found.peak, peak)
    found.worst_rounding = max(found.worst_rounding, worst_rounding)
    found.compared += t.size


def _count_unequal(found: _Found, ours: Array, truth: Array, yardstick: Array) -> None:
    found.error += int(np.count_nonzero(ours != truth))
    found.rounding += int(np.count_nonzero(yardstick != truth))
    found.compared += truth.size


def _apart(array: Array, truth: Array) -> Apart:
    """Of [M, …], over elements finite in both."""
    integers, total, size, count, largest = truth.dtype.kind in _INTEGERS, 0.0, 0.0, 0, 0.0
    for block in row_blocks(len(truth), truth[:1].size):
        a, t = array[block], truth[block]
        if integers:
            total += int(np.count_nonzero(a != t))
        else:
            a, t = _doubles(a), _doubles(t)
            finite = np.isfinite(a) & np.isfinite(t)
            a, t = a[finite], t[finite]
            error, worst = _squares(a, t)
            total, size, largest = total + error, size + _squares(t)[0], max(largest, worst)
        count += t.size
    return Apart(_mean(total, count, integers), _mean(size, count, integers), largest)


def _mean(total: float, count: int, integers: bool) -> float:
    return 0.0 if not count else total / count if integers else math.sqrt(total / count)


def _squares(a: Array, b: Array | float = 0.0) -> tuple[float, float]:
    """The sum of the squared differences, and the largest difference."""
    with np.errstate(over="ignore"):
        difference = (a - b).reshape(-1)
        total = float(np.einsum("i,i", difference, difference))
    return total, float(max(difference.max(initial=0.0), -difference.min(initial=0.0)))


def _otherwise_infinite(a: Array, truth: Array) -> npt.NDArray[np.bool_]:
    """Where one of the two is not finite and the other is not the same."""
    finite = np.isfinite(a) & np.isfinite(truth)
    return np.asarray(~finite & (a != truth) & ~(np.isnan(a) & np.isnan(truth)))


def _doubles(array: Array) -> npt.NDArray[np.float64]:
    return np.asarray(array, np.float64)
