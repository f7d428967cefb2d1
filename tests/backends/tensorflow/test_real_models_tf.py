"""Trained models from the data folder, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deltann.backend import Tensors
from deltann.environment import Environment
from deltann.model import Model, load_model

pytest.importorskip("tensorflow", reason="the tf backend needs TensorFlow")
ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime gives the answers to compare with")

from deltann_tensorflow import TensorFlowBackend  # noqa: E402

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
    """Rounding is what float64 tells: TensorFlow may be off by no more than a few times what ONNX Runtime is."""
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
    theirs = dict(zip((spec.name for spec in model.outputs), session.run(None, inputs), strict=True))
    ours, exact = (_outputs(model, spec, inputs, tmp_path) for spec in ("tf", "tf[precision=float64]"))
    assert list(ours) == list(theirs)
    for output, value in theirs.items():
        their, our, true = (np.asarray(values, np.float64) for values in (value, ours[output], exact[output]))
        assert ours[output].dtype == np.asarray(value).dtype
        assert np.ptp(true) > 0
        floor = float(np.finfo(ours[output].dtype).eps) * float(np.abs(true).max())
        assert np.abs(our - true).max() <= 4 * max(float(np.abs(their - true).max()), floor)


def _outputs(model: Model, spec: str, inputs: Tensors, folder: Path) -> Tensors:
    backend, env = TensorFlowBackend(), Environment.parse(spec)
    assert backend.unsupported(model, env) is None
    workdir = folder / env.slug
    workdir.mkdir()
    with backend.load(backend.lower(model, env, workdir), env) as executable:
        return executable.run(inputs)
