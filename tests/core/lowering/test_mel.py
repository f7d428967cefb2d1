"""Mel filters."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from deltann.lowering.mel import mel_weights


@pytest.mark.parametrize(
    "asked", [(8, 16, 8192, 0.0, 4096.0), (20, 400, 16000, 80.0, 7600.0), (64, 128, 16000, 0.0, 8000.0)]
)
def test_filters_are_those_of_onnx(asked: tuple[int, int, int, float, float]) -> None:
    names = ["bins", "length", "rate", "low", "high"]
    node = onnx.helper.make_node("MelWeightMatrix", names, ["y"])
    kinds = [onnx.TensorProto.INT64] * 3 + [onnx.TensorProto.FLOAT] * 2
    inputs = [onnx.helper.make_tensor_value_info(n, k, []) for n, k in zip(names, kinds, strict=True)]
    graph = onnx.helper.make_graph([node], "g", inputs, [onnx.ValueInfoProto(name="y")])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    arrays = dict(zip(names, (np.array(value) for value in asked), strict=True))
    (want,) = ReferenceEvaluator(model).run(None, arrays)
    got = mel_weights(*asked)
    assert got.shape == want.shape == (asked[1] // 2 + 1, asked[0])
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_every_filter_peaks_at_one_inside_its_band() -> None:
    weights = mel_weights(10, 512, 16000, 100.0, 8000.0)
    assert weights.max(axis=0).tolist() == [1.0] * 10
    assert weights.min() >= 0
    centres = weights.argmax(axis=0)
    assert (np.diff(centres) > 0).all()
    assert weights[: int(100 / 16000 * 512)].sum() == 0
