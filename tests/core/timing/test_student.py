from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltann.timing.student import critical, two_sided


@settings(deadline=None)  # the first example imports scipy
@given(st.floats(-50, 50), st.integers(1, 200))
def test_the_p_value_is_scipys(t: float, freedom: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert two_sided(t, freedom) == pytest.approx(2 * stats.t.sf(abs(t), freedom), rel=1e-7, abs=1e-13)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 30, 199])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
def test_the_critical_value_is_scipys(freedom: int, confidence: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert critical(confidence, freedom) == pytest.approx(stats.t.ppf((1 + confidence) / 2, freedom), rel=1e-9)


def test_no_number_has_no_p_value() -> None:
    assert math.isnan(two_sided(math.nan, 4))
    assert two_sided(math.inf, 4) == pytest.approx(0.0, abs=1e-15)
