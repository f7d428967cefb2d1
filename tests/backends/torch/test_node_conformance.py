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

torch = pytest.importorskip("torch", reason="the torch backend needs torch")

from deltann_torch.build import build  # noqa: E402
from deltann_torch.dtypes import to_numpy, to_torch  # noqa: E402

_STRINGS = (Unsupported, "torch has no tensors of strings")
_NARROW = (Unsupported, "torch has no such element type")
_TRAINING = (Unsupported, "training operators are not in the table")
_RANDOM = (Unsupported, "random values, which no other backend shares")
_ROUNDING = (AssertionError, "16-bit floats: the order of rounding differs, by a unit or two in the last place")
_NOISE = (AssertionError, "onnx expects the rounding noise of numpy's own FFT where the value is zero")

KNOWN: dict[str, tuple[type[Exception], str]] = {
    "test_ai_onnx_ml_label_encoder_*": _STRINGS,
    "test_equal_string*": _STRINGS,
    "test_regex_*": _STRINGS,
    "test_string_*": _STRINGS,
    "test_strnormalizer_*": _STRINGS,
    "test_cast*_*INT4*": _NARROW,
    "test_cast*_*INT2_*": _NARROW,
    "test_cast*_to_*INT2*": _NARROW,
    "test_cast*_FLOAT4E2M1*": _NARROW,
    "test_cast*_FLOAT8E8M0*": _NARROW,
    "test_*quantizelinear_*int4": _NARROW,
    "test_*quantizelinear_*int2": _NARROW,
    "test_*quantizelinear_float4e2m1": _NARROW,
    "test_adagrad*": _TRAINING,
    "test_adam*": _TRAINING,
    "test_*momentum*": _TRAINING,
    "test_bernoulli*": _RANDOM,
    "test_training_dropout_default*": _RANDOM,
    "test_training_dropout": _RANDOM,
    "test_training_dropout_mask": _RANDOM,
    "test_ai_onnx_ml_array_feature_extractor": (Unsupported, "ai.onnx.ml is not in the table"),
    "test_ai_onnx_ml_binarizer": (Unsupported, "ai.onnx.ml is not in the table"),
    "test_ai_onnx_ml_tree_ensemble_*": (Unsupported, "ai.onnx.ml is not in the table"),
    "test_div_uint64": (Unsupported, "torch does not compute with uint64"),
    "test_mod_uint64": (Unsupported, "torch does not compute with uint64"),
    "test_image_decoder_*": (Unsupported, "torch decodes no images"),
    "test_tfidfvectorizer_*": (Unsupported, "TfIdfVectorizer is not in the table"),
    "test_if_opt": (Unsupported, "Optional is not in the table"),
    "test_attention_*_bf16*": _ROUNDING,
    "test_attention_4d_causal_fp16*": _ROUNDING,
    "test_dft_inverse": _NOISE,
    "test_dft_inverse_opset19": _NOISE,
}


CASES = node_tests(KNOWN)


@pytest.mark.parametrize("case", CASES)
def test_the_table_agrees_with_onnx(case: Any) -> None:
    _agrees(case, shapes_known=True)


@pytest.mark.long
@pytest.mark.parametrize("case", not_in(CASES, KNOWN))
def test_what_only_the_data_tells_changes_no_answer(case: Any) -> None:
    """Nothing is known of the inputs when the module is built: an answer is right, or it is not given."""
    try:
        _agrees(case, shapes_known=False)
    except Unsupported as error:
        assert "only the data tells" in str(error)  # noqa: PT017  # either outcome is right


def _agrees(case: Any, *, shapes_known: bool) -> None:
    graph = read_graph(case.model)
    assert case.data_sets
    for given, wanted in case.data_sets:
        inputs = [each(lambda value: to_torch(np.asarray(value)), array(value)) for value in given]
        metas = {n: each(lambda t: t.to("meta"), value) for n, value in zip(graph.inputs, inputs, strict=False)}
        module = build(graph, metas if shapes_known else {}, None, torch.device("cpu"))
        with torch.inference_mode():
            outputs = module(*inputs)
        assert len(outputs) == len(wanted) > 0
        for got, want in zip(outputs, wanted, strict=True):
            check(each(to_numpy, got), array(want), case.rtol, case.atol)


def test_a_wrong_answer_would_be_seen() -> None:
    one = to_numpy(torch.ones(3))
    check(one, np.ones(3, np.float32), 1e-3, 1e-7)
    for wrong in (np.ones(3, np.float64), np.ones((3, 1), np.float32), np.array([1, 1, 1.01], np.float32), []):
        with pytest.raises(AssertionError):
            check(one, wrong, 1e-3, 1e-7)


def test_what_is_known_to_fail_exists() -> None:
    assert len(CASES) > 1800
    assert unmatched(CASES, KNOWN) == []
