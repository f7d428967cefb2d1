"""An evaluator of `onnx.reference` that computes in float64: its attributes, and operators that it holds to float32.

It is an arbiter, so what `onnx.reference` 1.23 gets wrong in any type is put right here too: Softmax and its kin before
opset 13, and LRN, which it computes for as many channels as there are samples.
"""

from __future__ import annotations

from math import erf, prod, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun


def evaluator(file: Path) -> ReferenceEvaluator:
    """The evaluator of a model whose values are float64."""
    own = [DequantizeLinear, Erf, Gelu, HardSwish, MeanVarianceNormalization, Softmax, LogSoftmax, Hardmax, LRN]
    made = ReferenceEvaluator(str(file), new_ops=own)
    _widen_attributes(made)
    return made


def _widen_attributes(held: ReferenceEvaluator) -> None:
    """Attributes reach operators as float32 scalars, whose arithmetic with each other would stay float32."""
    for node in held.rt_nodes_:
        for name, value in vars(node).items():
            if isinstance(value, ReferenceEvaluator):
                _widen_attributes(value)
            elif isinstance(value, np.float32):
                setattr(node, name, float(value))
            elif isinstance(value, list) and any(isinstance(item, np.float32) for item in value):
                setattr(node, name, [float(item) for item in value])


_erf = np.vectorize(erf, otypes=[np.float64])


class DequantizeLinear(OpRun):
    """`onnx.reference` takes integers to float32 first, which has not every one of 32 bits."""

    op_domain = ""

    def _run(self, x: Any, scale: Any, zero: Any = None, axis: int = 1, block_size: int = 0, **_: Any) -> tuple[Any]:
        def spread(parameter: Any) -> Any:
            if parameter.size == 1:
                return parameter.reshape(())
            if block_size:
                return np.take(np.repeat(parameter, block_size, axis), range(x.shape[axis]), axis)
            return parameter.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])

        # Every floating type is float64 here, the one that `output_dtype` names included.
        shift = 0.0 if zero is None else spread(zero).astype(np.float64)
        return ((x.astype(np.float64) - shift) * spread(scale).astype(np.float64),)


class Erf(OpRun):
    op_domain = ""

    def _run(self, x: Any) -> tuple[Any]:
        return (_erf(x).astype(x.dtype),)


class Gelu(OpRun):
    """The function body that onnx expands has its constants, √2 and √(2/π), rounded to float32."""

    op_domain = ""

    def _run(self, x: Any, approximate: str = "none") -> tuple[Any]:
        if approximate == "tanh":
            return (x / 2 * (1 + np.tanh(sqrt(2 / np.pi) * (x + 0.044715 * x**3))),)
        return (x / 2 * (1 + _erf(x / sqrt(2))),)


class HardSwish(OpRun):
    """As above: 1/6."""

    op_domain = ""

    def _run(self, x: Any) -> tuple[Any]:
        return (x * np.clip(x / 6 + 0.5, 0, 1),)


class MeanVarianceNormalization(OpRun):
    """The function body adds its float32 constants to float64, which the evaluator refuses."""

    op_domain = ""

    def _run(self, x: Any, axes: Any = None) -> tuple[Any]:
        mean = x.mean(tuple(axes), keepdims=True)
        variance = (x * x).mean(tuple(axes), keepdims=True) - mean * mean
        return ((x - mean) / (np.sqrt(variance) + 1e-9),)


class LRN(OpRun):
    op_domain = ""

    def _run(self, x: Any, alpha: float, beta: float, bias: float, size: int) -> tuple[Any]:
        sides = ((size - 1) // 2, size // 2)
        squares = np.pad(x * x, ((0, 0), sides, *((0, 0),) * (x.ndim - 2)))
        total = np.lib.stride_tricks.sliding_window_view(squares, size, 1).sum(-1)
        return (x / (bias + alpha / size * total) ** beta,)


class _Along(OpRun):
    """By one axis; before opset 13 by all from `axis` on as one, with the default 1, which the evaluator ignores."""

    op_domain = ""

    def _run(self, x: Any, axis: int) -> tuple[Any]:
        if not x.size:
            return (x,)
        if self.run_params["opsets"][""] >= 13:
            return (self._of(x, axis),)
        given = any(attribute.name == "axis" for attribute in self.onnx_node.attribute)
        rows = prod(x.shape[: axis if given else 1])
        return (self._of(x.reshape(rows, -1), 1).reshape(x.shape),)

    def _of(self, x: Any, axis: int) -> Any:
        raise NotImplementedError


class Softmax(_Along):
    def _of(self, x: Any, axis: int) -> Any:
        powers = np.exp(x - x.max(axis, keepdims=True))
        return powers / powers.sum(axis, keepdims=True)


class LogSoftmax(_Along):
    def _of(self, x: Any, axis: int) -> Any:
        shifted = x - x.max(axis, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


class Hardmax(_Along):
    def _of(self, x: Any, axis: int) -> Any:
        result = np.zeros_like(x)
        np.put_along_axis(result, x.argmax(axis, keepdims=True), 1, axis)
        return result
