"""Comparing all outputs of two sides: matched by name, structure first, then the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from deltann.comparison.classification import ClassificationError, classification_error
from deltann.comparison.numeric import NumericError, comparable, numeric_error
from deltann.comparison.ranking import MOST_ROWS
from deltann.comparison.rows import Array, without_trailing_ones
from deltann.comparison.summary import Summary, summarise
from deltann.comparison.tolerance import Tolerance, Tolerances
from deltann.errors import Unsupported, UsageError
from deltann.tasks import Task, infer_task

Outputs = Mapping[str, Array]


@dataclass(frozen=True)
class OutputComparison:
    """One output that both sides have. `problems` (each a difference by itself) are sentences without the name.

    `numeric` and `tolerance` are None where the shapes leave nothing to compare; `classification` where the task is
    another. `vacuous` says why agreement on this output means nothing.
    """

    name: str
    task: Task
    problems: tuple[str, ...]
    numeric: NumericError | None = None
    tolerance: Tolerance | None = None
    classification: ClassificationError | None = None
    vacuous: str | None = None


@dataclass(frozen=True)
class Comparison:
    """One pair. `problems` are structural differences that belong to no common output: a missing or an extra one.

    `lost`: by output that a side lacks, the sentence among `problems` that says so. The others are of all outputs.
    """

    sides: tuple[str, str]
    problems: tuple[str, ...]
    outputs: tuple[OutputComparison, ...]
    lost: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data for `json.dumps(…, allow_nan=False)`; a number that is NaN or infinite becomes None."""
        return {key: plain(value) for key, value in asdict(self).items() if key != "lost"}


def compare_outputs(
    a: Outputs,
    b: Outputs,
    tolerances: Tolerances | None = None,
    tasks: Mapping[str, Task] | None = None,
    mapping: Mapping[str, str] | None = None,
    sides: tuple[str, str] = ("a", "b"),
    ranked_rows: int = MOST_ROWS,
    summaries: tuple[Mapping[str, Summary], Mapping[str, Summary]] = ({}, {}),
) -> Comparison:
    """Compare outputs [N, ...] by name, in a's order; b is the reference of relative tolerances.

    `tasks` overrides what `infer_task` says of an output. `mapping` pairs an output of a with one of b that has another
    name; the comparison, its tolerances and tasks go by a's names. `sides` name the two in messages.
    Rankings are compared on `ranked_rows` rows at most. `summaries` of a's and of b's outputs by their own names, made
    with these tolerances and tasks, spare taking again what a side tells by itself; what they lack is taken here.

    Raises:
        UsageError: `tasks` names an output that is not there, or calls scores what is not [N, C].
        Unsupported: an output of a dtype that cannot be compared.
    """
    mapping, tasks, tolerances = mapping or {}, tasks or {}, tolerances or Tolerances()
    if unknown := [name for name in tasks if name not in a]:
        raise UsageError(f"task for '{unknown[0]}': no such output; the outputs: {', '.join(a)}")
    pairs = {name: other for name in a for other in _partners(name, mapping) if other in b}
    lost = {name: f"output '{name}' is missing from {sides[1]}" for name in a if name not in pairs}
    extra = {name: f"output '{name}' is in {sides[1]} only" for name in b if name not in pairs.values()}
    problems = [*lost.values(), *extra.values()]
    if not a and not b:
        problems.append("there are no outputs to compare")
    for side, outputs in zip(sides, (a, b), strict=True):
        counts = {array.shape[0] for array in outputs.values() if array.ndim}
        if len(counts) > 1:
            problems.append(f"the outputs of {side} have different sample counts: {sorted(counts)}")
    compared = tuple(
        _compare(
            name,
            a[name],
            b[other],
            tolerances,
            tasks.get(name),
            sides,
            ranked_rows,
            (summaries[0].get(name), summaries[1].get(other)),
        )
        for name, other in pairs.items()
    )
    return Comparison(sides, tuple(problems), compared, {**extra, **lost})


def _compare(
    name: str,
    a: Array,
    b: Array,
    tolerances: Tolerances,
    task: Task | None,
    sides: tuple[str, str],
    ranked_rows: int,
    known: tuple[Summary | None, Summary | None],
) -> OutputComparison:
    for array, side in ((a, sides[0]), (b, sides[1])):
        if not comparable(array.dtype):
            raise Unsupported(f"output '{name}' of {side} is {array.dtype}, which cannot be compared")
    task = task or infer_task(a)
    if task is Task.CLASSIFICATION and infer_task(a) is not task:
        raise UsageError(
            f"output '{name}' is {a.dtype}{list(a.shape)}: classification takes float scores [N, C], C >= 2"
        )
    problems = list(_structure(a, b, sides))
    if 0 in (a.ndim, b.ndim):
        return OutputComparison(name, task, tuple(problems))
    x, y = without_trailing_ones(a), without_trailing_ones(b)
    if x.shape != y.shape or not x.size:
        return OutputComparison(name, task, tuple(problems))
    left = known[0] or summarise(name, x, tolerances, task)
    right = known[1] or summarise(name, y, tolerances, task)
    tolerance = tolerances.of(name, a.dtype, b.dtype, right.rms)
    classes = None
    if task is Task.CLASSIFICATION:
        classes = classification_error(x, y, tolerance, ranked_rows, (left.choices, right.choices))
    numeric, vacuous = numeric_error(x, y, tolerance), left.vacuous or right.vacuous
    return OutputComparison(name, task, tuple(problems), numeric, tolerance, classes, vacuous)


def _structure(a: Array, b: Array, sides: tuple[str, str]) -> list[str]:
    """What differs before any number is looked at."""
    problems = []
    if a.dtype.name != b.dtype.name:
        problems.append(f"its dtype is {a.dtype.name} in {sides[0]} and {b.dtype.name} in {sides[1]}")
    scalars = [side for side, array in zip(sides, (a, b), strict=True) if not array.ndim]
    if scalars:
        return [*problems, f"it has no sample axis in {' and '.join(scalars)}"]
    if len(a) != len(b):
        problems.append(f"it has {len(a)} samples in {sides[0]} and {len(b)} in {sides[1]}")
    if a.shape[1:] != b.shape[1:]:
        rows = [list(array.shape[1:]) for array in (a, b)]
        problems.append(f"a sample has shape {rows[0]} in {sides[0]} and {rows[1]} in {sides[1]}")
    if not a.size or not b.size:
        problems.append(f"it is empty in {' and '.join(s for s, x in zip(sides, (a, b), strict=True) if not x.size)}")
    return problems


def _partners(name: str, mapping: Mapping[str, str]) -> list[str]:
    """The name in b of a's output; none where the mapping gave b's output of that name to another."""
    if name in mapping:
        return [mapping[name]]
    return [] if name in mapping.values() else [name]


def plain(value: object) -> object:
    """`value` as strict JSON can hold it: tuples as lists, a number that is NaN or infinite as None."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
