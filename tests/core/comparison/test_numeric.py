import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deltann.comparison.numeric import numeric_error
from deltann.comparison.tolerance import Tolerance
from deltann.errors import Unsupported

EXACT = Tolerance(0, 0)
SHAPE = st.shared(hnp.array_shapes(min_dims=1, max_dims=3, max_side=6), key="shape")
DTYPE = st.shared(st.sampled_from(["f2", "f4", "f8"]), key="dtype")


def floats(dtype):
    largest = {"f2": 6e4, "f4": 1e30, "f8": 1e100}[dtype]
    elements = st.floats(-1, 1, width=16).map(lambda x: x * largest) | st.floats(-100, 100, width=16)
    return hnp.arrays(dtype, SHAPE, elements=elements)


FINITE = DTYPE.flatmap(floats)
ANY = DTYPE.flatmap(lambda d: hnp.arrays(d, SHAPE))


@given(FINITE, FINITE)
def test_bounds_and_symmetry(a, b):
    ab, ba = numeric_error(a, b, EXACT), numeric_error(b, a, EXACT)
    assert ab.max_abs == ba.max_abs
    assert ab.max_ulp == ba.max_ulp
    assert ab.mean_abs == pytest.approx(ba.mean_abs, rel=1e-12)
    slack = 1 + 1e-9
    # Squares of differences below 1e-150 leave float64, whose root mean square would then be 0.
    assert ab.mean_abs <= max(ab.rms, 1e-150) * slack
    assert ab.rms <= ab.max_abs * slack
    assert ab.cosine is None or -1 <= ab.cosine <= 1
    assert ab.outside == np.count_nonzero(a != b)
    assert (ab.worst_sample is None) == (ab.max_abs == 0)


@given(FINITE)
def test_identical_arrays_have_no_error(a):
    error = numeric_error(a, a.copy(), EXACT)
    assert (error.max_abs, error.mean_abs, error.rms, error.max_ulp, error.outside) == (0, 0, 0, 0, 0)
    assert error.worst_sample is None
    assert error.cosine is None or error.cosine == pytest.approx(1)


@given(ANY, ANY, st.integers(1, 9))
def test_pieces_do_not_change_the_result(a, b, piece):
    tolerance = Tolerance(0.1, 0.1)
    whole, parts = (astuple(numeric_error(a, b, tolerance, size)) for size in (1 << 16, piece))
    for x, y in zip(whole, parts, strict=True):
        assert x == y or x == pytest.approx(y, rel=1e-9, nan_ok=True)


@given(ANY, ANY)
def test_every_element_is_counted_once_and_nan_never_agrees(a, b):
    error = numeric_error(a, b, Tolerance(0, math.inf))
    finite = np.isfinite(a) & np.isfinite(b)
    same = (np.isnan(a) & np.isnan(b)) | (np.isinf(a) & (a == b))
    assert error.elements == a.size
    assert error.nonfinite_both == np.count_nonzero(same)
    assert error.nonfinite_one_side == np.count_nonzero(~finite & ~same)
    assert (error.max_abs is None) == (not finite.any())
    if error.nonfinite_one_side:
        assert error.worst_sample == np.argwhere(~finite & ~same)[0][0]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@given(data=st.data())
def test_neighbours_are_one_ulp_apart(dtype, data):
    width = {"f2": 16, "f4": 32, "f8": 64}[dtype]
    x = np.array([data.draw(st.floats(width=width, allow_nan=False, allow_infinity=False))], dtype)
    up = np.nextafter(x, np.array([np.inf], dtype))
    if np.isfinite(up[0]):
        assert numeric_error(x, up, EXACT).max_ulp == 1
    assert numeric_error(x, x, EXACT).max_ulp == 0


def on_the_number_line(x):
    """Its place among the floats of its format, as a Python integer; both zeros at 0."""
    width = x.dtype.itemsize * 8
    bits = int(x.view(f"u{width // 8}"))
    magnitude = bits & ((1 << (width - 1)) - 1)
    return -magnitude if bits >> (width - 1) else magnitude


@given(ANY, ANY)
def test_ulp_equals_the_steps_between_any_two_floats(a, b):
    steps = [
        abs(on_the_number_line(x) - on_the_number_line(y))
        for x, y in zip(a.ravel(), b.ravel(), strict=True)
        if np.isfinite(x) and np.isfinite(y)
    ]
    assert numeric_error(a, b, EXACT).max_ulp == max(steps, default=None)


@given(ANY, ANY, st.integers(1, 9))
def test_elements_that_are_not_finite_take_no_part_in_the_rest(a, b, piece):
    keep = np.isfinite(a) & np.isfinite(b)
    tolerance = Tolerance(0.1, 0.1)
    found, expected = numeric_error(a, b, tolerance, piece), numeric_error(a[keep], b[keep], tolerance)
    assert (found.max_abs, found.max_ulp, found.outside) == (expected.max_abs, expected.max_ulp, expected.outside)
    for x, y in ((found.mean_abs, expected.mean_abs), (found.rms, expected.rms), (found.cosine, expected.cosine)):
        assert x == y or x == pytest.approx(y, rel=1e-9)


def test_every_result_is_a_float_of_floats_even_where_nothing_differs():
    zeros = numeric_error(np.ones(3), np.ones(3), EXACT)
    assert [type(value) for value in (zeros.max_abs, zeros.mean_abs, zeros.rms)] == [float] * 3


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
def test_ulp_through_zero(dtype):
    least = np.nextafter(np.array([0], dtype), np.array([1], dtype)).astype(dtype)
    assert numeric_error(np.array([0.0], dtype), np.array([-0.0], dtype), EXACT).max_ulp == 0
    assert numeric_error(least, -least, EXACT).max_ulp == 2
    largest = np.array([np.finfo(dtype).max], dtype)
    steps = numeric_error(largest, -largest, EXACT).max_ulp
    bits = np.dtype(dtype).itemsize * 8
    assert steps == 2 * int(largest.astype(largest.dtype.newbyteorder("=")).view(f"u{bits // 8}")[0])


def test_values_against_plain_numpy():
    rng = np.random.default_rng(3)
    a = rng.normal(size=(300, 7, 41)).astype(np.float32)
    b = a + rng.normal(size=a.shape).astype(np.float32) * np.float32(1e-3)
    error = numeric_error(a, b, Tolerance(1e-3, 1e-4), 1000)
    x, y = a.astype(float), b.astype(float)
    d = np.abs(x - y)
    assert error.max_abs == d.max()
    assert error.mean_abs == pytest.approx(d.mean(), rel=1e-12)
    assert error.rms == pytest.approx(np.sqrt((d**2).mean()), rel=1e-12)
    assert error.cosine == pytest.approx((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()), rel=1e-12)
    assert error.outside == np.count_nonzero(d > 1e-4 + 1e-3 * np.abs(y)) > 0
    assert error.worst_sample == d.reshape(300, -1).max(axis=1).argmax()


def test_the_tolerance_is_relative_to_the_second_side():
    one, two = np.array([1.0]), np.array([2.0])
    assert numeric_error(one, two, Tolerance(0.5, 0)).outside == 0
    assert numeric_error(two, one, Tolerance(0.5, 0)).outside == 1


@pytest.mark.parametrize("dtype", ["bool", "i1", "u1", "i4", "u4", "i8", "u8"])
def test_integers_are_exact_at_their_extremes(dtype):
    low, high = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    a, b = np.array([low, high], dtype), np.array([high, high], dtype)
    for x, y in ((a, b), (b, a)):
        error = numeric_error(x, y, EXACT)
        assert error.max_abs == int(high) - int(low)
        assert isinstance(error.max_abs, int)
        assert (error.outside, error.max_ulp, error.worst_sample) == (1, None, 0)


def test_a_difference_of_one_in_large_int64_is_seen():
    a = np.array([2**62, 5])
    error = numeric_error(a, a + np.array([1, 0]), EXACT)
    assert (error.max_abs, error.outside) == (1, 1)


@given(hnp.arrays("i8", 6), hnp.arrays("i8", 6))
def test_int64_against_python_integers(a, b):
    gaps = [abs(x - y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert numeric_error(a, b, EXACT).max_abs == max(gaps)


def test_mixed_dtypes():
    assert numeric_error(np.array([-1], "i1"), np.array([255], "u1"), EXACT).max_abs == 256
    assert numeric_error(np.array([1.5], "f4"), np.array([1], "i4"), EXACT).max_ulp is None
    assert numeric_error(np.array([1.5], "f4"), np.array([1.5], "f2"), EXACT).max_ulp == 0


def test_overflow_is_infinite_not_silent():
    a = np.array([1.7e308])
    error = numeric_error(a, -a, EXACT)
    assert (error.max_abs, error.outside, error.cosine) == (math.inf, 1, None)
    assert numeric_error(np.array([1e200] * 3), np.array([1e200] * 3), EXACT).max_abs == 0


def test_a_zero_vector_has_no_angle():
    assert numeric_error(np.zeros(3), np.ones(3), EXACT).cosine is None
    assert numeric_error(-np.ones(3), np.ones(3), EXACT).cosine == pytest.approx(-1)


def test_memory_mapped_and_fortran_order_arrays(tmp_path):
    a = np.random.default_rng(0).normal(size=(50, 11)).astype("f4")
    b = a + np.float32(0.01)
    np.save(tmp_path / "a.npy", a)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r", allow_pickle=False)
    expected = numeric_error(a, b, EXACT, 64)
    assert numeric_error(mapped, b, EXACT, 64) == expected
    assert numeric_error(np.asfortranarray(a), b, EXACT, 64) == expected
    assert not mapped.flags.writeable


def test_refusals():
    with pytest.raises(Unsupported, match="complex64"):
        numeric_error(np.zeros(2, "c8"), np.zeros(2, "c8"), EXACT)
    with pytest.raises(ValueError, match="shapes differ"):
        numeric_error(np.zeros(2), np.zeros(3), EXACT)
