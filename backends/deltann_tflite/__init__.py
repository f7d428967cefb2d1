"""LiteRT (TensorFlow Lite): ONNX by the `tf` backend's table and TensorFlow's own converter, or a `.tflite` file.

This module imports no framework; what does lies in submodules that `lower` and `load` import.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from deltann.artifact import Artifact
from deltann.backend import Executable, Option, Tensors, Variant, settings
from deltann.environment import Environment
from deltann.errors import Unsupported, UsageError
from deltann.model import Model

_PRECISIONS = ("float32", "float16", "dynamic", "int8")


class TfliteBackend:
    """`tflite` (float32), `tflite-fp16`, `tflite-dynamic` and `tflite-int8`."""

    name: ClassVar[str] = "tflite"
    summary: ClassVar[str] = "LiteRT (TensorFlow Lite), by TensorFlow's own converter; runs .tflite files too"
    install: ClassVar[str] = "deltann[tflite]"
    distribution: ClassVar[str] = "ai-edge-litert"
    lowers_with: ClassVar[Sequence[str]] = ("tf",)
    formats: ClassVar[Sequence[str]] = ("onnx", "tflite")
    variants: ClassVar[Mapping[str, Variant]] = {
        "fp16": Variant({"precision": "float16"}, "weights stored in float16, arithmetic in float32"),
        "dynamic": Variant({"precision": "dynamic"}, "weights in int8, activations quantised anew in each run"),
        "int8": Variant({"precision": "int8"}, "weights and activations in int8, after calibration"),
    }
    options: ClassVar[Mapping[str, Option]] = {
        "precision": Option(
            "what the converter makes of an ONNX model, whose floating types it all takes as float32: float32, without "
            "any optimisation, where absent; int8 means integer operators only, with float inputs and outputs",
            choices=_PRECISIONS,
            numerics=True,
        ),
        "samples": Option(
            "on how many of the first samples precision=int8 is calibrated", "100", kind="count", numerics=True
        ),
        "kernels": Option(
            "optimised is what LiteRT does by itself, with XNNPACK where that can; builtin is its optimised kernels "
            "without XNNPACK; reference is its plain loops, which tell a kernel's fault from quantisation loss",
            "optimised",
            choices=("optimised", "builtin", "reference"),
            numerics=True,
            at_load=True,
        ),
        "threads": Option(
            "threads of the kernels; LiteRT's own choice, 1, where absent", kind="count", numerics=True, at_load=True
        ),
    }

    def version(self) -> str:
        return metadata.version(self.distribution)

    def devices(self) -> Sequence[str]:
        return ("cpu",)

    def unsupported(self, model: Model, env: Environment) -> str | None:
        """Operators that the `tf` table lacks; for a `.tflite` file, what it is not and has not."""
        if model.format == "tflite":
            return self._unlike(model, env)
        if "samples" in dict(env.options) and not self.calibration_samples(env):
            return "samples is for tflite-int8, and nothing is calibrated in other precisions: leave it out"
        if find_spec("tensorflow") is None:
            return None  # only `.tflite` files can do without; `lower` says what is missing
        from deltann_tensorflow.process import import_tensorflow

        import_tensorflow()
        from deltann_tensorflow.support import unsupported

        return unsupported(model)

    def calibration_samples(self, env: Environment) -> int:
        """As many as `samples` says, for `precision=int8`."""
        values = settings(self, env)
        samples = values["samples"]
        return samples if values["precision"] == "int8" and isinstance(samples, int) else 0

    def lower(self, model: Model, env: Environment, workdir: Path) -> Artifact:
        """Convert an ONNX model, or take over a `.tflite` file as it is.

        Raises:
            Unsupported: see `unsupported`; the converter knows no TFLite operator for something (TensorFlow's own
                kernels, "flex", are no part of LiteRT and never used); the model is larger than 2 GB.
            Unavailable: an ONNX model, and TensorFlow, whose converter it takes, is not installed.
        """
        return self.lower_calibrated(model, env, workdir, ())

    def lower_calibrated(self, model: Model, env: Environment, workdir: Path, batches: Sequence[Tensors]) -> Artifact:
        """`lower`, for `precision=int8`.

        Raises:
            ValueError: `batches` is empty, and `env` is calibrated.
        """
        from deltann_tflite.lowering import convert, take_over

        if reason := self.unsupported(model, env):
            raise Unsupported(reason)
        if model.format == "tflite":
            return take_over(model, workdir)
        return convert(model, str(settings(self, env)["precision"] or "float32"), workdir, batches)

    def load(self, artifact: Artifact, env: Environment) -> AbstractContextManager[Executable]:
        """Make an interpreter; quantised inputs and outputs are float32 to the outside, see `quantisation`."""
        from deltann_tflite.executable import load

        return load(artifact, settings(self, env))

    def _unlike(self, model: Model, env: Environment) -> str | None:
        from deltann_tflite.content import content_of

        wanted = settings(self, env)["precision"]
        try:
            content = content_of(model.path)
        except UsageError as error:
            return str(error)
        own = content.precision
        if flex := [name for name in content.custom if name.startswith("Flex")]:
            return f"{model.name} holds TensorFlow's own operators, which LiteRT lacks: {', '.join(flex)}"
        if "samples" in dict(env.options):
            return f"{model.name} is a finished TFLite model, which is not calibrated: leave out samples"
        if wanted not in (None, own):
            return f"{model.name} is a finished TFLite model, in {own}: precision={wanted} cannot be had of it"
        return None
