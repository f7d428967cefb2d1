"""The samples that a report shows: which, in which order, and what every cell makes of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

import deltann
from deltann.comparison.evidence import Arbitration
from deltann.criteria import Criteria
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.report.samples import Choice, disputed, disputes, worst_samples, worth_seeing
from deltann.runner.outputs import OutputWriter
from deltann.store import Cell, CellRecord
from deltann.testing.stored import write_against, write_arbitration, write_run

N, CLASSES = 40, 6
EXACT = np.random.default_rng(5).standard_normal((N, CLASSES))
CRASH = Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, "SIGSEGV while RUN")


def rounded(seed, exact=EXACT):
    noise = np.random.default_rng(seed).uniform(-1, 1, exact.shape)
    return (exact * (1 + 2e-7 * noise)).astype(np.float32)


def promoted(scores, sample, place, by):
    """The scores with the class at `place` (1: the second best) of a sample made the best, by `by`."""
    changed = scores.copy()
    order = np.argsort(-changed[sample])
    changed[sample, order[place]] = changed[sample, order[0]] + by
    return changed


def test_nothing_is_disputed_where_all_agree(tmp_path):
    result = deltann.load(write_run(tmp_path, {"ort": {"y": rounded(1)}, "torch": {"y": rounded(2)}}))
    assert (disputed(result), disputes(result), worst_samples(result)) == ((), (), ())
    assert worth_seeing(result, 9) == []


def test_one_a_sample_however_many_pairs_disagree(tmp_path):
    """Three cells agree and one does not, which makes three pairs."""
    odd = promoted(rounded(4), 7, 1, 0.5)
    cells = {"ort": {"y": rounded(1)}, "torch": {"y": rounded(2)}, "tvm": {"y": odd}, "tf": {"y": rounded(3)}}
    names = [f"{number}.jpg" for number in range(N)]
    run = write_run(tmp_path, {**cells, "tract": CRASH}, names=names, labels=EXACT.argmax(axis=1).tolist())
    (found,) = disputes(deltann.load(run))
    best, second, third = np.argsort(-EXACT[7])[:3].tolist()
    assert (found.index, found.name, found.output, found.kind) == (7, "7.jpg", "y", "beyond rounding")
    assert (found.expected, found.arbiter, found.wrong) == (best, None, ())
    assert [(row["candidate"], row["reference"]) for row in found.pairs] == [
        ("tvm", "ort"), ("tvm", "torch"), ("tf", "tvm")
    ]  # fmt: skip
    assert {row["sample"] for row in found.pairs} == {"7.jpg"}
    assert [choice.cell for choice in found.choices] == ["ort", "torch", "tvm", "tf"]
    assert [choice.labels for choice in found.choices] == [
        (best, second, third), (best, second, third), (second, best, third), (best, second, third)
    ]  # fmt: skip
    for choice, scores in zip(found.choices, (rounded(1), rounded(2), odd, rounded(3)), strict=True):
        assert choice.scores == tuple(float(scores[7, label]) for label in choice.labels)
        assert choice.margin == float(scores[7, choice.labels[0]]) - float(scores[7, choice.labels[1]])


def test_the_most_serious_come_first(tmp_path):
    """A tie, and three differences of several margins, one of them a row without a prediction."""
    gaps = np.diff(np.sort(EXACT)[:, -2:])[:, 0]
    tie, small, large = 11, *np.delete(np.argsort(gaps), [0, 1])[[0, -1]].tolist()
    exact, order = rounded(1), np.argsort(-EXACT[tie])
    exact[tie, order[1]] = exact[tie, order[0]] - 1e-6
    other = promoted(promoted(promoted(rounded(2), small, 1, 0.1), large, 1, 0.1), tie, 1, 1e-6)
    other[30] = np.nan
    result = deltann.load(write_run(tmp_path, {"ort": {"y": exact}, "torch": {"y": other}}))
    assert len({tie, small, large, 30}) == 4
    assert disputed(result) == (("y", 30), ("y", large), ("y", small), ("y", tie))
    found = disputes(result)
    assert [dispute.kind for dispute in found] == [*["beyond rounding"] * 3, "tie"]
    assert found[0].choices[1] == Choice("torch", (-1,), (None,), None)
    assert disputes(result, most=2) == found[:2]


def test_with_a_reference_the_pairs_that_are_judged_come_first(tmp_path):
    """Two cells that are far apart on either side of the reference, and one sample near to it."""
    reference = rounded(1)
    first, second, third = np.argsort(-reference[9])[:3]
    reference[9, [second, third]] = reference[9, first] - 0.01
    near, far = promoted(reference, 9, 1, 2.0), promoted(reference, 9, 2, 3.0)
    cells = {"ort": {"y": near}, "torch": {"y": reference}, "tvm": {"y": far}}
    run = write_run(tmp_path, cells)
    (every,) = disputes(deltann.load(run))
    assert (every.pairs[0]["candidate"], every.pairs[0]["reference"]) == ("tvm", "ort")
    (found,) = disputes(deltann.load(run, reference="torch"))
    sides = [(row["candidate"], row["reference"], row["judged"]) for row in found.pairs]
    assert sides == [("tvm", "torch", True), ("ort", "torch", True), ("tvm", "ort", False)]


def test_the_arbiter_says_who_is_wrong(tmp_path):
    """A fault goes before what rounding explains, whatever their margins."""
    wrong = promoted(rounded(4), 12, 2, 1e-3)
    run = write_run(tmp_path, {"ort": {"y": rounded(1)}, "torch": {"y": rounded(2)}, "tvm": {"y": wrong}})
    write_arbitration(run, Arbitration("tf[precision=float64]", np.arange(N), N, {"y": EXACT}, {"y": rounded(9)}))
    (found,) = disputes(deltann.load(run))
    assert (found.kind, found.wrong, found.arbiter) == ("fault", ("tvm",), int(EXACT[12].argmax()))
    assert found.expected is None
    assert len(found.pairs) == 2


def test_what_labels_do_not_fit_has_no_expected_class(tmp_path):
    """Two outputs are disputed, of which the labels fit one."""
    few, other = rounded(1)[:, :2].copy(), rounded(2)[:, :2].copy()
    other[5] = other[5, ::-1]
    cells = {"ort": {"y": rounded(1), "two": few}, "torch": {"y": promoted(rounded(2), 5, 1, 0.5), "two": other}}
    labels = [None if sample == 4 else 5 for sample in range(N)]
    found = {dispute.output: dispute for dispute in disputes(deltann.load(write_run(tmp_path, cells, labels=labels)))}
    assert (found["y"].expected, found["two"].expected) == (5, None)
    assert [len(choice.labels) for choice in found["two"].choices] == [2, 2]


def test_outputs_of_two_models_go_by_one_name(tmp_path):
    run = write_run(tmp_path, {"ort": {"y": rounded(1)}}, labels=[1] * N)
    run = write_against(run, {"ort": {"z": promoted(rounded(2), 9, 1, 0.3)}}, {"y": "z"})
    result = deltann.load(run)
    (found,) = disputes(result)
    assert (found.output, found.index, found.expected) == ("z", 9, 1)
    assert [choice.cell for choice in found.choices] == ["ort", "against:ort"]
    assert worth_seeing(result, 1) == [9]


def test_two_models_that_each_follow_their_own_float64(tmp_path):
    other = promoted(EXACT, 9, 1, 0.3)
    run = write_against(write_run(tmp_path, {"ort": {"y": rounded(1)}}), {"ort": {"y": rounded(2, other)}})
    for role, exact in (("model", EXACT), ("against", other)):
        arbiter = Arbitration("tf[precision=float64]", np.arange(N), N, {"y": exact}, {"y": rounded(9, exact)})
        write_arbitration(run, arbiter, role)
    (found,) = disputes(deltann.load(run))
    assert (found.kind, found.wrong, found.arbiter) == ("fault", ("models",), None)


def test_names_may_repeat(tmp_path):
    other = promoted(promoted(rounded(2), 3, 1, 0.5), 4, 1, 0.4)
    run = write_run(tmp_path, {"ort": {"y": rounded(1)}, "torch": {"y": other}}, names=["</script>"] * N)
    assert [(found.index, found.name) for found in disputes(deltann.load(run))] == [(3, "</script>"), (4, "</script>")]


def test_a_tensor_has_its_worst_samples(tmp_path):
    rng = np.random.default_rng(6)
    box = rng.standard_normal((N, 4, 3)).astype(np.float32)
    other = box.copy()
    for sample, by in ((3, 0.5), (30, 0.75), (9, 0.25), (8, 0.125)):
        other[sample, 1, 2] += by
    other[17, 0, 0] = np.nan
    cells = {"ort": {"box": box}, "torch": {"box": other}, "tvm": {"box": box}}
    result = deltann.load(write_run(tmp_path, cells))
    found = worst_samples(result)
    assert [(worst.candidate, worst.reference, worst.index) for worst in found[:2]] == [
        ("torch", "ort", 17), ("tvm", "torch", 17)
    ]  # fmt: skip
    assert [(worst.index, worst.max_abs) for worst in found if worst.candidate == "torch"] == [
        (17, math.inf), (30, pytest.approx(0.75, rel=1e-5)), (3, pytest.approx(0.5, rel=1e-5))
    ]  # fmt: skip
    assert {(worst.candidate, worst.reference) for worst in found} == {("torch", "ort"), ("tvm", "torch")}
    assert worth_seeing(result, 2) == [17, 30]
    assert disputes(result) == ()


def test_scores_have_worst_samples_where_labels_do_not_tell(tmp_path):
    """Numbers far off under the same label, and the opposite: a flip that says all there is."""
    off = rounded(2)
    off[6, EXACT[6].argmin()] -= 1
    run = write_run(tmp_path / "numbers", {"ort": {"y": rounded(1)}, "torch": {"y": off}})
    assert worst_samples(deltann.load(run))[0].index == 6
    close = rounded(1)
    order = np.argsort(-close[6])
    close[6, order[1]] = close[6, order[0]] - 1e-5
    flipped = close.copy()
    flipped[6, order[:2]] = flipped[6, order[1::-1]]
    none = Criteria(max_disagreement="0")
    result = deltann.load(write_run(tmp_path / "labels", {"ort": {"y": close}, "torch": {"y": flipped}}, criteria=none))
    assert result.verdict == "DIFFER"
    assert [found.index for found in disputes(result)] == [6]
    assert worst_samples(result) == ()


def test_rows_that_are_no_samples_are_left_out(tmp_path):
    """Two samples a run, and an output that has one row a run: nobody can say which sample it was."""
    run = write_run(tmp_path, {"ort": {"y": rounded(1)}, "torch": {"y": rounded(2)}})
    document = dict(run.document) | {"rows": {"model": 2}}
    run = type(run)(run.folder, document)
    for cell, sign in ((Cell("ort"), 1), (Cell("torch"), -1)):
        for file in run.outputs_folder(cell).iterdir():
            file.unlink()
        writer = OutputWriter(run.outputs_folder(cell), N, 2, batched=True)
        for number in range(N // 2):
            rows = rounded(1)[2 * number : 2 * number + 2]
            # one row in place of two
            writer.write(number, {"y": rows, "whole": sign * rows[0]}, 0.001)
        run.save_record(CellRecord(cell, Outcome(Status.OK, Stage.RUN), {}))
    result = deltann.load(run)
    assert {o.name: o.classification.disagreements for o in result.compared[0].comparison.outputs} == {
        "y": 0, "whole": N // 2,
    }  # fmt: skip
    assert (disputed(result), disputes(result), worst_samples(result)) == ((), (), ())
