"""Resize's samples and weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann.errors import Unsupported
from deltann.lowering.resize import Sampling, nearest_indices, output_sizes, plan, positions, taps

_COORDINATES = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"]


@given(
    st.sampled_from(["nearest", "linear", "cubic"]),
    st.sampled_from(_COORDINATES),
    st.integers(1, 12),
    st.integers(1, 30),
    st.booleans(),
    st.booleans(),
)
def test_weights_sum_to_one_inside_the_input(
    mode: str, coordinates: str, size: int, out: int, antialias: bool, exclude: bool
) -> None:
    sampling = Sampling(mode, coordinates, antialias=antialias, exclude_outside=exclude)  # type: ignore[arg-type]  # drawn
    indices, weights, outside = taps(sampling, size, out, out / size)
    assert indices.shape == weights.shape
    assert indices.shape[0] == out
    assert indices.min() >= 0
    assert indices.max() < size
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    assert not outside.any()


@given(st.sampled_from(["nearest", "linear", "cubic"]), st.sampled_from(_COORDINATES), st.integers(2, 12))
def test_an_unchanged_size_gives_the_input_back(mode: str, coordinates: str, size: int) -> None:
    sampling = Sampling(mode, coordinates)  # type: ignore[arg-type]  # drawn
    indices, weights, _ = taps(sampling, size, size, 1.0)
    x = np.random.default_rng(size).standard_normal(size)
    np.testing.assert_allclose((x[indices] * weights).sum(axis=1), x, atol=1e-12)


@pytest.mark.parametrize(
    ("rule", "picked"),
    [
        ("round_prefer_floor", [0, 1, 2, 3]),
        ("round_prefer_ceil", [1, 2, 2, 3]),
        ("floor", [0, 1, 1, 3]),
        ("ceil", [1, 2, 2, 3]),
    ],
)
def test_nearest_rules_differ_at_halves(rule: str, picked: list[int]) -> None:
    at = np.array([0.5, 1.5, 1.75, 3.0])
    assert nearest_indices(at, rule, 4).tolist() == picked


def test_an_unknown_rule_is_an_error() -> None:
    with pytest.raises(ValueError, match="nearest_mode=up is unknown"):
        nearest_indices(np.zeros(1), "up", 4)
    with pytest.raises(ValueError, match="coordinate_transformation_mode=x is unknown"):
        positions(Sampling(coordinates="x"), 4, 4, 1.0)


def test_sizes_follow_the_aspect_ratio_policy() -> None:
    assert output_sizes((4, 8), [0.6, 2.0], None) == ((2, 16), (0.6, 2.0))
    assert output_sizes((4, 8), None, (8, 8)) == ((8, 8), (2.0, 1.0))
    assert output_sizes((4, 8), None, (8, 8), "not_larger") == ((4, 8), (1.0, 1.0))
    assert output_sizes((4, 8), None, (8, 8), "not_smaller") == ((8, 16), (2.0, 2.0))
    with pytest.raises(ValueError, match="needs scales or sizes"):
        output_sizes((4,), None, None)


def test_a_crop_marks_what_lies_outside() -> None:
    sampling = Sampling("linear", "tf_crop_and_resize")
    _, _, outside = taps(sampling, 4, 4, 1.0, (-0.5, 1.0))
    # The samples lie at -1.5, 0, 1.5 and 3.
    assert outside.tolist() == [True, False, False, False]


def test_only_axes_that_change_are_sampled_anew() -> None:
    steps = plan(
        {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}, (1, 3, 4, 5), None, [1, 1, 2, 1], []
    )
    assert [(step.axis, step.indices.shape, step.outside) for step in steps] == [(2, (8, 2), None)]
    assert steps[0].weights is not None
    assert plan({"mode": "nearest"}, (1, 3, 4, 5), None, None, [1, 3, 4, 5]) == []


def test_named_axes_are_resized_and_cropped() -> None:
    attributes = {"mode": "nearest", "axes": [3, 2], "coordinate_transformation_mode": "tf_crop_and_resize"}
    steps = plan(attributes, (1, 1, 4, 6), [0.5, 0.0, 1.5, 1.0], None, [3, 4])
    assert [step.axis for step in steps] == [3]
    assert steps[0].weights is None
    assert steps[0].outside is not None
    assert steps[0].outside.tolist() == [False, False, True]


def test_an_unknown_mode_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="mode=lanczos"):
        plan({"mode": "lanczos"}, (4,), None, [2.0], None)
