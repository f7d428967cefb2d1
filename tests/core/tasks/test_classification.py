import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deltann.errors import UsageError
from deltann.tasks.classification import NO_PREDICTION, Accuracy, accuracy, best_classes, predictions

SCORES = hnp.arrays("f4", st.tuples(st.integers(1, 6), st.integers(2, 8)), elements=st.integers(-3, 3).map(float))


@given(SCORES)
def test_predictions_equal_the_definition(scores):
    found = predictions(scores)
    for row, label, score, margin in zip(scores, found.label, found.score, found.margin, strict=True):
        best = max(range(len(row)), key=lambda i: (row[i], -i))
        assert (label, score) == (best, row[best])
        assert margin == score - sorted(row)[-2] >= 0


def test_a_nan_row_has_no_prediction():
    found = predictions(np.array([[1, np.nan, 3], [1, 2, 3]], "f4"))
    assert found.label.tolist() == [NO_PREDICTION, 2]
    assert np.isnan(found.score[0])
    assert np.isnan(found.margin[0])


def test_infinities_tie():
    found = predictions(np.array([[np.inf, np.inf, 0], [1, np.inf, 0]], "f2"))
    assert found.label.tolist() == [0, 1]
    assert found.margin.tolist() == [0, np.inf]


@pytest.mark.parametrize("dtype", ["f2", "f8", ">f4", "i8", "u1", "bool"])
@given(data=st.data())
def test_best_classes_equal_the_definition(dtype, data):
    low, high = {"bool": (0, 1), "u1": (0, 255)}.get(dtype, (-4, 4))
    numbers = st.integers(low, high)
    infinite = dtype in ("f2", "f8", ">f4")
    elements = numbers | st.sampled_from([-np.inf, np.inf]) if infinite else numbers
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(2, 8)))
    scores = data.draw(hnp.arrays(dtype, shape, elements=elements))
    k = data.draw(st.integers(1, shape[1]))
    before = scores.copy()
    best = best_classes(scores, k).tolist()
    assert best == [sorted(range(len(row)), key=lambda i: (-float(row[i]), i))[:k] for row in scores]
    assert (scores == before).all()


def test_integers_beyond_float64_are_ranked_exactly():
    assert best_classes(np.array([[2**62, 2**62 + 1, 2**62 - 1]]), 3).tolist() == [[1, 0, 2]]


@pytest.mark.parametrize("k", [1, 3])
def test_no_place_of_a_nan_row_is_a_class(k):
    scores = np.array([[-np.inf, np.nan, -np.inf], [-np.inf, -np.inf, -np.inf]], "f4")
    assert best_classes(scores, k).tolist() == [[NO_PREDICTION] * k, [0, 1, 2][:k]]


def test_blocks_of_rows_do_not_change_predictions(monkeypatch):
    scores = np.random.default_rng(0).normal(size=(50, 7)).astype("f2")
    scores[::9, 2], scores[::8, 3], scores[::10] = np.nan, -np.inf, -np.inf
    whole, best = predictions(scores), best_classes(scores, 5)
    monkeypatch.setattr("deltann.tasks.classification.PIECE", 20)
    assert (best_classes(scores, 5) == best).all()
    for parts in (predictions(scores), predictions(scores, best)):
        for name in ("label", "score", "margin"):
            np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def one_hot(labels, classes):
    scores = np.zeros((len(labels), classes), "f4")
    scores[range(len(labels)), labels] = 1
    return predictions(scores)


def test_accuracy_counts_labelled_samples_only():
    found = one_hot([3, 1, 2, 0], 10)
    assert accuracy(found, 10, [3, 1, 0, None]) == Accuracy(2, 3)
    assert accuracy(found, 10, [3, 1, 2, 0]).rate == 1


def test_a_sample_without_prediction_is_never_correct():
    found = predictions(np.full((2, 3), np.nan, "f4"))
    assert accuracy(found, 3, [0, 2], offset=0).correct == 0


def test_the_1000_1001_trap_is_refused_and_named():
    found = one_hot([1, 501, 1000], 1001)
    with pytest.raises(UsageError, match="--label-offset 1"):
        accuracy(found, 1001, [0, 500, 999])
    assert accuracy(found, 1001, [0, 500, 999], offset=1).rate == 1
    assert accuracy(found, 1001, [0, 500, 999], offset=0).rate == 0
    assert accuracy(found, 1001, [1, 501, 1000]).rate == 1
    assert accuracy(one_hot([0, 500, 999], 1000), 1000, [0, 500, 999]).rate == 1


@pytest.mark.parametrize(
    ("labels", "offset"), [([0, 5, 10], None), ([0, -1, 2], None), ([0, 1, 9], 1), ([1, 0, 2], -1)]
)
def test_a_label_without_an_output_names_its_sample(labels, offset):
    with pytest.raises(UsageError, match=r"sample [12]: label -?\d+.* outside the model's classes 0–9"):
        accuracy(one_hot([0, 1, 2], 10), 10, labels, offset)


def test_labels_must_match_the_samples():
    found = one_hot([0, 1], 3)
    with pytest.raises(UsageError, match="1 labels for 2 samples"):
        accuracy(found, 3, [0])
    with pytest.raises(UsageError, match="3 labels for 2 samples"):
        accuracy(found, 3, [0, 1, 2])
    with pytest.raises(UsageError, match="no sample has a label"):
        accuracy(found, 3, [None, None])
