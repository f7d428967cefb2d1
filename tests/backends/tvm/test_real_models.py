"""Trained models against ONNX Runtime, within rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deltann.environment import Environment
from deltann.model import load_model
from deltann_tvm import TvmBackend

pytest.importorskip("tvm")
onnxruntime = pytest.importorskip("onnxruntime")

_MODELS = Path(__file__).resolve().parents[3] / "../shared/data/models"
_NAMES = (
    "mobilenet_v1_0.25_128",
    "mobilenet_v2",
    "squeezenet1_1",
    "yolox_nano",
    "deeplabv3_mnv2_257",
    "posenet_mobilenet_v1",
    "imdb_movie_review",
)


@pytest.mark.long
@pytest.mark.parametrize("spec", ["tvm-O2", "tvm-O3", "tvm-O4"])
@pytest.mark.parametrize("name", _NAMES)
def test_trained_model(name: str, spec: str, tmp_path: Path) -> None:
    path = _MODELS / f"{name}.onnx"
    if not path.is_file():
        pytest.skip("the models of ../shared/data are not here")
    model = load_model(path)
    model = model.bind(
        {i.name: tuple(d if isinstance(d, int) else 1 for d in i.shape) for i in model.inputs if i.shape is not None}
    )
    # YOLOX takes pixels of 0 to 255; near zero it amplifies rounding (ORT's own levels then differ by 2e-4).
    scale = 60 if name == "yolox_nano" else 1
    rng = np.random.default_rng(3)
    inputs = {
        i.name: rng.integers(0, 9000, i.static_shape).astype(i.dtype)
        if "int" in i.dtype
        else (scale * rng.standard_normal(i.static_shape)).astype(i.dtype)
        for i in model.inputs
    }
    names = [output.name for output in model.outputs]
    expected = onnxruntime.InferenceSession(str(path)).run(names, inputs)
    backend, environment = TvmBackend(), Environment.parse(spec)
    with backend.load(backend.lower(model, environment, tmp_path), environment) as program:
        actual = program.run(inputs)
    assert list(actual) == names
    for wanted, got in zip(expected, actual.values(), strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
