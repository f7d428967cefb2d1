"""A third party's adapter: it writes down what it is fed, and takes as long as it is told."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx

from deltann.artifact import Artifact
from deltann.backend import Executable, Option, Tensors, Variant, settings
from deltann.environment import Environment
from deltann.model import Model

LOG = "RECORDER_LOG"


class RecorderBackend:
    """onnx.reference, which appends a JSON line to the file `$RECORDER_LOG` for each run."""

    name: ClassVar[str] = "recorder"
    summary: ClassVar[str] = "writes down what it is fed"
    install: ClassVar[str] = "deltann"
    distribution: ClassVar[str] = "onnx"
    variants: ClassVar[Mapping[str, Variant]] = {"calibrated": Variant({"samples": "3"}, "writes down three samples")}
    options: ClassVar[Mapping[str, Option]] = {
        "tag": Option("tells two environments apart", at_load=True),
        "samples": Option("what lowering looks at", kind="count"),
        "milliseconds": Option("how long a run takes", kind="count", at_load=True),
    }

    def version(self) -> str:
        """One."""
        return "1"

    def devices(self) -> Sequence[str]:
        """The CPU alone."""
        return ("cpu",)

    def unsupported(self, model: Model, env: Environment) -> str | None:
        """Nothing."""
        del model, env
        return None

    def lower(self, model: Model, env: Environment, workdir: Path) -> Artifact:
        """Copy."""
        del env
        onnx.save_model(model.proto(), workdir / "model.onnx")
        return Artifact.of(workdir, ["model.onnx"])

    def calibration_samples(self, env: Environment) -> int:
        """As many as are asked for."""
        samples = settings(self, env)["samples"]
        return samples if isinstance(samples, int) else 0

    def lower_calibrated(self, model: Model, env: Environment, workdir: Path, batches: Sequence[Tensors]) -> Artifact:
        """Copy, and write down what there is to calibrate on."""
        for batch in batches:
            _write_down(f"calibration of {env}", batch)
        self.lower(model, env, workdir)
        (workdir / "calibration").write_text(str(len(batches)))
        return Artifact.of(workdir, ["model.onnx", "calibration"])

    @contextmanager
    def load(self, artifact: Artifact, env: Environment) -> Iterator[Executable]:
        """Open."""
        from onnx.reference import ReferenceEvaluator

        milliseconds = settings(self, env)["milliseconds"]
        pause = milliseconds / 1000 if isinstance(milliseconds, int) else 0.0
        yield _Recorder(ReferenceEvaluator(str(artifact.folder / "model.onnx")), str(env), pause)


class _Recorder:
    def __init__(self, evaluator: Any, environment: str, pause: float) -> None:
        self._evaluator = evaluator
        self._environment = environment
        self._pause = pause

    def run(self, inputs: Tensors) -> Tensors:
        """Write down, wait, evaluate."""
        _write_down(self._environment, inputs)
        time.sleep(self._pause)
        return dict(zip(self._evaluator.output_names, self._evaluator.run(None, dict(inputs)), strict=True))


def _write_down(who: str, inputs: Tensors) -> None:
    digests = {
        name: hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for name, array in inputs.items()
    }
    line = {"environment": who, "inputs": digests, "dtypes": [str(a.dtype) for a in inputs.values()]}
    with Path(os.environ[LOG]).open("a") as log:
        log.write(json.dumps(line) + "\n")
