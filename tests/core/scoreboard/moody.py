"""An adapter whose faults depend on the operator, and which writes down what it is asked to run."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import ClassVar

from deltann.artifact import Artifact
from deltann.backend import Executable, Option
from deltann.environment import Environment
from deltann.model import Model
from deltann.testing.faulty import FaultyBackend

FAULTS = "MOODY_FAULTS"
"""Environment variable: `{operator: spec of `faulty`}`, as JSON."""
LOG = "MOODY_LOG"
"""Environment variable: a file that gets a line `PROCESS OPERATOR` for each model lowered."""


class MoodyBackend(FaultyBackend):
    """`faulty`, told by the model's first node how to fail; `quantised` environments want samples."""

    name: ClassVar[str] = "moody"
    options: ClassVar[Mapping[str, Option]] = {
        "quantised": Option("wants calibration", choices=("yes",)),
    }
    variants = {}  # noqa: RUF012  # as the contract has it

    def version(self) -> str:
        """One."""
        return os.environ.get("MOODY_VERSION", "1")

    def unsupported(self, model: Model, env: Environment) -> str | None:
        """What `faulty` would say."""
        del env
        return FaultyBackend().unsupported(model, _fault(_operator(model)))

    def lower(self, model: Model, env: Environment, workdir: Path) -> Artifact:
        """Write down, fail as told, and remember the fault in the artifact's folder."""
        del env
        operator = _operator(model)
        self._lowered = getattr(self, "_lowered", 0) + 1
        if LOG in os.environ:
            with Path(os.environ[LOG]).open("a") as log:
                log.write(f"{os.getpid()} {operator}\n")
        if self._lowered == 2 and "MOODY_SECOND_DIES" in os.environ:
            os.kill(os.getpid(), signal.SIGSEGV)
        (workdir / "operator").write_text(operator)
        made = FaultyBackend().lower(model, _fault(operator), workdir)
        return Artifact.of(workdir, [*made.files, "operator"])

    @contextmanager
    def load(self, artifact: Artifact, env: Environment) -> Iterator[Executable]:
        """As told."""
        del env
        with FaultyBackend().load(artifact, _fault((artifact.folder / "operator").read_text())) as executable:
            yield executable

    def calibration_samples(self, env: Environment) -> int:
        """Some, where asked for."""
        return 10 if ("quantised", "yes") in env.options else 0

    def lower_calibrated(self, model: Model, env: Environment, workdir: Path, batches: object) -> Artifact:
        """Never called."""
        raise NotImplementedError


class AbsentBackend(MoodyBackend):
    """Its framework is not installed."""

    def version(self) -> str:
        """As `importlib.metadata` answers for what is not there."""
        raise PackageNotFoundError("absent")


def _operator(model: Model) -> str:
    return str(model.proto().graph.node[0].op_type)


def _fault(operator: str) -> Environment:
    return Environment.parse(json.loads(os.environ.get(FAULTS, "{}")).get(operator, "faulty"))
