"""A tiny model that knows what it should answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from deltann.model import Model, TensorSpec, load_model

Arrays = Mapping[str, npt.NDArray[Any]]
ROWS = 2
"""How many samples a run takes where the batch is dynamic."""


@dataclass(frozen=True)
class TinyModel:
    """A model of a few nodes, with seeded random weights.

    Batched (`rows` samples a run, one a row of each input's first dimension) or whole (`rows` is None: each sample
    is a full set of inputs).

    `expected` computes a run's outputs in numpy, in float64, from any number of rows; no framework has a part in it.
    Outputs are as expected where |actual − expected| ≤ `tolerance` · (1 + |expected|).
    """

    name: str
    proto: onnx.ModelProto
    expected: Callable[[Arrays], Arrays]
    rows: int | None = ROWS
    tolerance: float = 1e-4
    below: Mapping[str, int] | None = None
    """For integer inputs: the first value that is too large (such as the size of a vocabulary)."""

    def save(self, folder: Path) -> Model:
        """Write the model into `folder`; the `Model` as an adapter gets it, its inputs static."""
        path = folder / f"{self.name}.onnx"
        onnx.save_model(self.proto, path)
        model = load_model(path)
        return model.bind({spec.name: self._shape(spec) for spec in model.inputs})

    def samples(self, model: Model, count: int, seed: int) -> dict[str, npt.NDArray[Any]]:
        """Random inputs, [count, …] each; floats are standard normal."""
        rng = np.random.default_rng(seed)
        return {spec.name: self._draw(rng, spec, count) for spec in model.inputs}

    def answers(self, model: Model, samples: Arrays) -> dict[str, npt.NDArray[Any]]:
        """The outputs for `samples`, [count, …] each, in the types that the model declares."""
        if self.rows is None:
            count = len(next(iter(samples.values())))
            each = [self.expected({name: array[i] for name, array in samples.items()}) for i in range(count)]
            outputs: Arrays = {name: np.stack([one[name] for one in each]) for name in each[0]}
        else:
            outputs = self.expected(samples)
        return {spec.name: outputs[spec.name].astype(spec.dtype) for spec in model.outputs}

    def _shape(self, spec: TensorSpec) -> tuple[int, ...]:
        shape = spec.shape or ()
        return spec.static_shape if self.rows is None else (self.rows, *(int(dim or 0) for dim in shape[1:]))

    def _draw(self, rng: np.random.Generator, spec: TensorSpec, count: int) -> npt.NDArray[Any]:
        row = spec.static_shape if self.rows is None else spec.static_shape[1:]
        if np.issubdtype(np.dtype(spec.dtype), np.integer):
            limit = (self.below or {})[spec.name]
            return rng.integers(0, limit, (count, *row)).astype(spec.dtype)
        return rng.standard_normal((count, *row)).astype(spec.dtype)


def build(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Mapping[str, npt.NDArray[Any]],
    opset: int = 17,
    ir_version: int = 8,
) -> onnx.ModelProto:
    """A checked model; old runtimes read the default IR version too. Before version 4, weights are inputs as well."""
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    declared = [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in tensors if ir_version < 4]
    graph = helper.make_graph(nodes, "tiny", [*inputs, *declared], outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    onnx.checker.check_model(model, full_check=True)
    return model


def tensor(name: str, *shape: int | str, dtype: type[np.generic] = np.float32) -> onnx.ValueInfoProto:
    """The declaration of an input or output."""
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def normal(rng: np.random.Generator, *shape: int) -> npt.NDArray[np.float32]:
    """He-normal weights of shape [outputs, inputs, …]: standard deviation √(2 / inputs per output)."""
    values = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    return np.asarray(values, np.float32)


def uniform(rng: np.random.Generator, low: float, high: float, *shape: int) -> npt.NDArray[np.float32]:
    """Uniform values, for biases and variances."""
    return rng.uniform(low, high, shape).astype(np.float32)
