"""Random rounding: which values move, by how much, and what a seed fixes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from deltann.environment import Environment
from deltann.errors import Unsupported
from deltann.model import Model, load_model

torch = pytest.importorskip("torch", reason="the torch backend needs torch")

from deltann_torch import TorchBackend  # noqa: E402

_LAYERS = """(float[2,3,9,9] x) => (float[2,5] y) {
   a = Conv <pads = [1,1,1,1]> (x, w1)
   b = BatchNormalization(a, g, g, g, g)
   c = Relu(b)
   d = Conv <strides = [2,2]> (c, w2)
   e = Sigmoid(d)
   f = Mul(d, e)
   h = Flatten(f)
   y = Gemm(h, w3)
}"""


def _model(folder: Path, text: str, opset: int = 17, **constants: Any) -> Model:
    proto = parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> agraph {text}')
    proto.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items())
    onnx.save(proto, folder / "net.onnx")
    return load_model(folder / "net.onnx")


def _random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _network(folder: Path) -> Model:
    weights = {"w1": _random(1, 8, 3, 3, 3), "w2": _random(2, 8, 8, 3, 3), "w3": _random(3, 128, 5)}
    return _model(folder, _LAYERS, **weights, g=np.abs(_random(4, 8)) + 0.5)


@contextmanager
def _loaded(model: Model, spec: str) -> Iterator[Any]:
    backend, env = TorchBackend(), Environment.parse(spec)
    folder = model.path.parent / env.slug
    folder.mkdir(exist_ok=True)
    with backend.load(backend.lower(model, env, folder), env) as executable:
        yield executable


def _run(model: Model, spec: str, **inputs: Any) -> Any:
    with _loaded(model, spec) as executable:
        (output,) = executable.run(inputs).values()
        return output


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "float32", "float64"])
def test_every_result_is_a_neighbour_of_the_plain_one(precision: str, tmp_path: Path) -> None:
    model = _model(tmp_path, "(float[4000] x) => (float[4000] y) { y = Exp(x) }")
    x = _random(5, 4000)
    options = f"outputs=computed,precision={precision}"
    plain = _run(model, f"torch[{options}]", x=x)
    moved = _run(model, f"torch[{options},perturb=1]", x=x)
    integer = f"i{plain.itemsize}"
    steps = moved.view(integer).astype(np.int64) - plain.view(integer).astype(np.int64)
    assert set(steps) == {-1, 1}
    assert abs(steps.mean()) < 0.1  # up as often as down: 0.1 is six standard deviations


def test_what_only_moves_values_or_holds_for_nothing_is_left_alone(tmp_path: Path) -> None:
    text = """(float[6] x) => (float[2,6] y) {
       a = Relu(x) b = Concat <axis = 0> (a, x) s = Constant <value_ints = [2,6]> () y = Reshape(b, s)
    }"""
    x = np.array([0.0, -1.5, 3.25, np.inf, -np.inf, np.nan], np.float32)
    want = np.stack([np.maximum(x, 0), x])
    np.testing.assert_array_equal(_run(_model(tmp_path, text), "torch[perturb=1]", x=x), want)


def test_zeros_infinities_and_the_greatest_number_stay(tmp_path: Path) -> None:
    model = _model(tmp_path, "(float[5] x) => (float[5] y) { y = Mul(x, one) }", one=np.ones(1, np.float32))
    top = np.finfo(np.float32).max
    x = np.array([0.0, np.inf, -np.inf, np.nan, top], np.float32)
    got = np.stack([_run(model, f"torch[perturb={seed}]", x=x) for seed in range(1, 9)])
    np.testing.assert_array_equal(got[:, :4], np.tile(x[:4], (8, 1)))
    assert set(got[:, 4]) == {top, np.nextafter(top, np.float32(0))}


def test_the_seed_and_the_inputs_alone_decide(tmp_path: Path) -> None:
    model = _network(tmp_path)
    x, other = _random(6, 2, 3, 9, 9), _random(7, 2, 3, 9, 9)
    with _loaded(model, "torch[perturb=7]") as executable:
        first = executable.run({"x": x})["y"]
        executable.run({"x": other})
        np.testing.assert_array_equal(executable.run({"x": x})["y"], first)
    np.testing.assert_array_equal(_run(model, "torch[perturb=7]", x=x), first)
    assert (_run(model, "torch[perturb=8]", x=x) != first).any()
    assert (_run(model, "torch", x=x) != first).any()


def test_its_scale_is_that_of_float32s_own_rounding(tmp_path: Path) -> None:
    model, x = _network(tmp_path), _random(8, 2, 3, 9, 9)
    exact = _run(model, "torch[outputs=computed,precision=float64]", x=x)
    assert exact.dtype == np.float64

    def rms(spec: str) -> float:
        return float(np.sqrt(np.mean((_run(model, spec, x=x) - exact) ** 2)))

    perturbed = np.sqrt(np.mean([rms(f"torch[perturb={seed}]") ** 2 for seed in range(1, 9)]))
    assert 1 / 4 < perturbed / rms("torch") < 8


def test_bodies_of_loops_are_rounded_inside(tmp_path: Path) -> None:
    text = """(float[50] x) => (float[50] y) {
       n = Constant <value_int = 3> ()
       c = Constant <value = bool {1}> ()
       y = Loop (n, c, x) <body = b (int64 i, bool k, float[50] v) => (bool k2, float[50] w) {
          k2 = Identity(k) w = Exp(v)
       }>
    }"""
    model, x = _model(tmp_path, text), -np.abs(_random(9, 50))
    plain = _run(model, "torch", x=x)
    seen = np.stack([_run(model, f"torch[perturb={seed}]", x=x) for seed in range(1, 17)])
    # Three roundings, each passed on by the next exponential: more than the two neighbours of one.
    assert max(len(set(column)) for column in seen.T) > 2
    np.testing.assert_allclose(seen, np.tile(plain, (16, 1)), rtol=2e-6)


def test_inductor_fuses_so_it_is_unsupported(tmp_path: Path) -> None:
    backend, env, model = TorchBackend(), Environment.parse("torch-compile[perturb=1]"), _network(tmp_path)
    assert "perturb rounds after each operator" in str(backend.unsupported(model, env))
    with pytest.raises(Unsupported, match="use the eager variant"):
        backend.lower(model, env, tmp_path)


def test_what_acts_at_load_leaves_the_artifact_as_it_is(tmp_path: Path) -> None:
    model = _network(tmp_path)
    digests = set()
    for spec in ("torch", "torch[perturb=3]", "torch[outputs=computed]"):
        folder = tmp_path / spec
        folder.mkdir()
        digests.add(TorchBackend().lower(model, Environment.parse(spec), folder).digest)
    assert len(digests) == 1
    assert all(TorchBackend.options[name].at_load for name in ("perturb", "outputs"))
