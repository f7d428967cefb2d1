"""The model under test: an ONNX file (or see `deltann.tflite_model`), read with the distrust a stranger's deserves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError, EncodeError

from deltann.errors import Unsupported, UsageError, one_line

Dim = int | str | None


@dataclass(frozen=True)
class TensorSpec:
    """Name, numpy dtype name and shape; a dimension is a size, a symbol (`"batch"`) or None where nothing is known.

    `shape` is None where even the rank is unknown.
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...] | None

    @property
    def static_shape(self) -> tuple[int, ...]:
        """The shape as numbers.

        Raises:
            ValueError: a dimension is symbolic or unknown; the specs handed to an adapter never are, for inputs.
        """
        if self.shape is None or not all(isinstance(dim, int) for dim in self.shape):
            raise ValueError(f"the shape of {self.name} is not static: {self.shape}")
        return tuple(int(dim) for dim in self.shape if isinstance(dim, int))

    def __str__(self) -> str:
        dims = "?" if self.shape is None else "x".join("?" if dim is None else str(dim) for dim in self.shape)
        return f"{self.name}: {self.dtype}[{dims}]"


@dataclass(frozen=True)
class Model:
    """What is deployed. `sha256` covers the file and its external data; `opset` is that of the default domain.

    As handed to an adapter, `inputs` have static shapes (dynamic dimensions bound to what this run feeds);
    the file itself is left as it is.
    """

    name: str
    path: Path
    sha256: str
    opset: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    format: str = "onnx"

    def proto(self) -> onnx.ModelProto:
        """The model with its external data, read anew from disk.

        Raises:
            Unsupported: it is no ONNX file.
        """
        if self.format != "onnx":
            raise Unsupported(f"{self.name} is a .{self.format} file, not ONNX")
        return onnx.load(self.path, format="protobuf")

    def external(self) -> tuple[Path, ...]:
        """The files beside it that hold tensors of it, looked up anew.

        Raises:
            UsageError: one is missing, too short, or outside the model's folder.
        """
        return tuple(_external_files(self.path, onnx.load(self.path, format="protobuf", load_external_data=False)))

    def bind(self, shapes: Mapping[str, tuple[int, ...]]) -> Model:
        """The same model with the named inputs' shapes made static."""
        bound = (replace(spec, shape=shapes[spec.name]) if spec.name in shapes else spec for spec in self.inputs)
        return replace(self, inputs=tuple(bound))

    def to_json(self) -> dict[str, Any]:
        """Plain data for a worker or a run on disk; `from_json` reads it back."""
        return {
            **{key: getattr(self, key) for key in ("name", "sha256", "opset", "format")},
            "path": str(self.path),
            "inputs": [[spec.name, spec.dtype, spec.shape] for spec in self.inputs],
            "outputs": [[spec.name, spec.dtype, spec.shape] for spec in self.outputs],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Model:
        """The opposite of `to_json`."""

        def specs(rows: list[Any]) -> tuple[TensorSpec, ...]:
            return tuple(TensorSpec(n, d, None if s is None else tuple(s)) for n, d, s in rows)

        fields = {
            **data,
            "path": Path(data["path"]),
            "inputs": specs(data["inputs"]),
            "outputs": specs(data["outputs"]),
        }
        return cls(**fields)


def load_model(path: str | Path) -> Model:
    """Read and check an ONNX file, or one whose name ends in `.tflite`.

    Raises:
        UsageError: no such file; not ONNX, or truncated; fails `onnx.checker`; external data missing or outside
            the model's folder; no inputs' or outputs' types that numpy knows.
    """
    path = Path(path)
    if path.suffix.lower() == ".tflite":
        from deltann.tflite_model import read

        return read(path)
    if not path.is_file():
        raise UsageError(f"{path}: no such file; give the path of an .onnx file")
    try:
        proto = onnx.load(path, format="protobuf", load_external_data=False)
    except (DecodeError, UnicodeDecodeError, OSError, ValueError) as error:
        raise UsageError(f"{path}: not an ONNX file, or a truncated one ({one_line(str(error), 80)})") from error
    if not proto.graph.output or not proto.opset_import:
        raise UsageError(f"{path}: not an ONNX model (no graph output, no opset); is it another format or truncated?")
    list(_external_files(path, proto))  # before the checker, whose words for these are no help
    try:
        onnx.checker.check_model(str(path.resolve()))
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        reason = one_line(str(error), 200)
        raise UsageError(f"{path}: fails onnx.checker: {reason}; re-export the model") from error
    initialised = {tensor.name for tensor in proto.graph.initializer}
    initialised |= {tensor.values.name for tensor in proto.graph.sparse_initializer}
    return Model(
        name=path.name,
        path=path.resolve(),
        sha256=_digest([path, *_external_files(path, proto)]),
        opset=max((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), default=0),
        inputs=tuple(_spec(path, value) for value in proto.graph.input if value.name not in initialised),
        outputs=tuple(_spec(path, value) for value in proto.graph.output),
    )


def fits_one_file(proto: onnx.ModelProto) -> bool:
    """Whether protobuf can hold the model, its external data included, in one file: less than 2 GB."""
    try:
        return int(proto.ByteSize()) < onnx.checker.MAXIMUM_PROTOBUF
    except EncodeError:  # upb counts by serialising, and gives up at the limit
        return False


def unchanged(model: Model) -> bool:
    """Whether the model's files hold what they held; False where they cannot be read.

    What names the model may be a stranger's, and name any file: its bytes are compared before they are read as a model,
    which only one with external data needs, and what reading it comes to is not told.
    """
    if not model.path.is_file():
        return False
    with suppress(OSError, ValueError, DecodeError, UsageError):
        if _digest([model.path]) == model.sha256:
            return True
        return _digest([model.path, *model.external()]) == model.sha256
    return False


def _spec(path: Path, value: onnx.ValueInfoProto) -> TensorSpec:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise UsageError(f"{path}: '{value.name}' is a {kind or 'value of no type'}; only tensors can be compared")
    tensor = value.type.tensor_type
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    except (KeyError, TypeError) as error:
        raise UsageError(f"{path}: '{value.name}' has no element type that numpy knows; re-export the model") from error
    if not tensor.HasField("shape"):
        return TensorSpec(value.name, dtype, None)
    return TensorSpec(value.name, dtype, tuple(_dim(dim) for dim in tensor.shape.dim))


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    if dim.HasField("dim_value") and dim.dim_value > 0:
        return int(dim.dim_value)
    return str(dim.dim_param) or None


def _external_files(path: Path, proto: onnx.ModelProto) -> Iterator[Path]:
    """The files that hold tensors of `proto`, each checked to lie inside the model's own folder."""
    folder = path.resolve().parent
    seen = set()
    for tensor in _tensors(proto):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        file = (folder / location).resolve()
        if not location or not file.is_relative_to(folder):
            raise UsageError(
                f"{path}: external data '{location}' lies outside the model's folder: refused; move it inside"
            )
        if not file.is_file():
            raise UsageError(f"{path}: its external data '{location}' is missing; put that file beside the model")
        if not _within(entries, file.stat().st_size):
            raise UsageError(f"{path}: its external data '{location}' is too short; copy that file again, whole")
        if file not in seen:
            seen.add(file)
            yield file


def _within(entries: Mapping[str, str], size: int) -> bool:
    """Whether the bytes that a tensor's external data names are in a file of `size` bytes."""
    offset, length = (entries.get(key, "0") or "0" for key in ("offset", "length"))
    return offset.isdecimal() and length.isdecimal() and int(offset) + int(length) <= size


def _tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of the model: initializers and attributes, of the graph, its subgraphs and the model's functions."""
    graphs = [proto.graph]
    nodes = [node for function in proto.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes.extend(graph.node)
            continue
        for attribute in nodes.pop().attribute:
            yield from (*attribute.tensors, attribute.t)
            graphs.extend([*attribute.graphs, attribute.g])


def _digest(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
