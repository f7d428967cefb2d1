"""Adapters that are not well, each in its own way."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import ClassVar

from deltann.artifact import Artifact
from deltann.backend import Executable
from deltann.environment import Environment
from deltann.model import Model
from deltann.testing.faulty import FaultyBackend


class AbsentBackend(FaultyBackend):
    """Its framework is not installed."""

    install: ClassVar[str] = "deltann[absent]"

    def version(self) -> str:
        """As `importlib.metadata` answers for what is not there."""
        raise PackageNotFoundError("absent")


class LyingBackend(FaultyBackend):
    """It lowers everything wrongly, whatever it is asked."""

    def lower(self, model: Model, env: Environment, workdir: Path) -> Artifact:
        """As `faulty` does when told to spoil the model."""
        del env
        return super().lower(model, Environment.parse("faulty[amount=0.5,stage=CONVERT,symptom=MISMATCH]"), workdir)


class DyingBackend(FaultyBackend):
    """Its framework crashes when it is loaded."""

    @contextmanager
    def load(self, artifact: Artifact, env: Environment) -> Iterator[Executable]:
        """Die."""
        del artifact, env
        os.kill(os.getpid(), signal.SIGSEGV)
        yield from ()
