"""What a cell tells by itself: the same comparison whether it is taken once a cell or once a pair."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deltann.comparison.output import compare_outputs
from deltann.comparison.rows import root_mean_square
from deltann.comparison.summary import summaries, summarise
from deltann.comparison.tolerance import Tolerances, parse_tolerances
from deltann.tasks import Task

RNG = np.random.default_rng(5)
LOGITS = RNG.normal(size=(40, 12)).astype("f4")
DEFAULT = Tolerances()
SHAPE = st.shared(st.tuples(st.integers(1, 6), st.integers(1, 7)), key="shape")
OUTPUT = st.sampled_from(["f2", "f4", "f8", "i4", "bool"]).flatmap(lambda dtype: hnp.arrays(dtype, SHAPE))


@given(OUTPUT, OUTPUT, st.sampled_from([None, Task.TENSOR]))
def test_a_comparison_is_the_same_with_summaries_and_without(a, b, task):
    a, b = {"y": a, "extra": a[:1]}, {"y": b}
    tasks = {"y": task} if task else {}
    tolerances = parse_tolerances(["y=1e-2"], [])
    made = summaries(a, tolerances, tasks), summaries(b, tolerances, tasks)
    alone = compare_outputs(a, b, tolerances, tasks)
    for known in (made, (made[0], {}), ({}, made[1])):
        assert compare_outputs(a, b, tolerances, tasks, summaries=known).to_json() == alone.to_json()


def test_a_comparison_believes_the_summary_it_is_given():
    """The opposite: were the summaries not used, those of another output would change nothing."""
    wrong = summaries({"y": LOGITS[::-1] * np.float32(100)}, DEFAULT)
    right = summaries({"y": LOGITS}, DEFAULT)
    (output,) = compare_outputs({"y": LOGITS}, {"y": LOGITS}, DEFAULT, summaries=(right, wrong)).outputs
    assert output.tolerance.atol == pytest.approx(1e-3 * root_mean_square(LOGITS) * 100)
    assert output.classification.disagreements > 20
    assert output.classification.top_k_disagreements > 20
    (output,) = compare_outputs({"y": LOGITS}, {"y": LOGITS}, DEFAULT, summaries=(right, right)).outputs
    assert (output.classification.disagreements, output.classification.top_k_disagreements) == (0, 0)


def test_either_side_s_vacuity_is_told():
    flat = {"y": np.ones((9, 4), "f4")}
    for sides in (({"y": LOGITS[:9, :4]}, flat), (flat, {"y": LOGITS[:9, :4]})):
        known = tuple(summaries(side, DEFAULT) for side in sides)
        assert compare_outputs(*sides, summaries=known).outputs[0].vacuous
    assert summarise("y", LOGITS, DEFAULT).vacuous is None


def test_a_renamed_output_is_summarised_under_its_own_name_and_judged_under_the_common_one():
    slightly = np.repeat(LOGITS[:1], 9, axis=0) + RNG.normal(size=(9, 12)).astype("f4") * np.float32(0.3)
    wide = parse_tolerances([], ["logits=10"])
    known = summaries({"prob": slightly}, wide, names={"prob": "logits"})
    assert known["prob"].vacuous
    assert summaries({"prob": slightly}, wide)["prob"].vacuous is None
    a, b = {"logits": slightly}, {"prob": slightly}
    compared = compare_outputs(a, b, wide, mapping={"logits": "prob"}, summaries=(summaries(a, wide), known))
    assert compared.to_json() == compare_outputs(a, b, wide, mapping={"logits": "prob"}).to_json()


def test_scores_choose_and_tensors_do_not():
    outputs = {"logits": LOGITS[:, :, None, None], "map": RNG.normal(size=(4, 3, 2)), "labels": np.ones((4, 3), "i8")}
    known = summaries(outputs, DEFAULT)
    assert known["logits"].choices.best.shape == (40, 5)
    assert known["logits"].choices.predictions.label.tolist() == LOGITS.argmax(axis=1).tolist()
    assert known["map"].choices is known["labels"].choices is None
    assert summaries(outputs, DEFAULT, {"logits": Task.TENSOR})["logits"].choices is None
    two = summarise("y", LOGITS[:, :2], DEFAULT).choices
    assert two.best.shape == (40, 2)


def test_what_leaves_nothing_to_compare_has_no_summary():
    outputs = {"scalar": np.array(1.0), "none": np.empty((0, 3)), "complex": np.ones((2, 2), "c8"), "text": LOGITS > 0}
    assert list(summaries(outputs, DEFAULT)) == ["text"]


def test_it_holds_little_of_a_large_output(tmp_path):
    np.save(tmp_path / "y.npy", np.repeat(LOGITS, 25, axis=0).repeat(20, axis=1))
    mapped = np.load(tmp_path / "y.npy", mmap_mode="r", allow_pickle=False)
    found = summaries({"y": mapped}, DEFAULT)["y"]
    arrays = [found.choices.best, *vars(found.choices.predictions).values()]
    owners = {id(owner): owner for owner in (array if array.base is None else array.base for array in arrays)}
    assert not any(np.shares_memory(owner, mapped) for owner in owners.values())
    assert sum(owner.nbytes for owner in owners.values()) <= 64 * len(mapped) < mapped.nbytes / 10


@given(hnp.arrays("f4", (30, 5)), st.integers(1, 29))
def test_the_summary_of_the_whole_follows_from_its_pieces(scores, cut):
    whole = summarise("y", scores, DEFAULT)
    parts = [summarise("y", part, DEFAULT) for part in (scores[:cut], scores[cut:])]
    np.testing.assert_array_equal(whole.choices.best, np.concatenate([part.choices.best for part in parts]))
    counts = [int(np.isfinite(part).sum()) for part in (scores[:cut], scores[cut:])]
    square = sum(part.rms**2 * count for part, count in zip(parts, counts, strict=True))
    if math.isfinite(square) and sum(counts):
        assert whole.rms == pytest.approx(math.sqrt(square / sum(counts)), rel=1e-6)
