"""Which of a pair's outputs its verdict rests on, and the reasons of each."""

from __future__ import annotations

import numpy as np
import pytest

import deltann
from deltann.comparison.output import compare_outputs
from deltann.comparison.vacuity import ONE_SAMPLE
from deltann.comparison.verdict import Judgement, Verdict, judge
from deltann.criteria import Criteria
from deltann.outcome import Outcome, Status
from deltann.testing.stored import write_repeats, write_run

RNG = np.random.default_rng(8)
SCORES = RNG.standard_normal((40, 10)).astype(np.float32)
BOXES = RNG.standard_normal((40, 3, 2)).astype(np.float32)
CONSTANT = np.ones((40, 3), np.float32)
FLIPPED = np.concatenate([np.roll(SCORES[:2], 1, axis=1), SCORES[2:]])
AGREE, DIFFER, INCONCLUSIVE = Verdict.AGREE, Verdict.DIFFER, Verdict.INCONCLUSIVE


def by_output(pair):
    return {name: judgement.verdict for name, judgement in pair.judgement.outputs.items()}


@pytest.fixture
def verdicts(tmp_path):
    """The pair's verdict and that of each output, of environments `torch` and, as the reference, `ort`."""

    def of(torch, ort, repeats=None, **criteria):
        run = write_run(tmp_path / "run", {"ort": ort, "torch": torch}, criteria=Criteria("ort", **criteria))
        if repeats is not None:
            write_repeats(run, "torch", [repeats] * 2)
        result = deltann.load(run)
        (pair,) = result.compared
        return pair.judgement.verdict, by_output(pair)

    return of


def test_of_a_pair_that_agrees_each_output_does(verdicts):
    both = {"y": SCORES, "boxes": BOXES}
    assert verdicts(both, both) == (AGREE, {"y": AGREE, "boxes": AGREE})


@pytest.mark.parametrize("wrong", ["y", "boxes"])
def test_the_one_that_differs_is_told_apart(verdicts, wrong):
    both = {"y": SCORES, "boxes": BOXES}
    found = verdicts({**both, wrong: -both[wrong]}, both)
    assert found == (DIFFER, {**dict.fromkeys(both, AGREE), wrong: DIFFER})


def test_one_that_proves_nothing_stays_unproven(verdicts):
    both = {"y": SCORES, "c": CONSTANT}
    assert verdicts(both, both) == (AGREE, {"y": AGREE, "c": INCONCLUSIVE})


def test_where_nothing_can_be_told_none_is(verdicts):
    assert verdicts({"c": CONSTANT}, {"c": CONSTANT}) == (INCONCLUSIVE, {"c": INCONCLUSIVE})


def test_one_sample_proves_none(verdicts):
    one = {"y": SCORES[:1], "boxes": BOXES[:1]}
    assert verdicts(one, one) == (INCONCLUSIVE, {"y": INCONCLUSIVE, "boxes": INCONCLUSIVE})


def test_an_output_that_one_lacks_differs(verdicts):
    both = {"y": SCORES, "boxes": BOXES}
    assert verdicts({"y": SCORES}, both) == (DIFFER, {"y": AGREE, "boxes": DIFFER})


def test_an_output_whose_name_begins_another_is_not_taken_for_it(verdicts):
    both = {"y": SCORES, "y' is missing": BOXES, "y'": BOXES}
    found = verdicts({"y": SCORES, "y'": BOXES}, both)[1]
    assert found["y' is missing"] is DIFFER
    assert found["y'"] is AGREE


def test_what_differs_by_its_own_noise_is_not_told(verdicts):
    both = {"y": SCORES, "boxes": BOXES}
    noisy = {"y": SCORES, "boxes": BOXES + 1}
    found = verdicts(noisy, both, repeats={"y": SCORES[:8], "boxes": BOXES[:8]})
    assert found == (INCONCLUSIVE, {"y": AGREE, "boxes": INCONCLUSIVE})


@pytest.mark.parametrize(("limit", "expected"), [("2%", INCONCLUSIVE), ("0", DIFFER), ("50%", AGREE)])
def test_a_rate_is_judged_by_its_limit(verdicts, limit, expected):
    found = verdicts({"y": FLIPPED, "boxes": BOXES}, {"y": SCORES, "boxes": BOXES}, max_disagreement=limit)
    assert found == (expected, {"y": expected, "boxes": AGREE})


def test_a_rate_that_may_be_chance_among_so_many_pairs_is_not_above_the_limit(tmp_path):
    # Alone 5 of 40 are above 5 %; that one of forty pairs is so may be chance, and Holm's correction says that.
    flipped = np.concatenate([np.roll(SCORES[:5], 1, axis=1), SCORES[5:]])
    cells = {f"torch[threads={number}]": {"y": SCORES} for number in range(1, 40)}
    run = write_run(tmp_path / "run", {"ort": {"y": SCORES}, "tvm": {"y": flipped}, **cells},
                    criteria=Criteria("ort", max_disagreement="5%"))  # fmt: skip
    result = deltann.load(run)
    (pair,) = [pair for pair in result.compared if pair.judged and str(pair.candidate) == "tvm"]
    assert pair.judgement.verdict is INCONCLUSIVE
    assert by_output(pair) == {"y": INCONCLUSIVE}


def test_without_a_comparison_there_is_none(tmp_path):
    cells = {"ort": {"y": SCORES}, "torch": Outcome(Status.UNSUPPORTED, reason="no")}
    result = deltann.load(write_run(tmp_path / "run", cells))
    assert by_output(result.compared[0]) == {}


def test_the_reasons_of_each_are_its_own_and_those_of_all(tmp_path):
    one = {"y': ": SCORES[:1], "boxes": BOXES[:1], "gone": BOXES[:1]}
    other = {"y': ": -SCORES[:1], "boxes": BOXES[:1]}
    run = write_run(tmp_path / "run", {"ort": one, "torch": other}, criteria=Criteria("ort"))
    (pair,) = deltann.load(run).compared
    found = pair.judgement.outputs
    assert list(found) == ["y': ", "boxes", "gone"]
    assert "1 of 1 labels differ beyond rounding" in found["y': "].reasons
    assert found["boxes"].reasons == (ONE_SAMPLE,)
    assert found["gone"].reasons == ("output 'gone' is in ort only",)
    assert set(pair.judgement.reasons) >= {"output 'y': ': 1 of 1 labels differ beyond rounding",
                                           ONE_SAMPLE}  # fmt: skip


def test_what_is_wrong_with_the_pair_as_a_whole_is_so_of_each():
    whole, short = {"y": SCORES, "boxes": BOXES}, {"y": SCORES, "boxes": BOXES[:39]}
    found = judge(compare_outputs(short, whole)).outputs
    problem = "the outputs of a have different sample counts: [39, 40]"
    assert found["y"] == Judgement(DIFFER, (problem,))
    assert found["boxes"].verdict is DIFFER
    assert problem in found["boxes"].reasons
    assert {judgement.verdict for judgement in judge(compare_outputs(whole, whole)).outputs.values()} == {AGREE}
