"""What building does with a graph: folding, layouts, values that only the data tells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper, parser
from onnx.reference import ReferenceEvaluator

from deltann.errors import Unsupported
from deltann.lowering.graph import read_graph

ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime gives answers to compare with")
tf = pytest.importorskip("tensorflow", reason="the tf backend needs TensorFlow")

from deltann_tensorflow.build import build  # noqa: E402


def _model(text: str, opset: int = 17, **constants: np.ndarray) -> ModelProto:
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> agraph {text}')
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    return model


def _build(model: ModelProto, *shapes: Any, precision: Any = None) -> Any:
    graph = read_graph(model)
    specs = {
        name: shape if isinstance(shape, tf.TensorSpec) else tf.TensorSpec(shape, precision or tf.float32)
        for name, shape in zip(graph.inputs, shapes, strict=True)
    }
    return build(graph, specs, precision)


def _names(program: Any) -> list[str]:
    return [step.name for step in program.steps]


def _random(*shape: int, seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _both(program: Any, *arrays: np.ndarray) -> list[np.ndarray]:
    """The first output, computed eagerly and by a graph."""
    tensors = [tf.constant(array) for array in arrays]
    return [f(*tensors)[0].numpy() for f in (program, tf.function(program, autograph=False))]


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


def test_arithmetic_on_known_shapes_leaves_one_step() -> None:
    program = _build(_model(_SHAPES), (2, 3, 4))
    assert _names(program) == ["Reshape"]
    for got in _both(program, x := _random(2, 3, 4)):
        np.testing.assert_array_equal(got, x.reshape(2, 12))


def test_arithmetic_on_unknown_shapes_is_done_while_running() -> None:
    program = _build(_model(_SHAPES), tf.TensorSpec((None, 3, 4), tf.float32))
    for n in (2, 5):
        for got in _both(program, x := _random(n, 3, 4)):
            np.testing.assert_array_equal(got, x.reshape(n, 12))


_CHAIN = """(float[2,3,9,9] x, float[9] q) => (float[2,10,9,9] y) {
   a = Conv <pads = [1,1,1,1]> (x, w, b)
   r = Relu(a)
   d = Add(r, k)
   e = Mul(d, q)
   g = GlobalAveragePool(e)
   h = Mul(e, g)
   p = MaxPool <kernel_shape = [3,3], pads = [1,1,1,1]> (h)
   f = Conv(p, v)
   y = Concat <axis = 1> (f, f)
}"""


def _chain() -> ModelProto:
    return _model(_CHAIN, w=_random(4, 3, 3, 3), b=_random(4), k=_random(4, 1, 1), v=_random(5, 4, 1, 1))


def test_layouts_change_only_where_they_meet() -> None:
    """Once on the way in, once on the way out, and for a vector that broadcasts along the last axis."""
    program = _build(_chain(), (2, 3, 9, 9), (9,))
    names = _names(program)
    assert names.count("layout") == 3
    assert names[0] == names[-1] == "layout"
    inputs = {"x": _random(2, 3, 9, 9), "q": _random(9)}
    want = ReferenceEvaluator(_chain()).run(None, inputs)[0]
    assert np.ptp(want) > 1
    for got in _both(program, *inputs.values()):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_a_value_needed_in_both_layouts_is_turned_once() -> None:
    text = """(float[1,2,5,6] x) => (float[1,2,5,6] y, float[60] z, float[60] u) {
       c = Conv(x, w) n = Reshape(c, s) y = Relu(c) z = Abs(n) m = Reshape(c, s) u = Neg(m)
    }"""
    program = _build(_model(text, w=_random(2, 2, 1, 1), s=np.array([-1])), (1, 2, 5, 6))
    assert _names(program).count("layout") == 3  # in, the convolution's output, and the output y
    y, z, u = program(tf.constant(x := _random(1, 2, 5, 6)))
    want = ReferenceEvaluator(_model(text, w=_random(2, 2, 1, 1), s=np.array([-1]))).run(None, {"x": x})
    for got, expected in zip((y, z, u), want, strict=True):
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("axes", [[1], [2], [3], [1, 2], [0, 3], [2, 3], [-1, 1], [0, 1, 2, 3]])
def test_reductions_of_a_channels_last_value_keep_the_order_of_axes(axes: list[int], keep: int) -> None:
    text = f"""(float[2,3,4,5] x) => (float[N] y) {{
       c = Conv(x, w) y = ReduceMax <axes = {axes}, keepdims = {keep}> (c) }}"""
    model = _model(text, w=_random(6, 3, 1, 1))
    want = ReferenceEvaluator(model).run(None, {"x": (x := _random(2, 3, 4, 5))})[0]
    np.testing.assert_allclose(_build(model, (2, 3, 4, 5))(tf.constant(x))[0].numpy(), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "step",
    [
        "Softmax <axis = 1> (c)",
        "Softmax <axis = -1> (c)",
        'Pad <mode = "reflect"> (c, pads)',
        "Transpose <perm = [0,2,3,1]> (c)",
        'DepthToSpace <blocksize = 2, mode = "CRD"> (c)',
        "DepthToSpace <blocksize = 2> (c)",
        "SpaceToDepth <blocksize = 2> (c)",
        "ArgMax <axis = 1, keepdims = 0> (c)",
        "InstanceNormalization (c, eight, eight)",
        "BatchNormalization (c, eight, eight, eight, eight)",
        "LRN <size = 3> (c)",
        "PRelu (c, slope)",
        "LpNormalization <axis = 1> (c)",
        "MeanVarianceNormalization <axes = [0,2,3]> (c)",
        "Concat <axis = 2> (c, c)",
        "AveragePool <kernel_shape = [3,2], pads = [1,0,1,1], strides = [2,1], ceil_mode = 1> (c)",
        "LpPool <kernel_shape = [2,2], p = 3> (c)",
        "ConvTranspose <strides = [2,3], output_padding = [1,0], pads = [1,0,0,1], group = 2> (c, t)",
        "GlobalLpPool (c)",
    ],
)
def test_operators_on_a_channels_last_value_agree_with_onnx_runtime(step: str) -> None:
    constants = {
        "w": _random(8, 3, 1, 1),
        "pads": np.array([0, 1, 2, 0, 0, 0, 1, 3]),
        "eight": np.abs(_random(8)) + 0.5,
        "slope": _random(8, 1, 1),
        "t": _random(8, 3, 2, 3),
    }
    kind = "int64[A,B,C]" if step.startswith("ArgMax") else "float[A,B,C,D]"
    model = _model(f"(float[2,3,4,6] x) => ({kind} y) {{ c = Conv(x, w) y = {step} }}", 18, **constants)
    x = _random(2, 3, 4, 6)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    want = session.run(None, {"x": x})[0]
    for got in _both(_build(model, (2, 3, 4, 6)), x):
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)


def test_values_are_dropped_after_their_last_use() -> None:
    program = _build(_model("(float[2] x) => (float[2] y) { a = Neg(x) b = Abs(a) y = Exp(b) }"), (2,))
    assert [step.ended for step in program.steps] == [(0,), (1,), (2,)]


def test_a_known_condition_takes_one_branch() -> None:
    text = """(float[2] x) => (float[2] y) {
       c = Constant <value_int = 1> ()
       b = Cast <to = 9> (c)
       y = If (b) <then_branch = t () => (p) { p = Neg(x) }, else_branch = e () => (q) { q = Abs(x) }>
    }"""
    assert _names(_build(_model(text), (2,))) == ["Neg"]


@pytest.mark.parametrize("flag", [True, False])
def test_an_unknown_condition_is_decided_while_running(flag: bool) -> None:
    text = """(float[2] x, float[1] f) => (float[2] y) {
       c = Cast <to = 9> (f)
       y = If (c) <then_branch = t () => (p) { p = Add(x, w) }, else_branch = e () => (q) { h = Abs(x) q = Mul(h, f) }>
    }"""
    model = _model(text, w=_random(2))
    inputs = {"x": _random(2), "f": np.array([float(flag)], np.float32)}
    want = ReferenceEvaluator(model).run(None, inputs)[0]
    for got in _both(_build(model, (2,), (1,)), *inputs.values()):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_axes_that_only_the_data_tells_leave_the_graph_for_python() -> None:
    model = _model("(float[2,3] x, int64[1] a) => (float[N] y) { s = ReduceSum <keepdims = 0> (x, a) y = Neg(s) }")
    program = _build(model, (2, 3), tf.TensorSpec((1,), tf.int64))
    assert [step.name for step in program.in_python] == ["ReduceSum"]
    function = tf.function(program, autograph=False)
    x = _random(2, 3)
    for axis in (0, 1):
        got = function(tf.constant(x), tf.constant([axis], tf.int64))[0].numpy()
        np.testing.assert_allclose(got, -x.sum(axis), rtol=1e-6)


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
    program = _build(_model(text, w=_random(1)), (1, 257), precision=tf.bfloat16)
    (y,) = program(tf.ones((1, 257), tf.bfloat16))
    assert y.dtype == tf.bfloat16
    assert y.shape == (257, 1)
    assert [constant.dtype for constant in program.constants] == [tf.bfloat16]


def test_what_is_folded_in_float64_is_computed_in_float64() -> None:
    model = _model("(float[1] x) => (float[1] y) { k = Div(a, b) y = Mul(x, k) }", a=_random(1), b=_random(1) + 3)
    a, b = (numpy_helper.to_array(t).astype(np.float64) for t in model.graph.initializer)
    (y,) = _build(model, (1,), precision=tf.float64)(tf.ones(1, tf.float64))
    assert y.numpy() == a / b


def test_a_missing_operator_is_named() -> None:
    with pytest.raises(Unsupported, match=r"operators not in the table: TfIdfVectorizer \(ai.onnx 17\)"):
        _build(_model("(float[2] x) => (float[2] y) { y = TfIdfVectorizer(x) }"), (2,))


def test_a_depthwise_convolution_with_uneven_pads_does_not_abort_the_process() -> None:
    """TensorFlow 2.21 aborts where Grappler fuses one that has explicit pads."""
    text = """(float[1,8,8,8] x) => (float[N] y) {
       c = Conv <group = 8, pads = [1,1,1,1], strides = [2,2]> (x, w, b) y = Relu(c) }"""
    model = _model(text, w=_random(8, 1, 3, 3), b=_random(8))
    want = ReferenceEvaluator(model).run(None, {"x": (x := _random(1, 8, 8, 8))})[0]
    for got in _both(_build(model, (1, 8, 8, 8)), x):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
