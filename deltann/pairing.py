"""Which cells of a run are compared with which, and the comparison of each pair: numbers, no verdict yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from deltann.comparison.output import Comparison, compare_outputs
from deltann.comparison.ranking import FEWEST_ROWS, MOST_ROWS
from deltann.comparison.summary import Summary, summaries
from deltann.comparison.tolerance import Tolerances, parse_tolerances
from deltann.criteria import Criteria, Tasks, parse_tasks
from deltann.environment import Environment
from deltann.errors import Unsupported, UsageError
from deltann.outcome import Status
from deltann.store import Cell, CellRecord, Run
from deltann.tasks import Task, infer_task

RANKED_ROWS = 5000
"""Rows on which Kendall's τ and RBO are taken, over all pairs of a run: a few seconds, however many environments."""


class LeftOut(StrEnum):
    """Why a pair is compared, and not judged."""

    OTHER_REFERENCE = "--reference names another"
    SAME_CODE = "both ran the very same thing"


@dataclass(frozen=True)
class Compared:
    """Two cells and what comparing them gave; `comparison` is None, and `why` says why, where it was not possible.

    Differences are candidate − reference. `left_out`: why the verdict of the run does not rest on this pair; that
    both `ran_the_same` leaves it out too, where they agree.
    """

    candidate: Cell
    reference: Cell
    comparison: Comparison | None
    why: str = ""
    missing: bool = False
    left_out: LeftOut | None = None
    ran_the_same: bool = False


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Every pair, and `labels`: by cell and output name the class [N] predicted for each sample (−1: none)."""

    pairs: tuple[Compared, ...]
    labels: Mapping[Cell, Mapping[str, npt.NDArray[np.int64]]]


def compare_pairs(run: Run, criteria: Criteria) -> Comparisons:
    """Compare every pair of cells that have outputs.

    Raises:
        UsageError: the criteria cannot be read, or name an environment or output that the run lacks.
    """
    tolerances = parse_tolerances(criteria.rtol, criteria.atol)
    tasks = parse_tasks(criteria.tasks)
    reference = reference_cell(run.cells, criteria.reference)
    records = {cell: run.record(cell) for cell in run.cells}
    ran = {cell: what_ran(record) for cell, record in records.items()}
    ok = {cell: run.outputs(cell) for cell, record in records.items() if record.outcome.status is Status.OK}
    _check_scores(run, ok, tasks)
    mapping: Mapping[str, str] = run.document["map_outputs"]
    pairs = _pairs(run.cells, reference)
    ranked_rows = max(FEWEST_ROWS, min(MOST_ROWS, RANKED_ROWS // max(1, len(pairs))))
    known = {cell: _summaries(run, cell, outputs, tolerances, tasks) for cell, outputs in ok.items()}
    compared = []
    for candidate, base in pairs:
        left_out = None if reference in (None, base) else LeftOut.OTHER_REFERENCE
        if candidate not in ok or base not in ok:
            missing = candidate if candidate not in ok else base
            why = f"{missing} is {records[missing].outcome.status}"
            compared.append(Compared(candidate, base, None, why, True, left_out))
            continue
        renames = {new: old for old, new in mapping.items()} if candidate.role != base.role else {}
        try:
            sides = (str(candidate), str(base))
            meant = {name: tasks.of(name, array) for name, array in ok[candidate].items()}
            comparison = compare_outputs(
                ok[candidate],
                ok[base],
                tolerances,
                meant,
                renames,
                sides=sides,
                ranked_rows=ranked_rows,
                summaries=(known[candidate], known[base]),
            )
        except Unsupported as error:
            compared.append(Compared(candidate, base, None, str(error), False, left_out))
            continue
        # The same thing run twice may show nondeterminism, but its agreement is none between environments. Of two
        # models it is judged: that they lower to one artifact is the best proof that they behave alike.
        same = ran[candidate] is not None and ran[candidate] == ran[base] and candidate.role == base.role
        compared.append(Compared(candidate, base, comparison, "", False, left_out, same))
    labels = {
        cell: {name: found.choices.predictions.label for name, found in summary.items() if found.choices}
        for cell, summary in known.items()
    }
    return Comparisons(tuple(compared), labels)


def _summaries(
    run: Run, cell: Cell, outputs: Mapping[str, npt.NDArray[Any]], tolerances: Tolerances, tasks: Tasks
) -> dict[str, Summary]:
    """What each output tells by itself, taken once for all the pairs that the cell is in."""
    names = {name: run.common_name(cell.role, name) for name in outputs}
    meant = {name: tasks.of(names[name], array) for name, array in outputs.items()}
    return summaries(outputs, tolerances, meant, names)


def contested(pairs: Sequence[Compared]) -> dict[str, list[int]]:
    """By role, samples that an arbiter has to see: each label flip, and where an output outside tolerance is worst."""
    found: dict[str, set[int]] = {}
    for pair in pairs:
        for output in pair.comparison.outputs if pair.comparison else ():
            samples = {flip.sample for flip in output.classification.flips} if output.classification else set()
            numeric = output.numeric
            if numeric and numeric.worst_sample is not None and (numeric.outside or numeric.nonfinite_one_side):
                samples.add(numeric.worst_sample)
            for cell in (pair.candidate, pair.reference):
                found.setdefault(cell.role, set()).update(samples)
    return {role: sorted(samples) for role, samples in found.items()}


def _check_scores(run: Run, ok: Mapping[Cell, Mapping[str, npt.NDArray[Any]]], tasks: Tasks) -> None:
    """Raise UsageError where an output that the user calls scores is [N, C] in no cell."""
    fits: dict[str, bool] = {}
    for cell, outputs in ok.items():
        for output, array in outputs.items():
            name = run.common_name(cell.role, output)
            fits[name] = fits.get(name, False) or infer_task(array) is Task.CLASSIFICATION
    for name, fit in fits.items():
        if not fit and tasks.asked(name) is Task.CLASSIFICATION:
            raise UsageError(f"--task: output '{name}' is no classification, which has float scores [N, C], C >= 2")


def what_ran(record: CellRecord) -> tuple[str, ...] | None:
    """What tells two cells' executions apart: backend, version, device, artifact and options that act at load.

    None where it has no outputs. Of two backends, or two versions, even the same file is run by other code.
    """
    if record.outcome.status is not Status.OK or "artifact" not in record.facts:
        return None
    environment = Environment.parse(record.cell.environment)
    facts = (record.facts.get("version"), record.facts["artifact"], record.facts.get("at_load"))
    return (environment.backend, environment.device or "", *map(str, facts))


def reference_cell(cells: Sequence[Cell], spec: str | None) -> Cell | None:
    """The cell that `--reference` names.

    Raises:
        UsageError: no such environment in this run, or a run of two models, whose reference is the first model.
    """
    if spec is None:
        return None
    if any(cell.role != "model" for cell in cells):
        raise UsageError("--reference does not go with --against: there the first model is the reference")
    wanted = str(Environment.parse(spec))
    for cell in cells:
        if cell.environment == wanted:
            return cell
    raise UsageError(f"--reference {spec} is not among the environments: {', '.join(str(cell) for cell in cells)}")


def _pairs(cells: Sequence[Cell], reference: Cell | None) -> list[tuple[Cell, Cell]]:
    """(candidate, reference) of every pair.

    Of two models, each environment's one against its other; where the environment reads only one model's format,
    its one against every environment's other.
    """
    if any(cell.role != "model" for cell in cells):
        bases = [cell for cell in cells if cell.role == "model"]
        others = [cell for cell in cells if cell.role != "model"]
        both = {cell.environment for cell in bases} & {cell.environment for cell in others}
        return [
            (cell, base)
            for cell in others
            for base in bases
            if cell.environment == base.environment or not {cell.environment, base.environment} <= both
        ]
    pairs = [(second, first) for first, second in combinations(cells, 2)]
    return [(base, candidate) if candidate == reference else (candidate, base) for candidate, base in pairs]
