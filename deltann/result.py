"""A stored run, judged: a pure function of the run and of what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deltann.accuracies import accuracies
from deltann.comparison.attribution import Blame
from deltann.comparison.tolerance import parse_tolerances
from deltann.comparison.verdict import Verdict, overall, parse_rate
from deltann.criteria import Criteria, parse_tasks
from deltann.errors import UsageError
from deltann.evidence.weigh import Weighed, weigh
from deltann.judging import Pair, blame, judge_pairs
from deltann.model import Model
from deltann.outcome import Status
from deltann.pairing import Comparisons, compare_pairs, reference_cell, what_ran
from deltann.salvage import doubted, salvage
from deltann.store import Cell, CellRecord, Run, RunStatus, open_run
from deltann.tasks.classification import Accuracy

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Result:
    """What a comparison found. The frames are made anew at each use; `pairs` etc. in tuples are the plain data."""

    run: Run
    criteria: Criteria
    records: tuple[CellRecord, ...]
    compared: tuple[Pair, ...]
    accuracies: Mapping[str, Mapping[str, Accuracy]]
    weighed: Weighed
    blamed: tuple[Blame, ...]
    missing: tuple[str, ...] = ()
    """What of the run is missing or damaged, a line each: only where it was loaded with `partial`."""

    @property
    def verdict(self) -> Verdict:
        """Over the pairs that are judged; NOT_COMPARED ones do not hide what the others say.

        Never AGREE where anything of the run is missing.
        """
        found = self._verdict
        return Verdict.INCONCLUSIVE if self.missing and found is Verdict.AGREE else found

    @property
    def _verdict(self) -> Verdict:
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
        # What is NOT_RUN is missing, and no backend's failure.
        if any(record.outcome.status not in (Status.OK, Status.NOT_RUN) for record in self.records):
            return 3
        return 0 if self.verdict is Verdict.AGREE else 4

    @property
    def identical(self) -> tuple[tuple[Cell, ...], ...]:
        """Groups of cells that ran the very same thing, of one model or of two (`what_ran`)."""
        groups: dict[Any, list[Cell]] = {}
        for record in self.records:
            if (ran := what_ran(record)) is not None:
                groups.setdefault(ran, []).append(record.cell)
        return tuple(tuple(cells) for cells in groups.values() if len(cells) > 1)

    def median_ms(self, cell: Cell) -> float | None:
        """Median milliseconds a sample over the runs but the first; a hint, not a verdict on speed."""
        times = self.run.times(cell)
        times = times[~np.isnan(times)]
        steady: npt.NDArray[np.float64] = times[1:] if len(times) > 1 else times
        return float(np.median(steady)) * 1e3 / self.run.document["rows"][cell.role] if len(steady) else None

    def first_ms(self, cell: Cell) -> float | None:
        """Milliseconds of the cell's first run, which engines often spend on what later ones need no more."""
        times = self.run.times(cell)
        return float(times[0]) * 1e3 if len(times) and not np.isnan(times[0]) else None

    def class_name(self, label: int, output: str | None = None) -> str | None:
        """What the user calls the class (a stranger's text); None where it has no name, or `label` is no class (−1).

        With `output` (a common name), None also where that output has another number of classes than there are names.
        """
        names = self.run.class_names
        if output is not None and self.classes.get(output) != len(names):
            return None
        return names[label] if 0 <= label < len(names) else None

    @cached_property
    def classes(self) -> Mapping[str, int]:
        """How many classes each output has that was compared as scores, by its common name."""
        outputs = [output for pair in self.compared if pair.comparison for output in pair.comparison.outputs]
        return {output.name: output.classification.classes for output in outputs if output.classification}

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
    *,
    partial: bool = False,
) -> Result:
    """Judge a stored run, by the criteria it was made with except those given here. Runs no framework.

    `partial`: of a run that did not end, is damaged or is of a newer schema, what there is of it; `Result.missing` says
    what there is not, and the verdict is never AGREE.

    Raises:
        UsageError: not a run, an unfinished or damaged one, or criteria that cannot be read or do not fit it. With
            `partial`: its `run.json` cannot be read, or the criteria.
    """
    run = run if isinstance(run, Run) else open_run(run, partial)
    missing: tuple[str, ...] = ()
    if partial:
        run, missing = salvage(run)
    elif run.status is not RunStatus.COMPLETE:
        raise UsageError(
            f"{run.folder}: the run is {run.status}, not complete; repeat its command with --out {run.folder}"
        )
    elif lost := [cell for cell in run.cells if run.record(cell).outcome.status is Status.NOT_RUN]:
        raise UsageError(f"{run.folder}: the record of {lost[0]} is missing; run the comparison again")
    stored = Criteria.from_json(run.document["criteria"])
    given = Criteria.of(reference, rtol, atol, max_disagreement, task)
    criteria = Criteria(*(getattr(given, field.name) or getattr(stored, field.name) for field in fields(Criteria)))
    check_criteria(criteria, run.cells, candidate_outputs(run.models))
    return replace(evaluate(run, criteria), missing=missing)


def evaluate(run: Run, criteria: Criteria, compared: Comparisons | None = None) -> Result:
    """Judge every pair, with the evidence that the run holds; `compared` are its pairs where they are known already.

    Raises:
        UsageError: the criteria cannot be read, or name an environment or output that the run lacks; or the evidence is
            damaged.
    """
    compared = compare_pairs(run, criteria) if compared is None else compared
    tolerances, tasks = parse_tolerances(criteria.rtol, criteria.atol), parse_tasks(criteria.tasks)
    limit = None if criteria.max_disagreement is None else parse_rate(criteria.max_disagreement)
    records = {cell: run.record(cell) for cell in run.cells}
    ok = {cell: run.outputs(cell) for cell, record in records.items() if record.outcome.status is Status.OK}
    weighed = weigh(run, records, ok, tolerances, tasks, limit)
    pairs = doubted(judge_pairs(run, compared, weighed, limit), run.lost)
    return Result(
        run,
        criteria,
        tuple(records.values()),
        pairs,
        accuracies(run, ok, tasks),
        weighed,
        blame(pairs, compared, weighed, limit),
    )


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
