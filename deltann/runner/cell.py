"""One cell from beginning to end: is the framework there, lower, load, run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deltann import registry
from deltann.backend import calibration_samples
from deltann.environment import Environment
from deltann.errors import Unavailable
from deltann.evidence.places import repeats_folder
from deltann.evidence.repeats import repeat
from deltann.model import Model
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.runner.background import in_background
from deltann.runner.deadlines import parse_deadlines
from deltann.runner.local import Reply, WorkerProcess
from deltann.runner.memory import DEFAULT, parse_memory
from deltann.runner.pinned import interpreter
from deltann.runner.spare import take
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

    def request(self, samples: int) -> dict[str, Any]:
        """The first `samples` of them, as the worker's protocol names them."""
        inputs = {name: str(path) for name, path in self.arrays.items()}
        return {"inputs": inputs, "samples": samples, "rows": self.rows, "batched": self.batched}


@dataclass(frozen=True)
class Limits:
    """What a cell may take: seconds by stage (RUN: between two signs of progress), bytes of memory."""

    seconds: Mapping[Stage, float]
    memory: int

    @classmethod
    def of(cls, timeout: float | str | Sequence[str] = (), memory_limit: str = DEFAULT) -> Limits:
        """From what a caller gives, or the command line's texts.

        Raises:
            UsageError: one of them cannot be read.
        """
        texts = (str(timeout),) if isinstance(timeout, (int, float, str)) else timeout
        return cls(parse_deadlines(texts), parse_memory(memory_limit))


@dataclass(frozen=True)
class Begun:
    """A cell whose worker is lowering and loading, or of which it is known without one how it ends."""

    worker: WorkerProcess | None
    log: Path
    ready: Future[Reply]
    """How lowering and loading ended."""

    def __enter__(self) -> Begun:
        return self

    def __exit__(self, *_: object) -> None:
        """End the worker."""
        if self.worker is not None:
            self.worker.kill()


def begin(
    cell: Cell,
    model: Model,
    cache: Path,
    log: Path,
    limits: Limits,
    notify: Notify,
    calibration: Mapping[str, Any] | None = None,
) -> Begun:
    """Put a worker, whose log is `log` or a spare's own, on lowering and loading `model`, and return at once.

    A thread watches over its deadlines and its memory meanwhile, and calls `notify`.
    """
    environment = Environment.parse(cell.environment)
    found = registry.availability(environment.backend)
    if found.state == "broken":
        return _ended(log, Outcome(Status.FAILED, Stage.LOAD, Symptom.EXCEPTION, found.note, found.note))
    if found.state == "unavailable" and environment.version is None:
        return _ended(log, Outcome(Status.UNAVAILABLE, reason=found.note))
    try:
        python = interpreter(environment, cache)
    except Unavailable as error:
        return _ended(log, Outcome(Status.UNAVAILABLE, reason=str(error), detail=str(error)))
    worker = take(environment) or WorkerProcess(log, python.command, python.variables)
    worker.limit_memory(limits.memory)
    prepare = {"op": "prepare", "environment": cell.environment, "model": model.to_json(), "cache": str(cache)}
    worker.send(prepare if calibration is None else {**prepare, "calibration": calibration})
    ready = in_background(lambda: worker.wait(limits.seconds, lambda stage: notify(stage, 0)))
    return Begun(worker, worker.log, ready)


def _ended(log: Path, outcome: Outcome) -> Begun:
    begun = Begun(None, log, Future())
    begun.ready.set_result(Reply(outcome))
    return begun


def samples_needed(cell: Cell, model: Model) -> int:
    """On how many of the first samples the cell's lowering is calibrated; a model of another format is finished."""
    environment = Environment.parse(cell.environment)
    if model.format != "onnx" or registry.availability(environment.backend).state == "broken":
        return 0
    return calibration_samples(registry.get(environment.backend), environment)


def run_cell(
    run: Run,
    cell: Cell,
    work: Work,
    timeouts: Mapping[Stage, float],
    notify: Notify,
    begun: Begun,
    ready: Reply,
    repeated: int = 0,
) -> CellRecord:
    """Feed a cell that is ready, and end its worker; whatever happens to it is an outcome, stored at once.

    The first `repeated` samples are then run again, to see whether the cell equals itself.

    Raises:
        UsageError: the disk is full.
    """
    with begun:
        record = CellRecord(cell, *_outcome(run, cell, work, timeouts, notify, begun, ready))
        if repeated and begun.worker is not None and record.outcome.status is Status.OK:
            # Whole batches: a filled-up one would be another than the first time.
            samples = min(work.samples, -(-repeated // work.rows) * work.rows)
            failed = repeat(begun.worker, work.request(samples), repeats_folder(run, cell), timeouts)
            record = replace(record, facts={**record.facts, "repeated": samples, "repeat_failed": failed})
    if begun.log != run.log(cell) and begun.log.is_file():
        run.log(cell).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(begun.log, run.log(cell))
    run.save_record(record)
    return record


def _outcome(
    run: Run,
    cell: Cell,
    work: Work,
    timeouts: Mapping[Stage, float],
    notify: Notify,
    begun: Begun,
    ready: Reply,
) -> tuple[Outcome, Mapping[str, Any]]:
    """How the cell ended, and its facts."""
    if begun.worker is None or ready.outcome.status is not Status.OK:
        return ready.outcome, {}
    execute = {"op": "run", "out": str(run.outputs_folder(cell).absolute()), **work.request(work.samples)}
    notify(Stage.RUN, 0)
    ran = begun.worker.request(execute, timeouts, on_samples=lambda done: notify(Stage.RUN, done))
    return ran.outcome, {**ready.facts, **ran.facts}
