"""However ORT orders a graph's nodes, they are written in one order."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import parser

from deltann.binding import bind
from deltann.environment import Environment
from deltann.model import load_model
from deltann_ort import OrtBackend
from deltann_ort.order import in_order

_TEXT = """
<ir_version: 8, opset_import: ["": 17]> agraph (float[3] x, bool b) => (float[3] y) {
    a = Exp(x) c = Relu(a) d = Tanh(a) e = Add(c, d) f = Neg(x)
    g = If(b) <then_branch = yes () => (float[3] p) { q = Neg(e) p = Exp(q) },
               else_branch = no () => (float[3] r) { r = Identity(f) }>
    y = Mul(e, g)
}
"""


@given(st.randoms(use_true_random=False))
def test_every_order_becomes_the_same(rng: random.Random) -> None:
    wanted, shuffled = parser.parse_model(_TEXT), parser.parse_model(_TEXT)
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in shuffled.graph.node]
    for node in nodes:
        node.name = str(rng.random())
    rng.shuffle(nodes)
    del shuffled.graph.node[:]
    shuffled.graph.node.extend(nodes)
    in_order(wanted.graph)
    in_order(shuffled.graph)
    assert shuffled == wanted
    onnx.checker.check_model(shuffled)  # which asks for a topological order
    assert len({node.name for node in shuffled.graph.node}) == len(nodes)


def test_other_graphs_stay_other() -> None:
    one, other = parser.parse_model(_TEXT), parser.parse_model(_TEXT.replace("Tanh", "Sigmoid"))
    in_order(one.graph)
    in_order(other.graph)
    assert one != other


def test_weights_that_are_inputs_too_leave_none_behind_once_folded(tmp_path: Path) -> None:
    """As files of IR 3 list them; light_bvlc_alexnet of onnx's own tests is one."""
    pytest.importorskip("onnxruntime")
    light = Path(onnx.__file__).parent / "backend/test/data/light/light_bvlc_alexnet.onnx"
    proto = onnx.load(light)
    assert len(proto.graph.input) > 1
    backend, env = OrtBackend(), Environment.parse("ort")
    model = bind(load_model(light), {}, 1).model
    (spec,) = model.inputs
    with backend.load(backend.lower(model, env, tmp_path), env) as executable:
        (scores,) = executable.run({spec.name: np.ones(spec.static_shape, np.float32)}).values()
    assert scores.shape == (1, 1000)
