"""`load`: a TFLite file as something that runs numpy arrays, by LiteRT."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deltann.artifact import Artifact
from deltann.backend import Executable, Tensors, Value
from deltann.errors import Unsupported, one_line
from deltann.tflite_model import Port, interface
from deltann_tflite.content import Content, content_of
from deltann_tflite.lowering import FLOATS, MODEL, Lowering
from deltann_tflite.quantisation import dequantise, quantise

_RESOLVERS = {
    "optimised": "BUILTIN",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}
_LACKING = ("Didn't find op for builtin opcode", "unresolved custom op")


@contextmanager
def load(artifact: Artifact, values: Mapping[str, Value | None]) -> Iterator[Executable]:
    """See `Backend.load`.

    Raises:
        Unsupported: this LiteRT lacks an operator of the file, or the version of one.
    """
    lowering = Lowering.read(artifact.folder)
    path = artifact.folder / MODEL
    threads = values["threads"]
    before = _threads()
    given, made = ({port.name: port for port in ports} for ports in interface(path))
    shapes = {given[inner].tensor: shape for _, inner, _, shape in lowering.inputs if None in given[inner].shape}
    interpreter = _ready(path, str(values["kernels"]), threads if isinstance(threads, int) else None, shapes)
    yield _Interpreter(interpreter, lowering, given, made, content_of(path), dict(values), before)


def _ready(path: Path, kernels: str, threads: int | None, shapes: Mapping[int, Sequence[int]]) -> Any:
    """An interpreter with its tensors allocated; `shapes` are those to give to inputs that leave them open."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType[_RESOLVERS[kernels]]
    try:
        interpreter = Interpreter(str(path), num_threads=threads, experimental_op_resolver_type=resolver)
        for tensor, shape in shapes.items():
            interpreter.resize_tensor_input(tensor, shape, strict=True)
        interpreter.allocate_tensors()
        return interpreter
    except (ValueError, RuntimeError) as error:
        if any(sign in str(error) for sign in _LACKING):
            raise Unsupported(f"LiteRT: {one_line(str(error))}") from error
        raise


class _Interpreter:
    def __init__(
        self,
        interpreter: Any,
        lowering: Lowering,
        given: Mapping[str, Port],
        made: Mapping[str, Port],
        content: Content,
        values: Mapping[str, Value | None],
        threads_before: frozenset[str] | None,
    ) -> None:
        self._interpreter = interpreter
        self._lowering = lowering
        self._given, self._made = given, made
        self._content = content
        self._values = values
        self._threads_before = threads_before
        self._started: int | None = None
        """Threads that LiteRT has started, after the first run."""

    def run(self, inputs: Tensors) -> Tensors:
        """Run once.

        Raises:
            ValueError: an input is missing or unknown, has another shape than the model was lowered for, or holds NaN
                where integers are to stand for it.
        """
        names = [name for name, *_ in self._lowering.inputs]
        if set(names) != set(inputs):
            raise ValueError(f"the model takes the inputs {names}, not {sorted(inputs)}")
        for name, inner, _, shape in self._lowering.inputs:
            array = inputs[name]
            if list(array.shape) != shape:
                raise ValueError(f"'{name}' has the shape {list(array.shape)}; the model was lowered for {shape}")
            self._interpreter.set_tensor(self._given[inner].tensor, _stored(self._given[inner], array))
        self._interpreter.invoke()
        if self._started is None and self._threads_before is not None:
            self._started = len((_threads() or frozenset()) - self._threads_before)
        return {name: self._output(self._made[inner], dtype) for name, inner, dtype in self._lowering.outputs}

    def _output(self, port: Port, dtype: str) -> npt.NDArray[Any]:
        """A copy; only floats are cast to what the model declares, so that any other wrong type shows."""
        array: npt.NDArray[Any] = self._interpreter.get_tensor(port.tensor)
        if port.scale is not None:
            return dequantise(port, array)
        return array.astype(dtype, copy=False) if array.dtype.name in FLOATS and dtype in FLOATS else array

    def actual(self) -> Mapping[str, str]:
        """See `Telling`: from the file's operators and tensors, LiteRT's plan and the process's threads."""
        asked = self._values["threads"] or 1
        ignored = [self._content.ignored(self._lowering.precision)]
        told = {"precision": self._content.arithmetic(), "device": self._device()}
        if self._started is not None:
            told["threads"] = str(asked if self._started > 0 else 1)
            if asked != 1 and self._started <= 0:
                ignored.append(f"threads={asked}: LiteRT started no further thread")
        notes = [self._content.stored()]
        notes += [f"{name} of the model is computed in float32" for name in self._lowering.replaced]
        told["ignored"] = "; ".join(filter(None, ignored))
        told["note"] = "; ".join(filter(None, notes))
        return {key: text for key, text in told.items() if text}

    def _device(self) -> str:
        """`CPU, XNNPACK in 1 part`, which may leave operators between parts to LiteRT's own kernels."""
        if self._values["kernels"] != "optimised":
            return f"CPU, {self._values['kernels']} kernels"
        plan = [operator["op_name"] for operator in self._interpreter._get_ops_details()]  # nothing public tells
        parts = plan.count("DELEGATE")
        return f"CPU, XNNPACK in {parts} part{'s'[: parts > 1]}" if parts else "CPU, optimised kernels, no XNNPACK"


def _stored(port: Port, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if port.scale is not None:
        return quantise(port, array)
    floats = port.dtype in FLOATS and array.dtype.name in FLOATS
    return np.asarray(array, port.dtype if floats else None, order="C")


def _threads() -> frozenset[str] | None:
    """This process's threads, since others than LiteRT's may end meanwhile; None where the system does not tell."""
    tasks = Path("/proc/self/task")
    return frozenset(task.name for task in tasks.iterdir()) if tasks.is_dir() else None
