"""One environment at work as users have it: a model lowered in one process, its artifact moved and run in another."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deltann import registry
from deltann.artifact import Artifact
from deltann.backend import calibration_samples
from deltann.cache import cache_dir
from deltann.environment import Environment
from deltann.errors import Unavailable, Unsupported
from deltann.outcome import Outcome, Status
from deltann.runner.deadlines import parse_deadlines
from deltann.runner.local import WorkerProcess
from deltann.runner.outputs import read_outputs
from deltann.runner.pinned import interpreter
from deltann.testing.job import Job, prepare_request

Arrays = Mapping[str, npt.NDArray[Any]]
_TIMEOUTS = parse_deadlines(["300"])


class CellFailed(Exception):
    """A cell ended as FAILED; the message has stage, symptom, reason and detail."""


@dataclass(frozen=True)
class Lowered:
    """What lowering told (`facts`, as in a cell's record) and left in `cache`; the samples it was calibrated on."""

    spec: str
    facts: Mapping[str, Any]
    cache: Path
    calibration: Mapping[str, Any] | None

    @property
    def artifact(self) -> Artifact:
        """The artifact as the cache holds it."""
        (folder,) = (self.cache / "artifacts").iterdir()
        artifact = Artifact.read(folder)
        assert artifact is not None, f"{folder} holds no whole artifact"
        return artifact


@dataclass(frozen=True)
class Ran:
    """Outputs by name, [count, …] each, and what the executable told of itself (empty where it tells nothing)."""

    outputs: dict[str, npt.NDArray[Any]]
    actual: Mapping[str, Any]


class Workbench:
    """Two worker processes for one environment; a context manager.

    Its methods raise Unsupported, Unavailable or CellFailed where a cell does not end as OK.
    """

    def __init__(self, spec: str, folder: Path) -> None:
        self.spec = spec
        self._folder = folder
        self._python = interpreter(Environment.parse(spec), cache_dir())
        self._workers: dict[str, WorkerProcess] = {}
        self._count = 0

    def __enter__(self) -> Workbench:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.kill()

    def lower(self, job: Job, spec: str | None = None, process: str = "lowering", last: float = 1) -> Lowered:
        """Lower the job's model into a new cache and load it, in the process of that name.

        Where the environment is calibrated, it is on random samples; the last one is multiplied by `last`.
        """
        cache, spec = self._new_folder(), spec or self.spec
        calibration = self._calibration(job, spec, last)
        facts = self._ask(process, prepare_request(spec, job.model, cache, calibration))
        return Lowered(spec, facts, cache, calibration)

    def run(self, lowered: Lowered, job: Job) -> Ran:
        """Move what was lowered elsewhere and run the samples there, in the other process."""
        cache, out = self._new_folder() / "moved", self._new_folder() / "outputs"
        lowered.cache.rename(cache)
        facts = self._ask("running", prepare_request(lowered.spec, job.model, cache, lowered.calibration))
        assert facts["artifact_cached"], "the artifact was lowered again in the other process: its key is not stable"
        assert facts["artifact"] == lowered.facts["artifact"], "the other process found another artifact"
        actual = self._ask("running", job.run_request(out)).get("actual", {})
        return Ran(read_outputs(out), actual)

    def probe(self, job: Job, first: Arrays, second: Arrays, calibrated: bool = True) -> dict[str, list[str]]:
        """What `deltann.testing.probe` finds out; unless `calibrated`, `lower` gets no samples to calibrate on."""
        folder = self._new_folder()
        workdir = folder / "artifact"
        workdir.mkdir()
        _save(folder / "first.npz", first)
        _save(folder / "second.npz", second)
        request = {
            "environment": self.spec,
            "model": job.model.to_json(),
            "workdir": str(workdir),
            "calibration": self._calibration(job, self.spec) if calibrated else None,
            "first": str(folder / "first.npz"),
            "second": str(folder / "second.npz"),
        }
        (folder / "request.json").write_text(json.dumps(request))
        command = [*self._python.command, "-m", "deltann.testing.probe"]
        done = subprocess.run(
            [*command, str(folder / "request.json"), str(folder / "answer.json")],
            env={**os.environ, **self._python.variables},
            capture_output=True,
            check=False,
            timeout=600,
        )
        if done.returncode != 0:
            raise CellFailed(f"the probe ended with {done.returncode}: {done.stderr.decode(errors='replace')[-3000:]}")
        answer = dict(json.loads((folder / "answer.json").read_text()))
        if "unavailable" in answer:
            raise Unavailable(answer["unavailable"])
        return answer

    def _calibration(self, job: Job, spec: str, last: float = 1) -> Mapping[str, Any] | None:
        environment = Environment.parse(spec)
        count = calibration_samples(registry.get(environment.backend), environment)
        return job.calibration(self._new_folder(), count, last) if count else None

    def _ask(self, process: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if process not in self._workers:
            log = self._new_folder() / f"{process}.log"
            self._workers[process] = WorkerProcess(log, self._python.command, self._python.variables)
        reply = self._workers[process].request(request, _TIMEOUTS)
        if reply.outcome.status is not Status.OK:
            # It may be dead, and what a failure leaves behind is nothing for the next model to inherit.
            self._workers.pop(process).kill()
            _raise(reply.outcome)
        return reply.facts

    def _new_folder(self) -> Path:
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        return folder


def _save(file: Path, arrays: Arrays) -> None:
    # np.savez itself has a parameter that an input might be called after.
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _raise(outcome: Outcome) -> None:
    if outcome.status is Status.UNSUPPORTED:
        raise Unsupported(outcome.reason)
    if outcome.status is Status.UNAVAILABLE:
        raise Unavailable(outcome.reason)
    raise CellFailed(f"{outcome.symptom} while {outcome.stage}: {outcome.reason}\n{outcome.detail}")
