"""The whole model as one `tf.function`, traced once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from onnx import ModelProto

from deltann.lowering.graph import read_graph
from deltann_tensorflow.build import build
from deltann_tensorflow.dtypes import at_precision, named_dtype
from deltann_tensorflow.program import Program

Inputs = Sequence[tuple[str, str, Sequence[int]]]
"""(name, numpy dtype, shape) of each of the model's inputs, in its order."""


def program(proto: ModelProto, inputs: Inputs, precision: Any = None, *, embed: bool = True) -> Program:
    """The model lowered for inputs of these shapes; `precision` is a `tf.DType` in place of every floating type.

    Raises:
        Unsupported: an operator, or a setting of one, that the table lacks; named.
    """
    specs = {name: tf.TensorSpec(shape, at_precision(named_dtype(dtype), precision)) for name, dtype, shape in inputs}
    return build(read_graph(proto), specs, precision, embed=embed)


def concrete(lowered: Program, inputs: Inputs, precision: Any = None, *, jit: bool = False) -> Any:
    """A `tf.ConcreteFunction` of the program: tensors in and out in ONNX's own layout and order.

    Its inputs are named `input_0000`, `input_0001`, … in the order of the model's; it returns a dict of `output_0000`,
    … in the order of the model's outputs (TensorFlow sorts a dict by name, and the model's own names may hold
    characters that it refuses).
    """
    signature = [
        tf.TensorSpec(shape, at_precision(named_dtype(dtype), precision), f"input_{i:04}")
        for i, (_, dtype, shape) in enumerate(inputs)
    ]

    def run(*tensors: Any) -> dict[str, Any]:
        # An output that only passes an input or a constant on gets a tensor of its own.
        return {f"output_{i:04}": tf.identity(value) for i, value in enumerate(lowered(*tensors))}

    traced = tf.function(run, input_signature=signature, autograph=False, jit_compile=jit or None)
    return traced.get_concrete_function()
