"""The presets against trained networks: a wrong channel order, scale or crop shows as lost accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deltann.binding import bind
from deltann.dataset import materialise, parse_source
from deltann.labels import load_labels
from deltann.model import load_model
from deltann.preprocess import load_pipeline

DATA = Path(__file__).resolve().parents[3] / "../shared/data"
PNG = DATA / "images/nips17_256_png"
COUNT = 96

pytestmark = pytest.mark.skipif(not PNG.is_dir(), reason="the labelled photographs of ../shared/data are not here")


def accuracy(model_name: str, preset: str, cache: Path) -> float:
    ort: Any = pytest.importorskip("onnxruntime")
    model = load_model(DATA / "models" / f"{model_name}.onnx")
    made = materialise(parse_source(PNG), bind(model, {}, COUNT), load_pipeline(preset), cache, limit=COUNT)
    labels = load_labels(DATA / "images/nips17_256_labels.csv", made.names)
    name = model.inputs[0].name
    session = ort.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {name: np.load(made.arrays[name], allow_pickle=False)})
    return float((scores.argmax(axis=1) == labels).mean())


def test_mobilenet_v1_needs_its_own_preset(tmp_path: Path) -> None:
    good = accuracy("mobilenet_v1_0.25_128", "tf-squash", tmp_path)
    assert good > 0.40
    assert accuracy("mobilenet_v1_0.25_128", "caffe-squash", tmp_path) < good - 0.2


def test_squeezenet_needs_blue_first(tmp_path: Path) -> None:
    good = accuracy("squeezenet1_1", "caffe-squash", tmp_path)
    assert good > 0.48
    assert accuracy("squeezenet1_1", "tf-squash", tmp_path) < good - 0.2
