"""A stored run, judged: a pure function of the run and of what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deltann.comparison.output import Comparison, compare_outputs
from deltann.comparison.ranking import FEWEST_ROWS, MOST_ROWS
from deltann.comparison.rows import without_trailing_ones
from deltann.comparison.tolerance import parse_tolerances
from deltann.comparison.verdict import Judgement, Verdict, judge, overall, parse_rate
from deltann.criteria import Criteria, Tasks, parse_tasks
from deltann.environment import Environment
from deltann.errors import Unsupported, UsageError
from deltann.model import Model
from deltann.outcome import Status
from deltann.store import Cell, CellRecord, Run, RunStatus, open_run
from deltann.tasks import Task, infer_task
from deltann.tasks.classification import NO_PREDICTION, Accuracy, Predictions, accuracy, predictions

if TYPE_CHECKING:
    import pandas as pd

RANKED_ROWS = 5000
"""Rows on which Kendall's τ and RBO are taken, over all pairs of a run: a few seconds, however many environments."""


class LeftOut(StrEnum):
    """Why a pair is compared, and not judged."""

    OTHER_REFERENCE = "--reference names another"
    SAME_CODE = "both ran the very same thing"


@dataclass(frozen=True)
class Pair:
    """Two cells and what came of comparing them; `comparison` is None where one of them has no outputs.

    Differences are candidate − reference. `left_out`: why the verdict of the run does not rest on this pair.
    """

    candidate: Cell
    reference: Cell
    comparison: Comparison | None
    judgement: Judgement
    left_out: LeftOut | None = None

    @property
    def judged(self) -> bool:
        """Whether the verdict of the run rests on this pair."""
        return self.left_out is None


@dataclass(frozen=True)
class Result:
    """What a comparison found. The frames are made anew at each use; `pairs` etc. in tuples are the plain data."""

    run: Run
    criteria: Criteria
    records: tuple[CellRecord, ...]
    compared: tuple[Pair, ...]
    accuracies: Mapping[str, Mapping[str, Accuracy]]

    @property
    def verdict(self) -> Verdict:
        """Over the pairs that are judged; NOT_COMPARED ones do not hide what the others say."""
        judgements = [pair.judgement for pair in self.compared if pair.judged]
        compared = [judgement for judgement in judgements if judgement.verdict is not Verdict.NOT_COMPARED]
        if compared:
            return overall(compared)
        # Nothing to judge by: no two cells with outputs, or only pairs that ran the very same thing.
        known = any(pair.comparison for pair in self.compared)
        return Verdict.INCONCLUSIVE if known else Verdict.NOT_COMPARED

    @property
    def exit_code(self) -> int:
        """0 agree, 1 differ, 3 a backend failed, 4 inconclusive; a difference outweighs a failure elsewhere."""
        if self.verdict is Verdict.DIFFER:
            return 1
        if any(record.outcome.status is not Status.OK for record in self.records):
            return 3
        return 0 if self.verdict is Verdict.AGREE else 4

    @property
    def identical(self) -> tuple[tuple[Cell, ...], ...]:
        """Groups of cells that ran the very same thing, of one model or of two (`_what_ran`)."""
        groups: dict[Any, list[Cell]] = {}
        for record in self.records:
            if (ran := _what_ran(record)) is not None:
                groups.setdefault(ran, []).append(record.cell)
        return tuple(tuple(cells) for cells in groups.values() if len(cells) > 1)

    def median_ms(self, cell: Cell) -> float | None:
        """Median milliseconds a sample over the runs but the first; a hint, not a verdict on speed."""
        times = self.run.times(cell)
        times = times[~np.isnan(times)]
        steady: npt.NDArray[np.float64] = times[1:] if len(times) > 1 else times
        return float(np.median(steady)) * 1e3 / self.run.document["rows"][cell.role] if len(steady) else None

    @cached_property
    def cells(self) -> pd.DataFrame:
        """A row a cell: cell, role, environment, status, stage, symptom, reason, version, artifact, times, accuracy."""
        import pandas as pd

        from deltann.frames import cell_rows

        return pd.DataFrame(cell_rows(self))

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """A row a pair and output: every number of the comparison, and the pair's verdict."""
        import pandas as pd

        from deltann.frames import pair_rows

        return pd.DataFrame(pair_rows(self))

    @cached_property
    def samples(self) -> pd.DataFrame:
        """A row a sample, cell and classification output: prediction, score, margin, and the label where known."""
        import pyarrow as pa

        from deltann.frames import sample_tables

        frame: pd.DataFrame = pa.concat_tables(sample_tables(self.run, self.records, self.criteria.tasks)).to_pandas()
        return frame


def load(
    run: str | Path | Run,
    reference: str | None = None,
    rtol: float | str | Sequence[str] = (),
    atol: float | str | Sequence[str] = (),
    max_disagreement: float | str | None = None,
    task: str | Sequence[str] = (),
) -> Result:
    """Judge a stored run, by the criteria it was made with except those given here. Runs no framework.

    Raises:
        UsageError: not a run, an unfinished or damaged one, or criteria that cannot be read or do not fit it.
    """
    run = run if isinstance(run, Run) else open_run(run)
    if run.status is not RunStatus.COMPLETE:
        raise UsageError(
            f"{run.folder}: the run is {run.status}, not complete; repeat its command with --out {run.folder}"
        )
    if lost := [cell for cell in run.cells if run.record(cell).outcome.status is Status.NOT_RUN]:
        raise UsageError(f"{run.folder}: the record of {lost[0]} is missing; run the comparison again")
    stored = Criteria.from_json(run.document["criteria"])
    given = Criteria.of(reference, rtol, atol, max_disagreement, task)
    criteria = Criteria(*(getattr(given, field.name) or getattr(stored, field.name) for field in fields(Criteria)))
    check_criteria(criteria, run.cells, candidate_outputs(run.models))
    return evaluate(run, criteria)


def evaluate(run: Run, criteria: Criteria) -> Result:
    """Compare every pair of cells that have outputs, and judge.

    Raises:
        UsageError: the criteria cannot be read, or name an environment or output that the run lacks.
    """
    tolerances = parse_tolerances(criteria.rtol, criteria.atol)
    tasks = parse_tasks(criteria.tasks)
    limit = None if criteria.max_disagreement is None else parse_rate(criteria.max_disagreement)
    reference = reference_cell(run.cells, criteria.reference)
    records = tuple(run.record(cell) for cell in run.cells)
    ran = {record.cell: _what_ran(record) for record in records}
    ok = {record.cell: run.outputs(record.cell) for record in records if record.outcome.status is Status.OK}
    _check_scores(run, ok, tasks)
    mapping: Mapping[str, str] = run.document["map_outputs"]
    compared = []
    pairs = _pairs(run.cells, reference)
    ranked_rows = max(FEWEST_ROWS, min(MOST_ROWS, RANKED_ROWS // max(1, len(pairs))))
    for candidate, base in pairs:
        left_out = None if reference in (None, base) else LeftOut.OTHER_REFERENCE
        if candidate not in ok or base not in ok:
            missing = candidate if candidate not in ok else base
            status = next(record.outcome.status for record in records if record.cell == missing)
            judgement = Judgement(Verdict.NOT_COMPARED, (f"{missing} is {status}",))
            compared.append(Pair(candidate, base, None, judgement, left_out))
            continue
        renames = {new: old for old, new in mapping.items()} if candidate.role != base.role else {}
        try:
            sides = (str(candidate), str(base))
            meant = {name: tasks.of(name, array) for name, array in ok[candidate].items()}
            comparison = compare_outputs(
                ok[candidate], ok[base], tolerances, meant, renames, sides=sides, ranked_rows=ranked_rows
            )
        except Unsupported as error:
            compared.append(Pair(candidate, base, None, Judgement(Verdict.INCONCLUSIVE, (str(error),)), left_out))
            continue
        judgement = judge(comparison, limit)
        # The same thing run twice may show nondeterminism, but its agreement is none between environments. Of two
        # models it is judged: that they lower to one artifact is the best proof that they behave alike.
        same = ran[candidate] is not None and ran[candidate] == ran[base] and candidate.role == base.role
        if left_out is None and same and judgement.verdict is Verdict.AGREE:
            left_out = LeftOut.SAME_CODE
        compared.append(Pair(candidate, base, comparison, judgement, left_out))
    return Result(run, criteria, records, tuple(compared), _accuracies(run, ok, tasks))


def _check_scores(run: Run, ok: Mapping[Cell, Mapping[str, npt.NDArray[Any]]], tasks: Tasks) -> None:
    """Raise UsageError where an output that the user calls scores is [N, C] in no cell."""
    fits: dict[str, bool] = {}
    for cell, outputs in ok.items():
        for output, array in outputs.items():
            name = run.common_name(cell, output)
            fits[name] = fits.get(name, False) or infer_task(array) is Task.CLASSIFICATION
    for name, fit in fits.items():
        if not fit and tasks.asked(name) is Task.CLASSIFICATION:
            raise UsageError(f"--task: output '{name}' is no classification, which has float scores [N, C], C >= 2")


def _what_ran(record: CellRecord) -> tuple[str, ...] | None:
    """What tells two cells' executions apart: backend, version, device, artifact and options that act at load.

    None where it has no outputs. Of two backends, or two versions, even the same file is run by other code.
    """
    if record.outcome.status is not Status.OK or "artifact" not in record.facts:
        return None
    environment = Environment.parse(record.cell.environment)
    facts = (record.facts.get("version"), record.facts["artifact"], record.facts.get("at_load"))
    return (environment.backend, environment.device or "", *map(str, facts))


def check_criteria(criteria: Criteria, cells: Sequence[Cell], outputs: Sequence[str]) -> None:
    """Raise UsageError, before anything runs, where the criteria cannot be read or name what is not there."""
    parse_tolerances(criteria.rtol, criteria.atol).check(outputs)
    parse_tasks(criteria.tasks).check(outputs)
    if criteria.max_disagreement is not None:
        parse_rate(criteria.max_disagreement)
    reference_cell(cells, criteria.reference)


def candidate_outputs(models: Mapping[str, Model]) -> list[str]:
    """The names that outputs go by in tolerances and tasks: those of --against, where there are two models."""
    return [spec.name for spec in models.get("against", models["model"]).outputs]


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


def _accuracies(
    run: Run, ok: Mapping[Cell, Mapping[str, npt.NDArray[Any]]], tasks: Tasks
) -> dict[str, dict[str, Accuracy]]:
    """Top-1 accuracy by cell and classification output, where labels are known.

    An output that the labels do not fit (boxes, features) has none.

    Raises:
        UsageError: they fit no output of a cell that has scores.
    """
    labels = run.document["labels"]
    if labels is None:
        return {}
    found: dict[str, dict[str, Accuracy]] = {}
    for cell, outputs in ok.items():
        misfits = []
        for name, scores in outputs.items():
            task = tasks.of(run.common_name(cell, name), scores)
            if task is Task.CLASSIFICATION and len(scores) == len(labels["values"]):
                scores = without_trailing_ones(scores)
                try:
                    hits = accuracy(predictions(scores), scores.shape[1], labels["values"], labels["offset"])
                except UsageError as error:
                    misfits.append(error)
                else:
                    found.setdefault(str(cell), {})[name] = hits
        if misfits and str(cell) not in found:
            raise misfits[0]
    return found


def check_labels(model: Model, labels: Sequence[int | None], offset: int | None) -> None:
    """Raise UsageError, before anything runs, where the labels fit none of the scores that `model` declares."""
    misfits = []
    for spec in model.outputs:
        shape = spec.shape or ()
        classes = shape[1] if len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1)) else None
        if not isinstance(classes, int) or classes < 2 or np.dtype(spec.dtype).kind != "f":
            continue
        nothing = np.full(len(labels), NO_PREDICTION, np.int64)
        unknown = np.full(len(labels), np.nan)
        try:
            accuracy(Predictions(nothing, unknown, unknown), classes, labels, offset)
        except UsageError as error:
            misfits.append(error)
        else:
            return
    if misfits:
        raise misfits[0]
