"""ONNX through the `tf` table and TensorFlow's converter into LiteRT, in float32 and quantised."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import ModelProto
from onnx.helper import make_node
from onnx.reference import ReferenceEvaluator

from deltann.artifact import Artifact
from deltann.backend import Calibrated, Telling, Tensors, calibration_samples, formats, settings
from deltann.environment import Environment
from deltann.errors import Unavailable, Unsupported, UsageError
from deltann.model import Model, load_model
from deltann.testing.models import MODELS
from deltann.testing.tiny import TinyModel, build, normal, tensor, uniform
from deltann_tflite import TfliteBackend
from deltann_tflite.content import content_of
from deltann_tflite.lowering import MODEL, lacking

for module in ("ai_edge_litert", "tensorflow", "tflite"):
    pytest.importorskip(module)

BACKEND = TfliteBackend()
KERNELS = ("optimised", "builtin", "reference")
ROWS = 2
Arrays = dict[str, npt.NDArray[Any]]


def conv_net() -> ModelProto:
    """Two convolutions and a product, all of 1024 weights or more, so that dynamic quantisation takes them."""
    rng = np.random.default_rng(41)
    weights = {
        "w1": normal(rng, 40, 3, 3, 3),
        "b1": uniform(rng, -0.5, 0.5, 40),
        "w2": normal(rng, 24, 40, 3, 3),
        "b2": uniform(rng, -0.5, 0.5, 24),
        "w3": normal(rng, 50, 24),
        "b3": uniform(rng, -0.5, 0.5, 50),
    }
    nodes = [
        make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1], strides=[2, 2]),
        make_node("Relu", ["c1"], ["r1"]),
        make_node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1, 0, 0, 1]),
        make_node("Relu", ["c2"], ["r2"]),
        make_node("GlobalAveragePool", ["r2"], ["g"]),
        make_node("Flatten", ["g"], ["f"]),
        make_node("Gemm", ["f", "w3", "b3"], ["logits"], transB=1),
    ]
    inputs, outputs = (
        [tensor("x", "batch", 3, 12, 10)],
        [tensor("logits", "batch", 50), tensor("r1", "batch", 40, 6, 5)],
    )
    return build(nodes, inputs, outputs, weights)


def batch(seed: int, scale: float = 1.0) -> Arrays:
    x = np.random.default_rng(seed).standard_normal((ROWS, 3, 12, 10)) * scale
    return {"x": x.astype(np.float32)}


CALIBRATION = [batch(seed) for seed in range(100, 120)]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return TinyModel("conv_net", conv_net(), lambda feed: feed).save(tmp_path_factory.mktemp("net"))


@pytest.fixture(scope="module")
def artifacts(net: Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    specs = ("tflite", "tflite-fp16", "tflite-dynamic", "tflite-int8")
    return {spec: lower(net, spec, tmp_path_factory.mktemp("artifacts")) for spec in specs}


def lower(model: Model, spec: str, folder: Path, batches: list[Arrays] = CALIBRATION) -> Artifact:
    environment = Environment.parse(spec)
    if calibration_samples(BACKEND, environment):
        return BACKEND.lower_calibrated(model, environment, folder, batches)
    return BACKEND.lower(model, environment, folder)


@contextmanager
def loaded(artifact: Artifact, spec: str = "tflite") -> Iterator[Any]:
    with BACKEND.load(artifact, Environment.parse(spec)) as executable:
        yield executable


def outputs_of(artifact: Artifact, inputs: Tensors, spec: str = "tflite") -> Arrays:
    with loaded(artifact, spec) as executable:
        return dict(executable.run(inputs))


def told_by(artifact: Artifact, inputs: Tensors, spec: str = "tflite") -> dict[str, str]:
    with loaded(artifact, spec) as executable:
        assert isinstance(executable, Telling)
        executable.run(inputs)
        return dict(executable.actual())


def expected(model: Model, inputs: Arrays) -> Arrays:
    evaluator = ReferenceEvaluator(model.proto())
    return dict(zip(evaluator.output_names, evaluator.run(None, inputs), strict=True))


def error(outputs: Arrays, wanted: Arrays, name: str = "logits") -> float:
    """Root mean square of the difference over that of what is wanted."""
    return float(np.linalg.norm(outputs[name] - wanted[name]) / np.linalg.norm(wanted[name]))


def test_float32_is_float32(net: Model, artifacts: dict[str, Artifact]) -> None:
    assert set(content_of(artifacts["tflite"].folder / MODEL).weights) == {"float32"}
    for kernels in KERNELS:
        outputs = outputs_of(artifacts["tflite"], batch(1), f"tflite[kernels={kernels}]")
        wanted = expected(net, batch(1))
        assert list(outputs) == ["logits", "r1"]
        for name, array in wanted.items():
            assert outputs[name].shape == array.shape
            assert outputs[name].dtype == np.float32
            np.testing.assert_allclose(outputs[name], array, atol=2e-5)


def test_each_precision_costs_what_it_is_known_to(net: Model, artifacts: dict[str, Artifact]) -> None:
    wanted = expected(net, batch(1))
    errors = {spec: error(outputs_of(artifact, batch(1)), wanted) for spec, artifact in artifacts.items()}
    assert errors["tflite"] < 1e-6
    assert 1e-5 < errors["tflite-fp16"] < 1e-3
    assert 1e-3 < errors["tflite-dynamic"] < 0.05
    assert 1e-3 < errors["tflite-int8"] < 0.05
    assert len({artifact.digest for artifact in artifacts.values()}) == 4


def test_what_each_precision_stores_and_computes(artifacts: dict[str, Artifact]) -> None:
    found = {spec: content_of(artifact.folder / MODEL) for spec, artifact in artifacts.items()}
    assert [content.precision for content in found.values()] == ["float32", "float16", "dynamic", "int8"]
    assert [content.arithmetic() for content in found.values()] == ["float32", "float32", "int8", "int8"]
    assert found["tflite"].stored() == ""
    assert found["tflite-fp16"].stored() == "weights stored 100 % in float16"
    assert found["tflite-int8"].stored() == "weights stored 100 % in int8"
    assert found["tflite-dynamic"].weights["int8"] > 0.9 * found["tflite-dynamic"].weights.total()
    assert found["tflite-int8"].computed == {"int8": 3}
    assert found["tflite-dynamic"].computed == {"hybrid": 3}


def test_calibration_on_other_inputs_shows(net: Model, artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    """Ranges from samples a hundred times too small saturate everything; those of like samples hardly differ."""
    wanted = expected(net, batch(1))
    right = error(outputs_of(artifacts["tflite-int8"], batch(1)), wanted)
    (tmp_path / "small").mkdir()
    (tmp_path / "like").mkdir()
    small = lower(net, "tflite-int8", tmp_path / "small", [batch(seed, 0.01) for seed in range(100, 120)])
    like = lower(net, "tflite-int8", tmp_path / "like", [batch(seed) for seed in range(200, 220)])
    assert error(outputs_of(small, batch(1)), wanted) > 10 * right
    assert error(outputs_of(like, batch(1)), wanted) < 2 * right
    assert len({artifacts["tflite-int8"].digest, small.digest, like.digest}) == 3


def test_calibration_is_asked_for(net: Model, tmp_path: Path) -> None:
    assert isinstance(BACKEND, Calibrated)
    asked = {
        spec: calibration_samples(BACKEND, Environment.parse(spec))
        for spec in ("tflite", "tflite-fp16", "tflite-dynamic", "tflite-int8", "tflite-int8[samples=7]")
    }
    assert list(asked.values()) == [0, 0, 0, 100, 7]
    with pytest.raises(ValueError, match="calibrated"):
        BACKEND.lower(net, Environment.parse("tflite-int8"), tmp_path)
    with pytest.raises(UsageError, match="samples=0"):
        settings(BACKEND, Environment.parse("tflite-int8[samples=0]"))


def test_samples_that_nothing_is_calibrated_on_are_refused_and_not_ignored(net: Model) -> None:
    for spec in ("tflite[samples=5]", "tflite-dynamic[samples=5]"):
        assert "samples is for tflite-int8" in str(BACKEND.unsupported(net, Environment.parse(spec)))
    assert BACKEND.unsupported(net, Environment.parse("tflite-int8[samples=5]")) is None


def test_kernels_are_other_kernels(artifacts: dict[str, Artifact]) -> None:
    """Float results differ in the last digits, so the resolver is another one, and the plan says which."""
    outputs = {k: outputs_of(artifacts["tflite"], batch(1), f"tflite[kernels={k}]")["logits"] for k in KERNELS}
    assert np.any(outputs["optimised"] != outputs["reference"])
    np.testing.assert_allclose(outputs["optimised"], outputs["reference"], atol=1e-5)
    devices = [told_by(artifacts["tflite"], batch(1), f"tflite[kernels={k}]")["device"] for k in KERNELS]
    assert devices == ["CPU, XNNPACK in 1 part", "CPU, builtin kernels", "CPU, reference kernels"]


def test_kernels_are_a_step_or_two_apart_where_quantised(artifacts: dict[str, Artifact]) -> None:
    """What tells a kernel's fault from quantisation loss: all kernels compute with the same integers."""
    optimised, builtin, reference = (
        outputs_of(artifacts["tflite-int8"], batch(1), f"tflite[kernels={kernels}]") for kernels in KERNELS
    )
    other = outputs_of(artifacts["tflite-int8"], batch(2))
    for name, wanted in reference.items():
        levels = np.unique(wanted)
        step = np.diff(levels).min()
        assert len(levels) < 256
        assert np.abs(optimised[name] - wanted).max() < 2.5 * step
        assert np.abs(builtin[name] - wanted).max() < 2.5 * step
        assert np.abs(other[name] - wanted).max() > 5 * step, "the measure cannot tell anything apart"


def test_threads_are_told_as_they_are(artifacts: dict[str, Artifact]) -> None:
    def told(options: str) -> tuple[str, str]:
        facts = told_by(artifacts["tflite"], batch(1), f"tflite[{options}]")
        return facts["threads"], facts.get("ignored", "")

    assert told("kernels=optimised,threads=1") == ("1", "")
    assert told("kernels=optimised,threads=3") == ("3", "")
    assert told("kernels=reference,threads=3") == ("1", "threads=3: LiteRT started no further thread")


def test_a_quantisation_that_quantises_nothing_is_told(tmp_path: Path) -> None:
    """The converter leaves weights of fewer than 1024 elements in float32, and says nothing."""
    tiny = MODELS["two_outputs"]()
    model = tiny.save(tmp_path)
    samples = tiny.samples(model, ROWS, 3)
    facts = told_by(lower(model, "tflite-dynamic", tmp_path), samples, "tflite-dynamic")
    assert facts["precision"] == "float32"
    assert facts["ignored"].startswith("precision=dynamic: no weights are stored in int8")
    assert "1024" in facts["ignored"]


def test_what_was_followed_is_not_told_as_ignored(artifacts: dict[str, Artifact]) -> None:
    for spec, artifact in artifacts.items():
        assert "ignored" not in told_by(artifact, batch(1), spec), spec


def test_other_floats_than_float32_are_declared_as_before(tmp_path: Path) -> None:
    tiny = MODELS["float16"]()
    model = tiny.save(tmp_path)
    samples = tiny.samples(model, ROWS, 3)
    artifact = lower(model, "tflite", tmp_path)
    outputs = outputs_of(artifact, samples)
    assert outputs["y"].dtype == np.float16
    np.testing.assert_allclose(outputs["y"], tiny.expected(samples)["y"], atol=2e-3)
    assert told_by(artifact, samples)["note"] == "float16 of the model is computed in float32"


@pytest.mark.parametrize("name", ["mixed_inputs", "odd_names", "two_outputs"])
def test_int8_keeps_names_types_and_order(name: str, tmp_path: Path) -> None:
    tiny = MODELS[name]()
    model = tiny.save(tmp_path)
    artifact = lower(model, "tflite-int8", tmp_path, [tiny.samples(model, ROWS, seed) for seed in range(20)])
    outputs = outputs_of(artifact, tiny.samples(model, ROWS, 30))
    wanted = tiny.answers(model, tiny.samples(model, ROWS, 30))
    assert [(key, array.dtype, array.shape) for key, array in outputs.items()] == [
        (key, array.dtype, array.shape) for key, array in wanted.items()
    ]
    floats = [key for key, array in wanted.items() if array.dtype == np.float32]
    assert floats
    for key in floats:
        np.testing.assert_allclose(outputs[key], wanted[key], atol=0.1)


def test_tensorflow_kernels_are_never_used(tmp_path: Path) -> None:
    """TFLite has no operator for this one, and its converter would offer TensorFlow's ("flex")."""
    proto = build([make_node("Erf", ["x"], ["y"])], [tensor("x", "batch", 3)], [tensor("y", "batch", 3)], {})
    model = TinyModel("erf", proto, lambda feed: feed).save(tmp_path)
    with pytest.raises(
        Unsupported, match=r"^TFLite has no operator for Erf; such as tf\.Erf\(tensor<2x3xf32>\)"
    ) as told:
        lower(model, "tflite", tmp_path)
    assert "\n" not in str(told.value)
    assert "ops_select" in str(told.value.__cause__), "the converter's own words are lost"


def test_the_converters_reason_is_shortened() -> None:
    several = (
        "Could not translate MLIR to FlatBuffer.error: 'tf.Erfinv' op is neither a custom op nor a flex op\n"
        "Some ops are not supported by the native TFLite runtime, you can enable TF kernels fallback\n"
        "TF Select ops: AddV2, MatMul\nDetails:\n\ttf.AddV2(tensor<3xf64>, tensor<f64>) -> (tensor<3xf64>) : {}\n"
        "Some ops in the model are custom ops\nCustom ops: Digamma\nDetails:\n\ttf.Digamma(tensor<3xf32>)\n"
    )
    assert lacking(several) == (
        "TFLite has no operator for AddV2, MatMul, Digamma; such as tf.AddV2(tensor<3xf64>, tensor<f64>) -> "
        "(tensor<3xf64>)"
    )
    bare = "error: 'tf.Erfinv' op is neither a custom op nor a flex op\n" * 2
    assert lacking(bare) == "TFLite has no operator for Erfinv"
    kind = "<unknown>:0: error: Failed to convert element type 'f8E4M3FN': Unsupported type\n"
    assert lacking(kind) == "TFLite has no element type f8E4M3FN"
    illegal = "model.py:21:1: error: failed to legalize operation 'tf.Identity' that was explicitly marked illegal\n"
    assert lacking(illegal) == "the converter finds no TFLite form for tf.Identity as it stands here"
    assert lacking("error: something else") is None


def test_an_operator_that_nobody_knows_is_unsupported(tmp_path: Path) -> None:
    proto = build([make_node("Relu", ["x"], ["y"])], [tensor("x", "batch", 3)], [tensor("y", "batch", 3)], {})
    proto.graph.node[0].op_type = "Frobnicate"
    proto.graph.node[0].domain = "com.example"
    opset = proto.opset_import.add()
    opset.domain, opset.version = "com.example", 1
    model = TinyModel("unknown", proto, lambda feed: feed).save(tmp_path)
    assert "Frobnicate" in str(BACKEND.unsupported(model, Environment.parse("tflite")))
    with pytest.raises(Unsupported, match="Frobnicate"):
        lower(model, "tflite", tmp_path)


@pytest.mark.parametrize("spec", ["tflite", "tflite-int8"])
def test_inputs_that_nothing_reads_and_outputs_that_nothing_computes(spec: str, tmp_path: Path) -> None:
    nodes = [
        make_node("Relu", ["x"], ["twice"]),
        make_node("Relu", ["x"], ["again"]),
        make_node("Identity", ["c"], ["constant"]),
        make_node("Identity", ["x"], ["same"]),
    ]
    outputs = [tensor(name, "batch", 3) for name in ("same", "twice", "again")] + [tensor("constant", 3)]
    inputs = [tensor("unread", "batch", 2, dtype=np.int64), tensor("x", "batch", 3)]
    proto = build(nodes, inputs, outputs, {"c": np.array([-1, 2, 5], np.float32)})
    model = TinyModel("passing", proto, lambda feed: feed).save(tmp_path)
    feed: Arrays = {"x": np.array([[-1, 0.5, 1], [2, 1, -2]], np.float32), "unread": np.zeros((2, 2), np.int64)}
    got = outputs_of(lower(model, spec, tmp_path, [feed]), feed)
    assert list(got) == ["same", "twice", "again", "constant"]
    np.testing.assert_allclose(got["same"], feed["x"], atol=0.02)
    np.testing.assert_allclose(got["twice"], np.maximum(feed["x"], 0), atol=0.02)
    np.testing.assert_array_equal(got["again"], got["twice"])
    np.testing.assert_allclose(got["constant"], [-1, 2, 5], atol=0.02)


SATURATED = pytest.mark.xfail(raises=AssertionError, reason="the converter's float16 holds 65504 for an infinity")


@pytest.mark.parametrize("spec", ["tflite", pytest.param("tflite-fp16", marks=SATURATED), "tflite-dynamic"])
def test_infinities_stay_infinite(spec: str, tmp_path: Path) -> None:
    weights = {"low": np.array([-np.inf, 0, np.inf], np.float32)}
    proto = build(
        [make_node("Add", ["x", "low"], ["y"])], [tensor("x", "batch", 3)], [tensor("y", "batch", 3)], weights
    )
    model = TinyModel("masked", proto, lambda feed: feed).save(tmp_path)
    y = outputs_of(lower(model, spec, tmp_path), {"x": np.ones((2, 3), np.float32)})["y"]
    np.testing.assert_array_equal(y, [[-np.inf, 1, np.inf]] * 2)


def test_inputs_without_dimensions(tmp_path: Path) -> None:
    proto = build([make_node("Mul", ["x", "s"], ["y"])], [tensor("x", 3), tensor("s")], [tensor("y", 3)], {})
    model = TinyModel("scaled", proto, lambda feed: feed, rows=None).save(tmp_path)
    feed = {"x": np.array([-1, 2, 0.5], np.float32), "s": np.array(4, np.float32)}
    np.testing.assert_array_equal(outputs_of(lower(model, "tflite", tmp_path), feed)["y"], [-4, 8, 2])


def test_a_type_that_litert_does_not_hand_over_is_unsupported(tmp_path: Path) -> None:
    declared = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.INT4, ["batch", 3])
    node = make_node("Cast", ["x"], ["y"], to=onnx.TensorProto.INT4)
    proto = build([node], [tensor("x", "batch", 3)], [declared], {}, opset=21, ir_version=10)
    with pytest.raises(Unsupported, match="'y' is of type int4"):
        lower(TinyModel("int4", proto, lambda feed: feed).save(tmp_path), "tflite", tmp_path)


def test_without_tensorflow_only_its_converter_is_missing(
    net: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert BACKEND.unsupported(net, Environment.parse("tflite")) is None
    with pytest.raises(Unavailable, match=r"pip install 'deltann\[tflite\]'"):
        lower(net, "tflite", tmp_path)


def test_it_reads_both_formats() -> None:
    assert formats(BACKEND) == ("onnx", "tflite")


def test_an_artifact_is_a_model_of_its_own(net: Model, artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    """What was made of ONNX loads as a `.tflite` source too, and gives the same numbers."""
    path = tmp_path / "made.tflite"
    path.write_bytes((artifacts["tflite-int8"].folder / MODEL).read_bytes())
    model = load_model(path)
    assert [spec.static_shape for spec in model.inputs] == [spec.static_shape for spec in net.inputs]
    (tmp_path / "work").mkdir()
    again = outputs_of(lower(model, "tflite", tmp_path / "work"), {"input_0000": batch(1)["x"]})
    outputs = outputs_of(artifacts["tflite-int8"], batch(1))
    np.testing.assert_array_equal(again["output_0000"], outputs["logits"])
    np.testing.assert_array_equal(again["output_0001"], outputs["r1"])
