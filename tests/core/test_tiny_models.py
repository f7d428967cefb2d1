"""The tiny models say the truth: what numpy expects is what the specification's own evaluator gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from deltann.binding import bind
from deltann.model import load_model
from deltann.testing.models import MODELS

# Its BatchNormalization before opset 9 returns a tuple in a tuple; ONNX Runtime vouches for that model.
_EVALUATED = [name for name in MODELS if name != "opset7"]


@pytest.mark.parametrize("name", _EVALUATED)
def test_expected_outputs_are_those_of_the_specification(name: str, tmp_path: Path) -> None:
    tiny = MODELS[name]()
    model = tiny.save(tmp_path)
    samples = tiny.samples(model, tiny.rows or 1, seed=5)
    feed = samples if tiny.rows else {key: array[0] for key, array in samples.items()}
    names = [spec.name for spec in model.outputs]
    actual = dict(zip(names, ReferenceEvaluator(str(model.path)).run(names, dict(feed)), strict=True))
    for spec in model.outputs:
        expected = tiny.answers(model, samples)[spec.name]
        expected = expected if tiny.rows else expected[0]
        assert np.asarray(actual[spec.name]).dtype == expected.dtype == spec.dtype
        np.testing.assert_allclose(actual[spec.name], expected, rtol=tiny.tolerance, atol=tiny.tolerance)


@pytest.mark.ort
def test_opset7_is_what_onnx_runtime_gives(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    tiny = MODELS["opset7"]()
    model = tiny.save(tmp_path)
    samples = tiny.samples(model, 2, seed=5)
    names = [spec.name for spec in model.outputs]
    actual = onnxruntime.InferenceSession(str(model.path)).run(names, samples)
    for output, expected in zip(actual, tiny.answers(model, samples).values(), strict=True):
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_they_are_bound_as_a_comparison_would_bind_them(name: str, tmp_path: Path) -> None:
    tiny = MODELS[name]()
    model = tiny.save(tmp_path)
    binding = bind(load_model(model.path), {}, batch_size=2)
    assert binding.model.inputs == model.inputs
    assert (binding.rows if binding.batched else None) == tiny.rows


@pytest.mark.parametrize("name", MODELS)
def test_no_weight_output_or_input_is_constant(name: str, tmp_path: Path) -> None:
    tiny = MODELS[name]()
    model = tiny.save(tmp_path)
    for weights in tiny.proto.graph.initializer:
        array = numpy_helper.to_array(weights)
        if array.size > 3 and np.issubdtype(array.dtype, np.floating) and weights.name not in ("twice", "uneven"):
            assert len(np.unique(array)) > array.size // 2
    samples = tiny.samples(model, 4, seed=5)
    others = tiny.samples(model, 4, seed=6)
    for key, array in tiny.answers(model, samples).items():
        assert len(np.unique(array)) > 1
        assert not np.array_equal(array, tiny.answers(model, others)[key])
    assert all(np.array_equal(array, tiny.samples(model, 4, seed=5)[key]) for key, array in samples.items())


def test_answers_to_integers_are_not_a_matter_of_rounding(tmp_path: Path) -> None:
    tiny = MODELS["mixed_inputs"]()
    model = tiny.save(tmp_path)
    score = tiny.answers(model, tiny.samples(model, 5, seed=7))["score"].astype(np.float64)
    ranked = np.sort(score, axis=1)
    assert np.min(ranked[:, -1] - ranked[:, -2]) > 1e-3
    assert np.min(np.abs(score - 0.25)) > 1e-3


def test_opsets_and_ir_versions_are_stated() -> None:
    versions = {name: (make().proto.opset_import[0].version, make().proto.ir_version) for name, make in MODELS.items()}
    assert versions["opset7"] == (7, 3)
    assert versions["newest_opset"][0] == onnx.defs.onnx_opset_version()
    assert all(ir <= 10 for _, ir in versions.values())
