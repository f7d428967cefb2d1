"""The reference in float64: every type widened, nothing left in float32, outputs as asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper, parser

from deltann.backend import Telling
from deltann.environment import Environment
from deltann.errors import Unsupported
from deltann.model import Model, load_model
from deltann_reference import ReferenceBackend
from deltann_reference.widen import widened


def _model(folder: Path, text: str, opset: int = 17, **constants: Any) -> Model:
    proto = parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> agraph {text}')
    proto.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items())
    onnx.save(proto, folder / "net.onnx")
    return load_model(folder / "net.onnx")


def _run(model: Model, options: str, **inputs: Any) -> Any:
    backend, env = ReferenceBackend(), Environment.parse(f"reference{options}")
    folder = model.path.parent / env.slug
    folder.mkdir(exist_ok=True)
    with backend.load(backend.lower(model, env, folder), env) as executable:
        (output,) = executable.run(inputs).values()
        assert isinstance(executable, Telling)
        assert executable.actual()["precision"] == ("float64" if "float64" in options else inputs["x"].dtype.name)
        return output


def _random(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


_EXACT = "[outputs=computed,precision=float64]"


@pytest.mark.parametrize(
    ("kind", "dtype"), [("float", np.float32), ("float16", np.float16), ("bfloat16", ml_dtypes.bfloat16)]
)
def test_weights_inputs_and_outputs_are_widened_and_outputs_given_back(kind: str, dtype: Any, tmp_path: Path) -> None:
    w, x = _random(1, 7, 3).astype(dtype), _random(2, 5, 7).astype(dtype)
    model = _model(tmp_path, f"({kind}[5,7] x) => ({kind}[5,3] y) {{ y = MatMul(x, w) }}", w=w)
    want = x.astype(np.float64) @ w.astype(np.float64)
    exact = _run(model, _EXACT, x=x)
    assert exact.dtype == np.float64
    np.testing.assert_allclose(exact, want, rtol=1e-14)
    declared = _run(model, "[precision=float64]", x=x)
    assert declared.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(declared, want.astype(dtype))


def test_the_file_as_it_is_stays_as_it_was(tmp_path: Path) -> None:
    w, x = _random(1, 7, 3), _random(2, 5, 7)
    model = _model(tmp_path, "(float[5,7] x) => (float[5,3] y) { y = MatMul(x, w) }", w=w)
    artifact = ReferenceBackend().lower(model, Environment.parse("reference"), tmp_path)
    assert artifact.files == ("model.onnx",)
    assert (tmp_path / "model.onnx").read_bytes() == model.proto().SerializeToString()
    for options in ("", "[outputs=computed]"):
        assert _run(model, options, x=x).dtype == np.float32
        np.testing.assert_array_equal(_run(model, options, x=x), x @ w)


_NAMED = """(float[3] x, float[2] a) => (float[3] y) {
   h = Cast <to = 10> (x)
   f = Cast <to = 1> (h)
   third = Constant <value_float = 0.1> ()
   pair = Constant <value_floats = [0.5, 0.25, 2.0]> ()
   tensor = Constant <value = float[3] {1.5, 2.5, 3.5}> ()
   shape = Shape(x)
   zeros = ConstantOfShape(shape)
   like = CastLike(zeros, x)
   u = Mul(f, third)
   v = Mul(u, pair)
   w = Add(v, tensor)
   b = Cast <to = 9> (shape)
   flag = Squeeze(b)
   i = If (flag) <then_branch = t () => (p) { c = Cast <to = 1> (shape) p = Div(w, c) },
                  else_branch = e () => (q) { q = Identity(w) }>
   y = Add(i, like)
}"""


def test_every_type_that_a_node_names_is_widened(tmp_path: Path) -> None:
    """Casts, constants of every spelling, what a schema says where a node is silent, and subgraphs."""
    x = _random(3, 3)
    model = _model(tmp_path, _NAMED)
    wide = x.astype(np.float64) * np.float64(np.float32(0.1)) * [0.5, 0.25, 2] + [1.5, 2.5, 3.5]
    np.testing.assert_allclose(_run(model, _EXACT, x=x, a=np.zeros(2, np.float32)), wide / 3, rtol=1e-15)


def test_functions_of_the_models_own_are_widened(tmp_path: Path) -> None:
    proto = parser.parse_model("""
      <ir_version: 8, opset_import: ["": 17, "own": 1]>
      agraph (float[3] x) => (float[3] y) { y = own.third <kind = 1> (x) }
      <domain: "own", opset_import: ["": 17]>
      third <kind> (x) => (y) { c = Constant <value_float = 0.3> () d = Cast <to : int = @kind> (x) y = Mul(d, c) }
    """)
    x = _random(4, 3).astype(np.float64)
    onnx.save(proto, tmp_path / "net.onnx")
    got = _run(load_model(tmp_path / "net.onnx"), _EXACT, x=x.astype(np.float32))
    np.testing.assert_allclose(got, x * np.float64(np.float32(0.3)), rtol=1e-15)


def test_attributes_do_not_compute_in_float32(tmp_path: Path) -> None:
    """onnx.reference holds them as float32 scalars; those of cubic interpolation are multiplied with each other."""
    x = _random(5, 1, 1, 1, 4)
    text = """(float[1,1,1,4] x) => (float[1,1,1,8] y) {
       s = Constant <value_floats = [1.0, 1.0, 1.0, 2.0]> ()
       y = Resize <mode = "cubic", cubic_coeff_a = -0.3> (x, , s)
    }"""
    a, t = float(np.float32(-0.3)), np.array([1.25, 0.25, 0.75, 1.75])  # output 3 lies at 1.25
    near, far = ((a + 2) * t - (a + 3)) * t * t + 1, ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    want = (np.where(t <= 1, near, far) * x[0, 0, 0]).sum()
    got = _run(_model(tmp_path, text), _EXACT, x=x)
    np.testing.assert_allclose(got[0, 0, 0, 3], want, rtol=1e-14)


@pytest.mark.parametrize("size", [2, 3])
def test_every_channel_is_normalised_by_its_neighbours(size: int, tmp_path: Path) -> None:
    x = _random(5, 1, 5, 2, 2)
    text = f"(float[1,5,2,2] x) => (float[1,5,2,2] y) {{ y = LRN <size = {size}, alpha = 0.7> (x) }}"
    total = np.zeros(x.shape)
    for c in range(5):
        around = x[:, max(c - (size - 1) // 2, 0) : c + size // 2 + 1].astype(np.float64)
        total[:, c] = (around**2).sum(1)
    want = x / (1 + float(np.float32(0.7)) / size * total) ** 0.75
    np.testing.assert_allclose(_run(_model(tmp_path, text), _EXACT, x=x), want, rtol=1e-14)


def test_integers_of_32_bits_are_dequantised_with_all_their_digits(tmp_path: Path) -> None:
    q = np.array([[16777217, 5], [-16777219, 2_000_000_001]], np.int32)
    text = """(float[2,2] x) => (float[2,2] y) { d = DequantizeLinear <axis = 1> (q, s, z) y = Add(d, x) }"""
    s = np.array([0.5, 0.125], np.float32)
    got = _run(_model(tmp_path, text, q=q, s=s, z=np.zeros(2, np.int32)), _EXACT, x=np.zeros((2, 2), np.float32))
    np.testing.assert_array_equal(got, q * np.array([0.5, 0.125]))


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize(("opset", "axis"), [(11, None), (11, 2), (13, None), (13, 1)])
def test_softmax_is_that_of_the_models_opset(op: str, opset: int, axis: int | None, tmp_path: Path) -> None:
    x = _random(6, 2, 3, 4).astype(np.float64)
    attribute = "" if axis is None else f"<axis = {axis}>"
    model = _model(tmp_path, f"(float[2,3,4] x) => (float[2,3,4] y) {{ y = {op} {attribute} (x) }}", opset)
    first = 1 if axis is None else axis
    axes = (-1 if axis is None else axis,) if opset >= 13 else tuple(range(first, 3))
    softmax = np.exp(x.astype(np.float32).astype(np.float64))
    softmax = softmax / softmax.sum(axes, keepdims=True)
    want = {
        "Softmax": softmax,
        "LogSoftmax": np.log(softmax),
        "Hardmax": (softmax == softmax.max(axes, keepdims=True)).astype(np.float64),
    }[op]
    np.testing.assert_allclose(_run(model, _EXACT, x=x.astype(np.float32)), want, rtol=1e-13)


def test_what_it_computes_in_float32_itself_is_unsupported(tmp_path: Path) -> None:
    text = "(float[4] x) => (uint8[4] y, float s, uint8 z) { y, s, z = DynamicQuantizeLinear(x) }"
    model, backend = _model(tmp_path, text), ReferenceBackend()
    env = Environment.parse("reference[precision=float64]")
    assert "no float64 for DynamicQuantizeLinear" in str(backend.unsupported(model, env))
    assert backend.unsupported(model, Environment.parse("reference")) is None
    with pytest.raises(Unsupported, match="reference computes in float32: use torch"):
        backend.lower(model, env, tmp_path)


def test_the_bits_of_a_replaced_type_are_unsupported() -> None:
    text = '<ir_version: 11, opset_import: ["": 26]> agraph (float[2] x) => (int32[2] y) { y = BitCast <to = 6> (x) }'
    with pytest.raises(Unsupported, match="BitCast"):
        widened(parser.parse_model(text))


def test_eight_bit_floats_are_storage_and_stay() -> None:
    proto = parser.parse_model(
        '<ir_version: 10, opset_import: ["": 21]> agraph (float[2] x) => (float[2] y) {'
        "  q = Cast <to = 17> (x) y = Cast <to = 1> (q) }"
    )
    assert [node.attribute[0].i for node in widened(proto).graph.node] == [TensorProto.FLOAT8E4M3FN, TensorProto.DOUBLE]
