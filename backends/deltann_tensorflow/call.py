"""What a factory of the operator table may ask about the node it lowers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from deltann.lowering.call import NodeCall
from deltann.lowering.graph import Graph
from deltann.lowering.layout import axis_last
from deltann.lowering.shapes import axis_of
from deltann_tensorflow.dtypes import at_precision, tf_dtype
from deltann_tensorflow.table import Fn


@dataclass
class Call(NodeCall):
    """A node with what is known of its inputs at build time.

    `constants` are numpy arrays (a list for a sequence). `specs` are `tf.TensorSpec`s in ONNX's layout, a list of them
    for a sequence, None for an absent input. `last`: inputs of the rank of input 0 come with their channels last.
    """

    specs: tuple[Any, ...]
    precision: Any
    subgraph: Callable[[Graph, Mapping[str, Any]], Any]
    last: bool = False
    extras: list[Any] = field(default_factory=list)
    """Further constants (numpy arrays) that the callable takes after the node's own inputs and captured values."""
    prepared: dict[int, Fn] = field(default_factory=dict)

    def shape(self, index: int) -> tuple[int, ...] | None:
        """The input's shape in ONNX's layout where all of it is known at build time, else None."""
        spec = self._spec(index)
        known = spec is not None and spec.shape.is_fully_defined()
        return tuple(spec.shape.as_list()) if known else None

    def rank(self, index: int) -> int | None:
        """The number of the input's axes where it is known at build time, else None."""
        spec = self._spec(index)
        return None if spec is None else spec.shape.rank

    def dtype(self, index: int) -> Any:
        """The input's `tf.DType`; None for an absent input or a sequence."""
        spec = self._spec(index)
        return None if spec is None else spec.dtype

    def _spec(self, index: int) -> Any:
        spec = self.specs[index] if self.has(index) else None
        return spec if isinstance(spec, tf.TensorSpec) else None

    def element(self, element: int) -> Any:
        """The TensorFlow dtype of an ONNX element type, at the precision that the run asks for."""
        return at_precision(tf_dtype(element), self.precision)

    def axis(self, axis: int, rank: int) -> int:
        """A non-negative axis of a tensor as the callable gets it, for an axis of ONNX's layout."""
        return axis_last(axis, rank) if self.last else axis_of(axis, rank)

    def prepare(self, index: int, change: Fn) -> None:
        """Have the callable get `change(input)`: worked out once, when the model is built, where the input is known."""
        if self.has(index):
            self.prepared[index] = change
