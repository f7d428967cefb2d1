"""A `.tflite` file as the model under test, read with the distrust that a stranger's file deserves.

Only the file's schema is used (the PyPI project `tflite`, over `flatbuffers`); nothing of it is executed here.
The declared interface is the real-valued one: an input or output of integers that carry a scale and a zero point
(real = scale · (integer − zero point)) is declared as float32, and whoever runs the model quantises and dequantises.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltann.errors import UsageError
from deltann.model import Model, TensorSpec

_DTYPES = {
    "FLOAT32": "float32",
    "FLOAT16": "float16",
    "FLOAT64": "float64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "BOOL": "bool",
    "COMPLEX64": "complex64",
    "COMPLEX128": "complex128",
}
_MOST_PORTS, _MOST_DIMS = 1024, 32
"""More inputs, outputs or signatures, or dimensions of a tensor, than these are taken for damage."""
_DAMAGE = (struct.error, ValueError, IndexError, TypeError, OverflowError, AttributeError)
"""What the flatbuffers reader, which verifies nothing, raises where offsets lead astray."""


@dataclass(frozen=True)
class Port:
    """An input or output: the number of its tensor in the file, and what its integers stand for.

    `name` is the signature's where the file has one signature, else the tensor's own. `dtype` is the stored type;
    `scale` is None where values stand for themselves. `shape` has None for a dimension that may vary.
    """

    name: str
    tensor: int
    dtype: str
    shape: tuple[int | None, ...]
    scale: float | None = None
    zero_point: int = 0

    @property
    def spec(self) -> TensorSpec:
        """The real-valued declaration."""
        return TensorSpec(self.name, self.dtype if self.scale is None else "float32", self.shape)


def read(path: str | Path) -> Model:
    """Read and check a `.tflite` file.

    Raises:
        UsageError: no such file; not a TFLite flatbuffer, or a truncated one; an input or output of a type that numpy
            lacks, or quantised by channel; the project `tflite` is not installed.
    """
    path = Path(path)
    inputs, outputs = interface(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Model(
        name=path.name,
        path=path.resolve(),
        sha256=digest,
        opset=0,
        inputs=tuple(port.spec for port in inputs),
        outputs=tuple(port.spec for port in outputs),
        format="tflite",
    )


def interface(path: Path) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """The inputs and the outputs of the file's first subgraph, which is its main one.

    Raises:
        UsageError: as `read`.
    """
    with opened(path) as model:
        graph = model.Subgraphs(0)
        signature = _signature(model)
        inputs = [graph.Inputs(i) for i in range(_count(graph.InputsLength(), _MOST_PORTS))]
        outputs = [graph.Outputs(i) for i in range(_count(graph.OutputsLength(), _MOST_PORTS))]
        if signature is not None:
            given = _named(signature.Inputs, signature.InputsLength())
            made = _named(signature.Outputs, signature.OutputsLength())
            if set(given.values()) == set(inputs) and set(made.values()) == set(outputs):
                return _ports(path, graph, given), _ports(path, graph, made)
        return _ports(path, graph, _own_names(path, graph, inputs)), _ports(
            path, graph, _own_names(path, graph, outputs)
        )


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file as a `tflite.Model`, all of whose buffers lie inside the file; damage met while reading it is named.

    Raises:
        UsageError: as `read`.
    """
    try:
        from tflite.Model import Model as Flatbuffer
    except ImportError as error:
        raise UsageError(f"{path}: reading .tflite files takes the extra: pip install 'deltann[tflite]'") from error
    if not path.is_file():
        raise UsageError(f"{path}: no such file; give the path of a .tflite file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); mend its access rights") from error
    if content[4:8] != b"TFL3":
        raise UsageError(f"{path}: not a TFLite model (its bytes 4 to 8 are not TFL3); is it another format or empty?")
    try:
        model = Flatbuffer.GetRootAs(content, 0)
        if model.SubgraphsLength() < 1 or model.Subgraphs(0).OutputsLength() < 1:
            raise UsageError(f"{path}: a TFLite file without a graph that has outputs; export the model again")
        _check_buffers(model, len(content))
        yield model
    except _DAMAGE as error:
        raise UsageError(f"{path}: a damaged or truncated TFLite file; copy or export it again") from error


def tensor_dtype(tensor: Any) -> str:
    """The numpy name of a tensor's stored type, or in lower case the schema's own where numpy has none (`int4`)."""
    from tflite.TensorType import TensorType

    names = {number: name for name, number in vars(TensorType).items() if name.isupper()}
    name = names.get(tensor.Type(), f"type{tensor.Type()}")
    return _DTYPES.get(str(name), str(name).lower())


def _check_buffers(model: Any, size: int) -> None:
    """Weights are the greater part of a file, and what a truncated one lacks."""
    for number in range(_count(model.BuffersLength(), size // 4)):
        buffer = model.Buffers(number)
        if not buffer.DataIsNone():
            buffer.DataAsNumpy()  # a view; raises where it leads out of the file
        if buffer.Offset() > 1 and buffer.Offset() + buffer.Size() > size:
            raise ValueError(f"buffer {number} ends outside the file")


def _signature(model: Any) -> Any | None:
    """The only signature of the main subgraph; None where there is none, or several that may name things unlike."""
    count = 0 if model.SignatureDefsIsNone() else _count(model.SignatureDefsLength(), _MOST_PORTS)
    found = [model.SignatureDefs(i) for i in range(count) if model.SignatureDefs(i).SubgraphIndex() == 0]
    return found[0] if len(found) == 1 else None


def _named(entry: Any, length: int) -> dict[str, int]:
    entries = [entry(i) for i in range(_count(length, _MOST_PORTS))]
    return {one.Name().decode(): int(one.TensorIndex()) for one in entries}


def _own_names(path: Path, graph: Any, numbers: list[int]) -> dict[str, int]:
    names = {(graph.Tensors(number).Name() or b"").decode() or f"tensor_{number}": number for number in numbers}
    if len(names) < len(set(numbers)):
        raise UsageError(f"{path}: two of its inputs or outputs bear one name; export it with a signature")
    return names


def _ports(path: Path, graph: Any, numbers: dict[str, int]) -> tuple[Port, ...]:
    return tuple(_port(path, graph, name, number) for name, number in numbers.items())


def _port(path: Path, graph: Any, name: str, number: int) -> Port:
    if not 0 <= number < graph.TensorsLength():
        raise ValueError(f"no tensor {number}")
    tensor = graph.Tensors(number)
    dtype = tensor_dtype(tensor)
    if dtype not in _DTYPES.values():
        raise UsageError(f"{path}: '{name}' is of type {dtype}, which numpy has not; only numbers can be compared")
    shape = _dims(tensor)
    parameters = tensor.Quantization()
    scales = [] if parameters is None or parameters.ScaleIsNone() else parameters.ScaleAsNumpy().tolist()
    if dtype.startswith("float") or not any(scales):
        return Port(name, number, dtype, shape)
    zeros = [0] if parameters.ZeroPointIsNone() else parameters.ZeroPointAsNumpy().tolist()
    if len(scales) != 1 or len(zeros) != 1:
        raise UsageError(f"{path}: '{name}' is quantised by channel, which an input or output cannot be here")
    return Port(name, number, dtype, shape, float(scales[0]), int(zeros[0]))


def _dims(tensor: Any) -> tuple[int | None, ...]:
    """The shape; dimensions that the signature calls −1 vary."""
    vector, length = tensor.ShapeSignature, tensor.ShapeSignatureLength()
    if length == 0:
        vector, length = tensor.Shape, tensor.ShapeLength()
    dims = [int(vector(i)) for i in range(_count(length, _MOST_DIMS))]
    return tuple(dim if dim >= 0 else None for dim in dims)


def _count(length: int, most: int) -> int:
    """`length`, which a damaged file may claim to be anything."""
    if length > most:
        raise ValueError(f"a list of {length}")
    return int(length)
