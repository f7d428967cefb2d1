"""What counts as the expected answer, and what does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deltann.scoreboard.judge import wrong

_DTYPES = ("bool", "int8", "uint8", "int64", "uint64", "float16", "float32", "float64", "complex64")
_ARRAYS = st.sampled_from(_DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0)))


def _wrong(got: Any, want: Any, rtol: float = 1e-3, atol: float = 1e-7) -> str:
    return wrong({"y": np.asarray(got)}, {"y": np.asarray(want)}, rtol, atol)


@given(_ARRAYS)
def test_the_answer_itself_is_right(array: np.ndarray[Any, Any]) -> None:
    assert _wrong(array.copy(), array) == ""


@given(_ARRAYS, st.data())
def test_one_element_far_off_is_wrong(array: np.ndarray[Any, Any], data: st.DataObject) -> None:
    if not array.size:
        return
    got = array.copy()
    at = data.draw(st.integers(0, array.size - 1))
    before = got.flat[at]
    with np.errstate(over="ignore"):
        got.flat[at] = (not before) if array.dtype == np.bool_ else 1 if abs(before) > 50 else 100
    assert "1 of" in _wrong(got, array)


def test_the_tolerances_are_those_of_the_case() -> None:
    assert _wrong(np.float64([1.0009]), np.float64([1.0])) == ""
    assert "1 of 1 elements differ, by up to 0.0011" in _wrong(np.float64([1.0011]), np.float64([1.0]))
    assert _wrong(np.float64([1.0011]), np.float64([1.0]), rtol=2e-3) == ""
    assert _wrong(np.float64([2e-7]), np.float64([0.0])) != ""
    assert _wrong(np.float64([2e-7]), np.float64([0.0]), atol=1e-6) == ""


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_right_only_where_it_is_expected(value: float) -> None:
    assert _wrong(np.float32([1, value]), np.float32([1, value])) == ""
    for got, want in (([1, value], [1, 2]), ([1, 2], [1, value]), ([value, 1], [1, value])):
        assert "NaN or infinite on one side" in _wrong(np.float32(got), np.float32(want))


def test_an_infinity_of_the_other_sign_is_wrong() -> None:
    assert _wrong(np.float32([np.inf]), np.float32([-np.inf])) != ""
    assert _wrong(np.float32([np.nan]), np.float32([np.inf])) != ""


def test_types_and_shapes_are_part_of_the_answer() -> None:
    one = np.ones((2, 3), np.float32)
    assert _wrong(one.astype(np.float64), one) == "'y' is float64[2, 3], expected float32[2, 3]"
    assert _wrong(one.reshape(3, 2), one) == "'y' is float32[3, 2], expected float32[2, 3]"
    assert _wrong(one[:1], one) != ""
    assert _wrong(np.float32(1), np.ones(1, np.float32)) != ""
    assert _wrong(np.empty((0, 3), np.float32), np.empty((0, 2), np.float32)) != ""


def test_bytes_do_not_wrap_around() -> None:
    assert _wrong(np.uint8([0]), np.uint8([255])) != ""
    assert _wrong(np.int8([-128]), np.int8([127])) != ""


def test_names_are_part_of_the_answer() -> None:
    one = np.ones(1)
    assert wrong({}, {"y": one}, 1, 1) == "no output 'y'"
    assert wrong({"z": one}, {"y": one}, 1, 1) == "no output 'y'"
    assert wrong({"y": one, "z": one}, {"y": one}, 1, 1) == "an output 'z' that the model has not"
    assert wrong({"a": one, "y": one}, {"y": one, "a": one}, 1, 1) == ""


def test_every_output_counts() -> None:
    one = np.ones(1)
    assert "'b'" in wrong({"a": one, "b": one + 1}, {"a": one, "b": one}, 1e-3, 0)


def test_no_expectation_is_no_pass() -> None:
    assert wrong({}, {}, 1, 1) != ""
