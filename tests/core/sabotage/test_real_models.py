"""Sabotaged copies of real, trained networks run, and nearly all of them show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from deltann.sabotage import KINDS, sabotage

MODELS = Path(__file__).parents[4] / "shared" / "data" / "models"
SCALES = {"squeezenet1_1.onnx": 100, "squeezenet1_1_fp16.onnx": 100, "yolox_nano.onnx": 127}
NAMES = (
    "mobilenet_v1_0.25_128.onnx",
    "squeezenet1_1_fp16.onnx",
    "squeezenet1_1.onnx",
    "mobilenet_v2.onnx",
    "yolox_nano.onnx",
    "deeplabv3_mnv2_257.onnx",
    "posenet_mobilenet_v1.onnx",
    "imdb_movie_review.onnx",
)
pytestmark = pytest.mark.skipif(not MODELS.is_dir(), reason="the shared models are not beside the repository")


def _feed(session: Any, scale: float) -> dict[str, Any]:
    """Coarse random patches, or random tokens."""
    rng = np.random.default_rng(17)
    (value,) = session.get_inputs()
    shape = [dim if isinstance(dim, int) else 2 for dim in value.shape]
    if "int" in value.type:
        return {value.name: rng.integers(0, 10_000, shape).astype(np.int32)}
    patches = rng.uniform(-1, 1, (*shape[:2], 32, 32)).repeat(16, axis=2).repeat(16, axis=3)
    picture = patches[:, :, : shape[2], : shape[3]] * scale
    return {value.name: picture.astype(np.float16 if "float16" in value.type else np.float32)}


@pytest.mark.parametrize("name", NAMES)
def test_copies_of_a_real_model_run_and_show(name: str) -> None:
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 2, 3
    proto = onnx.load(MODELS / name)
    sound = ort.InferenceSession(proto.SerializeToString(), options)
    feed = _feed(sound, SCALES.get(name, 1))
    expected = sound.run(None, feed)
    copies = sabotage(proto, 12, seed=0)
    assert [copy.kind for copy in copies] == list(KINDS) * 2
    shown = 0
    for copy in copies:
        outputs = ort.InferenceSession(copy.proto.SerializeToString(), options).run(None, feed)
        assert [(a.shape, a.dtype) for a in outputs] == [(b.shape, b.dtype) for b in expected]
        errors = (
            float(np.sqrt(np.mean((a.astype(np.float64) - b) ** 2) / np.mean(b.astype(np.float64) ** 2)))
            for a, b in zip(outputs, expected, strict=True)
        )
        shown += max(errors) > 1e-5
    assert shown >= 11, [copy.description for copy in copies]
