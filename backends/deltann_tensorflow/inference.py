"""What is known of a step's outputs before it runs: TensorFlow's own inference, and onnx's where that has no answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import onnx
import tensorflow as tf
from onnx import TypeProto

from deltann.errors import Unsupported
from deltann.lowering.attributes import schema
from deltann.lowering.graph import Node, tensor_type
from deltann.lowering.table import Fn
from deltann_tensorflow.dtypes import at_precision, onnx_element, tf_dtype, to_numpy
from deltann_tensorflow.program import literal, many


class Known(Protocol):
    """What is known of an input: its value as eager tensors or None, and `tf.TensorSpec`s or None."""

    constant: Any
    spec: Any


def inferred(fn: Fn, host: Sequence[int], inputs: Sequence[Known]) -> list[Any]:
    """The outputs as symbols of a graph that is thrown away: TensorFlow's own inference of shapes and types."""
    with tf.Graph().as_default():
        arguments = [
            plain_value(value.constant)
            if i in host and value.constant is not None
            else each(lambda spec: tf.compat.v1.placeholder(spec.dtype, spec.shape), value.spec)
            for i, value in enumerate(inputs)
        ]
        return many(fn(*arguments))


_LARGEST = 4096


def static_value(result: Any) -> Any:
    """The integers that follow from shapes alone, as an eager tensor, or None."""
    if not tf.is_tensor(result) or not (result.dtype.is_integer or result.dtype == tf.bool):
        return None
    if not result.shape.is_fully_defined() or result.shape.num_elements() > _LARGEST:
        return None
    value = tf.get_static_value(result)
    return None if value is None else tf.constant(value, result.dtype)


def declared_specs(node: Node, inputs: Sequence[Known], precision: Any) -> list[Any]:
    """The outputs' dtypes, and shapes as far as they follow from the inputs' shapes, by onnx's own inference."""
    declared = schema(node.op, node.domain, node.opset)
    types = {}
    for name, value in zip(node.inputs, inputs, strict=False):
        if name and (known_type := onnx_type(value.spec)) is not None:
            types[name] = known_type
    if declared is None:
        raise Unsupported(f"{node}: it needs the values of inputs, and onnx does not define it")
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in node.opsets.items()]
    data = {
        name: onnx.numpy_helper.from_array(to_numpy(value.constant), name)
        for name, value in zip(node.inputs, inputs, strict=False)
        if tf.is_tensor(value.constant)
    }
    known = onnx.shape_inference.infer_node_outputs(declared, node.proto, types, data, opset_imports=opsets)
    if any(name and name not in known for name in node.outputs):
        raise Unsupported(f"{node}: it needs the values of inputs, and onnx cannot tell its outputs' types")
    specs = []
    for name in node.outputs:
        tensor = known[name].tensor_type if name else None
        if tensor is None:
            raise Unsupported(f"{node}: it needs the values of inputs, and one of its outputs has no name")
        dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
        shape = dims if tensor.HasField("shape") else None
        specs.append(tf.TensorSpec(shape, at_precision(tf_dtype(tensor.elem_type), precision)))
    return specs


def each(change: Callable[[Any], Any], value: Any) -> Any:
    if value is None:
        return None
    return [each(change, item) for item in value] if isinstance(value, list) else change(value)


def spec_of(tensor: Any) -> Any:
    return tf.TensorSpec(tensor.shape, tensor.dtype)


def onnx_type(spec: Any) -> TypeProto | None:
    if isinstance(spec, list):
        return onnx.helper.make_sequence_type_proto(tensor_type(onnx_element(spec[0].dtype), None)) if spec else None
    if spec is None:
        return None
    return tensor_type(onnx_element(spec.dtype), None if spec.shape.rank is None else spec.shape.as_list())


def plain_value(constant: Any) -> Any:
    return each(literal, constant)
