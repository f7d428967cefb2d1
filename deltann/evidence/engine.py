"""A worker that runs one environment after the other, over samples of its own, outside the comparison's cells."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from deltann.model import Model
from deltann.outcome import Outcome, Status
from deltann.runner.cell import Limits, Work
from deltann.runner.local import WorkerProcess
from deltann.runner.outputs import read_times


class Left(Exception):
    """Asked of an engine that nobody waits for any more."""


@dataclass
class Engine:
    """Its worker starts when first needed, and anew after one that died.

    As a context manager: on leaving, the worker is gone and none starts any more, whichever thread was waiting for it.
    """

    log: Path
    limits: Limits
    cache: Path
    _worker: WorkerProcess | None = None
    _left: bool = False
    _lock: Lock = field(default_factory=Lock)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._left = True
            self._end()

    def execute(
        self, environment: str, model: Model, work: Work, out: Path, told: Callable[[int], None] = lambda _: None
    ) -> Outcome:
        """Run all of `work` with `model`, its outputs in `out`; what an earlier, killed one did is kept.

        Raises:
            Left: the context was left before, or meanwhile, which ends what is under way as a crash.
        """
        if is_done(out, work):
            return Outcome(Status.OK)
        worker = self._started()
        prepare: dict[str, Any] = {
            "op": "prepare", "environment": environment, "model": model.to_json(), "cache": str(self.cache)
        }  # fmt: skip
        outcome = worker.request(prepare, self.limits.seconds).outcome
        if outcome.status is Status.OK:
            execute = {"op": "run", "out": str(out.absolute()), **work.request(work.samples)}
            outcome = worker.request(execute, self.limits.seconds, on_samples=told).outcome
        if outcome.status is not Status.OK:
            shutil.rmtree(out, ignore_errors=True)
            with self._lock:
                self._end()
        return outcome

    def _started(self) -> WorkerProcess:
        with self._lock:
            if self._left:
                raise Left
            if self._worker is None:
                self._worker = WorkerProcess(self.log)
                self._worker.limit_memory(self.limits.memory)
            return self._worker

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker = None


def is_done(out: Path, work: Work) -> bool:
    """Whether the outputs of every run of `work` are in `out`."""
    with suppress(OSError, ValueError):
        times = read_times(out)
        return len(times) == -(-work.samples // work.rows) and not np.isnan(times).any()
    return False
