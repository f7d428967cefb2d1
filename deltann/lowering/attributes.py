"""Attributes of a node as plain Python values, with the defaults that the operator's schema declares."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import AttributeProto, NodeProto, numpy_helper


def read(attribute: AttributeProto) -> Any:
    """The value of one attribute: int, float, str, numpy array, GraphProto, TypeProto, SparseTensorProto, or a list."""
    value = onnx.helper.get_attribute_value(attribute)
    match attribute.type:
        case AttributeProto.STRING:
            return value.decode()
        case AttributeProto.STRINGS:
            return [item.decode() for item in value]
        case AttributeProto.TENSOR:
            return numpy_helper.to_array(value)
        case AttributeProto.TENSORS:
            return [numpy_helper.to_array(item) for item in value]
        case AttributeProto.INTS | AttributeProto.FLOATS | AttributeProto.GRAPHS:
            return list(value)
    return value


def schema(op: str, domain: str, opset: int) -> onnx.defs.OpSchema | None:
    """The schema in force for `op` at `opset`, or None where onnx knows no such operator."""
    try:
        return onnx.defs.get_schema(op, opset, "" if domain == "ai.onnx" else domain)
    except onnx.defs.SchemaError:
        return None


def since(op: str, domain: str, opset: int) -> int:
    """The opset at which the definition in force at `opset` came into force; 0 where onnx knows no such operator."""
    declared = schema(op, domain, opset)
    return 0 if declared is None else declared.since_version


def attributes(node: NodeProto, opset: int) -> dict[str, Any]:
    """Every attribute of `node`; those it leaves out have their schema's default where there is one."""
    declared = schema(node.op_type, node.domain, opset)
    values = {}
    if declared is not None:
        for name, attribute in declared.attributes.items():
            if attribute.default_value.type != AttributeProto.UNDEFINED:
                values[name] = read(attribute.default_value)
    return values | {attribute.name: read(attribute) for attribute in node.attribute}
