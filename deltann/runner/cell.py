"""One cell from beginning to end: is the framework there, lower, load, run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deltann import registry
from deltann.environment import Environment
from deltann.errors import Unavailable
from deltann.model import Model
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.runner.local import WorkerProcess
from deltann.runner.pinned import Interpreter, interpreter
from deltann.store import Cell, CellRecord, Run

Notify = Callable[[str, int], None]
"""Called with the stage and the samples done."""


@dataclass(frozen=True)
class Work:
    """What a model's cells are fed: `arrays` by input name, `samples` rows in all, `rows` a run."""

    model: Model
    arrays: Mapping[str, Path]
    samples: int
    rows: int
    batched: bool


def run_cell(
    run: Run, cell: Cell, work: Work, timeouts: Mapping[Stage, float], cache: Path, notify: Notify
) -> CellRecord:
    """Execute one cell in a worker of its own; whatever happens to it is an outcome, stored at once.

    Raises:
        UsageError: the disk is full.
    """
    environment = Environment.parse(cell.environment)
    record = _start(run, cell, environment, work, timeouts, cache, notify)
    run.save_record(record)
    return record


def _start(
    run: Run,
    cell: Cell,
    environment: Environment,
    work: Work,
    timeouts: Mapping[Stage, float],
    cache: Path,
    notify: Notify,
) -> CellRecord:
    found = registry.availability(environment.backend)
    if found.state == "broken":
        return CellRecord(cell, Outcome(Status.FAILED, Stage.LOAD, Symptom.EXCEPTION, found.note, found.note))
    if found.state == "unavailable" and environment.version is None:
        return CellRecord(cell, Outcome(Status.UNAVAILABLE, reason=found.note))
    try:
        python = interpreter(environment, cache)
    except Unavailable as error:
        return CellRecord(cell, Outcome(Status.UNAVAILABLE, reason=str(error), detail=str(error)))
    return _execute(run, cell, work, timeouts, cache, notify, python)


def _execute(
    run: Run,
    cell: Cell,
    work: Work,
    timeouts: Mapping[Stage, float],
    cache: Path,
    notify: Notify,
    python: Interpreter,
) -> CellRecord:
    prepare = {"op": "prepare", "environment": cell.environment, "model": work.model.to_json(), "cache": str(cache)}
    execute = {
        "op": "run",
        "inputs": {name: str(path) for name, path in work.arrays.items()},
        "out": str(run.outputs_folder(cell).absolute()),
        "samples": work.samples,
        "rows": work.rows,
        "batched": work.batched,
    }

    def on_stage(stage: Stage) -> None:
        notify(stage, 0)

    with WorkerProcess(run.log(cell), python.command, python.variables) as worker:
        prepared = worker.request(prepare, timeouts, on_stage)
        if prepared.outcome.status is not Status.OK:
            return CellRecord(cell, prepared.outcome)
        ran = worker.request(execute, timeouts, on_stage, lambda done: notify(Stage.RUN, done))
    return CellRecord(cell, ran.outcome, {**prepared.facts, **ran.facts})
