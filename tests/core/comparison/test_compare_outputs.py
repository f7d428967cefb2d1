import json

import numpy as np
import pytest

from deltann.comparison.output import compare_outputs
from deltann.comparison.tolerance import parse_tolerances
from deltann.comparison.verdict import Verdict, judge
from deltann.errors import Unsupported, UsageError
from deltann.tasks import Task

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(8, 10)).astype("f4")
BOXES = RNG.normal(size=(8, 3, 4)).astype("f4")
BOTH = {"logits": LOGITS, "boxes": BOXES}


def verdict(a, b, **options):
    return judge(compare_outputs(a, b, **options)).verdict


def reasons(a, b, **options):
    judgement = judge(compare_outputs(a, b, sides=("torch", "ort"), **options))
    assert judgement.verdict is Verdict.DIFFER
    return "; ".join(judgement.reasons)


def test_equal_outputs_agree_and_every_output_is_compared():
    comparison = compare_outputs(BOTH, {name: array.copy() for name, array in BOTH.items()})
    assert judge(comparison).verdict is Verdict.AGREE
    assert [output.name for output in comparison.outputs] == ["logits", "boxes"]
    assert [output.task for output in comparison.outputs] == [Task.CLASSIFICATION, Task.TENSOR]
    assert comparison.outputs[0].classification
    assert comparison.outputs[1].classification is None


@pytest.mark.parametrize("name", list(BOTH))
def test_a_difference_in_any_one_output_is_found(name):
    """No return inside the loop over outputs: neither the first nor the last hides the other."""
    other = {**BOTH, name: BOTH[name] + np.float32(1)}
    comparison = compare_outputs(BOTH, other)
    assert len(comparison.outputs) == 2
    assert f"output '{name}'" in reasons(BOTH, other)
    assert judge(comparison).verdict is Verdict.DIFFER


def test_outputs_match_by_name_not_by_place():
    a = {"x": LOGITS, "y": LOGITS + np.float32(1)}
    assert verdict(a, {"y": a["y"], "x": a["x"]}) is Verdict.AGREE
    assert verdict(a, {"x": a["y"], "y": a["x"]}) is Verdict.DIFFER


def test_missing_and_extra_outputs_differ():
    assert "output 'boxes' is missing from ort" in reasons(BOTH, {"logits": LOGITS})
    assert "output 'boxes' is in ort only" in reasons({"logits": LOGITS}, BOTH)
    renamed = reasons({"logits": LOGITS}, {"probabilities": LOGITS})
    assert "'logits' is missing from ort" in renamed
    assert "'probabilities' is in ort only" in renamed


def test_an_empty_comparison_never_agrees():
    assert "no outputs" in reasons({}, {})
    assert "missing" in reasons(BOTH, {})
    assert "is in ort only" in reasons({}, BOTH)
    none = np.empty((0, 10), "f4")
    assert "empty in torch and ort" in reasons({"y": none}, {"y": none})
    hollow = np.empty((4, 0), "f4")
    assert "empty in torch and ort" in reasons({"y": hollow}, {"y": hollow})
    assert "empty in ort" in reasons({"y": LOGITS}, {"y": none})


def test_the_longer_side_is_not_cut():
    text = reasons({"y": LOGITS}, {"y": LOGITS[:7]})
    assert "8 samples in torch and 7 in ort" in text
    assert compare_outputs({"y": LOGITS}, {"y": LOGITS[:7]}).outputs[0].numeric is None


def test_one_side_must_have_one_sample_count():
    ragged = {"logits": LOGITS, "boxes": BOXES[:5]}
    assert "different sample counts: [5, 8]" in reasons(ragged, ragged)


def test_an_output_without_a_sample_axis_differs():
    scalar = np.array(1.0, "f4")
    assert "no sample axis in torch and ort" in reasons({"y": scalar}, {"y": scalar})
    assert "no sample axis in ort" in reasons({"y": LOGITS}, {"y": scalar})


@pytest.mark.parametrize("dtype", ["f2", "f8", "i4"])
def test_another_dtype_differs_but_numbers_are_given(dtype):
    whole = np.round(LOGITS * 8)
    other = whole.astype(dtype)
    text = reasons({"y": whole}, {"y": other})
    assert f"its dtype is float32 in torch and {other.dtype.name} in ort" in text
    assert compare_outputs({"y": whole}, {"y": other}).outputs[0].numeric.max_abs == 0


def test_byte_order_is_no_difference():
    assert verdict({"y": LOGITS}, {"y": LOGITS.astype(">f4")}) is Verdict.AGREE


def test_trailing_ones_differ_but_numbers_are_given():
    other = {"y": LOGITS[:, :, None, None]}
    assert "a sample has shape [10] in torch and [10, 1, 1] in ort" in reasons({"y": LOGITS}, other)
    output = compare_outputs({"y": LOGITS}, other).outputs[0]
    assert output.numeric.max_abs == 0
    assert output.classification.disagreements == 0
    assert verdict(other, other) is Verdict.AGREE


def test_other_row_shapes_differ_without_numbers():
    turned = np.swapaxes(BOXES, 1, 2)
    assert "a sample has shape [3, 4] in torch and [4, 3] in ort" in reasons({"y": BOXES}, {"y": turned})
    assert compare_outputs({"y": BOXES}, {"y": turned}).outputs[0].numeric is None
    assert "shape [10]" in reasons({"y": LOGITS[:, :1].repeat(10, 1)}, {"y": LOGITS[:, :1]})


def test_mapping_renames_outputs():
    b = {"prob": LOGITS, "boxes": BOXES}
    assert verdict(BOTH, b, mapping={"logits": "prob"}) is Verdict.AGREE
    assert verdict(BOTH, b) is Verdict.DIFFER
    swapped = {"logits": BOXES, "boxes": LOGITS}
    assert verdict(BOTH, swapped, mapping={"logits": "boxes", "boxes": "logits"}) is Verdict.AGREE


def test_a_mapped_output_is_not_used_twice():
    a = {"x": LOGITS, "y": LOGITS}
    assert "output 'y' is missing from ort" in reasons(a, {"x": LOGITS, "y": LOGITS}, mapping={"x": "y"})


@pytest.mark.parametrize("mapping", [{"logit": "prob"}, {"logits": "probs"}])
def test_mapping_an_output_that_a_side_did_not_return_is_a_difference(mapping):
    assert verdict(BOTH, {"prob": LOGITS, "boxes": BOXES}, mapping=mapping) is Verdict.DIFFER


def test_a_tolerance_for_an_output_that_a_side_did_not_return_hides_nothing():
    tolerances = parse_tolerances(["logits=1"], [])
    assert (
        "output 'logits' is in ort only"
        in compare_outputs({"boxes": BOXES}, BOTH, tolerances, sides=("torch", "ort")).problems
    )


def test_options_that_name_no_output_are_refused():
    with pytest.raises(UsageError, match="no output 'logit'"):
        parse_tolerances(["logit=1"], []).check(BOTH)
    with pytest.raises(UsageError, match="task for 'logit'"):
        compare_outputs(BOTH, BOTH, tasks={"logit": Task.TENSOR})
    with pytest.raises(UsageError, match="classification takes float scores"):
        compare_outputs(BOTH, BOTH, tasks={"boxes": Task.CLASSIFICATION})


def test_a_task_can_be_overridden():
    output = compare_outputs(BOTH, BOTH, tasks={"logits": Task.TENSOR}).outputs[0]
    assert (output.task, output.classification) == (Task.TENSOR, None)


@pytest.mark.parametrize("dtype", ["c8", "U3"])
def test_what_cannot_be_compared_is_named(dtype):
    with pytest.raises(Unsupported, match="output 'y' of a"):
        compare_outputs({"y": LOGITS.astype(dtype)}, {"y": LOGITS})


def test_the_default_tolerance_follows_the_scale_of_the_reference():
    (output,) = compare_outputs({"y": LOGITS}, {"y": LOGITS}).outputs
    (scaled,) = compare_outputs({"y": LOGITS * 1000}, {"y": LOGITS * 1000}).outputs
    assert scaled.tolerance.atol == pytest.approx(1000 * output.tolerance.atol)
    assert output.tolerance.source == "default for float32"


def test_json_holds_everything_and_no_nan():
    bad = LOGITS.copy()
    bad[0, 0], bad[1, 1] = np.nan, np.inf
    huge = np.array([[1.7e308, 0]])
    comparison = compare_outputs({"y": LOGITS, "z": huge}, {"y": bad, "z": -huge})
    data = json.loads(json.dumps(comparison.to_json(), allow_nan=False))
    y, z = data["outputs"]
    assert y["numeric"]["nonfinite_one_side"] == 2
    assert y["classification"]["flips"][0]["margin_b"] is None
    assert y["classification"]["flips"][0]["kind"] == "beyond rounding"
    assert z["numeric"]["max_abs"] is None
    assert z["numeric"]["outside"] == 1  # the overflow of its scale did not make the tolerance infinite
    assert data["sides"] == ["a", "b"]


def test_memory_mapped_outputs_are_compared_in_bounded_memory(tmp_path):
    import tracemalloc

    shape = (5_000, 500)
    for name in "ab":
        array = np.lib.format.open_memmap(tmp_path / f"{name}.npy", "w+", "f4", shape)
        array[:] = np.random.default_rng(3).normal(size=shape)
        array.flush()
    a, b = (np.load(tmp_path / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in "ab")
    compare_outputs({"y": a[:3]}, {"y": b[:3]})  # imports
    tracemalloc.start()
    assert verdict({"y": a}, {"y": b}) is Verdict.AGREE
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6 < 5_000 * 500 * 8
