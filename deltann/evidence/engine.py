"""A worker that runs one environment after the other, over samples of its own, outside the comparison's cells."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deltann.model import Model
from deltann.outcome import Outcome, Status
from deltann.runner.cell import Limits, Work
from deltann.runner.local import WorkerProcess
from deltann.runner.outputs import read_times


@dataclass
class Engine:
    """Its worker starts when first needed, and anew after one that died. As a context manager: gone on leaving."""

    log: Path
    limits: Limits
    cache: Path
    _worker: WorkerProcess | None = None

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def execute(
        self, environment: str, model: Model, work: Work, out: Path, told: Callable[[int], None] = lambda _: None
    ) -> Outcome:
        """Run all of `work` with `model`, its outputs in `out`; what an earlier, killed one did is kept."""
        if is_done(out, work):
            return Outcome(Status.OK)
        if self._worker is None:
            self._worker = WorkerProcess(self.log)
            self._worker.limit_memory(self.limits.memory)
        prepare: dict[str, Any] = {
            "op": "prepare", "environment": environment, "model": model.to_json(), "cache": str(self.cache)
        }  # fmt: skip
        outcome = self._worker.request(prepare, self.limits.seconds).outcome
        if outcome.status is Status.OK:
            execute = {"op": "run", "out": str(out.absolute()), **work.request(work.samples)}
            outcome = self._worker.request(execute, self.limits.seconds, on_samples=told).outcome
        if outcome.status is not Status.OK:
            shutil.rmtree(out, ignore_errors=True)
            self._end()
        return outcome

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
