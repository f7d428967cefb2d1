"""ONNX Runtime, slower by a known share: what a benchmark of benchmarks compares with ONNX Runtime itself."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

from deltann.artifact import Artifact
from deltann.backend import Executable, Option, Tensors, settings
from deltann.environment import Environment
from deltann_ort import OrtBackend


class SlowedOrt(OrtBackend):
    """`slowed[percent=5]`: each run is ORT's own, and then waits, busily, for so much of the time that it took."""

    name: ClassVar[str] = "slowed"
    summary: ClassVar[str] = "ONNX Runtime, slowed down"
    options: ClassVar[Mapping[str, Option]] = {
        **OrtBackend.options,
        "percent": Option("by how much each run is slower", "1", kind="count", at_load=True),
    }

    @contextmanager
    def load(self, artifact: Artifact, env: Environment) -> Iterator[Executable]:
        """ORT's session, wrapped."""
        percent = int(str(settings(self, env)["percent"]))
        with super().load(artifact, env) as executable:
            yield _Slowed(executable, 1 + percent / 100)


class _Slowed:
    def __init__(self, executable: Executable, factor: float) -> None:
        self._execute, self._factor = executable.run, factor

    def run(self, inputs: Tensors) -> Tensors:
        """Run, and hold the answer back."""
        began = time.perf_counter_ns()
        outputs = self._execute(inputs)
        until = began + round((time.perf_counter_ns() - began) * self._factor)
        while time.perf_counter_ns() < until:
            pass
        return outputs
