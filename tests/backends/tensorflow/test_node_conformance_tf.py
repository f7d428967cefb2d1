"""The table against the official node tests of onnx: a fixed part by default, all of them with `-m long`.

Each that fails is listed in `KNOWN` with its exception and reason, strictly: one that begins to pass fails the run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deltann.errors import Unsupported
from deltann.lowering.graph import read_graph
from deltann.testing.node_tests import array, check, each, node_tests, not_in, unmatched

tf = pytest.importorskip("tensorflow", reason="the tf backend needs TensorFlow")

from deltann_tensorflow.build import build  # noqa: E402
from deltann_tensorflow.dtypes import to_numpy, to_tf  # noqa: E402

_STRINGS = (Unsupported, "the table has no tensors of strings")
_NARROW = (Unsupported, "TensorFlow has no such element type, or casts nothing to it")
_TRAINING = (Unsupported, "training operators are not in the table")
_RANDOM = (Unsupported, "random values, which no other backend shares")
_LATE = (Unsupported, "a graph needs these values before it runs")
_ROUNDING = (AssertionError, "16-bit floats: the order of rounding differs, by a unit or two in the last place")

KNOWN: dict[str, tuple[type[Exception], str]] = {
    "test_ai_onnx_ml_label_encoder_*": _STRINGS,
    "test_equal_string*": _STRINGS,
    "test_regex_*": _STRINGS,
    "test_string_*": _STRINGS,
    "test_strnormalizer_*": _STRINGS,
    "test_cast*_*INT2_*": _NARROW,
    "test_cast*_to_*INT2*": _NARROW,
    "test_cast*_FLOAT4E2M1*": _NARROW,
    "test_cast*_FLOAT8E8M0*": _NARROW,
    "test_cast*FNUZ*": _NARROW,
    "test_*quantizelinear_*int2": _NARROW,
    "test_*quantizelinear_float4e2m1": _NARROW,
    "test_adagrad*": _TRAINING,
    "test_adam*": _TRAINING,
    "test_*momentum*": _TRAINING,
    "test_bernoulli*": _RANDOM,
    "test_training_dropout*": (Unsupported, "whether it trains only the data tells"),
    "test_ai_onnx_ml_array_feature_extractor": (Unsupported, "ai.onnx.ml is not in the table"),
    "test_ai_onnx_ml_binarizer": (Unsupported, "ai.onnx.ml is not in the table"),
    "test_ai_onnx_ml_tree_ensemble_*": (Unsupported, "ai.onnx.ml is not in the table"),
    "test_image_decoder_*": (Unsupported, "ImageDecoder is not in the table"),
    "test_tfidfvectorizer_*": (Unsupported, "TfIdfVectorizer is not in the table"),
    "test_if_opt": (Unsupported, "Optional is not in the table"),
    "test_loop13_seq": _LATE,
    "test_loop16_seq_none": _LATE,
    "test_affine_grid_2d*_expanded": _LATE,
    "test_sequence_insert_at_front": _LATE,
    "test_split_to_sequence_1": _LATE,
    "test_attention_4d_causal_fp16*": _ROUNDING,
    "test_attention_4d_gqa_with_past_and_present_fp16*": _ROUNDING,
    "test_attention_?d_*bf16*": _ROUNDING,
    "test_causal_conv_with_state_silu_fp16*": _ROUNDING,
    "test_celu_bfloat16_expanded": _ROUNDING,
}


CASES = node_tests(KNOWN)


@pytest.mark.parametrize("case", CASES)
def test_a_graph_agrees_with_onnx(case: Any) -> None:
    _agrees(case, lambda program: tf.function(program, autograph=False))


@pytest.mark.long
@pytest.mark.parametrize("case", not_in(CASES, KNOWN))
def test_eager_execution_agrees_with_onnx(case: Any) -> None:
    _agrees(case, lambda program: program)


@pytest.mark.long
@pytest.mark.parametrize("case", not_in(CASES, KNOWN))
def test_what_only_the_data_tells_changes_no_answer(case: Any) -> None:
    """No shape is known when the program is built: an answer is right, or it is not given."""
    try:
        _agrees(case, lambda program: tf.function(program, autograph=False), lambda t: tf.TensorSpec(None, t.dtype))
    except Unsupported as error:
        assert "only the data tells" in str(error)  # noqa: PT017  # either outcome is right


def _agrees(case: Any, made: Any, spec: Any = lambda t: tf.TensorSpec(t.shape, t.dtype)) -> None:
    graph = read_graph(case.model)
    assert case.data_sets
    for given, wanted in case.data_sets:
        inputs = [each(lambda value: to_tf(np.asarray(value)), array(value)) for value in given]
        specs = {name: each(spec, value) for name, value in zip(graph.inputs, inputs, strict=False)}
        outputs = made(build(graph, specs, None))(*inputs)
        assert len(outputs) == len(wanted) > 0
        for got, want in zip(outputs, wanted, strict=True):
            check(each(to_numpy, got), array(want), case.rtol, case.atol)


def test_a_wrong_answer_would_be_seen() -> None:
    one = to_numpy(tf.ones(3))
    check(one, np.ones(3, np.float32), 1e-3, 1e-7)
    for wrong in (np.ones(3, np.float64), np.ones((3, 1), np.float32), np.array([1, 1, 1.01], np.float32), []):
        with pytest.raises(AssertionError):
            check(one, wrong, 1e-3, 1e-7)


def test_what_is_known_to_fail_exists() -> None:
    assert len(CASES) > 1800
    assert unmatched(CASES, KNOWN) == []
