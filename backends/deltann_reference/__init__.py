"""The specification itself: `onnx.reference.ReferenceEvaluator`. Slow, plain numpy, and part of every installation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import onnx

from deltann.artifact import Artifact
from deltann.backend import Executable, Option, Tensors, Variant
from deltann.environment import Environment
from deltann.errors import Unsupported, one_line
from deltann.model import Model, fits_one_file

_FILE = "model.onnx"


class ReferenceBackend:
    """Runs the model as it stands, one operator after the other, as `onnx` defines each."""

    name: ClassVar[str] = "reference"
    summary: ClassVar[str] = "onnx.reference, the specification itself (slow)"
    install: ClassVar[str] = "deltann"
    distribution: ClassVar[str] = "onnx"
    variants: ClassVar[Mapping[str, Variant]] = {}
    options: ClassVar[Mapping[str, Option]] = {}

    def version(self) -> str:
        """The version of `onnx`."""
        return version(self.distribution)

    def devices(self) -> Sequence[str]:
        """The CPU alone."""
        return ("cpu",)

    def unsupported(self, model: Model, env: Environment) -> str | None:
        """An opset that the evaluator would run as the newest it knows; what operators lack, `load` says."""
        del env
        newest = onnx.defs.onnx_opset_version()
        return (
            f"opset {model.opset} is newer than the newest that onnx knows, {newest}" if model.opset > newest else None
        )

    def lower(self, model: Model, env: Environment, workdir: Path) -> Artifact:
        """Copy the model, external data included, into one file.

        Raises:
            Unsupported: the model is larger than protobuf can hold in one file.
        """
        del env
        proto = model.proto()
        if not fits_one_file(proto):
            raise Unsupported("with its external data the model exceeds 2 GB, the most that one protobuf file holds")
        onnx.save_model(proto, workdir / _FILE)
        return Artifact.of(workdir, [_FILE])

    @contextmanager
    def load(self, artifact: Artifact, env: Environment) -> Iterator[Executable]:
        """Build the evaluator.

        Raises:
            Unsupported: an operator has no reference implementation.
        """
        del env
        from onnx.reference import ReferenceEvaluator

        try:
            evaluator = ReferenceEvaluator(str(artifact.folder / _FILE))
        except (NotImplementedError, onnx.checker.ValidationError) as error:
            raise Unsupported(f"onnx.reference {version(self.distribution)}: {one_line(str(error))}") from error
        yield _Evaluator(evaluator)


class _Evaluator:
    def __init__(self, evaluator: Any) -> None:
        self._evaluator = evaluator

    def run(self, inputs: Tensors) -> Tensors:
        """Evaluate node by node."""
        outputs = self._evaluator.run(None, dict(inputs))
        return dict(zip(self._evaluator.output_names, outputs, strict=True))

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


def _float(typed: onnx.TensorProto | onnx.TypeProto.Tensor) -> str:
    """The numpy name of a floating element type; empty for any other."""
    element = typed.data_type if isinstance(typed, onnx.TensorProto) else typed.elem_type
    if element not in onnx.helper.get_all_tensor_dtypes():
        return ""
    name = onnx.helper.tensor_dtype_to_np_dtype(element).name
    return name if "float" in name else ""
