"""An environment whose lowering is wrong: told to lower a model, it lowers a sabotaged copy of it with ONNX Runtime.

`seeded_faults.py` makes it known as `faulty` and leaves copy N as COPIES/N.onnx, COPIES being an environment variable.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from deltann.artifact import Artifact
from deltann.backend import Executable, Option, Variant, settings
from deltann.environment import Environment
from deltann.model import Model
from deltann_ort import OrtBackend

COPIES = "DELTANN_BENCHMARK_COPIES"
_ORT = Environment.parse("ort")


class FaultyLowering:
    """`faulty[copy=N]` answers to the name of the sound model with what copy N computes."""

    name: ClassVar[str] = "faulty"
    summary: ClassVar[str] = "ONNX Runtime behind a lowering with one fault"
    install: ClassVar[str] = "deltann[ort]"
    distribution: ClassVar[str] = "onnxruntime"
    variants: ClassVar[Mapping[str, Variant]] = {}
    options: ClassVar[Mapping[str, Option]] = {"copy": Option("which of the copies", "1", "count", numerics=True)}

    def version(self) -> str:
        """ONNX Runtime's."""
        return OrtBackend().version()

    def devices(self) -> Sequence[str]:
        """The CPU alone."""
        return ("cpu",)

    def unsupported(self, model: Model, env: Environment) -> str | None:  # noqa: ARG002 (the contract's)
        """What ONNX Runtime lacks."""
        return OrtBackend().unsupported(model, _ORT)

    def lower(self, model: Model, env: Environment, workdir: Path) -> Artifact:
        """Lower the copy instead."""
        path = Path(os.environ[COPIES]) / f"{settings(self, env)['copy']}.onnx"
        return OrtBackend().lower(replace(model, path=path), _ORT, workdir)

    def load(self, artifact: Artifact, env: Environment) -> AbstractContextManager[Executable]:  # noqa: ARG002
        """As ONNX Runtime does."""
        return OrtBackend().load(artifact, _ORT)
