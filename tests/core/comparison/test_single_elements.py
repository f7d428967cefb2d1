"""One wrong element among a million: in no RMSE, and in no verdict of agreement."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann.comparison.evidence import Arbitration
from deltann.comparison.noise import OutputNoise
from deltann.comparison.output import compare_outputs
from deltann.comparison.precision import MOST, WORST, Precision, integer_bound, unit_roundoff, worst_bound
from deltann.comparison.soundness import soundness
from deltann.comparison.verdict import PairEvidence, Verdict, judge

P = Precision
RNG = np.random.default_rng(5)
EXACT = RNG.normal(size=(4, 250_000))
SINGLE = (EXACT * (1 + 5e-7 * RNG.normal(size=EXACT.shape))).astype("f4")
OURS = (EXACT * (1 + 5e-7 * RNG.normal(size=EXACT.shape))).astype("f4")


def arbitration(perturbed=()):
    return Arbitration("torch", np.arange(4), 4, {"y": EXACT}, {"y": SINGLE}, tuple({"y": run} for run in perturbed))


def judged(candidate, precision=P.FLOAT32, **changed):
    (found,) = soundness({"y": candidate}, arbitration(**changed), precision)
    return found


def spoilt(by, array=OURS):
    other = array.copy()
    other[2, 123_456] += np.float32(by)
    return other


def test_the_rmse_does_not_see_it_and_the_largest_error_does():
    found = judged(spoilt(3e-3))
    assert found.error < found.bound
    assert found.worst == pytest.approx(3e-3, rel=0.01)
    assert found.worst > found.worst_bound
    assert found.sound is False
    found = judged(OURS)
    assert found.worst == pytest.approx(np.abs(OURS - EXACT).max())
    assert found.worst_rounding == pytest.approx(np.abs(SINGLE - EXACT).max())
    assert found.sound


def test_bfloat16_excuses_what_it_explains_and_no_more():
    bits = OURS.view("u4")
    half = ((bits + 0x8000) & np.uint32(0xFFFF0000)).view("f4")
    assert judged(half, P.BFLOAT16).sound
    assert not judged(half, P.FLOAT32).sound
    assert not judged(spoilt(4.5, half), P.BFLOAT16).sound
    assert judged(spoilt(4.5, half), P.BFLOAT16).error < judged(half, P.BFLOAT16).bound


def test_what_a_perturbed_run_does_as_well_is_rounding():
    """As where a rounded number decides between two."""
    assert not judged(spoilt(0.1)).sound
    found = judged(spoilt(0.1), perturbed=[SINGLE, spoilt(0.1, SINGLE)])
    assert found.worst_rounding == pytest.approx(0.1, rel=1e-3)
    assert found.sound


def test_where_float32_decides_otherwise_in_a_place_so_may_others():
    peak = np.abs(EXACT).max()
    (found,) = soundness(
        {"y": spoilt(2 * peak)},
        Arbitration("torch", np.arange(4), 4, {"y": EXACT}, {"y": spoilt(2 * peak, SINGLE)}),
        P.FLOAT32,
    )
    assert found.sound
    assert not judged(spoilt(2 * peak)).sound


def test_integers_have_no_largest_error():
    labels = RNG.integers(0, 9, (4, 100))
    (found,) = soundness({"y": labels}, Arbitration("t", np.arange(4), 4, {"y": labels}, {"y": labels}), P.FLOAT32)
    assert (found.sound, found.worst, found.worst_rounding, found.worst_bound) == (True, None, None, None)


@given(st.sampled_from(P), st.floats(0, 1), st.floats(1e-3, 1e3))
def test_the_bound_grows_with_float32s_own_error_and_never_falls_below_it(precision, worst, peak):
    bound = worst_bound(worst, peak, precision)
    assert 0 < bound <= max(MOST * peak, WORST * worst)
    assert bound <= worst_bound(2 * worst, peak, precision)
    if unit_roundoff(precision) >= unit_roundoff(P.FLOAT32):
        assert bound >= min(worst, MOST * peak)


@given(st.floats(0, 1), st.sampled_from(P))
def test_of_few_integers_chance_excuses_no_half(rounding, precision):
    assert 2 * rounding <= integer_bound(rounding, precision) <= max(2 * rounding, 0.05) + 1e-5
    assert integer_bound(1 / 16, precision) < 3 / 16
    assert integer_bound(1e-4, P.FLOAT32) == pytest.approx(8.1e-4)


def verdict(a, b, noise=None, rows=4):
    """The verdict on a pair that the arbiter saw `rows` samples of."""
    seen = Arbitration("torch", np.arange(rows), rows, {"y": EXACT[:rows]}, {"y": SINGLE[:rows]})
    ours, theirs = ({"y": soundness({"y": side}, seen, P.FLOAT32)[0]} for side in (a, b))
    found = PairEvidence(sound=(ours, theirs), noise=({}, {} if noise is None else {"y": noise}))
    judgement = judge(compare_outputs({"y": a[:, :, None, None, None]}, {"y": b[:, :, None, None, None]}), None, found)
    return judgement.verdict, "; ".join(judgement.reasons)


def test_the_pair_differs_by_one_element_and_says_so():
    found, reasons = verdict(spoilt(5e-3), SINGLE)
    assert found is Verdict.DIFFER
    assert "a is off float64 by 0.005 in one element, beyond what float32 can give in any" in reasons
    assert verdict(OURS, SINGLE)[0] is Verdict.AGREE


def test_an_element_of_a_sample_that_the_arbiter_did_not_see_is_not_excused():
    found, reasons = verdict(spoilt(5e-3), SINGLE, rows=2)
    assert found is Verdict.DIFFER
    assert "one element 0.005 apart on all samples" in reasons
    assert verdict(OURS, SINGLE, rows=2)[0] is Verdict.AGREE


def test_noise_all_over_does_not_explain_one_element():
    small = OutputNoise("y", 4, False, max_abs=1e-5, rms=1e-4)
    assert verdict(spoilt(0.1), SINGLE, small)[0] is Verdict.DIFFER
    large = OutputNoise("y", 4, False, max_abs=0.05, rms=1e-4)
    assert verdict(spoilt(0.1), SINGLE, large)[0] is Verdict.INCONCLUSIVE
