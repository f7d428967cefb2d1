"""Each rule of the verdict beside its opposite: the same outputs with and without what is known beyond them."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from deltann.comparison.evidence import Arbitration
from deltann.comparison.flips import Kind
from deltann.comparison.noise import OutputNoise
from deltann.comparison.output import compare_outputs
from deltann.comparison.precision import Precision
from deltann.comparison.soundness import Soundness, soundness
from deltann.comparison.tolerance import parse_tolerances
from deltann.comparison.verdict import NONE, PairEvidence, Verdict, judge

RNG = np.random.default_rng(0)
EXACT = RNG.normal(size=(50, 4, 5))
LOGITS = RNG.normal(size=(100, 10)).astype("f4")
SIDES = ("ort", "tvm")


def rounded(seed, by=1e-7):
    return (EXACT + np.random.default_rng(seed).normal(scale=by, size=EXACT.shape)).astype("f4")


def arbitration(rows=50):
    return Arbitration("torch", np.arange(rows), rows, {"y": EXACT[:rows]}, {"y": rounded(9)[:rows]})


def judged(a, b, evidence=NONE, limit=None, tolerances=None):
    judgement = judge(compare_outputs({"y": a}, {"y": b}, tolerances, sides=SIDES), limit, evidence)
    assert not any("\n" in reason for reason in judgement.reasons)
    return judgement.verdict, "; ".join(judgement.reasons)


def sound(a, b, p=Precision.FLOAT32, q=Precision.FLOAT32, rows=50):
    entries = [soundness({"y": side}, arbitration(rows), precision)[0] for side, precision in ((a, p), (b, q))]
    return PairEvidence(sound=({"y": entries[0]}, {"y": entries[1]}))


def noisy(rms, outside=0, labels=0, problem=None, side=0, samples=8):
    noise = OutputNoise("y", samples, False, 3 * rms, rms, labels, outside, problem)
    return ({"y": noise}, {}) if side == 0 else ({}, {"y": noise})


def test_an_unsound_side_differs_even_inside_the_default_tolerance():
    a, b = rounded(1), rounded(2, by=1e-4)
    assert judged(a, b)[0] is Verdict.AGREE
    verdict, reasons = judged(a, b, sound(a, b))
    assert verdict is Verdict.DIFFER
    assert "output 'y': tvm is off float64 by 0.0001 (RMS)" in reasons
    assert "times what float32 can give" in reasons
    assert judged(a, rounded(2), sound(a, rounded(2)))[0] is Verdict.AGREE


def test_what_a_declared_precision_explains_agrees_and_says_so():
    a, b = rounded(1), rounded(2, by=3e-3)
    assert judged(a, b)[0] is Verdict.DIFFER
    verdict, reasons = judged(a, b, sound(a, b, q=Precision.BFLOAT16))
    assert verdict is Verdict.AGREE
    assert "within what float32 and bfloat16 can give beside float64" in reasons
    assert judged(a, b, sound(a, b))[0] is Verdict.DIFFER, "float32 cannot"


def test_samples_that_the_arbiter_did_not_see_are_not_excused():
    a, b = rounded(1), rounded(2, by=3e-3)
    b[30:] += np.float32(3)
    evidence = sound(a, b, q=Precision.BFLOAT16, rows=20)
    assert all(side["y"].sound for side in evidence.sound)
    verdict, reasons = judged(a, b, evidence)
    assert verdict is Verdict.DIFFER
    assert "apart on all samples" in reasons


def test_integers_that_the_arbiter_did_not_see_must_be_equal_too():
    truth = RNG.integers(0, 5, size=(50, 8))
    other = truth.copy()
    other[40] += 1
    seen = Arbitration("torch", np.arange(20), 20, {"y": truth[:20]}, {"y": truth[:20]})
    entries = [{"y": soundness({"y": side}, seen, Precision.FLOAT32)[0]} for side in (truth, other)]
    assert entries[1]["y"].sound
    assert judged(truth, other, PairEvidence(sound=(entries[0], entries[1])))[0] is Verdict.DIFFER
    assert judged(truth, truth.copy(), PairEvidence(sound=(entries[0], entries[0])))[0] is Verdict.AGREE


def test_an_unsound_side_counts_where_the_other_could_not_be_judged():
    a, b = rounded(1), rounded(2, by=1e-4)
    evidence = sound(a, b)
    unjudged = Soundness("y", 50, Precision.FLOAT32, unjudged="for a test")
    one = replace(evidence, sound=({"y": unjudged}, evidence.sound[1]))
    assert judged(a, b, one)[0] is Verdict.DIFFER
    assert judged(a, b, replace(evidence, sound=({"y": unjudged}, {"y": unjudged})))[0] is Verdict.AGREE


def test_without_an_arbiter_the_reason_calls_tolerances_a_convention():
    verdict, reasons = judged(rounded(1), rounded(2, by=1e-2))
    assert verdict is Verdict.DIFFER
    assert "default for float32, a convention" in reasons


def test_the_users_own_tolerance_decides_and_the_arbiter_is_quoted():
    a, b = rounded(1), rounded(2, by=1e-2)
    loose, strict = parse_tolerances(["0.1"], ["0.1"]), parse_tolerances(["0"], ["1e-9"])
    verdict, reasons = judged(a, b, sound(a, b), tolerances=loose)
    assert verdict is Verdict.AGREE
    assert "tvm is off float64" in reasons
    b = rounded(2)
    assert judged(a, b, sound(a, b), tolerances=strict)[0] is Verdict.DIFFER


@pytest.mark.parametrize("side", [0, 1])
def test_a_difference_is_never_blamed_on_a_pair_that_a_side_makes_by_itself(side):
    a, b = rounded(1), rounded(2, by=1e-2)
    verdict, reasons = judged(a, b, replace(sound(a, b), noise=noisy(1e-2, outside=5, side=side)))
    assert verdict is Verdict.INCONCLUSIVE
    assert f"{SIDES[side]} differs from itself by as much" in reasons
    verdict, reasons = judged(a, b, replace(sound(a, b), noise=noisy(1e-6, side=side)))
    assert verdict is Verdict.DIFFER
    assert f"{SIDES[side]} is not deterministic" in reasons


def test_noise_that_differs_in_bits_alone_explains_nothing():
    a = rounded(1, by=1e-2)
    assert judged(a, a.copy(), replace(sound(a, a), noise=noisy(0.0)))[0] is Verdict.DIFFER


def test_small_noise_does_not_excuse_a_large_error_that_both_share():
    a, b = rounded(1, by=1e-2), rounded(1, by=1e-2) + np.float32(1e-6)
    assert judged(a, b, replace(sound(a, b), noise=noisy(1e-5)))[0] is Verdict.DIFFER


def test_a_noisy_side_never_agrees_where_its_noise_is_outside_the_tolerance():
    a, b = rounded(1), rounded(2)
    for noise in (noisy(0.1, outside=3), noisy(0.0, problem="it is missing"), noisy(1e-7, labels=1)):
        verdict, reasons = judged(a, b, replace(sound(a, b), noise=noise))
        assert verdict is Verdict.INCONCLUSIVE
        assert "NONDETERMINISM of ort" in reasons
    assert judged(a, b, replace(sound(a, b), noise=noisy(1e-7)))[0] is Verdict.AGREE


def flipped(count):
    other = LOGITS.copy()
    for row in range(count):
        low, high = np.argsort(other[row])[-2:]
        other[row, [low, high]] = other[row, [high, low]]
    return other


def test_labels_that_change_as_often_by_themselves_are_not_blamed_on_the_pair():
    other = flipped(10)
    assert judged(LOGITS, other, limit=0.01)[0] is Verdict.DIFFER
    noise = PairEvidence(noise=noisy(1e-9, labels=2, samples=8))
    assert judged(LOGITS, other, noise, limit=0.01)[0] is Verdict.INCONCLUSIVE
    rarer = PairEvidence(noise=noisy(1e-9, labels=1, samples=100))
    assert judged(LOGITS, other, rarer, limit=0.01)[0] is Verdict.DIFFER


def swapped(rows, by):
    """The two best scores of some rows exchanged, `by` apart; noise of another sign all over on the other side."""
    a = LOGITS.copy()
    for row in range(rows):
        low, high = np.argsort(a[row])[-2:]
        a[row, low] = a[row, high] - np.float32(by)
    b = a.copy()
    for row in range(rows):
        low, high = np.argsort(a[row])[-2:]
        b[row, [low, high]] = a[row, [high, low]]
    return a, b


def test_noise_that_changed_no_label_explains_no_rate_that_it_does_not_reach():
    """The pair is no further apart than the side from itself, all in all; but clear labels it never turned."""
    far, near = swapped(20, 2.0), swapped(20, 0.02)
    noise = OutputNoise("y", 16, False, max_abs=0.1, rms=float(np.sqrt(np.mean((far[0] - far[1]) ** 2))))
    assert judged(*near, limit=0.01)[0] is Verdict.DIFFER
    assert judged(*near, PairEvidence(noise=({}, {"y": noise})), 0.01)[0] is Verdict.INCONCLUSIVE
    assert judged(*far, PairEvidence(noise=({}, {"y": noise})), 0.01)[0] is Verdict.DIFFER
    turned = replace(noise, labels_changed=4)
    assert judged(*far, PairEvidence(noise=({}, {"y": turned})), 0.01)[0] is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("kind", "wrong"), [(Kind.FAULT, "b"), (Kind.BEYOND_ROUNDING, None)])
def test_noise_that_changed_no_label_explains_no_flip_that_it_does_not_reach(kind, wrong):
    def of(by, noise):
        (output,) = (found := compare_outputs(*({"y": side} for side in swapped(20, by)), sides=SIDES)).outputs
        flips = tuple(replace(flip, kind=kind, wrong=wrong) for flip in output.classification.flips)
        classes = replace(output.classification, flips=flips, ties=0, beyond_rounding=len(flips))
        made = replace(output, numeric=replace(output.numeric, outside=0), classification=classes)
        return judge(replace(found, outputs=(made,)), None, PairEvidence(noise=({}, {"y": noise}))).verdict

    noise = OutputNoise("y", 16, False, max_abs=0.1, rms=1.0)
    assert of(0.02, noise) is Verdict.INCONCLUSIVE
    assert of(2.0, noise) is Verdict.DIFFER
    assert of(2.0, replace(noise, labels_changed=4)) is Verdict.INCONCLUSIVE
    assert of(0.02, replace(noise, rms=1e-6)) is Verdict.DIFFER


def test_integers_that_coarse_rounding_may_turn_are_a_doubt():
    truth = RNG.integers(0, 5, size=(50, 8, 8))
    other = truth.copy()
    other[::3, 2] += 1
    found = Arbitration("torch", np.arange(50), 50, {"y": truth}, {"y": truth})

    def evidence(precision, arbitration=found):
        sides = ((truth, Precision.FLOAT32), (other, precision))
        entries = [{"y": soundness({"y": side}, arbitration, p)[0]} for side, p in sides]
        return PairEvidence(sound=(entries[0], entries[1]))

    verdict, reasons = judged(truth, other, evidence(Precision.BFLOAT16))
    assert verdict is Verdict.INCONCLUSIVE
    assert "integers may come from comparisons, which rounding to bfloat16 turns" in reasons
    assert judged(truth, other, evidence(Precision.FLOAT32))[0] is Verdict.DIFFER
    assert judged(truth, other)[0] is Verdict.DIFFER
    exact = parse_tolerances(["0"], ["0"])
    assert judged(truth, other, evidence(Precision.BFLOAT16), None, exact)[0] is Verdict.DIFFER, "the user's own"
    assert judged(truth, truth.copy(), evidence(Precision.BFLOAT16))[0] is Verdict.AGREE
    few = Arbitration("torch", np.array([1, 2]), 2, {"y": truth[1:3]}, {"y": truth[1:3]})  # both are sound there
    assert judged(truth, other, evidence(Precision.INT8, few))[0] is Verdict.INCONCLUSIVE
    assert judged(truth, other, evidence(Precision.FLOAT32, few))[0] is Verdict.DIFFER


@pytest.mark.parametrize("limit", [None, 1.0])
def test_outputs_unlike_the_arbiters_differ_though_the_sides_are_equal(limit):
    a = rounded(1)
    short, whole = sound(a[:, :3], a[:, :3]), sound(a, a)
    for tolerances in (None, parse_tolerances(["0.1"], ["0.1"])):
        verdict, reasons = judged(a[:, :3], a[:, :3].copy(), short, limit, tolerances)
        assert verdict is Verdict.DIFFER
        assert "ort gives no array as float64 does: a sample has the shape [3, 5], and float64's [4, 5]" in reasons
        assert judged(a, a.copy(), whole, limit, tolerances)[0] is Verdict.AGREE


def test_flips_count_by_their_kind():
    comparison = compare_outputs({"y": LOGITS}, {"y": flipped(3)}, parse_tolerances(["1e-9"], ["1e-9"]), sides=SIDES)
    (output,) = comparison.outputs
    # As if all elements were inside a default tolerance, and the arbiter had judged the flips.
    numeric, tolerance = replace(output.numeric, outside=0), replace(output.tolerance, source="default for float32")

    def of(kind, wrong=None):
        flips = tuple(replace(flip, kind=kind, wrong=wrong) for flip in output.classification.flips)
        excused = {Kind.TIE: (3, 0, 0), Kind.PRECISION: (0, 0, 3)}.get(kind, (0, 3, 0))
        ties, beyond, by = excused
        classes = replace(output.classification, flips=flips, ties=ties, beyond_rounding=beyond, by_precision=by)
        made = replace(output, numeric=numeric, tolerance=tolerance, classification=classes)
        judgement = judge(replace(comparison, outputs=(made,)))
        return judgement.verdict, "; ".join(judgement.reasons)

    assert of(Kind.TIE)[0] is of(Kind.PRECISION)[0] is Verdict.AGREE
    assert "explained by the precision" in of(Kind.PRECISION)[1]
    for kind, wrong, text in (
        (Kind.FAULT, "b", "3 of 100 labels of tvm are wrong by float64"),
        (Kind.FAULT, "a+b", "3 of 100 labels of both sides are wrong by float64"),
        (Kind.FAULT, "models", "3 of 100 labels differ in the two models' own float64"),
        (Kind.BEYOND_ROUNDING, None, "3 of 100 labels differ beyond rounding"),
    ):
        verdict, reasons = of(kind, wrong)
        assert verdict is Verdict.DIFFER
        assert text in reasons


def test_chance_among_many_pairs_takes_a_difference_back():
    other = flipped(5)
    assert judged(LOGITS, other, PairEvidence(rate_p={"y": 0.001}), limit=0.01)[0] is Verdict.DIFFER
    verdict, reasons = judged(LOGITS, other, PairEvidence(rate_p={"y": 0.3}), limit=0.01)
    assert verdict is Verdict.INCONCLUSIVE
    assert "by chance" in reasons


def test_inputs_that_could_not_have_told_never_agree():
    for evidence in (PairEvidence(weak="these inputs could not have told"), PairEvidence(samples=1)):
        assert judged(rounded(1), rounded(2), evidence)[0] is Verdict.INCONCLUSIVE
        assert judged(rounded(1), rounded(2) + np.float32(1), evidence)[0] is Verdict.DIFFER
    assert judged(rounded(1), rounded(2), PairEvidence(samples=50))[0] is Verdict.AGREE
    one = PairEvidence(one_label={"y": "all 100 samples got the same class"})
    assert judged(LOGITS, LOGITS, one, limit=0.1)[0] is Verdict.INCONCLUSIVE
    assert judged(LOGITS, LOGITS, limit=0.1)[0] is Verdict.AGREE
    assert judged(LOGITS, LOGITS, one)[0] is Verdict.AGREE, "numbers were compared"


BAD = {
    "nan on one side": lambda a: np.where(np.arange(a.size).reshape(a.shape) == 7, np.float32(np.nan), a),
    "inf on one side": lambda a: np.where(np.arange(a.size).reshape(a.shape) == 7, np.float32(np.inf), a),
    "zero samples": lambda a: a[:0],
    "one sample less": lambda a: a[:-1],
    "another shape": lambda a: a.reshape(len(a), -1),
    "another dtype": lambda a: a.astype("f8"),
}


@pytest.mark.parametrize(("bad", "limit"), list(product(BAD, (None, 1.0))))
def test_no_evidence_excuses_bad_outputs(bad, limit):
    a, b = rounded(1), rounded(2)
    kind = replace(sound(a, b), noise=noisy(100.0), rate_p={"y": 1.0})
    for pair in ((a, BAD[bad](b)), (BAD[bad](a), b)):
        assert judged(*pair, kind, limit, parse_tolerances(["1e30"], ["1e30"]))[0] is Verdict.DIFFER


@pytest.mark.parametrize("limit", [None, 1.0])
def test_no_evidence_makes_nothing_into_agreement(limit):
    a = rounded(1)
    kind = sound(a, a)
    assert judged(a[:0], a[:0], kind, limit)[0] is not Verdict.AGREE
    constant = np.repeat(a[:1], 50, axis=0)
    assert judged(constant, constant.copy(), kind, limit)[0] is Verdict.INCONCLUSIVE
    bad = BAD["nan on one side"](a)
    assert judged(bad, bad.copy(), kind, limit)[0] is Verdict.INCONCLUSIVE
