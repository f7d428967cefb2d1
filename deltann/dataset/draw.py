"""Random samples that make sense to the model: indices stay inside the table that they select from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from deltann.binding import Binding
from deltann.dataset.plan import Array, Plan, Rows
from deltann.dataset.source import RandomSource
from deltann.model import Model, TensorSpec

_KEEPS_VALUES = frozenset({"Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape", "Flatten"})
_KEEPS_SHAPE = frozenset({"Cast", "Identity", "DequantizeLinear"})


def plan_random(source: RandomSource, binding: Binding, limit: int | None) -> Plan:
    """Rows of one stream for each input, so that fewer samples are the first of more.

    Floats are drawn in float32 and integers in int64 and then converted, so that models that differ in precision
    get the same samples. Integers are 0…9, uint8 0…255, and indices into a constant table 0…its length − 1.
    """
    samples = source.count if limit is None else min(source.count, limit)
    inputs = sorted(binding.model.inputs, key=lambda spec: spec.name)
    lengths = table_lengths(binding.model) if any(np.dtype(spec.dtype).kind in "iu" for spec in inputs) else {}
    bounds = {spec.name: lengths.get(spec.name, 256 if spec.dtype == "uint8" else 10) for spec in inputs}

    def stream(index: int, spec: TensorSpec) -> Callable[[], Rows]:
        def rows() -> Rows:
            rng = np.random.default_rng((source.seed, index))
            shape = binding.row_shape(spec.name)
            for number in range(samples):
                yield f"random[{number}]", _draw(rng, np.dtype(spec.dtype), shape, source.dist, bounds[spec.name])

        return rows

    return Plan(
        identity={
            "random": [source.seed, source.dist, samples],
            "numpy": np.__version__,
            "bounds": [bounds[spec.name] for spec in inputs],
        },
        samples=samples,
        rows={spec.name: stream(index, spec) for index, spec in enumerate(inputs)},
    )


def table_lengths(model: Model) -> dict[str, int]:
    """For each input used as the indices of a `Gather` from a constant: the length it selects from (the least)."""
    graph = onnx.load(model.path, load_external_data=False).graph
    tables = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    origins = {spec.name: spec.name for spec in model.inputs}
    lengths: dict[str, int] = {}
    for node in graph.node:
        first = node.input[0] if node.input else ""
        if node.op_type == "Constant":
            tables |= [(node.output[0], tuple(a.t.dims)) for a in node.attribute if a.name == "value"]
        if node.op_type in _KEEPS_VALUES and first in origins:
            origins[node.output[0]] = origins[first]
        if node.op_type in _KEEPS_SHAPE and first in tables:
            tables[node.output[0]] = tables[first]
        if node.op_type == "Gather" and tables.get(first) and node.input[1] in origins:
            axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
            name, length = origins[node.input[1]], tables[first][axis]
            lengths[name] = min(length, lengths.get(name, length))
    return lengths


def _draw(
    rng: np.random.Generator, dtype: np.dtype[np.generic], shape: tuple[int, ...], dist: str, bound: int
) -> Array:
    if dtype.kind == "f":
        draw = rng.standard_normal if dist == "normal" else rng.random
        return draw(shape, dtype=np.float32).astype(dtype, copy=False)
    if dtype.kind == "b":
        bound = 2
    return rng.integers(0, min(bound, np.iinfo(np.int64).max), shape, dtype=np.int64).astype(dtype)
