"""What a TFLite file computes in, read from its operators and tensors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from deltann.tflite_model import opened, tensor_dtype

# Where a network spends its time, with the place of the weights among the operator's inputs.
_PRODUCTS = {
    "CONV_2D": 1,
    "DEPTHWISE_CONV_2D": 1,
    "FULLY_CONNECTED": 1,
    "TRANSPOSE_CONV": 1,
    "CONV_3D": 1,
    "CONV_3D_TRANSPOSE": 1,
    "BATCH_MATMUL": 1,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": 1,
    "UNIDIRECTIONAL_SEQUENCE_RNN": 1,
}
_DATA = {"TRANSPOSE_CONV": 2, "CONV_3D_TRANSPOSE": 2}
"""The place of the activations, where it is not the first."""
_INTEGERS = ("int8", "uint8", "int16", "int4")
_COUNTED = (*_INTEGERS, "float16", "float32", "float64", "bfloat16")


@dataclass(frozen=True)
class Content:
    """`computed`: how many convolutions and products are done in each type (all operators, if there are none), where
    `hybrid` means float32 activations that are quantised to meet int8 weights. `weights`: elements of the constants by
    stored type, biases and shapes (32 and 64 bit integers) apart. `custom`: the operators that are none of TFLite's.
    """

    computed: Counter[str]
    weights: Counter[str]
    custom: tuple[str, ...] = ()

    @property
    def precision(self) -> str:
        """The value of the option `precision` that makes such a file, or the integer type that none makes."""
        first = max(self.computed, key=lambda name: self.computed[name], default="float32")
        if first == "hybrid":
            return "dynamic"
        if first == "float32" and self.weights["float16"] > self.weights["float32"]:
            return "float16"
        return "int8" if first in ("int8", "uint8") else first

    def arithmetic(self) -> str:
        """As `ACTUAL` has it: `float32`, or `int8 (36 of 40 convolutions and products; float32: 4)`."""
        counts = Counter[str]()
        for name, count in self.computed.items():
            counts["int8" if name == "hybrid" else name] += count
        if len(counts) < 2:
            return "".join(counts) or "float32"
        (first, number), *others = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        rest = ", ".join(f"{name}: {count}" for name, count in others)
        return f"{first} ({number} of {counts.total()} convolutions and products; {rest})"

    def stored(self) -> str:
        """`weights stored 97 % in int8, 3 % in float32`; empty where all are float32."""
        if set(self.weights) <= {"float32"}:
            return ""
        shares = [f"{100 * count / self.weights.total():.3g} % in {n}" for n, count in self.weights.most_common()]
        return f"weights stored {', '.join(shares)}"

    def ignored(self, precision: str) -> str:
        """Where the converter did not do as `precision` says."""
        wanted = {"float16": "float16", "dynamic": "int8", "int8": "int8"}.get(precision)
        if wanted is None:
            return ""
        why = "; the converter leaves weights of fewer than 1024 elements alone" if precision == "dynamic" else ""
        if self.weights and not self.weights[wanted]:
            return f"precision={precision}: no weights are stored in {wanted}{why}"
        left = sum(count for name, count in self.computed.items() if name.startswith("float"))
        if precision == "float16" or not left:
            return ""
        return f"precision={precision}: {left} of {self.computed.total()} operators that count run in float32{why}"


def content_of(path: Path) -> Content:
    """Read a file, its main subgraph alone.

    Raises:
        UsageError: not a TFLite file, or a damaged one.
    """
    with opened(path) as model:
        graph = model.Subgraphs(0)
        tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
        constant = [model.Buffers(tensor.Buffer()).DataLength() > 0 for tensor in tensors]
        weights = Counter[str]()
        for tensor, known in zip(tensors, constant, strict=True):
            if known and (dtype := tensor_dtype(tensor)) in _COUNTED:
                weights[dtype] += prod(tensor.Shape(i) for i in range(tensor.ShapeLength()))
        products, others = Counter[str](), Counter[str]()
        for number in range(graph.OperatorsLength()):
            operator = graph.Operators(number)
            name = operator_name(model.OperatorCodes(operator.OpcodeIndex()))
            inputs = [tensors[operator.Inputs(i)] for i in range(operator.InputsLength()) if operator.Inputs(i) >= 0]
            if name in _PRODUCTS and len(inputs) > _PRODUCTS[name]:
                data = tensor_dtype(inputs[_DATA.get(name, 0)])
                met = tensor_dtype(inputs[_PRODUCTS[name]])
                products["hybrid" if data == "float32" and met in _INTEGERS else data] += 1
            elif name not in ("QUANTIZE", "DEQUANTIZE", "CAST") and inputs:
                others[tensor_dtype(inputs[0])] += 1
        counted = Counter({name: count for name, count in others.items() if name in _COUNTED})
        codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
        custom = tuple((code.CustomCode() or b"").decode() for code in codes if operator_name(code) == "CUSTOM")
        return Content(products or counted, weights, custom)


def operator_name(code: Any) -> str:
    """`CONV_2D`, or `CUSTOM`. Codes above 127 stand in a field of their own."""
    from tflite.utils import BUILTIN_OPCODE2NAME

    number = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
    return str(BUILTIN_OPCODE2NAME.get(number, number))
