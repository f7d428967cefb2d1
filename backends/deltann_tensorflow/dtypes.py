"""Element types: ONNX numbers, numpy dtypes and TensorFlow dtypes, and the precision that a run asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import tensorflow as tf
from onnx import TensorProto

from deltann.errors import Unsupported

_TF: dict[int, Any] = {
    TensorProto.FLOAT: tf.float32,
    TensorProto.UINT8: tf.uint8,
    TensorProto.INT8: tf.int8,
    TensorProto.UINT16: tf.uint16,
    TensorProto.INT16: tf.int16,
    TensorProto.INT32: tf.int32,
    TensorProto.INT64: tf.int64,
    TensorProto.BOOL: tf.bool,
    TensorProto.FLOAT16: tf.float16,
    TensorProto.DOUBLE: tf.float64,
    TensorProto.UINT32: tf.uint32,
    TensorProto.UINT64: tf.uint64,
    TensorProto.COMPLEX64: tf.complex64,
    TensorProto.COMPLEX128: tf.complex128,
    TensorProto.BFLOAT16: tf.bfloat16,
}
# Storage formats that TensorFlow casts and little else (the FNUZ ones it does not even cast); older versions lack some.
for _element, _name in {
    TensorProto.FLOAT8E4M3FN: "float8_e4m3fn",
    TensorProto.FLOAT8E5M2: "float8_e5m2",
    TensorProto.INT4: "int4",
    TensorProto.UINT4: "uint4",
}.items():
    if hasattr(tf.dtypes.experimental, _name):
        _TF[_element] = getattr(tf.dtypes.experimental, _name)
_ONNX = {dtype: element for element, dtype in _TF.items()}
FLOATS = (tf.float16, tf.bfloat16, tf.float32, tf.float64)
"""The types that a precision replaces; 8-bit floats are storage formats and stay."""
FLOAT_NAMES = ("float16", "bfloat16", "float32", "float64")
"""Their numpy names."""


def tf_dtype(element: int) -> Any:
    """The TensorFlow dtype of an ONNX element type.

    Raises:
        Unsupported: TensorFlow has none.
    """
    if element not in _TF:
        raise Unsupported(f"TensorFlow has no element type {TensorProto.DataType.Name(element)}")
    return _TF[element]


def named_dtype(name: str) -> Any:
    """The TensorFlow dtype of a numpy dtype's name."""
    if name in ("object", "str"):
        raise Unsupported("the table has no tensors of strings")
    return tf_dtype(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(name)))


def onnx_element(dtype: Any) -> int:
    """The ONNX element type of a TensorFlow dtype."""
    return int(_ONNX[dtype])


def at_precision(dtype: Any, precision: Any) -> Any:
    """`dtype`, or `precision` in its place where it is a floating type and a precision is asked for."""
    return precision if precision is not None and dtype in FLOATS else dtype


def to_tf(array: npt.NDArray[np.generic]) -> Any:
    """An eager tensor of the array's values.

    Raises:
        Unsupported: strings, or a number format that TensorFlow has not.
    """
    array = np.asarray(array)
    if array.dtype.kind in "OUST":
        raise Unsupported("the table has no tensors of strings")
    dtype = named_dtype(array.dtype.name)
    return tf.constant(array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("=")), dtype)


def to_numpy(tensor: Any) -> npt.NDArray[np.generic]:
    """The eager tensor's values; they may share its memory."""
    return np.asarray(tensor.numpy())


_WIDER = {tf.uint32: tf.int64, tf.uint64: tf.int64, tf.int64: tf.int64}


def widened(fn: Any, *lacking: Any) -> Any:
    """`fn` by way of a wider integer type (or the one of two's complement) for the types it is `lacking` a kernel for.

    Sums, products and what else is right modulo a power of two come out right.
    """

    def run(*values: Any) -> Any:
        dtype = next((value.dtype for value in values if tf.is_tensor(value)), None)
        if dtype not in lacking:
            return fn(*values)
        wide = _WIDER.get(dtype, tf.int32)
        result = fn(*(tf.cast(v, wide) if tf.is_tensor(v) and v.dtype == dtype else v for v in values))
        return tf.cast(result, dtype) if result.dtype == wide else result

    return run
