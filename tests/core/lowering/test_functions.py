"""Functions: model-local ones and those by which onnx defines composite operators."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, parser
from onnx.reference import ReferenceEvaluator

from deltann.lowering.functions import body, has_body, imports
from deltann.lowering.graph import Graph, Node, expand, operators, read_graph, tensor_type

_LOCAL = """
<ir_version: 8, opset_import: ["": 17, "mine": 1]>
agraph (float[N] x) => (float[N] y) {
   h = mine.scaled <factor = 3.0> (x)
   t = mine.scaled (h)
   y = Relu(t)
}
<domain: "mine", opset_import: ["": 13, "mine": 1]>
scaled <factor: float = 2.0> (a) => (b) {
   t = Constant <value_float: float = @factor> ()
   inner = mine.shifted (a)
   b = Mul (inner, t)
}
<domain: "mine", opset_import: ["": 13]>
shifted (a) => (b) {
   t = Constant <value_float = 1.0> ()
   b = Add (a, t)
}
"""


def _run(graph: Graph, **inputs: np.ndarray) -> list[np.ndarray]:
    """The flat graph by onnx's own evaluator."""
    proto = helper.make_graph(
        [node.proto for node in graph.nodes],
        "flat",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in graph.inputs],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in graph.outputs],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in graph.constants.items()],
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return list(ReferenceEvaluator(model).run(None, inputs))  # type: ignore[arg-type]  # its stub says less


def test_local_functions_are_expanded_with_their_attributes_defaults_and_opsets() -> None:
    graph = read_graph(parser.parse_model(_LOCAL))
    assert [node.op for node in graph.nodes] == ["Constant", "Constant", "Add", "Mul"] * 2 + ["Relu"]
    assert {node.opset for node in graph.nodes} == {13, 17}
    names = [name for node in graph.nodes for name in node.outputs]
    assert len(set(names)) == len(names)
    x = np.random.default_rng(0).standard_normal(5).astype(np.float32)
    np.testing.assert_allclose(_run(graph, x=x)[0], np.maximum(((x + 1) * 3 + 1) * 2, 0), rtol=1e-6)


def test_a_function_that_calls_itself_is_refused() -> None:
    text = _LOCAL.replace("inner = mine.shifted (a)", "inner = mine.scaled (a)")
    with pytest.raises(ValueError, match="calls itself"):
        read_graph(parser.parse_model(text))


def test_operators_are_listed_through_functions_and_subgraphs() -> None:
    model = parser.parse_model(_LOCAL)
    assert operators(model) == [("Constant", "", 13), ("Add", "", 13), ("Mul", "", 13), ("Relu", "", 17)]
    branch = """
    <ir_version: 8, opset_import: ["": 17, "other": 3]>
    agraph (bool c, float[N] x) => (float[N] y) {
       y = If (c) <then_branch = a () => (p) { p = other.Foo(x) }, else_branch = b () => (q) { q = Abs(x) }>
    }
    """
    assert operators(parser.parse_model(branch)) == [("If", "", 17), ("Foo", "other", 3), ("Abs", "", 17)]


def _node(text: str, opset: int) -> Node:
    model = f'<ir_version: 8, opset_import: ["": {opset}]> agraph (float[N] x) => (float[N] y) {{ {text} }}'
    return read_graph(parser.parse_model(model)).nodes[0]


@pytest.mark.parametrize(
    ("text", "opset", "formula"),
    [
        ("y = HardSwish(x)", 14, lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
        ("y = Celu <alpha = 2.0> (x)", 12, lambda x: np.maximum(x, 0) + np.minimum(0, 2 * (np.exp(x / 2) - 1))),
        ("y = Softmax <axis = 0> (x)", 13, lambda x: np.exp(x) / np.exp(x).sum()),
    ],
)
def test_composite_operators_are_expanded_by_their_bodies(text: str, opset: int, formula: object) -> None:
    node = _node(text, opset)
    nodes = expand(node, [tensor_type(TensorProto.FLOAT, (7,))], "p/")
    assert nodes is not None
    assert node.op not in {inner.op for inner in nodes}
    x = np.random.default_rng(1).standard_normal(7).astype(np.float32)
    assert callable(formula)
    got = _run(Graph(nodes, {}, node.inputs, node.outputs), x=x)[0]
    np.testing.assert_allclose(got, formula(x), rtol=1e-5, atol=1e-6)


def test_an_attribute_left_out_has_the_schemas_default_inside_a_body() -> None:
    nodes = expand(_node("y = HannWindow(x)", 17), [tensor_type(TensorProto.INT64, ())], "p/")
    assert nodes is not None
    casts = [node for node in nodes if node.op == "Cast"]
    assert TensorProto.FLOAT in {node.attributes["to"] for node in casts}


def test_an_operator_without_a_body_has_none() -> None:
    assert expand(_node("y = Abs(x)", 17), [None], "p/") is None
    assert has_body("LayerNormalization", "", 17)
    assert not has_body("LayerNormalization", "", 16)
    assert not has_body("Conv", "", 17)
    assert not has_body("Foo", "mine", 1)


def test_a_body_that_needs_types_is_not_asked_for_without_them() -> None:
    # onnx 1.23 would end the whole process.
    node = helper.make_node("SequenceMap", ["s"], ["o"])
    assert body(node, {"": 17}, [None]) is None


def test_the_default_domain_has_one_spelling() -> None:
    assert imports([helper.make_opsetid("ai.onnx", 12), helper.make_opsetid("m", 2)]) == {"": 12, "m": 2}
