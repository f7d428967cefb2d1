"""Element types: ONNX numbers, numpy dtypes and torch dtypes, and the precision that a run asks for."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import torch
from onnx import TensorProto

from deltann.errors import Unsupported

# torch has no 4- and 2-bit integers: int8 and uint8 hold every value of theirs, and Cast and QuantizeLinear bound them.
_TORCH: dict[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.UINT8: torch.uint8,
    TensorProto.INT8: torch.int8,
    TensorProto.UINT16: torch.uint16,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.BOOL: torch.bool,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.UINT32: torch.uint32,
    TensorProto.UINT64: torch.uint64,
    TensorProto.COMPLEX64: torch.complex64,
    TensorProto.COMPLEX128: torch.complex128,
    TensorProto.BFLOAT16: torch.bfloat16,
    TensorProto.FLOAT8E4M3FN: torch.float8_e4m3fn,
    TensorProto.FLOAT8E4M3FNUZ: torch.float8_e4m3fnuz,
    TensorProto.FLOAT8E5M2: torch.float8_e5m2,
    TensorProto.FLOAT8E5M2FNUZ: torch.float8_e5m2fnuz,
}
_ONNX = {dtype: element for element, dtype in _TORCH.items()}
# numpy types that torch does not read, and the torch type that has the same bits.
_BITS = {
    np.dtype(ml_dtypes.bfloat16): torch.bfloat16,
    np.dtype(ml_dtypes.float8_e4m3fn): torch.float8_e4m3fn,
    np.dtype(ml_dtypes.float8_e4m3fnuz): torch.float8_e4m3fnuz,
    np.dtype(ml_dtypes.float8_e5m2): torch.float8_e5m2,
    np.dtype(ml_dtypes.float8_e5m2fnuz): torch.float8_e5m2fnuz,
}
_NUMPY = {dtype: numpy for numpy, dtype in _BITS.items()}
_SAME_SIZE = {1: torch.uint8, 2: torch.uint16}
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""The types that a precision replaces; 8-bit floats are storage formats and stay."""
FLOAT_NAMES = ("float16", "bfloat16", "float32", "float64")
"""Their numpy names."""


def torch_dtype(element: int) -> torch.dtype:
    """The torch dtype of an ONNX element type.

    Raises:
        Unsupported: torch has none.
    """
    if element not in _TORCH:
        raise Unsupported(f"torch has no element type {TensorProto.DataType.Name(element)}")
    return _TORCH[element]


def onnx_element(dtype: torch.dtype) -> int:
    """The ONNX element type of a torch dtype."""
    return int(_ONNX[dtype])


def at_precision(dtype: torch.dtype, precision: torch.dtype | None) -> torch.dtype:
    """`dtype`, or `precision` in its place where it is a floating type and a precision is asked for."""
    return precision if precision is not None and dtype in FLOATS else dtype


def to_torch(array: npt.NDArray[np.generic], *, own: bool = False) -> torch.Tensor:
    """A tensor of the array's values, sharing its memory where it can (never written to); `own` forces a copy.

    Raises:
        Unsupported: strings, or a number format that torch has not.
    """
    if not isinstance(array, np.ndarray):
        array = np.asarray(array)
    dtype = array.dtype
    if dtype in _BITS:
        bits = to_torch(array.view(np.dtype(f"u{dtype.itemsize}")), own=own)
        return bits.view(_BITS[dtype])
    if dtype.kind not in "biufc":
        raise Unsupported(f"torch has no tensors of {'strings' if dtype.kind in 'OUST' else dtype}")
    if not dtype.isnative or any(stride < 0 for stride in array.strides):
        array = np.array(array, dtype.newbyteorder("="))
    if own:
        return torch.from_numpy(np.array(array))
    try:
        return torch.from_dlpack(array)
    except BufferError:  # numpy before 2.1 does not lend read-only memory by DLPack
        return torch.from_numpy(np.array(array))


def to_numpy(tensor: torch.Tensor) -> npt.NDArray[np.generic]:
    """A numpy array of the tensor's values on the CPU, of the dtype that the tensor has."""
    tensor = tensor.detach().cpu()
    numpy = _NUMPY.get(tensor.dtype)
    if numpy is None:
        array: npt.NDArray[np.generic] = tensor.numpy()
        return array
    bits: Any = tensor.contiguous().view(_SAME_SIZE[tensor.element_size()]).numpy()
    result: npt.NDArray[np.generic] = bits.view(numpy)
    return result
