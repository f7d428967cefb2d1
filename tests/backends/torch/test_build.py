"""What building does with a graph: folding, freeing, sharing, tracing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper, parser
from onnx.reference import ReferenceEvaluator

from deltann.errors import Unsupported
from deltann.lowering.graph import read_graph

torch = pytest.importorskip("torch", reason="the torch backend needs torch")

from deltann_torch.build import build  # noqa: E402

_CPU = torch.device("cpu")


def _model(text: str, opset: int = 17, **constants: np.ndarray) -> ModelProto:
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> agraph {text}')
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    return model


def _build(model: ModelProto, *shapes: tuple[int, ...], precision: Any = None) -> Any:
    graph = read_graph(model)
    metas = {name: torch.empty(shape, device="meta") for name, shape in zip(graph.inputs, shapes, strict=True)}
    return build(graph, metas, precision, _CPU)


def _targets(module: Any) -> list[str]:
    return [node.target.__name__ for node in module.graph.nodes if node.op == "call_function"]


def _random(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


_SHAPES = """(float[N,3,4] x) => (float[N,12] y) {
   s = Shape(x)
   zero = Constant <value_int = 0> ()
   n = Gather(s, zero)
   axes = Constant <value_ints = [0]> ()
   n1 = Unsqueeze(n, axes)
   rest = Constant <value_ints = [-1]> ()
   target = Concat <axis = 0> (n1, rest)
   y = Reshape(x, target)
}"""


def test_arithmetic_on_known_shapes_leaves_one_call() -> None:
    module = _build(_model(_SHAPES), (2, 3, 4))
    assert _targets(module) == ["onnx_Reshape"]
    x = torch.randn(2, 3, 4)
    torch.testing.assert_close(module(x)[0], x.reshape(2, 12), rtol=0, atol=0)


def test_arithmetic_on_unknown_shapes_is_done_while_running() -> None:
    module = build(read_graph(_model(_SHAPES)), {}, None, _CPU)
    for n in (2, 5):
        x = torch.randn(n, 3, 4)
        torch.testing.assert_close(module(x)[0], x.reshape(n, 12), rtol=0, atol=0)


def test_one_tensor_under_two_names_keeps_the_others_apart() -> None:
    """Identity of an initializer gives the same tensor again; constants after it must not take its place."""
    model = _model(
        "(float[2] x) => (float[2] y) { b = Identity(a) p = Add(x, a) q = Mul(p, b) y = Sub(q, c) }",
        a=_random(2),
        c=_random(2) + 5,
    )
    x = _random(2)
    want = ReferenceEvaluator(model).run(None, {"x": x})[0]
    np.testing.assert_allclose(_build(model, (2,))(torch.from_numpy(x))[0].numpy(), want, rtol=1e-6)


def test_values_are_dropped_after_their_last_use() -> None:
    module = _build(_model("(float[2] x) => (float[2] y) { a = Neg(x) b = Abs(a) y = Exp(b) }"), (2,))
    code = module.code.replace(" ", "")
    assert "neg=None" in code
    assert "_abs=None" in code


def test_a_known_condition_takes_one_branch() -> None:
    text = """(float[2] x) => (float[2] y) {
       c = Constant <value_int = 1> ()
       b = Cast <to = 9> (c)
       y = If (b) <then_branch = t () => (p) { p = Neg(x) }, else_branch = e () => (q) { q = Abs(x) }>
    }"""
    assert _targets(_build(_model(text), (2,))) == ["neg"]


@pytest.mark.parametrize("flag", [True, False])
def test_an_unknown_condition_is_decided_while_running(flag: bool) -> None:
    text = """(float[2] x, float[1] f) => (float[2] y) {
       c = Cast <to = 9> (f)
       y = If (c) <then_branch = t () => (p) { p = Add(x, w) }, else_branch = e () => (q) { h = Abs(x) q = Mul(h, f) }>
    }"""
    model = _model(text, w=_random(2))
    inputs = {"x": _random(2), "f": np.array([float(flag)], np.float32)}
    want = ReferenceEvaluator(model).run(None, inputs)[0]
    got = _build(model, (2,), (1,))(*map(torch.from_numpy, inputs.values()))[0]
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)


def test_precision_reaches_weights_and_casts_but_not_arithmetic_on_shapes() -> None:
    # 257 is no bfloat16 number: the target of Reshape would be 256.
    text = """(float[1,257] x) => (float[257,1] y) {
       s = Shape(x)
       f = Cast <to = 1> (s)
       t = Cast <to = 7> (f)
       axes = Constant <value_ints = [0]> ()
       one = Constant <value_ints = [1]> ()
       n = Gather(t, one)
       shape = Concat <axis = 0> (n, one)
       h = Reshape(x, shape)
       i = Cast <to = 7> (h)
       g = Cast <to = 1> (i)
       y = Mul(g, w)
    }"""
    module = _build(_model(text, w=_random(1)), (1, 257), precision=torch.bfloat16)
    (y,) = module(torch.ones(1, 257, dtype=torch.bfloat16))
    assert y.dtype == torch.bfloat16
    assert y.shape == (257, 1)
    assert [buffer.dtype for buffer in module.buffers()] == [torch.bfloat16]


def test_what_is_folded_in_float64_is_computed_in_float64() -> None:
    model = _model("(float[1] x) => (float[1] y) { k = Div(a, b) y = Mul(x, k) }", a=_random(1), b=_random(1) + 3)
    a, b = (numpy_helper.to_array(t).astype(np.float64) for t in model.graph.initializer)
    (y,) = _build(model, (1,), precision=torch.float64)(torch.ones(1, dtype=torch.float64))
    assert y.numpy() == a / b


def test_a_missing_operator_is_named() -> None:
    with pytest.raises(Unsupported, match=r"operators not in the table: TfIdfVectorizer \(ai.onnx 17\)"):
        _build(_model("(float[2] x) => (float[2] y) { y = TfIdfVectorizer(x) }"), (2,))


_NETWORK = """(float[2,3,9,9] x) => (float[2,4] y) {
   a = Conv <auto_pad = "SAME_LOWER", strides = [2,2]> (x, w)
   b = BatchNormalization(a, g, g, g, g)
   c = HardSwish(b)
   p = AveragePool <kernel_shape = [2,2], ceil_mode = 1, strides = [2,2]> (c)
   r = Resize <mode = "linear"> (p, , , sizes)
   s = Shape(r)
   n = Slice(s, zero, two)
   t = Concat <axis = 0> (n, minus)
   f = Reshape(r, t)
   l = LayerNormalization(f, ln)
   m = ReduceMean <axes = [2], keepdims = 0> (l)
   y = Softmax(m)
}"""


def _network() -> ModelProto:
    return _model(
        _NETWORK,
        w=_random(4, 3, 3, 3),
        g=np.abs(_random(4)) + 0.5,
        ln=_random(30),
        sizes=np.array([2, 4, 5, 6]),
        zero=np.array([0]),
        two=np.array([2]),
        minus=np.array([-1]),
    )


def test_a_network_agrees_with_onnx() -> None:
    x = _random(2, 3, 9, 9)
    want = ReferenceEvaluator(_network()).run(None, {"x": x})[0]
    got = _build(_network(), (2, 3, 9, 9))(torch.from_numpy(x))[0]
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-4, atol=1e-6)
    assert np.ptp(want) > 0.01


def test_a_shape_that_only_the_data_tells_compiles_in_parts() -> None:
    graph = read_graph(_model("(float[6] x, int64[2] s) => (float[M,N] y) { n = Neg(x) r = Reshape(n, s) y = Exp(r) }"))
    metas = {"x": torch.empty(6, device="meta"), "s": torch.empty(2, dtype=torch.int64, device="meta")}
    compiled = torch.compile(build(graph, metas, None, _CPU), dynamic=False, backend="eager")
    x = torch.randn(6)
    for shape in ([2, 3], [6, 1]):
        torch.testing.assert_close(compiled(x, torch.tensor(shape))[0], torch.exp(-x).reshape(shape))


def test_dynamo_traces_a_static_graph_whole() -> None:
    module = _build(_network(), (2, 3, 9, 9))
    x = torch.from_numpy(_random(2, 3, 9, 9))
    whole = torch.compile(module, fullgraph=True, dynamic=False, backend="eager")
    torch.testing.assert_close(whole(x)[0], module(x)[0], rtol=0, atol=0)
