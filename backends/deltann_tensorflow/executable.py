"""`load`: the artifact as something that runs numpy arrays."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import tensorflow as tf

from deltann.artifact import Artifact
from deltann.backend import Executable, Tensors, enter
from deltann.lowering.files import MODEL
from deltann.outcome import Stage
from deltann_tensorflow.dtypes import FLOAT_NAMES, FLOATS, at_precision, named_dtype, to_numpy, to_tf
from deltann_tensorflow.function import concrete
from deltann_tensorflow.lowering import Lowering
from deltann_tensorflow.process import onednn_on, threads_used
from deltann_tensorflow.program import Program


@contextmanager
def load(artifact: Artifact) -> Iterator[Executable]:
    """See `Backend.load`. The graph is traced, and by XLA compiled, before it is handed out."""
    lowering = Lowering.read(artifact.folder)
    program = lowering.program(onnx.load(artifact.folder / MODEL))
    function = None
    if lowering.mode != "eager":
        jit = lowering.mode == "xla"
        function = concrete(program, lowering.inputs, lowering.dtype, jit=jit)
        if jit:
            enter(Stage.COMPILE)
            zeros = [
                tf.zeros(shape, at_precision(named_dtype(dtype), lowering.dtype)) for _, dtype, shape in lowering.inputs
            ]
            function(*zeros)
            enter(Stage.LOAD)
    yield _Executable(program, function, lowering)


@dataclass(frozen=True)
class _Executable:
    program: Program
    function: Any
    lowering: Lowering

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[np.generic]]:
        """Run once.

        Raises:
            ValueError: an input is missing or unknown, or has another shape than the one the model was lowered for.
        """
        names = [name for name, *_ in self.lowering.inputs]
        if set(names) != set(inputs):
            raise ValueError(f"the model takes the inputs {names}, not {sorted(inputs)}")
        tensors = [self._tensor(name, shape, inputs[name]) for name, _, shape in self.lowering.inputs]
        if self.function is None:
            outputs: Sequence[Any] = self.program(*tensors)
        else:
            outputs = [output for _, output in sorted(self.function(*tensors).items())]
        return {
            name: self._array(to_numpy(output), dtype)
            for (name, dtype), output in zip(self.lowering.outputs, outputs, strict=True)
        }

    def actual(self) -> dict[str, str]:
        """See `deltann.backend.Telling`."""
        notes = [f"oneDNN {'on' if onednn_on() else 'off'}"]
        if self.function is not None and self.function.function_def.attr["_XlaMustCompile"].b:
            notes.append("the whole graph compiled by XLA")
        if self.function is not None and self.program.in_python:
            names = dict.fromkeys(step.name for step in self.program.in_python)
            notes.append(f"run in Python, outside the graph: {', '.join(names)}")
        told = {
            "threads": str(threads_used()),
            "device": f"cpu ({platform.machine()})",
            "note": "; ".join(notes),
        }
        return told | ({"precision": precision} if (precision := self._precision()) else {})

    def _precision(self) -> str | None:
        """The floating type of most of the constants' elements, or of the inputs and outputs where there are none."""
        sizes: Counter[str] = Counter()
        for constant in self.program.constants:
            if constant.dtype in FLOATS:
                sizes[constant.dtype.name] += int(np.prod(constant.shape))
        for spec in self.program.specs if not sizes else ():
            if isinstance(spec, tf.TensorSpec) and spec.dtype in FLOATS:
                sizes[spec.dtype.name] += 1
        return sizes.most_common(1)[0][0] if sizes else None

    def _array(self, array: npt.NDArray[np.generic], dtype: str) -> npt.NDArray[np.generic]:
        """The output in memory of its own; only a float that a precision replaced gets its declared type again, so a
        wrong type shows."""
        replaced = self.lowering.dtype is not None and array.dtype.name in FLOAT_NAMES and dtype in FLOAT_NAMES
        return array.astype(dtype) if replaced else array.copy()

    def _tensor(self, name: str, shape: Sequence[int], array: npt.NDArray[np.generic]) -> Any:
        if list(array.shape) != list(shape):
            raise ValueError(f"'{name}' has the shape {list(array.shape)}; the model was lowered for {list(shape)}")
        tensor = to_tf(array)
        return tf.cast(tensor, at_precision(tensor.dtype, self.lowering.dtype))
