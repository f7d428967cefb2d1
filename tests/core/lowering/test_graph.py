"""Reading a graph: attributes with defaults, initializers, subgraphs."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

from deltann.lowering.attributes import attributes, read, since
from deltann.lowering.graph import dense, label, read_graph


def test_attributes_have_the_defaults_of_the_opset_in_force() -> None:
    node = helper.make_node("Softmax", ["x"], ["y"])
    assert attributes(node, 11)["axis"] == 1
    assert attributes(node, 13)["axis"] == -1
    assert attributes(helper.make_node("Softmax", ["x"], ["y"], axis=2), 13)["axis"] == 2


def test_attributes_are_plain_python() -> None:
    values = {"s": "text", "f": 0.5, "i": 3, "is": [1, 2], "fs": [0.5, 1.0], "ss": ["a", "b"]}
    for name, value in values.items():
        assert read(helper.make_attribute(name, value)) == value
    array = np.arange(3, dtype=np.int64)
    np.testing.assert_array_equal(read(helper.make_attribute("t", numpy_helper.from_array(array))), array)


def test_since_names_the_definition_in_force() -> None:
    assert since("Softmax", "", 12) == 11
    assert since("Softmax", "", 20) == 13
    assert since("Foo", "", 20) == 0
    assert label("Softmax", "", 12) == "Softmax (ai.onnx 12)"


def test_initializers_are_no_inputs_and_outer_names_of_a_subgraph_are_free() -> None:
    text = """
    <ir_version: 8, opset_import: ["": 17]>
    agraph (bool c, float[N] x, float[1] w) => (float[N] y) <float[1] w = {2.0}> {
       h = Mul(x, w)
       y = If (c) <
         then_branch = a () => (p) { t = Neg(h) p = Add(t, w) },
         else_branch = b () => (q) <float[1] k = {3.0}> { q = Mul(x, k) }
       >
    }
    """
    graph = read_graph(parser.parse_model(text))
    assert graph.inputs == ("c", "x")
    assert graph.constants["w"] == np.float32(2)
    branches = {name: graph.nodes[1].attributes[name] for name in ("then_branch", "else_branch")}
    assert branches["then_branch"].free == ("h", "w")
    assert branches["else_branch"].free == ("x",)
    assert [node.op for node in graph.walk()] == ["Mul", "If", "Neg", "Add", "Mul"]


def test_sparse_initializers_become_dense() -> None:
    values = helper.make_tensor("v", TensorProto.FLOAT, [2], [5.0, 7.0])
    flat = helper.make_sparse_tensor(values, helper.make_tensor("i", TensorProto.INT64, [2], [1, 5]), [2, 3])
    rows = helper.make_sparse_tensor(values, helper.make_tensor("i", TensorProto.INT64, [2, 2], [0, 1, 1, 2]), [2, 3])
    wanted = [[0, 5, 0], [0, 0, 7]]
    assert dense(flat).tolist() == wanted
    assert dense(rows).tolist() == wanted
    graph = onnx.GraphProto(sparse_initializer=[flat])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    assert read_graph(model).constants["v"].tolist() == wanted
