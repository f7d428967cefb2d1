"""Cases through worker processes: several at once, a process for many cases, replaced when it dies."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deltann.cache import cache_dir
from deltann.environment import Environment
from deltann.outcome import Stage, Status, Symptom
from deltann.runner.local import Reply, WorkerProcess
from deltann.runner.outputs import read_outputs
from deltann.runner.pinned import Interpreter, interpreter
from deltann.scoreboard.findings import About, keep
from deltann.scoreboard.judge import wrong
from deltann.scoreboard.material import Material, read_arrays
from deltann.scoreboard.record import Record
from deltann.scoreboard.row import FINDINGS, Result, Row

MODELS_A_PROCESS = 128
"""After so many a worker is replaced: engines keep some of each model they have ever loaded."""
_ENDS_THE_WORKER = (Symptom.CRASH, Symptom.TIMEOUT, Symptom.OUT_OF_MEMORY)


@dataclass(frozen=True)
class Limits:
    """`seconds` a case, bytes of `memory` a worker, `jobs` workers at once."""

    seconds: float
    memory: int
    jobs: int


def execute(
    record: Record,
    pending: Mapping[str, Sequence[str]],
    material: Mapping[str, Material],
    limits: Limits,
    ended: Callable[[str, Row], None],
) -> None:
    """Run the `pending` cases of each environment, storing each row at once; `ended` is told, one row at a time.

    Raises:
        UsageError: the disk is full.
        Unavailable: the environment pins a version that cannot be installed.
    """
    pythons = {name: interpreter(Environment.parse(name), cache_dir()) for name, cases in pending.items() if cases}
    stop, telling = threading.Event(), threading.Lock()

    def tell(environment: str, row: Row) -> None:
        with telling:
            ended(environment, row)

    shifts = [
        _Shift(record, environment, pythons[environment], cases, material, limits, stop, tell)
        for environment, cases in _shares(pending, limits.jobs)
    ]
    with ThreadPoolExecutor(limits.jobs) as pool, ExitStack() as ends:
        # Left by an exception or Ctrl-C, those at work end within a moment, their present cases unrecorded.
        ends.callback(stop.set)
        for future in as_completed([pool.submit(shift.serve) for shift in shifts]):
            future.result()


def _shares(pending: Mapping[str, Sequence[str]], jobs: int) -> Iterator[tuple[str, Sequence[str]]]:
    """The cases of each environment in the shares of one process each, small enough to keep all workers busy."""
    total = sum(map(len, pending.values()))
    size = max(1, min(MODELS_A_PROCESS, -(-total // jobs)))
    for environment, cases in pending.items():
        for start in range(0, len(cases), size):
            yield environment, cases[start : start + size]


@dataclass(frozen=True)
class _Attempt:
    reply: Reply
    got: dict[str, npt.NDArray[Any]] | None = None


@dataclass(frozen=True)
class _Shift:
    """Some cases of one environment, one after the other, in one process while it lives."""

    record: Record
    environment: str
    python: Interpreter
    cases: Sequence[str]
    material: Mapping[str, Material]
    limits: Limits
    stop: threading.Event
    ended: Callable[[str, Row], None]

    def serve(self) -> None:
        worker, served = None, 0
        folder = self.record.work / f"{Environment.parse(self.environment).slug}-{self.cases[0]}"
        try:
            for case in self.cases:
                if self.stop.is_set():
                    return
                if worker is None:
                    worker, served = self._start(folder / "worker.log"), 0
                attempt = self._attempt(worker, case, folder / "case")
                row = self._row(case, attempt)
                if row.result is Result.CRASHED and served and not self.stop.is_set():
                    # What killed it may be the doing of a model before: this one gets a process of its own.
                    worker.kill()
                    worker = self._start(folder / "worker.log")
                    attempt = self._attempt(worker, case, folder / "case")
                    row, served = _after_others(row, self._row(case, attempt), served), 0
                if self.stop.is_set():
                    return
                self._save(row, attempt, served)
                served += 1
                if attempt.reply.outcome.symptom in _ENDS_THE_WORKER:
                    worker.kill()
                    worker = None
        finally:
            if worker is not None:
                worker.kill()
            shutil.rmtree(folder, ignore_errors=True)

    def _start(self, log: Path) -> WorkerProcess:
        worker = WorkerProcess(log, self.python.command, self.python.variables)
        worker.limit_memory(self.limits.memory)
        return worker

    def _attempt(self, worker: WorkerProcess, case: str, folder: Path) -> _Attempt:
        """Lower, load and run, in a cache of its own that is empty again afterwards."""
        material = self.material[case]
        deadline = _Deadline(self.limits.seconds, self.stop)
        with suppress(FileNotFoundError):
            os.truncate(worker.log, 0)  # what is said of a case is not to be another's noise
        try:
            ready = worker.request({
                "op": "prepare",
                "environment": self.environment,
                "model": material.model.to_json(),
                "cache": str(folder.absolute()),
            }, deadline)  # fmt: skip
            if ready.outcome.status is not Status.OK:
                return _Attempt(ready)
            ran = worker.request({
                "op": "run",
                "inputs": {name: str(path.absolute()) for name, path in material.inputs.items()},
                "out": str((folder / "out").absolute()),
                "samples": 1,
                "rows": 1,
                "batched": False,
            }, deadline)  # fmt: skip
            if ran.outcome.status is not Status.OK:
                return _Attempt(ran)
            return _Attempt(ran, {name: np.array(array[0]) for name, array in read_outputs(folder / "out").items()})
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _row(self, case: str, attempt: _Attempt) -> Row:
        material = self.material[case]
        row = Row.of(case, attempt.reply.outcome, attempt.reply.facts.get("actual", {}))
        # Engines name the file they choke on, which will be gone, and is another each time.
        ours = re.escape(f"{self.record.work.absolute()}/") + r"(?:[^\s'\"]*/)?"
        row = replace(row, reason=re.sub(ours, "", row.reason))
        if row.result is Result.TIMED_OUT:
            return replace(row, reason=f"no end within {self.limits.seconds:g} s; it was in {row.stage}")
        if attempt.got is None:
            return row
        reason = wrong(attempt.got, read_arrays(material.expected), material.rtol, material.atol)
        return replace(row, result=Result.WRONG, stage=Stage.COMPARE, reason=reason) if reason else row

    def _save(self, row: Row, attempt: _Attempt, served: int) -> None:
        if row.result in FINDINGS:
            version = self.record.environments[self.environment]
            about = About(self.environment, version, self.record.document["onnx"], served)
            got = attempt.got if row.result is Result.WRONG else None
            keep(self.record.finding(self.environment, row.case), row, about, self.material[row.case], got)
        self.record.append(self.environment, row)
        self.ended(self.environment, row)


def _after_others(first: Row, alone: Row, served: int) -> Row:
    """A crash that does not come again in a process of its own stays a crash, and says so."""
    if alone.result is Result.CRASHED:
        return alone
    others = f"after {served} other model{'s' * (served > 1)} in one process"
    return replace(first, reason=f"{first.reason} {others}; alone: {alone.result}")


class _Deadline(Mapping[Stage, float]):
    """What is left to all stages of a case together; nothing once `stop` is set."""

    def __init__(self, seconds: float, stop: threading.Event) -> None:
        self._end = time.monotonic() + seconds
        self._stop = stop

    def __getitem__(self, stage: Stage) -> float:
        # The worker's own clock starts anew with each stage: it is to see a limit that is passed, or none.
        return 0.0 if self._stop.is_set() or time.monotonic() > self._end else float("inf")

    def __iter__(self) -> Iterator[Stage]:
        return iter(Stage)

    def __len__(self) -> int:
        return len(Stage)
