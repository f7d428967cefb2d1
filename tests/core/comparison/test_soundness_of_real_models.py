"""Trained networks through the engines themselves: every faithful one is sound, and a small fault is not."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from deltann import registry
from deltann.backend import settings
from deltann.comparison.evidence import Arbitration
from deltann.comparison.precision import Precision, declared
from deltann.comparison.soundness import soundness
from deltann.environment import Environment
from deltann.errors import Unsupported
from deltann.model import load_model

MODELS = Path(__file__).parents[4] / "shared" / "data" / "models"
SAMPLES = 4
FAITHFUL = ["ort-O0", "ort-O3", "ort-fp16", "openvino-f32", "openvino-bf16", "tract", "torch[precision=bfloat16]"]


def inputs(name):
    rng = np.random.default_rng(0)
    if name == "imdb_movie_review":
        words = rng.integers(1, 9999, (SAMPLES, 256)).astype("i4")
        return words * (np.arange(256) < rng.integers(20, 256, (SAMPLES, 1)))
    # Smooth pictures rather than noise, of which a trained network makes nothing.
    coarse = rng.normal(size=(SAMPLES, 3, 8, 8))
    return np.clip(coarse.repeat(16, axis=2).repeat(16, axis=3), -1, 1).astype("f4")


def run(spec, path, samples, folder):
    """The outputs [N, …] of all samples, one at a time, and what the engine told of its precision."""
    environment, model = Environment.parse(spec), load_model(path)
    backend, name = registry.get(environment.backend), model.inputs[0].name
    pytest.importorskip({"ort": "onnxruntime"}.get(backend.name, backend.name))
    (folder := folder / f"{path.stem} {spec}").mkdir()
    bound = model.bind({name: samples[:1].shape})
    with backend.load(backend.lower(bound, environment, folder), environment) as executable:
        each = [executable.run({name: samples[i : i + 1]}) for i in range(len(samples))]
        told = executable.actual()
    return {output: np.concatenate([one[output] for one in each]) for output in each[0]}, told


@pytest.fixture(scope="module", params=["mobilenet_v1_0.25_128", "imdb_movie_review"])
def arbitrated(request, tmp_path_factory):
    path = MODELS / f"{request.param}.onnx"
    if not path.is_file():
        pytest.skip(f"{path.name} is not there")
    samples, folder = inputs(request.param), tmp_path_factory.mktemp("runs")
    exact, _ = run("torch[outputs=computed,precision=float64]", path, samples, folder)
    single, _ = run("torch", path, samples, folder)
    return path, samples, Arbitration("torch", np.arange(SAMPLES), SAMPLES, exact, single)


@pytest.mark.parametrize("spec", FAITHFUL)
def test_faithful_engines_are_sound(arbitrated, spec, tmp_path):
    path, samples, found = arbitrated
    try:
        outputs, told = run(spec, path, samples, tmp_path)
    except Unsupported as error:
        pytest.skip(str(error))  # a CPU without bfloat16
    environment = Environment.parse(spec)
    precision = declared(settings(registry.get(environment.backend), environment), told["precision"])
    for one in soundness(outputs, found, precision):
        assert one.sound, one
    if precision is not Precision.FLOAT32:
        assert not any(one.sound for one in soundness(outputs, found, Precision.FLOAT32))


def test_a_weight_off_by_a_thousandth_is_not(arbitrated, tmp_path):
    path, samples, found = arbitrated
    proto = onnx.load(path)
    weight = max(proto.graph.initializer, key=lambda tensor: np.prod(tensor.dims))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.001), weight.name))
    onnx.save(proto, tmp_path / path.name)
    outputs, _ = run("ort-O3", tmp_path / path.name, samples, tmp_path)
    for one in soundness(outputs, found, Precision.FLOAT32):
        assert one.sound is False, one
        assert one.error > 10 * one.bound
