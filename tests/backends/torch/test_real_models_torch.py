"""Trained models from the data folder, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deltann.environment import Environment
from deltann.model import load_model

pytest.importorskip("torch", reason="the torch backend needs torch")
ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime gives the answers to compare with")

from deltann_torch import TorchBackend  # noqa: E402

_MODELS = Path(__file__).resolve().parents[3] / "../shared/data/models"
_QUICK = ("mobilenet_v1_0.25_128", "imdb_movie_review", "yolox_nano")
_SLOW = (
    "mobilenet_v2",
    "squeezenet1_1",
    "squeezenet1_1_fp16",
    "deeplabv3_mnv2_257",
    "posenet_mobilenet_v1",
)


@pytest.mark.skipif(not _MODELS.is_dir(), reason="the data folder ../shared/data is absent")
@pytest.mark.parametrize("name", [*_QUICK, *(pytest.param(name, marks=pytest.mark.long) for name in _SLOW)])
def test_a_trained_model_agrees_with_onnx_runtime_to_rounding(name: str, tmp_path: Path) -> None:
    model = load_model(_MODELS / f"{name}.onnx")
    model = model.bind({s.name: tuple(d if isinstance(d, int) else 2 for d in s.shape or ()) for s in model.inputs})
    rng = np.random.default_rng(11)
    inputs = {
        spec.name: rng.standard_normal(spec.static_shape).astype(spec.dtype)
        if spec.dtype.startswith("float")
        else rng.integers(0, 1000, spec.static_shape).astype(spec.dtype)
        for spec in model.inputs
    }
    session = ort.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
    want = dict(zip((spec.name for spec in model.outputs), session.run(None, inputs), strict=True))
    backend, env = TorchBackend(), Environment.parse("torch")
    assert backend.unsupported(model, env) is None
    with backend.load(backend.lower(model, env, tmp_path), env) as executable:
        got = executable.run(inputs)
    assert list(got) == list(want)
    for output, value in want.items():
        value = np.asarray(value)
        assert got[output].dtype == value.dtype
        largest = float(np.abs(value.astype(np.float64)).max())
        assert np.ptp(value.astype(np.float64)) > 0
        limit = 64 * float(np.finfo(value.dtype).eps) * max(largest, 1e-3)
        np.testing.assert_allclose(got[output].astype(np.float64), value.astype(np.float64), rtol=0, atol=limit)
