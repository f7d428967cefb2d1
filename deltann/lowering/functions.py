"""Instantiating ONNX functions: model-local ones, and the bodies that composite operators' schemas carry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import onnx
from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto, TypeProto

from deltann.lowering.attributes import schema

Opsets = Mapping[str, int]


def imports(items: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    """Opset versions by domain; the default domain is spelled as the empty string."""
    return {"" if item.domain == "ai.onnx" else item.domain: item.version for item in items}


def instantiate(function: FunctionProto, call: NodeProto, prefix: str) -> list[NodeProto]:
    """The nodes of `function` as `call` invokes it, their values renamed so that they meet no others.

    Formal inputs and outputs take the caller's names (an omitted input becomes the empty name), attributes that
    refer to the function's own take the caller's value or the function's default, and all else gets `prefix`.
    """
    names = {"": ""}
    given = list(call.input) + [""] * len(function.input)
    names |= dict(zip(function.input, given, strict=False))
    wanted = list(call.output) + [""] * len(function.output)
    names |= {formal: actual for formal, actual in zip(function.output, wanted, strict=False) if actual}
    if set(function.input) & set(function.output):
        raise ValueError(f"function {function.name} returns its own input unchanged, which onnx forbids")
    arguments = {attribute.name: attribute for attribute in function.attribute_proto}
    arguments |= {attribute.name: attribute for attribute in call.attribute}
    return [_renamed(node, names, arguments, prefix) for node in function.node]


def _renamed(node: NodeProto, names: dict[str, str], arguments: Mapping[str, AttributeProto], prefix: str) -> NodeProto:
    result = NodeProto()
    result.CopyFrom(node)
    del result.input[:], result.output[:], result.attribute[:]
    # A value that the function defines is seen here first as an output, or as an outer name of a subgraph.
    result.input.extend(names.setdefault(name, prefix + name) for name in node.input)
    result.output.extend(names.setdefault(name, prefix + name) for name in node.output)
    result.name = prefix + (node.name or node.op_type)
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            if attribute.ref_attr_name in arguments:
                copy = result.attribute.add()
                copy.CopyFrom(arguments[attribute.ref_attr_name])
                copy.name = attribute.name
            continue
        copy = result.attribute.add()
        copy.CopyFrom(attribute)
        for graph in (copy.g, *copy.graphs):
            _rename_graph(graph, names, arguments, prefix)
    return result


def _rename_graph(
    graph: GraphProto, names: dict[str, str], arguments: Mapping[str, AttributeProto], prefix: str
) -> None:
    inner = dict(names)
    named: list[Any] = [*graph.input, *graph.initializer]
    for value in named:
        inner[value.name] = value.name = prefix + value.name
    nodes = [_renamed(node, inner, arguments, prefix) for node in graph.node]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    for output in graph.output:
        output.name = inner.get(output.name, prefix + output.name)


def body(node: NodeProto, opsets: Opsets, types: Sequence[TypeProto | None]) -> FunctionProto | None:
    """The function body of a composite operator as its schema defines it, or None where it has none.

    `types` are those of the node's inputs, None where unknown; some bodies depend on them. The newest body that the
    node's opset allows is taken.
    """
    opset = opsets.get(node.domain, 1)
    declared: Any = schema(node.op_type, node.domain, opset)
    if declared is None:
        return None
    # onnx's stubs leave out what gives the bodies, hence Any.
    fixed = [version for version in declared.function_opset_versions if version <= opset]
    if fixed:
        return FunctionProto.FromString(declared.get_function_with_opset_version(max(fixed)))
    typed = [version for version in declared.context_dependent_function_opset_versions if version <= opset]
    if not typed:
        return None
    if node.op_type == "SequenceMap" and None in types:
        return None  # onnx 1.23 dies of SIGSEGV when asked for this body without its inputs' types
    serialized = [(TypeProto() if known is None else known).SerializeToString() for known in types]
    text = declared.get_context_dependent_function_with_opset_version(max(typed), node.SerializeToString(), serialized)
    return FunctionProto.FromString(text) if text else None


def with_defaults(node: NodeProto, opset: int) -> NodeProto:
    """`node` with the attributes that it leaves out and its schema has a default for: a body may refer to them."""
    declared = schema(node.op_type, node.domain, opset)
    result = NodeProto()
    result.CopyFrom(node)
    given = {attribute.name for attribute in node.attribute}
    for name, attribute in declared.attributes.items() if declared else ():
        if name not in given and attribute.default_value.type != AttributeProto.UNDEFINED:
            result.attribute.append(attribute.default_value)
    return result


def has_body(op: str, domain: str, opset: int) -> bool:
    """Whether onnx defines `op` by a function body at that opset, possibly one that depends on its inputs' types."""
    declared: Any = schema(op, domain, opset)  # as above
    return declared is not None and any(
        version <= opset
        for version in (*declared.function_opset_versions, *declared.context_dependent_function_opset_versions)
    )
