"""The TensorFlow adapter: ONNX lowered operator by operator by a table of its own; a graph, run eagerly, or by XLA.

This module imports no TensorFlow; what does lies in submodules that `unsupported`, `lower` and `load` import, after the
process has been prepared: TensorFlow reads some of its settings once, when it is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import metadata
from pathlib import Path
from typing import ClassVar

from deltann.artifact import Artifact
from deltann.backend import Executable, Option, Variant, settings
from deltann.environment import Environment
from deltann.errors import Unavailable
from deltann.model import Model
from deltann_tensorflow.process import prepare


class TensorFlowBackend:
    """`tf` (a graph), `tf-eager` (operator by operator) and `tf-xla`."""

    name: ClassVar[str] = "tf"
    summary: ClassVar[str] = "TensorFlow: a graph, eager, or compiled by XLA; ONNX lowered by our own operator table"
    install: ClassVar[str] = "deltann[tf]"
    distribution: ClassVar[str] = "tensorflow-cpu"
    variants: ClassVar[Mapping[str, Variant]] = {
        "eager": Variant({"mode": "eager"}, "operator by operator, without a graph"),
        "xla": Variant({"mode": "xla"}, "tf.function(jit_compile=True): the whole graph compiled by XLA"),
    }
    options: ClassVar[Mapping[str, Option]] = {
        "mode": Option(
            "graph is a tf.function, optimised by Grappler; eager runs operator by operator; xla compiles with XLA",
            default="graph",
            choices=("graph", "eager", "xla"),
            numerics=True,
        ),
        "precision": Option(
            "floating type of weights, inputs and everything computed from them; model keeps each value's type as the "
            "file says; any other replaces float16, bfloat16, float32 and float64 alike (a float16 model is computed "
            "in float32 by precision=float32), and outputs are cast back to the types the file declares",
            default="model",
            choices=("model", "float32", "float64", "bfloat16", "float16"),
            numerics=True,
        ),
        "threads": Option(
            "threads inside one operator; TensorFlow's own choice if left out",
            kind="count",
            numerics=True,
            at_load=True,
        ),
        "onednn": Option(
            "whether oneDNN's kernels are used (TF_ENABLE_ONEDNN_OPTS); TensorFlow's own choice if left out",
            choices=("0", "1"),
            numerics=True,
            at_load=True,
        ),
    }

    def version(self) -> str:
        """The version of `tensorflow-cpu`, or of `tensorflow`."""
        try:
            return metadata.version(self.distribution)
        except metadata.PackageNotFoundError:
            return metadata.version("tensorflow")

    def devices(self) -> Sequence[str]:
        return ("cpu",)

    def import_framework(self, env: Environment) -> None:
        """See `deltann.backend.Importing`."""
        prepare(settings(self, env))
        from deltann_tensorflow import support  # noqa: F401

    def unsupported(self, model: Model, env: Environment) -> str | None:
        try:
            prepare(settings(self, env))
        except Unavailable as error:
            return str(error)
        from deltann_tensorflow.support import unsupported

        return unsupported(model)

    def lower(self, model: Model, env: Environment, workdir: Path) -> Artifact:
        prepare(settings(self, env))
        from deltann_tensorflow.lowering import lower

        return lower(self, model, env, workdir)

    def load(self, artifact: Artifact, env: Environment) -> AbstractContextManager[Executable]:
        prepare(settings(self, env))
        from deltann_tensorflow.executable import load

        return load(artifact)
