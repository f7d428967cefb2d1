"""Trained models against ONNX Runtime, where the data for development is at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deltann import registry
from deltann.environment import Environment
from deltann.model import load_model

onnxruntime = pytest.importorskip("onnxruntime")

MODELS = Path(__file__).parents[3] / "shared" / "data" / "models"
FRAMEWORKS = {"openvino-f32": "openvino", "tract": "tract", "iree": "iree.compiler"}
NAMES = ["mobilenet_v1_0.25_128", "mobilenet_v2", "imdb_movie_review"]
# IREE takes its time to compile the larger of the two MobileNets.
CASES = [(spec, name) for spec in FRAMEWORKS for name in NAMES if (spec, name) != ("iree", "mobilenet_v2")]


@pytest.mark.parametrize(("spec", "name"), CASES)
def test_agrees_with_onnx_runtime(spec: str, name: str, tmp_path: Path) -> None:
    pytest.importorskip(FRAMEWORKS[spec])
    path = MODELS / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    model = load_model(path)
    model = model.bind({s.name: tuple(d if isinstance(d, int) else 2 for d in s.shape or ()) for s in model.inputs})
    rng = np.random.default_rng(6)
    feeds = {}
    for port in model.inputs:
        integers = np.issubdtype(np.dtype(port.dtype), np.integer)
        values = rng.integers(0, 1000, port.static_shape) if integers else rng.uniform(-1, 1, port.static_shape)
        feeds[port.name] = values.astype(port.dtype)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    expected = dict(zip([port.name for port in model.outputs], session.run(None, feeds), strict=True))
    environment = Environment.parse(spec)
    backend = registry.get(environment.backend)
    with backend.load(backend.lower(model, environment, tmp_path), environment) as executable:
        outputs = executable.run(feeds)
    assert outputs.keys() == expected.keys()
    for output, wanted in expected.items():
        assert outputs[output].dtype == wanted.dtype
        limit = 1e-4 * np.abs(wanted).max()
        np.testing.assert_allclose(outputs[output], wanted, rtol=0, atol=limit)
        assert np.ptp(wanted) > 100 * limit
