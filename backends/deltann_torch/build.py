"""From an ONNX graph to a torch module: straight-line code of table entries, with all that is known folded.

The module is a `torch.fx.GraphModule`: its forward method is one statement for each node, which drops each value after
its last use, and which Dynamo traces as it stands.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

import onnx
import torch
from torch import fx

from deltann.errors import Unsupported
from deltann.lowering.attributes import schema
from deltann.lowering.functions import has_body
from deltann.lowering.graph import Graph, Node, expand, tensor_type
from deltann_torch import ops as ops  # importing it fills the table
from deltann_torch import table
from deltann_torch.call import Call
from deltann_torch.dtypes import at_precision, onnx_element, to_torch
from deltann_torch.inference import Inference, is_real
from deltann_torch.perturb import RandomRounding

_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)


@dataclass
class Value:
    """What is known of one value: its `constant` (a tensor, a list for a sequence) or None, the same without data in
    `meta` or None, and the node of the torch graph that computes it, made when first needed for a constant."""

    constant: Any = None
    meta: Any = None
    fx: Any = None


_ABSENT = Value()


def build(
    graph: Graph,
    metas: Mapping[str, torch.Tensor],
    precision: torch.dtype | None,
    device: torch.device,
    *,
    inference: Inference | None = None,
    rounding: RandomRounding | None = None,
    eager: bool = False,
) -> fx.GraphModule:
    """A module from `graph`, whose forward takes the graph's inputs in order and returns a tuple of its outputs.

    `metas` are tensors on the meta device that say the inputs' shapes and dtypes (a name left out: unknown).
    `inference` knows what operators return (left out: torch is asked). `rounding` perturbs what they compute while the
    module runs; what is known before is left alone. `eager`: the module will not be compiled.

    Raises:
        Unsupported: an operator, or a setting of one, that the table lacks; named.
    """
    with torch.no_grad():
        builder = _Builder(precision, device, inference or Inference(), rounding, eager)
        for name in graph.inputs:
            builder.placeholder(name, metas.get(name))
        builder.graph(graph)
        return builder.finish(graph.outputs)


class _Builder:
    def __init__(
        self,
        precision: torch.dtype | None,
        device: torch.device,
        inference: Inference,
        rounding: RandomRounding | None,
        eager: bool,
    ) -> None:
        self.precision = precision
        self.inference = inference
        self.rounding = rounding
        self.eager = eager
        self.folding = precision if precision in (torch.float32, torch.float64) else None
        self.device = device
        self.root = torch.nn.Module()
        self.code = fx.Graph()
        self.values: dict[str, Value] = {}
        self.numbers = count()

    def placeholder(self, name: str, meta: Any) -> None:
        node = self.code.placeholder(f"input_{len(self.values)}")
        self.values[name] = Value(meta=meta, fx=node)

    def graph(self, graph: Graph) -> None:
        for name, array in graph.constants.items():
            self.values[name] = self.known(to_torch(array, own=True).to(self.device))
        for node in graph.nodes:
            self.node(node)

    def finish(self, outputs: Sequence[str]) -> fx.GraphModule:
        self.code.output(tuple(self.argument(self.values[name]) for name in outputs))
        return fx.GraphModule(self.root, self.code)

    def known(self, constant: Any) -> Value:
        """A value of which all is known; it keeps its own type until something that is not takes it as an input."""
        return Value(constant=constant, meta=_meta(constant, self.precision))

    def cast(self, constant: Any, precision: torch.dtype | None) -> Any:
        return _each(lambda t: t.to(at_precision(t.dtype, precision)), constant)

    def node(self, node: Node) -> None:
        inputs = [self.values[name] if name else _ABSENT for name in node.inputs]
        if node.op == "If" and not node.domain and inputs[0].constant is not None:
            return self.branch(node, bool(inputs[0].constant))
        entry = table.find(node.op, node.domain, node.opset)
        if entry is None:
            return self.expand(node, inputs)
        captured = [name for name in self.free(node) if self.values[name].constant is None]
        inner = [self.values[name] for name in captured]

        def subgraph(graph: Graph, metas: Mapping[str, Any]) -> fx.GraphModule:
            return self.subgraph(graph, metas, captured)

        constant = all(value.constant is not None for value in (*inputs, *inner) if value is not _ABSENT)
        # What is known before the run is computed as the file says, unless more digits are asked for: half precision
        # would spoil the arithmetic on shapes.
        precision = self.folding if constant else self.precision
        metas = tuple(_meta(value.constant, precision) if constant else value.meta for value in inputs)
        call = Call(node, tuple(value.constant for value in inputs), metas, precision, subgraph)
        fn = entry.factory(call)
        if fn is None:
            return self.expand(node, inputs)
        if unsigned := entry.traits.get("unsigned"):
            fn = _unsigned(fn, call, unsigned)
        if entry.traits.get("made") and self.device.type != "cpu":
            fn = _moved(fn, self.device)
        extras = [self.known(tensor.to(self.device)) for tensor in call.extras]
        return self.emit(node, fn, entry.host, [*inputs, *inner, *extras])

    def emit(self, node: Node, fn: table.Fn, host: tuple[int, ...], inputs: Sequence[Value]) -> None:
        present = [value for value in inputs if value is not _ABSENT]
        if all(value.constant is not None for value in present):
            ready = [
                v.constant if v is _ABSENT or i in host else self.cast(v.constant, self.folding)
                for i, v in enumerate(inputs)
            ]
            result = fn(*(_literal(v) if i in host and v is not None else v for i, v in enumerate(ready)))
            self.bind(node, [self.known(value) for value in _many(result)])
            return
        metas = self.infer(node.op, fn, host, inputs)
        if metas is not None and all(is_real(meta) for meta in metas):
            self.bind(node, [self.known(meta.to(self.device)) for meta in metas])
            return
        arguments: list[Any] = []
        for index, value in enumerate(inputs):
            if index not in host or value is _ABSENT:
                arguments.append(self.argument(value))
            elif value.constant is not None:
                arguments.append(_literal(value.constant))
            else:
                arguments.append(self.code.call_function(_literal if self.eager else _reader(), (value.fx,)))
        if self.rounding is not None:
            fn = self.rounding.after(fn, node.op)
        step = self.code.call_function(_named(fn, node.op), tuple(arguments))
        if len(node.outputs) == 1:
            # A callable may return more than the node names; the first output is then the one.
            single = metas is None or len(metas) == 1
            if not single:
                step = self.code.call_function(_first, (step,))
            self.bind(node, [Value(meta=None if metas is None else metas[0], fx=step)])
            return
        steps = [self.code.call_function(_item, (step, i)) for i in range(len(node.outputs))]
        known = [None] * len(steps) if metas is None else [*metas, *[None] * len(steps)]
        self.bind(node, [Value(meta=meta, fx=step) for meta, step in zip(known, steps, strict=False)])

    def bind(self, node: Node, values: Sequence[Value]) -> None:
        for name, value in zip(node.outputs, values, strict=False):
            if name:
                self.values[name] = value

    def infer(self, op: str, fn: table.Fn, host: tuple[int, ...], inputs: Sequence[Value]) -> list[Any] | None:
        """The outputs without data, or None where they depend on data (or torch cannot say)."""
        arguments: list[Any] = []
        for index, value in enumerate(inputs):
            if value is _ABSENT:
                arguments.append(None)
            elif index in host and value.constant is not None:
                arguments.append(_literal(value.constant))
            elif index in host or value.meta is None:
                return None
            else:
                arguments.append(value.meta)
        return self.inference(op, fn, arguments)

    def argument(self, value: Value) -> Any:
        if value.fx is None and value.constant is not None:
            if isinstance(value.constant, list):
                return [self.argument(Value(constant=item)) for item in value.constant]
            # A number of its own for each: the same tensor may be a constant under several names.
            name = f"constant_{next(self.numbers)}"
            self.root.register_buffer(name, self.cast(value.constant, self.precision), persistent=False)
            value.fx = self.code.get_attr(name)
        return value.fx

    def expand(self, node: Node, inputs: Sequence[Value]) -> None:
        types_of = [None if value.meta is None else _type(value.meta) for value in inputs]
        nodes = expand(node, types_of, f"{node.op}:{next(self.numbers)}/")
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

    def free(self, node: Node) -> list[str]:
        return list(dict.fromkeys(name for graph in node.subgraphs for name in graph.free))

    def subgraph(self, graph: Graph, metas: Mapping[str, Any], captured: Sequence[str]) -> fx.GraphModule:
        """A module that takes the subgraph's own inputs and then what it captures from the scopes around it."""
        inner = _Builder(self.precision, self.device, self.inference, self.rounding, self.eager)
        for name in graph.inputs:
            inner.placeholder(name, metas.get(name))
        for name in captured:
            inner.placeholder(name, self.values[name].meta)
        constants = {name: self.values[name] for name in graph.free if name not in captured}
        inner.values |= {name: Value(value.constant, value.meta) for name, value in constants.items()}
        inner.graph(graph)
        module = inner.finish(graph.outputs)
        self.root.add_module(f"body_{next(self.numbers)}", module)
        return module


def _unsigned(fn: table.Fn, call: Call, how: str) -> table.Fn:
    """`fn` made to work on the unsigned types that torch hardly computes, where an input has one."""
    declared = schema(call.node.op, call.node.domain, call.node.opset)
    if declared is None:
        return fn
    formals = [formal.type_str for formal in declared.inputs]
    results = [formal.type_str for formal in declared.outputs]

    def wrapped(dtypes: Sequence[torch.dtype | None]) -> table.Fn:
        dtype = next((known for known in dtypes if known in _UNSIGNED), None)
        if dtype is None:
            return fn
        if dtype == torch.uint64 and how == "small":
            raise call.unsupported("uint64, which torch does not compute")
        same = tuple(known == dtype for known in dtypes)
        formal = formals[min(same.index(True), len(formals) - 1)]
        outputs = tuple(results[min(i, len(results) - 1)] == formal for i in range(call.n_outputs))
        return table.widened(fn, dtype, same, outputs, how == "ordered")

    known = [call.dtype(i) for i in range(call.n_inputs)]
    if all(dtype is not None or not call.has(i) for i, dtype in enumerate(known)):
        return wrapped(known)
    return lambda *args: wrapped([getattr(value, "dtype", None) for value in args])(*args)


def _moved(fn: table.Fn, device: torch.device) -> table.Fn:
    """`fn`, its result on `device`: what follows mixes it with tensors that lie there."""
    return lambda *args: fn(*args).to(device)


def _each(change: Callable[[Any], Any], value: Any) -> Any:
    return [_each(change, item) for item in value] if isinstance(value, list) else change(value)


def _meta(constant: Any, precision: torch.dtype | None) -> Any:
    """The constant without its data, at `precision`; None for None."""
    if constant is None:
        return None
    return _each(lambda t: torch.empty_like(t, dtype=at_precision(t.dtype, precision), device="meta"), constant)


def _type(meta: Any) -> Any:
    if isinstance(meta, list):
        return onnx.helper.make_sequence_type_proto(tensor_type(onnx_element(meta[0].dtype), None)) if meta else None
    return tensor_type(onnx_element(meta.dtype), tuple(meta.shape))


def _many(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple) else [result]


def _literal(tensor: Any) -> Any:
    return tensor.tolist()


@cache
def _reader() -> table.Fn:
    """`_literal` kept out of what Dynamo compiles, which then sees plain numbers; asking for it imports Dynamo."""
    return torch.compiler.disable(_literal)


def _item(values: Any, index: int) -> Any:
    return values[index] if index < len(values) else None


def _first(values: Any) -> Any:
    return values[0]


def _named(fn: table.Fn, op: str) -> table.Fn:
    # torch.fx writes a function into its code by name, and a lambda or a closure has none of its own.
    if isinstance(fn, types.FunctionType) and ("<" in fn.__qualname__ or "<" in fn.__name__):
        fn.__name__ = f"onnx_{op}"
        fn.__qualname__ = fn.__name__
    return fn
