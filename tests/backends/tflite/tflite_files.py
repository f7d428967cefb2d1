"""TFLite files written by hand: chains of operators that take one tensor, such as QUANTIZE."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from tflite.BuiltinOperator import BuiltinOperator
from tflite.TensorType import TensorType


@dataclass(frozen=True)
class Tensor:
    """`scale` and `zero_point` are lists, as a file has them; `varying` replaces the shape's signature."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: Sequence[float] = ()
    zero_point: Sequence[int] = ()
    varying: tuple[int, ...] = ()
    data: bytes = b""


def tflite_file(
    tensors: Sequence[Tensor],
    operators: Sequence[tuple[str, Sequence[int], Sequence[int]]],
    inputs: Sequence[int],
    outputs: Sequence[int],
    signatures: Sequence[tuple[Mapping[str, int], Mapping[str, int]]] = (),
) -> bytes:
    """`operators` are (name, inputs, outputs), tensors by their number; a name that TFLite lacks is a custom one's.

    `signatures` are (inputs, outputs), tensors' numbers by name.
    """
    b = flatbuffers.Builder(0)
    datas = [b"", *dict.fromkeys(tensor.data for tensor in tensors if tensor.data)]
    buffers = [_table(b, "Buffer", Data=_array(b, data, b.PrependUint8, 1) if data else None) for data in datas]
    made = [_tensor(b, tensor, datas.index(tensor.data)) for tensor in tensors]
    kinds = list(dict.fromkeys(name for name, *_ in operators))
    codes = [_code(b, name) for name in kinds]
    steps = [
        _table(b, "Operator", OpcodeIndex=kinds.index(name), Inputs=_ints(b, given), Outputs=_ints(b, results))
        for name, given, results in operators
    ]
    graph = _table(
        b,
        "SubGraph",
        Tensors=_offsets(b, made),
        Inputs=_ints(b, inputs),
        Outputs=_ints(b, outputs),
        Operators=_offsets(b, steps),
    )
    named = [
        _table(
            b,
            "SignatureDef",
            Inputs=_offsets(b, [_map(b, *item) for item in given.items()]),
            Outputs=_offsets(b, [_map(b, *item) for item in results.items()]),
            SignatureKey=b.CreateString(f"signature_{number}"),
        )
        for number, (given, results) in enumerate(signatures)
    ]
    model = _table(
        b,
        "Model",
        Version=3,
        OperatorCodes=_offsets(b, codes),
        Subgraphs=_offsets(b, [graph]),
        Buffers=_offsets(b, buffers),
        SignatureDefs=_offsets(b, named) if named else None,
    )
    b.Finish(model, b"TFL3")
    return bytes(b.Output())


def quantize(dtype: str, scale: float, zero_point: int, size: int) -> bytes:
    """QUANTIZE of float32 `real`[size] into `integers`."""
    tensors = [Tensor("real", "FLOAT32", (size,)), Tensor("integers", dtype, (size,), [scale], [zero_point])]
    return tflite_file(tensors, [("QUANTIZE", [0], [1])], [0], [1])


def dequantize(dtype: str, scale: float, zero_point: int, size: int) -> bytes:
    """DEQUANTIZE of `integers`[size] into float32 `real`."""
    tensors = [Tensor("integers", dtype, (size,), [scale], [zero_point]), Tensor("real", "FLOAT32", (size,))]
    return tflite_file(tensors, [("DEQUANTIZE", [0], [1])], [0], [1])


def _tensor(b: Any, tensor: Tensor, buffer: int) -> int:
    parameters = None
    if tensor.scale:
        scales = _array(b, [float(np.float32(value)) for value in tensor.scale], b.PrependFloat32, 4)
        zeros = _array(b, list(tensor.zero_point), b.PrependInt64, 8)
        parameters = _table(b, "QuantizationParameters", Scale=scales, ZeroPoint=zeros)
    return _table(
        b,
        "Tensor",
        Shape=_ints(b, tensor.shape),
        Type=getattr(TensorType, tensor.dtype),
        Buffer=buffer,
        Name=b.CreateString(tensor.name),
        Quantization=parameters,
        ShapeSignature=_ints(b, tensor.varying) if tensor.varying else None,
        HasRank=True,
    )


def _code(b: Any, name: str) -> int:
    number = getattr(BuiltinOperator, name, None)
    if number is None:
        custom = b.CreateString(name)
        kind = BuiltinOperator.CUSTOM
        return _table(b, "OperatorCode", DeprecatedBuiltinCode=kind, BuiltinCode=kind, CustomCode=custom, Version=1)
    return _table(b, "OperatorCode", DeprecatedBuiltinCode=min(number, 127), BuiltinCode=number, Version=1)


def _map(b: Any, name: str, number: int) -> int:
    return _table(b, "TensorMap", Name=b.CreateString(name), TensorIndex=number)


def _table(b: Any, kind: str, **fields: Any) -> int:
    module = importlib.import_module(f"tflite.{kind}")
    getattr(module, f"{kind}Start")(b)
    for name, value in fields.items():
        if value is not None:
            getattr(module, f"{kind}Add{name}")(b, value)
    return int(getattr(module, f"{kind}End")(b))


def _ints(b: Any, values: Sequence[int]) -> int:
    return _array(b, values, b.PrependInt32, 4)


def _offsets(b: Any, values: Sequence[int]) -> int:
    return _array(b, values, b.PrependUOffsetTRelative, 4)


def _array(b: Any, values: Sequence[Any] | bytes, prepend: Callable[[Any], None], width: int) -> int:
    b.StartVector(width, len(values), width)
    for value in reversed(values):
        prepend(value)
    return int(b.EndVector())
