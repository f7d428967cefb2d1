"""From an ONNX graph to a `Program`: table entries in a row, all that is known folded, layouts kept where they serve.

TensorFlow convolves on the CPU with channels last only. A value is therefore held in ONNX's layout, channels-last, or
in both: a transpose appears where an operator meets a value that is not held as it needs it, once a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import tensorflow as tf

from deltann.errors import Unsupported
from deltann.lowering.functions import has_body
from deltann.lowering.graph import Graph, Node, expand
from deltann.lowering.layout import RANKS, to_first, to_last
from deltann.lowering.table import Entry, Fn
from deltann_tensorflow import ops as ops  # importing it fills the table
from deltann_tensorflow import table
from deltann_tensorflow.call import Call
from deltann_tensorflow.dtypes import at_precision, to_numpy, to_tf
from deltann_tensorflow.inference import (
    declared_specs,
    each,
    inferred,
    onnx_type,
    plain_value,
    spec_of,
    static_value,
)
from deltann_tensorflow.program import Argument, Literal, Program, Slot, Step, Weight, freed, many


@dataclass
class Value:
    """What is known of one value.

    `constant` is an eager tensor, a list for a sequence, or None. `spec` is a `tf.TensorSpec` in ONNX's layout, a list
    of them, or None. `held` and `last` are the arguments that give it in ONNX's layout and channels-last.
    """

    constant: Any = None
    spec: Any = None
    held: Argument | None = None
    last: Argument | None = None
    moved: dict[int, Value] = field(default_factory=dict)
    """The constant as `_Builder.form` gives it to a channels-last step, by the rank of that step's tensors."""

    @property
    def rank(self) -> int | None:
        return self.spec.shape.rank if isinstance(self.spec, tf.TensorSpec) else None


_ABSENT = Value()


def build(graph: Graph, specs: Mapping[str, Any], precision: Any, *, embed: bool = True) -> Program:
    """A program from `graph`, which takes the graph's inputs in order and returns a tuple of its outputs.

    `specs` are `tf.TensorSpec`s of the inputs at the run's precision (a list of them for a sequence).

    Raises:
        Unsupported: an operator, or a setting of one, that the table lacks; named.
    """
    builder = _Builder(precision, embed)
    for name in graph.inputs:
        builder.placeholder(name, specs[name])
    builder.graph(graph)
    return builder.finish(graph.outputs)


class _Builder:
    def __init__(self, precision: Any, embed: bool) -> None:
        self.precision = precision
        self.embed = embed
        self.folding = precision if precision in (tf.float32, tf.float64) else None
        self.values: dict[str, Value] = {}
        self.constants: list[Any] = []
        self.steps: list[Step] = []
        self.inputs = 0
        self.slots = 0
        self.numbers = count()

    def placeholder(self, name: str, spec: Any) -> None:
        self.values[name] = Value(spec=spec, held=self.slot())
        self.inputs += 1

    def slot(self) -> Slot:
        self.slots += 1
        return Slot(self.slots - 1)

    def graph(self, graph: Graph) -> None:
        for name, array in graph.constants.items():
            self.values[name] = self.known(to_tf(array))
        for node in graph.nodes:
            self.node(node)

    def finish(self, outputs: Sequence[str]) -> Program:
        values = [self.values[name] for name in outputs]
        results = tuple(self.argument(self.form(value, None)) for value in values)
        return Program(
            tuple(self.constants),
            freed(self.steps, results),
            self.inputs,
            results,
            self.slots,
            tuple(value.spec for value in values),
            self.embed,
        )

    def known(self, constant: Any) -> Value:
        """A value of which all is known; it keeps its own type until something that is not takes it as an input."""
        return Value(constant, each(lambda t: tf.TensorSpec(t.shape, at_precision(t.dtype, self.precision)), constant))

    def cast(self, constant: Any, precision: Any) -> Any:
        return each(lambda t: tf.cast(t, at_precision(t.dtype, precision)), constant)

    def node(self, node: Node) -> None:
        inputs = [self.values[name] if name else _ABSENT for name in node.inputs]
        if node.op == "If" and not node.domain and inputs[0].constant is not None:
            return self.branch(node, bool(inputs[0].constant))
        entry = table.find(node.op, node.domain, node.opset)
        if entry is None:
            return self.expand(node, inputs)
        names = dict.fromkeys(name for graph in node.subgraphs for name in graph.free)
        captured = [name for name in names if self.values[name].constant is None]
        inner = [self.values[name] for name in captured]
        constant = all(value.constant is not None for value in (*inputs, *inner) if value is not _ABSENT)
        rank = _channels_last(entry, node, inputs)
        call = Call(
            node,
            tuple(each(to_numpy, value.constant) for value in inputs),
            tuple(each(spec_of, value.constant) if constant else value.spec for value in inputs),
            # What is known before the run is computed as the file says, unless more digits are asked for: half
            # precision would spoil the arithmetic on shapes.
            self.folding if constant else self.precision,
            lambda graph, specs: self.subgraph(graph, specs, captured),
            rank is not None,
        )
        fn = entry.factory(call)
        values = [self.form(v, rank if _moves(entry, i, v, rank) else None) for i, v in enumerate(inputs)]
        for index, change in call.prepared.items():
            values[index] = self.changed(values[index], change)
        values += [self.form(value, None) for value in inner]
        values += [self.known(to_tf(extra)) for extra in call.extras]
        return self.emit(node, entry, fn, values, rank)

    def form(self, value: Value, rank: int | None) -> Value:
        """`value` as a step takes it: in ONNX's layout, or with a `rank`, as it broadcasts with channels last."""
        if not isinstance(value.spec, tf.TensorSpec) or isinstance(value.constant, list):
            return value
        if rank is None:
            if value.constant is None and value.held is None:
                value.held = self.step("layout", _permute(to_first(value.rank or 0)), [value.last])
            return value if value.last is None else Value(spec=value.spec, held=value.held)
        if value.constant is not None:
            if rank not in value.moved:
                value.moved[rank] = self.known(_channels_to_end(value.constant, rank))
            return value.moved[rank]
        spec = value.spec if value.rank is not None else tf.TensorSpec([None] * rank, value.spec.dtype)
        shape = [1] * (rank - spec.shape.rank) + spec.shape.as_list()
        if value.last is None:
            moved = self.step("layout", lambda x: _channels_to_end(x, rank), [value.held])
            if spec.shape.rank < rank:
                return Value(spec=tf.TensorSpec([shape[i] for i in to_last(rank)], spec.dtype), held=moved)
            value.last = moved
        return Value(spec=tf.TensorSpec([shape[i] for i in to_last(rank)], spec.dtype), held=value.last)

    def step(self, name: str, fn: Fn, arguments: Sequence[Argument | None]) -> Slot:
        """Emit a step of one output."""
        slot = self.slot()
        self.steps.append(Step(name, fn, tuple(a for a in arguments if a is not None), (slot.index,)))
        return slot

    def changed(self, value: Value, change: Fn) -> Value:
        if value.constant is not None:
            return self.known(change(value.constant))
        (result,) = inferred(change, (), [value])
        return Value(spec=spec_of(result), held=self.step("prepare", change, [self.argument(value)]))

    def emit(self, node: Node, entry: Entry, fn: Fn, inputs: Sequence[Value], rank: int | None) -> None:
        """One step; with a `rank`, the outputs that have it are channels-last."""
        host = entry.host
        if all(value.constant is not None for value in inputs if value is not _ABSENT):
            arguments = [
                None if v is _ABSENT else plain_value(v.constant) if i in host else self.cast(v.constant, self.folding)
                for i, v in enumerate(inputs)
            ]
            results = [_from_last(result, rank) for result in many(fn(*arguments))]
            return self.bind(node, [self.known(result) for result in results])
        late = _late(entry, inputs)
        python = None
        if set(late) <= set(entry.traits.get("soft", ())):
            results = self.infer(node, fn, host, inputs)
            fixed = [static_value(result) for result in results]
            if all(value is not None for value in fixed):
                return self.bind(node, [self.known(value) for value in fixed])
            specs = [each(spec_of, result) for result in results]
        else:
            specs = declared_specs(node, inputs, self.precision)
            python = tuple(specs)
        steps_arguments = tuple(
            Literal(plain_value(v.constant)) if i in host and v.constant is not None else self.argument(v)
            for i, v in enumerate(inputs)
        )
        slots = [self.slot() for _ in specs]
        self.steps.append(Step(node.op, fn, steps_arguments, tuple(slot.index for slot in slots), late, python))
        values = []
        for spec, slot in zip(specs, slots, strict=True):
            if rank is not None and isinstance(spec, tf.TensorSpec) and spec.shape.rank == rank:
                shape = spec.shape.as_list()
                first = tf.TensorSpec([shape[i] for i in to_first(rank)], spec.dtype)
                values.append(Value(spec=first, last=slot))
            else:
                values.append(Value(spec=spec, held=slot))
        self.bind(node, values)
        return None

    def infer(self, node: Node, fn: Fn, host: Sequence[int], inputs: Sequence[Value]) -> list[Any]:
        try:
            return inferred(fn, host, inputs)
        except (TypeError, ValueError, AttributeError) as error:
            whole = (isinstance(v.spec, tf.TensorSpec) and v.spec.shape.is_fully_defined() for v in inputs if v.spec)
            if all(whole):
                raise
            raise Unsupported(f"{node}: a shape that only the data tells") from error

    def bind(self, node: Node, values: Sequence[Value]) -> None:
        # A callable may return more than the node names, or less where the last are optional.
        for name, value in zip(node.outputs, values, strict=False):
            if name:
                self.values[name] = value

    def argument(self, value: Value) -> Argument:
        """What gives the value, in ONNX's layout, to a step."""
        if value.held is None and value.constant is not None:
            if isinstance(value.constant, list):
                return [self.argument(self.known(item)) for item in value.constant]
            self.constants.append(self.cast(value.constant, self.precision))
            value.held = Weight(len(self.constants) - 1)
        return Literal(None) if value.held is None else value.held

    def expand(self, node: Node, inputs: Sequence[Value]) -> None:
        nodes = expand(node, [onnx_type(value.spec) for value in inputs], f"{node.op}:{next(self.numbers)}/")
        if nodes is None:
            if has_body(node.op, node.domain, node.opset):
                raise Unsupported(f"{node}: its definition needs the types of inputs that only the data tells")
            raise Unsupported(f"operators not in the table: {node}")
        for inner in nodes:
            self.node(inner)

    def branch(self, node: Node, condition: bool) -> None:
        graph: Graph = node.attributes["then_branch" if condition else "else_branch"]
        self.graph(graph)
        self.bind(node, [self.values[name] for name in graph.outputs])

    def subgraph(self, graph: Graph, specs: Mapping[str, Any], captured: Sequence[str]) -> Program:
        """A program that takes the subgraph's own inputs and then what it captures from the scopes around it."""
        inner = _Builder(self.precision, self.embed)
        for name in graph.inputs:
            inner.placeholder(name, specs[name])
        for name in captured:
            inner.placeholder(name, self.values[name].spec)
        for name in graph.free:
            if name not in captured:
                inner.values[name] = self.known(self.values[name].constant)
        inner.graph(graph)
        return inner.finish(graph.outputs)


def _channels_last(entry: Entry, node: Node, inputs: Sequence[Value]) -> int | None:
    """The rank of the channels-last tensors that this step takes; None where it takes ONNX's layout."""
    layout = entry.traits.get("layout", "")
    known = [v for i, v in enumerate(inputs) if i not in entry.host and isinstance(v.spec, tf.TensorSpec)]
    rank: int | None = None
    if layout == "last":
        kernel = node.attributes.get("kernel_shape")
        rank = inputs[0].rank or (len(kernel) + 2 if kernel else None)
    elif layout == "either" and not _late(entry, inputs):
        rank = inputs[0].rank if any(v.last is not None and v.rank == inputs[0].rank for v in known) else None
    elif layout == "same" and all(v.rank is not None for v in known):
        most = max((v.rank or 0 for v in known), default=0)
        rank = most if any(v.last is not None and v.rank == most for v in known) else None
    return rank if rank in RANKS else None


def _moves(entry: Entry, index: int, value: Value, rank: int | None) -> bool:
    """Whether input `index` of a channels-last step is channels-last too."""
    match entry.traits.get("layout", ""):
        case "last":
            return index == 0
        case "either":
            return index not in entry.host and value.rank == rank
        case "same":
            return bool(value.rank)
    return False


def _late(entry: Entry, inputs: Sequence[Value]) -> tuple[int, ...]:
    """The host inputs that are not known before the model runs."""
    given = [i for i in entry.host if i < len(inputs) and inputs[i] is not _ABSENT]
    return tuple(i for i in given if inputs[i].constant is None)


def _channels_to_end(x: Any, rank: int) -> Any:
    """A tensor of up to `rank` axes as it broadcasts against channels-last tensors of that rank."""
    if x.shape.rank is not None and x.shape.rank < rank:
        x = tf.reshape(x, tf.concat([[1] * (rank - x.shape.rank), tf.shape(x)], 0)) if x.shape.rank else x
    return tf.transpose(x, to_last(rank)) if x.shape.rank != 0 else x


def _permute(permutation: Sequence[int]) -> Fn:
    return lambda x: tf.transpose(x, permutation)


def _from_last(result: Any, rank: int | None) -> Any:
    if rank is None or not tf.is_tensor(result) or result.shape.rank != rank:
        return result
    return tf.transpose(result, to_first(rank))
