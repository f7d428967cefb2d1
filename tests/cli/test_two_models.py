"""`--against`: two files under each environment, their outputs matched by name."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from deltann.testing.models import MODELS
from deltann.testing.tiny import build, normal, tensor

BACKENDS = "reference,faulty"


@pytest.fixture
def against(cli, tmp_path):
    """`against(first, second, …)` compares two files under `backends`, four samples."""

    def invoke(first, second, *more, backends=BACKENDS, inputs="random:4"):
        files = []
        for name, proto in (("first", first), ("second", second)):
            files.append(tmp_path / f"{name}.onnx")
            onnx.save_model(proto, files[-1])
        return cli("compare", "--model", files[0], "--against", files[1], "--backends", backends,
                   "--inputs", inputs, "--out", tmp_path / "run", "--json", "-", *more)  # fmt: skip

    return invoke


def copy(name="classifier"):
    """A fresh proto of a tiny model."""
    proto = onnx.ModelProto()
    proto.CopyFrom(MODELS[name]().proto)
    return proto


def sabotaged(amount):
    """The classifier with one of its weights changed."""
    proto = copy()
    weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "w")
    values = numpy_helper.to_array(weight).copy()
    values[3, 4] += amount
    weight.CopyFrom(numpy_helper.from_array(values, "w"))
    return proto


def renamed(proto, old, new):
    """The same model with an output under another name."""
    for node in proto.graph.node:
        node.output[:] = [new if name == old else name for name in node.output]
        node.input[:] = [new if name == old else name for name in node.input]
    for output in proto.graph.output:
        output.name = new if output.name == old else output.name
    return proto


def reasons(done):
    """All reasons of all pairs."""
    return " | ".join(reason for pair in done.json["pairs"] for reason in pair["reasons"])


def test_a_model_agrees_with_its_copy_under_each_environment(against):
    done = against(copy(), copy())
    assert done.code == 0
    assert [(pair["candidate"], pair["reference"]) for pair in done.json["pairs"]] == [
        ("against:reference", "reference"),
        ("against:faulty", "faulty"),
    ]


def test_one_environment_is_enough(against):
    assert against(copy(), copy(), backends="reference").code == 0


def test_one_changed_weight_is_a_difference(against):
    done = against(copy(), sabotaged(0.5), backends="reference")
    assert done.code == 1
    assert "outside the tolerance" in reasons(done)


def test_a_weight_changed_by_less_than_rounding_is_none(against):
    assert against(copy(), sabotaged(1e-7), backends="reference").code == 0


def test_a_missing_and_an_extra_output_are_differences(against):
    short = copy("two_outputs")
    del short.graph.output[0]
    less = against(copy("two_outputs"), short, backends="reference")
    assert (less.code, "'z_scores' is in reference only" in reasons(less)) == (1, True)


def test_an_extra_output_is_a_difference(against):
    short = copy("two_outputs")
    del short.graph.output[0]
    more = against(short, copy("two_outputs"), backends="reference")
    assert (more.code, "'z_scores' is missing from reference" in reasons(more)) == (1, True)


def test_a_renamed_output_is_a_difference(against):
    done = against(copy(), renamed(copy(), "y", "probabilities"), backends="reference")
    assert done.code == 1
    assert "'probabilities'" in reasons(done)


def test_a_renamed_output_that_is_mapped_is_none(against):
    done = against(copy(), renamed(copy(), "y", "probabilities"), "--map-outputs", "y=probabilities")
    assert done.code == 0, reasons(done)
    outputs = [output["name"] for pair in done.json["pairs"] for output in pair["comparison"]["outputs"]]
    assert outputs == ["probabilities", "probabilities"]


def test_a_mapping_to_the_wrong_output_is_a_difference(against):
    proto = copy("two_outputs")
    done = against(proto, copy("two_outputs"), "--map-outputs", "z_scores=a_features",
                   "--map-outputs", "a_features=z_scores", backends="reference")  # fmt: skip
    assert done.code == 1


@pytest.mark.parametrize(
    ("mapping", "lists"),
    [("logits=y", "outputs: y"), ("y=logits", "outputs: y"), ("y", "OLD=NEW"), ("=y", "OLD=NEW")],
)
def test_a_mapping_of_what_is_not_there(against, mapping, lists):
    assert lists in against(copy(), copy(), "--map-outputs", mapping).error


def test_a_retyped_output_is_a_difference(against):
    proto = renamed(copy(), "y", "y32")
    proto.graph.node.append(helper.make_node("Cast", ["y32"], ["y"], to=onnx.TensorProto.DOUBLE))
    del proto.graph.output[:]
    proto.graph.output.append(tensor("y", "batch", 10, dtype=np.float64))
    done = against(copy(), proto, backends="reference")
    assert done.code == 1
    assert "its dtype is float64 in against:reference and float32 in reference" in reasons(done)


def _linear(rows, dtype):
    weights = {"w": normal(np.random.default_rng(8), 6, 4).astype(dtype)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Cast", ["m"], ["y"], to=1)]
    return build(nodes, [tensor("x", rows, 6, dtype=dtype)], [tensor("y", rows, 4)], weights)


@pytest.mark.parametrize(("first", "second"), [(1, "batch"), ("batch", 1), (2, "batch"), ("batch", 4)])
def test_a_fixed_batch_against_a_dynamic_one(against, first, second):
    done = against(_linear(first, np.float32), _linear(second, np.float32), "--batch-size", 3,
                   backends="reference", inputs="random:5")  # fmt: skip
    assert done.code == 0, reasons(done)


@pytest.mark.parametrize(("atol", "code"), [(0.05, 0), (0, 1)])
def test_float16_against_float32_is_fed_the_same_numbers(against, atol, code):
    """Within half precision they agree; with no tolerance the precision of the weights shows."""
    done = against(_linear("batch", np.float32), _linear("batch", np.float16), "--rtol", 0, "--atol", atol,
                   backends="reference")  # fmt: skip
    assert done.code == code, reasons(done)


def test_random_inputs_that_would_not_be_the_same_are_refused(against):
    wider = build(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [tensor("x", "batch", 7)], [tensor("y", "batch", 4)], {"w": normal(np.random.default_rng(8), 7, 4)},
    )  # fmt: skip
    assert "would not be the same" in against(_linear("batch", np.float32), wider).error


def test_random_tokens_from_tables_of_other_sizes_are_refused(against):
    def embedding(words):
        weights = {"table": normal(np.random.default_rng(8), words, 4)}
        nodes = [helper.make_node("Gather", ["table", "x"], ["g"]), helper.make_node("Flatten", ["g"], ["y"])]
        return build(nodes, [tensor("x", "batch", 3, dtype=np.int64)], [tensor("y", "batch", 12)], weights)

    assert "would not be the same" in against(embedding(50), embedding(90)).error


def test_a_reference_does_not_go_with_two_models(against):
    assert "--reference" in against(copy(), copy(), "--reference", "faulty").error


def test_identical_artifacts_prove_that_two_models_are_one_and_are_told(against, cli, tmp_path):
    pytest.importorskip("onnxruntime")
    done = against(copy(), copy(), backends="ort")
    assert (done.code, done.json["identical_artifacts"]) == (0, [["ort", "against:ort"]])
    assert [pair["judged"] for pair in done.json["pairs"]] == [True]
    assert "lowered to identical artifacts; here the two models are one" in cli("report", tmp_path / "run").out


def test_two_models_that_lower_differently_have_no_such_proof(against):
    pytest.importorskip("onnxruntime")
    done = against(copy(), sabotaged(1e-7), backends="ort")
    assert (done.code, done.json["identical_artifacts"]) == (0, [])
