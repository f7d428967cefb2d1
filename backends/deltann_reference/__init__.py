"""The specification itself: `onnx.reference.ReferenceEvaluator`. Slow, plain numpy, and part of every installation."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx

from deltann.artifact import Artifact
from deltann.backend import Executable, Option, Tensors, Variant, settings
from deltann.environment import Environment
from deltann.errors import Unsupported, one_line
from deltann.model import Model, fits_one_file
from deltann_reference.widen import FLOATS, too_narrow, widened

_FILE, _DECLARED = "model.onnx", "declared.json"


class ReferenceBackend:
    """Runs the model as it stands, one operator after the other, as `onnx` defines each."""

    name: ClassVar[str] = "reference"
    summary: ClassVar[str] = "onnx.reference, the specification itself (slow)"
    install: ClassVar[str] = "deltann"
    distribution: ClassVar[str] = "onnx"
    variants: ClassVar[Mapping[str, Variant]] = {}
    options: ClassVar[Mapping[str, Option]] = {
        "precision": Option(
            "model keeps each value's type as the file says; float64 replaces float16, bfloat16 and float32 in "
            "weights, inputs and everything computed from them",
            default="model",
            choices=("model", "float64"),
            numerics=True,
        ),
        "outputs": Option(
            "floating type of outputs where precision replaces types: declared is the file's, computed the precision",
            default="declared",
            choices=("declared", "computed"),
            numerics=True,
            at_load=True,
        ),
    }

    def version(self) -> str:
        """The version of `onnx`."""
        return version(self.distribution)

    def devices(self) -> Sequence[str]:
        """The CPU alone."""
        return ("cpu",)

    def unsupported(self, model: Model, env: Environment) -> str | None:
        """An opset that the evaluator would run as the newest it knows; what has no float64 here.

        What operators lack, `load` says.
        """
        newest = onnx.defs.onnx_opset_version()
        if model.opset > newest:
            return f"opset {model.opset} is newer than the newest that onnx knows, {newest}"
        return too_narrow(model) if settings(self, env)["precision"] == "float64" else None

    def lower(self, model: Model, env: Environment, workdir: Path) -> Artifact:
        """Copy the model, external data included and in float64 where that is asked for, into one file.

        Raises:
            Unsupported: the model is larger than protobuf can hold in one file.
        """
        if reason := self.unsupported(model, env):
            raise Unsupported(reason)
        proto, files = model.proto(), [_FILE]
        if settings(self, env)["precision"] == "float64":
            proto = widened(proto)
            (workdir / _DECLARED).write_text(json.dumps({spec.name: spec.dtype for spec in model.outputs}))
            files.append(_DECLARED)
        if not fits_one_file(proto):
            raise Unsupported("with its external data the model exceeds 2 GB, the most that one protobuf file holds")
        onnx.save_model(proto, workdir / _FILE)
        return Artifact.of(workdir, files)

    @contextmanager
    def load(self, artifact: Artifact, env: Environment) -> Iterator[Executable]:
        """Build the evaluator.

        Raises:
            Unsupported: an operator has no reference implementation.
        """
        from onnx.reference import ReferenceEvaluator

        from deltann_reference.float64 import evaluator

        file, widens = artifact.folder / _FILE, _DECLARED in artifact.files
        try:
            made = evaluator(file) if widens else ReferenceEvaluator(str(file))
        except (NotImplementedError, onnx.checker.ValidationError) as error:
            raise Unsupported(f"onnx.reference {version(self.distribution)}: {one_line(str(error))}") from error
        declared: dict[str, str] = {}
        if widens and settings(self, env)["outputs"] == "declared":
            declared = json.loads((artifact.folder / _DECLARED).read_text())
        yield _Evaluator(made, widens, declared)


class _Evaluator:
    """Where it `widens`, floating inputs are made float64, and float64 outputs get the type that `declared` says."""

    def __init__(self, evaluator: Any, widens: bool, declared: Mapping[str, str]) -> None:
        self._evaluator = evaluator
        self._widens = widens
        self._declared = declared

    def run(self, inputs: Tensors) -> Tensors:
        """Evaluate node by node."""
        feeds = {name: _wide(value) for name, value in inputs.items()} if self._widens else dict(inputs)
        outputs = dict(zip(self._evaluator.output_names, self._evaluator.run(None, feeds), strict=True))
        # Only a float64 gets its declared type again, so that any other wrong type shows.
        for name, dtype in self._declared.items():
            if outputs[name].dtype == np.float64 and dtype in FLOATS:
                outputs[name] = outputs[name].astype(dtype)
        return outputs

    def actual(self) -> dict[str, str]:
        """See `deltann.backend.Telling`: numpy computes in its operands' type, so most of it in the weights' own."""
        graph = self._evaluator.proto_.graph
        numbers: Counter[str] = Counter(
            {dtype: 0 for value in graph.input if (dtype := _float(value.type.tensor_type))}
        )
        for tensor in graph.initializer:
            if dtype := _float(tensor):
                numbers[dtype] += prod(tensor.dims)
        facts = {"device": "cpu (numpy)"}
        return facts | ({"precision": numbers.most_common(1)[0][0]} if numbers else {})


def _wide(value: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    return value.astype(np.float64) if value.dtype.name in FLOATS else value


def _float(typed: onnx.TensorProto | onnx.TypeProto.Tensor) -> str:
    """The numpy name of a floating element type; empty for any other."""
    element = typed.data_type if isinstance(typed, onnx.TensorProto) else typed.elem_type
    if element not in onnx.helper.get_all_tensor_dtypes():
        return ""
    name = onnx.helper.tensor_dtype_to_np_dtype(element).name
    return name if "float" in name else ""
