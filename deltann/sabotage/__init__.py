"""Copies of a model with one fault each, of the six classes in which converters really fail.

A comparison that does not notice them could not have told whether the environments agree: `sabotage` measures
what a set of inputs and criteria is worth.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import onnx
from onnx import ModelProto, TensorProto

from deltann.errors import Unsupported, one_line
from deltann.model import fits_one_file
from deltann.sabotage import dimensions, graph, hyperparameters, layout, preprocessing, weights
from deltann.sabotage.draft import Draft, Fault
from deltann.sabotage.network import Network, types

_FAULTS: dict[str, Callable[[Network], Iterator[Fault]]] = {
    "preprocessing": preprocessing.faults,
    "input dimensions": dimensions.faults,
    "layout": layout.faults,
    "weights and biases": weights.faults,
    "layer hyper-parameters": hyperparameters.faults,
    "graph": graph.faults,
}
KINDS = tuple(_FAULTS)
SEVERITIES = (1.0, 0.3, 0.1, 0.03, 0.01)
"""What a graded fault's severity is drawn from where none is asked for."""
_OLDEST = 7  # before it, arithmetic does not broadcast


@dataclass(frozen=True)
class Copy:
    """A model with one fault, of the class `kind`; `severity` in (0, 1] is 1 for faults that have no degrees.

    `name` is unique among the copies of one call, and stays the same for the same model and seed.
    """

    name: str
    kind: str
    description: str
    severity: float
    proto: ModelProto


def sabotage(proto: ModelProto, count: int, seed: int, severity: float | None = None) -> list[Copy]:
    """Up to `count` copies of `proto` with one fault each, the classes taken in turn; the same for the same arguments.

    Each has the inputs and outputs of the original, passes `onnx.checker`, and computes something else. `severity`
    scales the graded faults, drawn for each from `SEVERITIES` where it is None. A smaller `count` gives the beginning
    of the same list; there are fewer copies than asked for where the graph has no place for more.

    Raises:
        ValueError: `severity` outside (0, 1], or tensors whose external data is not loaded.
        Unsupported: an opset before 7, more than one file can hold, or shapes that contradict what the graph declares.
    """
    if severity is not None and not 0 < severity <= 1:
        raise ValueError(f"a severity of {severity} is none: give one above 0 and at most 1")
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in proto.graph.initializer):
        raise ValueError("the model's external data is not loaded: read it with Model.proto()")
    network = Network(proto)
    if network.opset < _OLDEST:
        raise Unsupported(f"faults are made in models of opset {_OLDEST} and later; this has {network.opset}")
    if not fits_one_file(proto):
        raise Unsupported("faults are made in models of less than 2 GB")
    try:
        network.types  # noqa: B018 (read once here, where its error has a name)
    except onnx.shape_inference.InferenceError as error:
        raise Unsupported(f"the graph contradicts the shapes it declares: {one_line(str(error))}") from error
    streams = [_copies(network, kind, seed, severity) for kind in KINDS]
    copies: list[Copy] = []
    while streams and len(copies) < count:
        for stream in list(streams):
            copy = next(stream, None)
            if copy is None:
                streams.remove(stream)
            elif len(copies) < count:
                copies.append(copy)
    return copies


def _copies(network: Network, kind: str, seed: int, severity: float | None) -> Iterator[Copy]:
    """The copies with a fault of one class, no fault at the same place twice."""
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode())])
    seen: set[bytes] = set()
    for fault in _order(list(_FAULTS[kind](network)), rng):
        degree = (severity or float(rng.choice(SEVERITIES))) if fault.graded else 1.0
        draft = Draft(network, degree, rng)
        description = fault.work(draft)
        if description is None:
            continue
        copy = draft.finish()
        digest = hashlib.sha256(copy.SerializeToString(deterministic=True)).digest()
        if digest in seen or not _keeps_types(network, copy):
            continue  # in a small graph, two faults can come to the same
        try:
            onnx.checker.check_model(copy)
        except onnx.checker.ValidationError:
            continue
        seen.add(digest)
        yield Copy(f"{kind} {len(seen)}: {fault.name}", kind, description, degree, copy)


def _order(faults: list[Fault], rng: np.random.Generator) -> Iterator[Fault]:
    """Each fault at one place, then each at a second, and so on; both in a random order."""
    by_name: dict[str, list[Fault]] = {}
    for index in rng.permutation(len(faults)):
        by_name.setdefault(faults[index].name, []).append(faults[index])
    names = list(by_name)
    rng.shuffle(names)
    for row in zip_longest(*(by_name[name] for name in names)):
        yield from (fault for fault in row if fault is not None)


def _keeps_types(network: Network, copy: ModelProto) -> bool:
    """Whether every value that the original has is of the same type in the copy, as far as inference knows."""
    try:
        found = types(copy)
    except onnx.shape_inference.InferenceError:
        return False
    return all(found.get(name, value) == value for name, value in network.types.items())
