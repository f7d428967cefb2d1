"""How the errors of samples lie."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deltann.comparison import distribution as module
from deltann.comparison.distribution import MOST_DECADES, Distribution, distribution, sample_errors
from deltann.comparison.numeric import numeric_error
from deltann.comparison.tolerance import Tolerance
from deltann.errors import Unsupported

SHAPES = arrays.array_shapes(min_dims=1, max_dims=3, max_side=7)
DTYPES = st.sampled_from(["float16", "float32", "float64", "int8", "uint8", "int64", "bool"])


@st.composite
def two_sides(draw):
    """Two arrays of one shape, of any dtypes that compare, with whatever is not finite among them."""
    shape = draw(SHAPES)
    a, b = (draw(arrays.arrays(draw(DTYPES), shape)) for _ in range(2))
    return a, np.where(draw(arrays.arrays(bool, shape)), a.astype(b.dtype), b) if a.dtype == b.dtype else b


@given(two_sides())
def test_the_largest_error_of_a_sample_is_that_of_its_elements(sides):
    a, b = sides
    errors = sample_errors(a, b)
    assert errors.dtype == np.float64
    for sample in range(len(a)):
        own = numeric_error(a[sample : sample + 1], b[sample : sample + 1], Tolerance(0, 0))
        expected = math.inf if own.nonfinite_one_side else float(own.max_abs or 0)
        assert errors[sample] == expected


def test_integers_are_subtracted_exactly():
    a = np.array([[2**62 + 1, 5], [-(2**63), 0]])
    b = np.array([[2**62, 5], [2**63 - 1, 0]])
    assert sample_errors(a, b).tolist() == [1.0, float(2**64 - 1)]


def test_what_is_not_finite_on_one_side_is_infinitely_far_and_on_both_no_error():
    nan, inf = math.nan, math.inf
    a = np.array([[nan, 1.0], [nan, 1.0], [inf, 1.0], [inf, 1.0], [1.0, 2.0]])
    b = np.array([[nan, 1.5], [0.0, 1.0], [inf, 1.0], [-inf, 1.0], [1.0, 2.0]])
    assert sample_errors(a, b).tolist() == [0.5, inf, 0.0, inf, 0.0]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_pieces_do_not_change_the_errors(monkeypatch, size):
    rng = np.random.default_rng(31)
    a, b = rng.standard_normal((2, 9, 3, 5)).astype(np.float32)
    a[3, 2, 4] = np.nan
    whole = sample_errors(a, b)
    monkeypatch.setattr(module, "PIECE", size)
    assert sample_errors(a, b).tolist() == whole.tolist()
    assert whole[3] == math.inf
    assert whole[0] == np.abs(a[0].astype(float) - b[0]).max()


def test_arrays_that_are_not_mapped_contiguously_are_read_all_the_same(tmp_path):
    rng = np.random.default_rng(32)
    np.save(tmp_path / "a.npy", rng.standard_normal((6, 11)))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")[:, 1:]
    assert sample_errors(mapped, np.zeros((6, 10))).tolist() == np.abs(mapped).max(axis=1).tolist()


def test_other_shapes_and_types_are_refused():
    for a, b in [(np.zeros((2, 3)), np.zeros((2, 4))), (np.zeros(()), np.zeros(())), (np.zeros((0, 3)),) * 2]:
        with pytest.raises(ValueError):
            sample_errors(a, b)
    with pytest.raises(Unsupported):
        sample_errors(np.zeros(2, complex), np.zeros(2))


ERRORS = arrays.arrays(
    np.float64,
    st.integers(1, 40),
    elements=st.one_of(st.just(0.0), st.just(math.inf), st.floats(0, 1e308), st.floats(1e-9, 1e3)),
)


@given(ERRORS)
def test_every_error_is_counted_in_its_bin(errors):
    found = distribution(errors)
    assert found.samples == len(errors)
    assert found.zeros == np.count_nonzero(errors == 0)
    assert found.nonfinite == np.count_nonzero(np.isinf(errors))
    within = errors[(errors > 0) & np.isfinite(errors)]
    assert len(found.counts) <= MOST_DECADES * 4
    assert len(found.edges) == (len(found.counts) + 1 if found.counts else 0)
    for number, count in enumerate(found.counts):
        low = 0 if number == 0 else found.edges[number]
        assert count == np.count_nonzero((within >= low) & (within < found.edges[number + 1]))
    if len(within):
        assert found.counts[0]
        assert found.counts[-1]


@given(ERRORS)
def test_quantiles_are_errors_that_occurred(errors):
    found = distribution(errors)
    assert [found.p50, found.p90, found.p99, found.max] == [
        np.quantile(errors, share, method="inverted_cdf") for share in (0.5, 0.9, 0.99, 1.0)
    ]


@given(ERRORS, ERRORS)
def test_the_bins_of_two_distributions_coincide(first, second):
    one, other = distribution(first).edges, distribution(second).edges
    if one and other:
        low, high = max(one[0], other[0]), min(one[-1], other[-1])
        assert [e for e in one if low <= e <= high] == [e for e in other if low <= e <= high]


def test_an_example():
    errors = np.array([0.0, 0.0, 1e-4, 1.2e-4, 0.09, 0.1, math.inf, 0.0, 0.0, 1.0])
    assert distribution(errors) == Distribution(
        zeros=4, nonfinite=1, edges=tuple((10.0 ** (np.arange(-16, 2) / 4)).tolist()),
        counts=(2, *[0] * 10, 1, 1, 0, 0, 0, 1), p50=1e-4, p90=1.0, p99=math.inf, max=math.inf,
    )  # fmt: skip


def test_equal_sides_have_no_bins_and_unequal_ones_do():
    assert distribution(np.zeros(3)) == Distribution(3, 0, (), (), 0, 0, 0, 0)
    assert distribution(np.array([0.0, 0.5])).counts == (1,)


@pytest.mark.parametrize("errors", [[], [-1.0], [math.nan, 1.0]])
def test_what_are_no_errors_is_refused(errors):
    with pytest.raises(ValueError):
        distribution(np.array(errors))
