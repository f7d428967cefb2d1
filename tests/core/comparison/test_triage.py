import numpy as np
import pytest

from deltann.comparison.evidence import Arbitration
from deltann.comparison.flips import Flip, Kind, flips
from deltann.comparison.output import compare_outputs
from deltann.comparison.precision import Precision
from deltann.comparison.soundness import Soundness, soundness
from deltann.comparison.tolerance import Tolerance
from deltann.comparison.triage import Scores, Side, count, triage, triaged
from deltann.tasks.classification import predictions

ROUNDING, COARSE = 1e-3, 0.1


def side(*scores, allowed=ROUNDING, sound=True):
    return Side(np.array([scores], "f8"), {0: 0}, ROUNDING, allowed, sound)


def flip(a, b):
    a, b = np.array([a], "f8"), np.array([b], "f8")
    (found,) = flips(a, b, predictions(a), predictions(b), Tolerance(0, 0))
    return found


def test_a_gap_inside_the_float32_envelope_is_a_tie_and_outside_a_fault():
    truth = side(0, 1, 1.0004)
    found = triage(flip([0, 1, 1.0005], [0, 1.0003, 1]), truth, truth)
    assert (found.kind, found.truth, found.wrong) == (Kind.TIE, 2, None)
    assert found.deficit_b == pytest.approx(0.0004)
    truth = side(0, 1, 1.004)
    found = triage(flip([0, 1, 1.004], [0, 1.0003, 1]), truth, truth)
    assert (found.kind, found.truth, found.wrong) == (Kind.FAULT, 2, "b")


def test_what_a_coarse_precision_explains_is_its_own_if_it_is_sound():
    truth, coarse = side(0, 1, 1.05), side(0, 1, 1.05, allowed=COARSE)
    found = flip([0, 1, 1.05], [0, 1.01, 1])
    assert triage(found, truth, coarse).kind is Kind.PRECISION
    assert triage(found, truth, coarse).wrong == "b"
    for unsure in (False, None):
        doubtful = side(0, 1, 1.05, allowed=COARSE, sound=unsure)
        assert (triage(found, truth, doubtful).kind, triage(found, truth, doubtful).wrong) == (Kind.FAULT, "b")
    assert triage(found, coarse, truth).kind is Kind.FAULT, "the coarse one is right, and excuses no other"


def test_a_near_tie_excuses_no_side_that_prefers_its_label_by_far():
    truth = side(0, 1, 1.0001)
    found = triage(flip([0, 1, 1.0002], [0, 6, 1]), truth, truth)
    assert (found.kind, found.wrong) == (Kind.FAULT, "b")
    assert triage(flip([0, 1, 1.0002], [0, 1.0001, 1]), truth, truth).kind is Kind.TIE


def test_two_near_labels_far_below_the_arbiters_are_both_wrong():
    truth = side(9, 1, 1.0001)
    found = triage(flip([0, 1, 1.0002], [0, 1.0001, 1]), truth, truth)
    assert (found.kind, found.wrong, found.truth) == (Kind.FAULT, "a+b", 0)


def test_nan_is_the_fault_of_who_has_it():
    truth = side(0, 1, 1.0001, allowed=COARSE)
    found = triage(flip([0, 1, np.nan], [0, 1.0001, 1]), truth, truth)
    assert (found.kind, found.wrong) == (Kind.FAULT, "a")
    infinite = flip([0, np.inf, 0], [0, 1, 1.1])
    assert triage(infinite, truth, truth).kind is Kind.BEYOND_ROUNDING
    nothing = side(0, np.nan, 1)
    assert triage(flip([0, 1, 2], [0, 2, 1]), nothing, nothing).kind is Kind.BEYOND_ROUNDING


def test_a_sample_that_the_arbiter_did_not_see_stays_as_it_was():
    blind = Side(np.zeros((1, 3)), {7: 0}, ROUNDING, ROUNDING, True)
    found = flip([0, 1, 2], [0, 2, 1])
    assert triage(found, blind, blind) is found


def test_two_models_may_each_be_followed():
    found = triage(flip([0, 1, 2], [0, 2, 1]), side(0, 1, 2), side(0, 2, 1))
    assert (found.kind, found.wrong, found.truth) == (Kind.FAULT, "models", None)


@pytest.mark.parametrize("low", [False, True])
def test_triage_is_symmetric(low):
    truth, other = side(0, 1, 1.05), side(0, 1, 1.05, allowed=COARSE if low else ROUNDING)
    a, b = [0, 1, 1.05], [0, 1.01, 1]
    one, two = triage(flip(a, b), truth, other), triage(flip(b, a), other, truth)
    assert one.kind is two.kind
    assert {one.wrong, two.wrong} == {"a", "b"}


def test_a_comparison_is_counted_anew():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(40, 5))
    tied = truth.copy()
    order = np.argsort(truth[0])
    tied[0, order[-2]] = tied[0, order[-1]] = truth[0, order[-1]]
    arbitration = Arbitration("torch", np.arange(40), 40, {"y": tied}, {"y": tied.astype("f4")})
    a, b = tied.astype("f4"), tied.astype("f4")
    a[0, order[-1]] += np.float32(2e-7)
    b[0, order[-2]] += np.float32(2e-7)
    worse = np.argsort(truth[1])
    b[1, worse[0]] = 20
    scores = Scores.of(arbitration, "y")
    both = scores.side(Soundness("y", 40, Precision.FLOAT32, sound=True))
    found = triaged(compare_outputs({"y": a}, {"y": b}), {"y": (both, both)}).outputs[0].classification
    assert (found.disagreements, found.ties, found.by_precision, found.beyond_rounding) == (2, 1, 0, 1)
    assert count(found.flips)[Kind.FAULT] == 1
    assert found.flips[1].wrong == "b"
    assert Scores.of(arbitration, "z") is None
    coarse = scores.side(Soundness("y", 40, Precision.BFLOAT16, sound=False))
    assert (coarse.rounding, coarse.sound) == (both.rounding, False)
    assert coarse.allowed > both.allowed == both.rounding


def test_a_side_of_more_classes_than_the_arbiters_is_none():
    truth = np.random.default_rng(0).normal(size=(40, 5))
    arbitration = Arbitration("torch", np.arange(40), 40, {"y": truth}, {"y": truth.astype("f4")})
    wide = np.concatenate([truth, truth + 9], axis=1).astype("f4")
    for array, known in ((wide, False), (truth.astype("f4"), True)):
        (judged,) = soundness({"y": array}, arbitration, Precision.FLOAT32)
        assert (Scores.of(arbitration, "y").side(judged) is not None) is known


def test_counting_names_every_kind():
    assert count(()) == dict.fromkeys(Kind, 0)
    assert count([Flip(0, 1, 2, None, None, None, Kind.TIE)])[Kind.TIE] == 1
