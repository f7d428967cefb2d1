from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann.comparison.output import Comparison, OutputComparison, compare_outputs
from deltann.comparison.tolerance import Tolerances, parse_tolerances
from deltann.comparison.verdict import Judgement, Verdict, judge, overall, parse_rate
from deltann.errors import UsageError
from deltann.tasks import Task

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(100, 10)).astype("f4")
TENSOR = RNG.normal(size=(100, 2, 3)).astype("f4")


def judged(a, b, limit=None, tolerances=None):
    judgement = judge(compare_outputs(a, b, tolerances), limit)
    return judgement.verdict, "; ".join(judgement.reasons)


def with_flips(count):
    """The logits with some labels moved far away."""
    other = LOGITS.copy()
    for row in range(count):
        runner_up, top = np.argsort(other[row])[-2:]
        other[row, [top, runner_up]] = 0, 5
    return other


def near_ties(count):
    """Two sides whose first labels differ by less than the default tolerance."""
    a, b = LOGITS.copy(), LOGITS.copy()
    for row in range(count):
        runner_up, top = np.argsort(a[row])[-2:]
        a[row, runner_up] = a[row, top] * np.float32(1 - 1e-5)
        b[row, [top, runner_up]] = a[row, [runner_up, top]]
    return {"y": a}, {"y": b}


def test_a_fault_in_one_element_differs_and_rounding_agrees():
    assert judged({"y": TENSOR}, {"y": TENSOR * np.float32(1 + 1e-6)})[0] is Verdict.AGREE
    other = TENSOR.copy()
    other[77, 1, 2] += 0.1
    verdict, reasons = judged({"y": TENSOR}, {"y": other})
    assert verdict is Verdict.DIFFER
    assert "1 of 600 elements outside the tolerance (rtol 0.001" in reasons
    assert "default for float32" in reasons


def test_a_flip_beyond_rounding_differs_and_a_tie_does_not():
    verdict, reasons = judged({"y": LOGITS}, {"y": with_flips(2)})
    assert verdict is Verdict.DIFFER
    assert "2 of 100 labels differ beyond rounding" in reasons
    verdict, reasons = judged(*near_ties(3))
    assert verdict is Verdict.AGREE
    assert "3 label flips are ties within rounding" in reasons


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_sided_nonfinite_differs_both_sided_is_inconclusive(bad):
    for array in (LOGITS, TENSOR):
        other = array.copy()
        other.flat[7] = bad
        for limit in (None, 1.0):
            loose = parse_tolerances(["1e30"], ["1e30"])
            for pair in ((array, other), (other, array)):
                assert judged({"y": pair[0]}, {"y": pair[1]}, limit, loose)[0] is Verdict.DIFFER
    other = TENSOR.copy()
    other.flat[7] = bad
    verdict, reasons = judged({"y": other}, {"y": other.copy()})
    assert verdict is Verdict.INCONCLUSIVE
    assert "NaN equals NaN proves nothing" in reasons
    assert judged({"y": other}, {"y": other + np.float32(1)})[0] is Verdict.DIFFER


def test_all_nan_outputs_never_agree():
    nothing = {"y": np.full((5, 3, 2), np.nan, "f4")}
    assert judged(nothing, nothing)[0] is Verdict.INCONCLUSIVE
    scores = {"y": np.full((5, 3), np.nan, "f4")}
    assert judged(scores, scores)[0] is Verdict.DIFFER  # no prediction agrees with nothing


def test_vacuous_outputs_are_inconclusive():
    same = np.repeat(LOGITS[:1], 100, axis=0)
    verdict, reasons = judged({"y": same}, {"y": same.copy()})
    assert verdict is Verdict.INCONCLUSIVE
    assert "these inputs could not have told: every sample gave the same output" in reasons
    one = {"y": np.full((1, 1000), 1e-3, "f4")}  # what a model of constant weights says
    assert judged(one, one)[0] is Verdict.INCONCLUSIVE
    assert judged({"y": LOGITS[:2]}, {"y": LOGITS[:2]})[0] is Verdict.AGREE


@pytest.mark.parametrize("limit", [None, 0.0, 0.5, 1.0])
def test_one_sample_alone_never_agrees(limit):
    one = {"y": LOGITS[:1]}, {"y": LOGITS[:1].copy()}
    verdict, reasons = judged(*one, limit)
    assert verdict is Verdict.INCONCLUSIVE
    assert "one sample alone proves nothing" in reasons
    assert judged({"y": LOGITS[:1]}, {"y": LOGITS[:1] * np.float32(np.nan)}, limit)[0] is Verdict.DIFFER


def test_vacuity_never_hides_a_difference():
    same = np.repeat(LOGITS[:1], 100, axis=0)
    assert judged({"y": same}, {"y": same + np.float32(1)})[0] is Verdict.DIFFER
    assert judged({"y": same}, {"y": LOGITS})[0] is Verdict.DIFFER


def test_one_telling_output_concludes_and_the_vacuous_one_is_named():
    same = np.repeat(TENSOR[:1], 100, axis=0)
    both = {"x": LOGITS, "z": same}
    verdict, reasons = judged(both, both)
    assert verdict is Verdict.AGREE
    assert "output 'z': these inputs could not have told" in reasons


def test_a_limit_on_disagreement_counts_ties_and_replaces_default_tolerances():
    pair = near_ties(4)
    assert judged(*pair, limit=0.1)[0] is Verdict.AGREE
    verdict, reasons = judged(*pair, limit=0.01)
    assert verdict is Verdict.DIFFER
    assert "4 of 100 labels differ (4.000%; 95% interval 1.57% to 9.84%), more than the 1.000% allowed" in reasons
    faults = {"y": LOGITS}, {"y": with_flips(2)}
    assert judged(*faults, limit=0.08)[0] is Verdict.AGREE
    assert judged(*faults, limit=0.0)[0] is Verdict.DIFFER


def test_a_limit_inside_the_interval_is_inconclusive_and_says_what_it_would_take():
    verdict, reasons = judged({"y": LOGITS}, {"y": LOGITS}, limit=0.005)
    assert verdict is Verdict.INCONCLUSIVE
    assert "100 samples cannot tell whether 0.500% is exceeded; it takes about 765 at this rate" in reasons
    verdict, reasons = judged(*near_ties(4), limit=0.04)
    assert verdict is Verdict.INCONCLUSIVE
    assert "no number of samples tells" in reasons


def test_with_a_limit_the_users_own_tolerance_still_counts():
    pair = {"y": LOGITS}, {"y": LOGITS * np.float32(1.1)}
    assert judged(*pair)[0] is Verdict.DIFFER
    assert judged(*pair, limit=0.0)[0] is Verdict.AGREE
    assert judged(*pair, limit=0.0, tolerances=parse_tolerances(["y=0.01"], []))[0] is Verdict.DIFFER
    assert judged(*pair, limit=0.0, tolerances=parse_tolerances([], ["y=0.01"]))[0] is Verdict.DIFFER
    assert judged(*pair, limit=0.0, tolerances=parse_tolerances(["y=0.2"], []))[0] is Verdict.AGREE
    # A tolerance wider than all that the inputs bring about tells nothing.
    assert judged(*pair, limit=0.0, tolerances=parse_tolerances([], ["y=100"]))[0] is Verdict.INCONCLUSIVE


def test_with_a_limit_tensor_outputs_are_judged_by_tolerance():
    verdict, reasons = judged({"y": TENSOR}, {"y": TENSOR + np.float32(1)}, limit=1.0)
    assert verdict is Verdict.DIFFER
    assert "had no classification output to apply to" in reasons


def test_with_a_limit_structure_still_counts():
    assert judged({"y": LOGITS}, {"y": LOGITS.astype("f2")}, limit=1.0)[0] is Verdict.DIFFER
    assert judged({"y": LOGITS}, {}, limit=1.0)[0] is Verdict.DIFFER


def test_nothing_compared_never_agrees():
    assert judge(Comparison(("a", "b"), (), ())).verdict is Verdict.DIFFER
    hollow = OutputComparison("y", Task.TENSOR, ())
    assert judge(Comparison(("a", "b"), (), (hollow,))).verdict is Verdict.DIFFER


def test_a_verdict_is_taken_anew_from_the_same_outputs():
    pair = {"y": TENSOR}, {"y": TENSOR + np.float32(0.01)}
    assert judged(*pair)[0] is Verdict.DIFFER
    assert judged(*pair, tolerances=Tolerances(atol={"y": 0.02}))[0] is Verdict.AGREE


@given(st.lists(st.sampled_from(Verdict)))
def test_overall(verdicts):
    result = overall(Judgement(verdict, ()) for verdict in verdicts)
    if Verdict.DIFFER in verdicts:
        assert result is Verdict.DIFFER
    else:
        assert (result is Verdict.AGREE) == (bool(verdicts) and set(verdicts) == {Verdict.AGREE})
        assert result in (Verdict.AGREE, Verdict.INCONCLUSIVE)


@given(st.integers(0, 1000))
def test_a_percentage_is_the_very_fraction(k):
    assert parse_rate(f"{k / 10:.1f}%") == k / 1000 == parse_rate(f"{k / 1000:.3f}")


@given(st.fractions(0, 1, max_denominator=999))
def test_rates_round_trip(rate: Fraction):
    assert parse_rate(repr(float(rate))) == float(rate)


@pytest.mark.parametrize("text", ["", "%", "x", "-0.1", "1.1", "101%", "nan", "inf", "1e999999999999", "0.5%%", "5 %%"])
def test_other_rates_are_refused(text):
    with pytest.raises(UsageError, match=r"such as 0\.005"):
        parse_rate(text)
