"""The cases of the installed onnx, and what is said of those that cannot be tested."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from onnx.backend.test.runner import Runner

from deltann.errors import UsageError
from deltann.scoreboard.cases import SUITES, Case, Collected, collect
from deltann.scoreboard.selection import Selection


@cache
def cases() -> dict[str, Collected]:
    return {one.case.name: one for one in collect()}


def test_all_of_them_are_there() -> None:
    counts = Counter(one.case.suite for one in cases().values())
    assert counts["node"] > 1500
    assert set(counts) == set(SUITES)
    assert counts["light"] == 9


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("test_cast_BFLOAT16_to_FLOAT", "BFLOAT16"),
        ("test_cast_FLOAT_to_FLOAT8E5M2", "FLOAT8E5M2"),
        ("test_cast_FLOAT_to_INT4", "INT4"),
        ("test_string_concat", "STRING"),
        ("test_sequence_insert_at_back", "sequence"),
        ("test_if_opt", "optional"),
        ("test_bernoulli_seed", "random"),
        ("test_bernoulli_expanded", "random"),
        ("test_training_dropout", "random"),
        ("test_training_dropout_default", "random"),
    ],
)
def test_what_cannot_be_tested_says_why(name: str, reason: str) -> None:
    assert reason in cases()[name].case.untested


@pytest.mark.parametrize(
    "name",
    ["test_relu", "test_training_dropout_zero_ratio", "test_dropout_default", "test_reduce_sum_empty_set", "test_and2d",
     "test_cast_FLOAT_to_DOUBLE", "test_qlinearmatmul_2D_uint8_float32", "test_vgg19", "test_AvgPool1d"],
)  # fmt: skip
def test_what_can_be_tested_is(name: str) -> None:
    one = cases()[name]
    assert one.case.untested == ""
    assert len(one.expected) == len(one.proto.graph.output) > 0


def test_few_are_left_out() -> None:
    node = [one.case for one in cases().values() if one.case.suite == "node"]
    assert sum(not case.untested for case in node) > 0.8 * len(node)


def test_operators_are_those_that_the_case_is_about() -> None:
    told = {name: one.case.operator for name, one in cases().items()}
    assert told["test_relu"] == "Relu"
    assert told["test_layer_normalization_2d_axis1_expanded_ver18"] == "LayerNormalization"
    assert told["test_castlike_FLOAT_to_DOUBLE_expanded"] == "CastLike"
    assert told["test_ai_onnx_ml_binarizer"] == "ai.onnx.ml.Binarizer"
    assert told["test_AvgPool1d"] == told["test_vgg19"] == ""
    assert all(told[name] for name, one in cases().items() if one.case.suite == "node")


def test_the_values_are_those_of_the_model() -> None:
    """Types and ranks of the data fit what the model says of them."""
    for one in cases().values():
        if one.case.untested:
            continue
        for value, array in zip(one.proto.graph.output, one.expected, strict=True):
            kind = value.type.tensor_type
            assert np.dtype(array.dtype).kind in "fiubc", one.case.name
            if kind.HasField("shape"):
                assert len(kind.shape.dim) == array.ndim, one.case.name


def test_light_models_are_fed_what_onnx_s_own_runner_feeds_them() -> None:
    for one in cases().values():
        if one.case.suite == "light":
            values = {value.name: value for value in one.proto.graph.input}
            (name,) = values.keys() - {tensor.name for tensor in one.proto.graph.initializer}
            (image,) = one.inputs
            assert image.tobytes() == Runner.generate_dummy_data(values[name]).tobytes()


def _of(name: str, operator: str = "") -> Collected:
    return Collected(Case(name, "node", operator), cases()["test_relu"].proto, [], [], 0, 0)


MANY = [_of(f"test_{number:02}", "Relu" if number % 2 else "Abs") for number in range(50)]


def _names(selection: Selection) -> list[str]:
    return [one.case.name for one in selection.of(MANY)]


def test_patterns_and_operators_both_have_to_fit() -> None:
    assert _names(Selection(("test_0*",), ("Relu",))) == [f"test_0{n}" for n in (1, 3, 5, 7, 9)]
    assert _names(Selection(("test_01", "test_02"))) == ["test_01", "test_02"]
    assert len(_names(Selection())) == 50


@pytest.mark.parametrize(("sample", "expected"), [(1, 1), (7, 7), (49, 49), (50, 50), (51, 50)])
def test_a_sample_is_spread_evenly(sample: int, expected: int) -> None:
    names = _names(Selection(sample=sample))
    assert len(set(names)) == len(names) == expected
    assert names == sorted(names) == _names(Selection(sample=sample))
    gaps = {int(b[5:]) - int(a[5:]) for a, b in pairwise(names)}
    assert max(gaps, default=0) - min(gaps, default=0) <= 1


@pytest.mark.parametrize(
    ("selection", "says"),
    [
        (Selection(("relu",)), "test_relu"),
        (Selection((), ("relu",)), "did you mean Relu"),
        (Selection((), ("Sigmoid",)), "no such operator"),
        (Selection(("test_01",), ("Abs",)), "no case fits both"),
    ],
)
def test_what_fits_nothing_is_refused(selection: Selection, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        selection.of(MANY)


@pytest.mark.parametrize("sample", [0, -1])
def test_a_sample_of_nothing_is_refused(sample: int) -> None:
    with pytest.raises(UsageError, match="--sample"):
        Selection(sample=sample)
