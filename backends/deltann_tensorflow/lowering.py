"""`lower`: check that the model builds, and write what `load` needs.

The artifact is the ONNX model, external data inside, and `lowering.json`, which says what lowering decided: mode,
precision, the shapes that were bound. The graph is made from them anew by `load`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from onnx import ModelProto

from deltann.artifact import Artifact
from deltann.backend import Backend, settings
from deltann.environment import Environment
from deltann.errors import Unsupported
from deltann.lowering.files import write_model
from deltann.model import Model
from deltann_tensorflow.function import program
from deltann_tensorflow.program import Program
from deltann_tensorflow.support import unsupported

LOWERING = "lowering.json"
_EMBEDDED = 1 << 30  # a graph of 2 GB is one that protobuf cannot hold


@dataclass(frozen=True)
class Lowering:
    """What `lowering.json` holds. `inputs` are (name, numpy dtype, shape), `outputs` (name, numpy dtype)."""

    mode: str
    precision: str
    inputs: list[tuple[str, str, list[int]]]
    outputs: list[tuple[str, str]]

    @classmethod
    def read(cls, folder: Path) -> Lowering:
        return cls(**json.loads((folder / LOWERING).read_text()))

    def write(self, folder: Path) -> None:
        (folder / LOWERING).write_text(json.dumps(asdict(self), indent=1))

    @property
    def dtype(self) -> Any:
        """The TensorFlow dtype of `precision`; None to keep the file's types."""
        return None if self.precision == "model" else tf.as_dtype(self.precision)

    def program(self, proto: ModelProto) -> Program:
        """The model lowered.

        Raises:
            Unsupported: the table lacks something, or XLA is asked for and a step needs values while running.
        """
        # XLA takes constants as arguments: it would spend its time on folding them.
        embed = self.mode == "graph" and proto.ByteSize() < _EMBEDDED
        built = program(proto, self.inputs, self.dtype, embed=embed)
        if self.mode == "xla" and built.in_python:
            names = ", ".join(dict.fromkeys(step.name for step in built.in_python))
            raise Unsupported(f"XLA compiles no {names} whose shapes or axes only the data tells")
        return built


def lower(backend: Backend, model: Model, env: Environment, workdir: Path) -> Artifact:
    """See `Backend.lower`."""
    values = settings(backend, env)
    if reason := unsupported(model):
        raise Unsupported(reason)
    lowering = Lowering(
        mode=str(values["mode"]),
        precision=str(values["precision"]),
        inputs=[(spec.name, spec.dtype, list(spec.static_shape)) for spec in model.inputs],
        outputs=[(spec.name, spec.dtype) for spec in model.outputs],
    )
    proto = model.proto()
    lowering.program(proto)
    files = [*write_model(proto, workdir), LOWERING]
    lowering.write(workdir)
    return Artifact.of(workdir, files)
