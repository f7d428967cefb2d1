"""Keras models and tf.functions in place of an ONNX file."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
pytest.importorskip("tf2onnx")

import deltann  # noqa: E402
from deltann.comparison.precision import Precision, declared  # noqa: E402
from deltann.errors import UsageError  # noqa: E402
from deltann.model import TensorSpec  # noqa: E402
from deltann.store import Cell  # noqa: E402
from deltann_tensorflow import export  # noqa: E402
from deltann_tensorflow.export import TensorFlowExporter  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DELTANN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(3)


def two_headed():
    """Batch norm and dropout compute otherwise in training."""
    image, more = keras.Input((8, 8, 3), name="image"), keras.Input((4,), name="more")
    found = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(image))
    found = keras.layers.Dropout(0.5)(keras.layers.Flatten()(keras.layers.ReLU()(found)))
    joined = keras.layers.Concatenate()([found, more])
    return keras.Model([image, more], [keras.layers.Dense(5)(joined), keras.layers.Dense(2)(joined)])


def feeds(count=6):
    rng = np.random.default_rng(8)
    shapes = {"image": (8, 8, 3), "more": (4,)}
    return {name: rng.standard_normal((count, *shape)).astype(np.float32) for name, shape in shapes.items()}


def vectors(count=6, width=6):
    return np.random.default_rng(9).standard_normal((count, width)).astype(np.float32)


class Own(keras.Model):
    """A model of its own, which tells nothing of its inputs."""

    def __init__(self):
        super().__init__()
        self.dense, self.drop = keras.layers.Dense(3), keras.layers.Dropout(0.5)

    def call(self, first, second, training=True):
        return {"z": self.drop(self.dense(first), training=training) + second, "a": (second,)}


class Tampered(keras.Model):
    """What is traced of it is not what it computes."""

    def __init__(self, sound):
        super().__init__()
        self.dense, self.sound = keras.layers.Dense(3), sound

    def call(self, x):
        y = self.dense(x)
        return y if tf.executing_eagerly() or self.sound else y * 1.01


def test_a_keras_model_runs_without_training(tmp_path):
    model = two_headed()
    weights = [np.array(weight) for weight in model.get_weights()]
    result = deltann.compare(model, "tf,reference", inputs=feeds(), batch_size=4, out=tmp_path / "run")
    assert result.verdict == "AGREE"
    assert result.cells.environment.tolist() == ["native", "tf", "reference"]
    assert result.cells.version[0] == f"tensorflow {tf.__version__}"
    assert result.cells.actual[0]["precision"] == "float32"
    assert "exported by tf2onnx" in result.cells.actual[0]["note"]
    assert [spec.name for spec in result.run.models["model"].inputs] == ["image", "more"]
    assert all(np.array_equal(*pair) for pair in zip(weights, model.get_weights(), strict=True))
    expected = model(list(feeds().values()), training=False)
    outputs = result.run.outputs(Cell("native"))
    assert list(outputs) == ["output_0", "output_1"]
    for name, value in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(outputs[name], value, rtol=1e-5, atol=1e-6)


def test_a_model_that_knows_its_shapes_needs_none(tmp_path):
    result = deltann.compare(two_headed(), "reference", inputs="random:4", out=tmp_path / "run")
    assert result.verdict == "AGREE"


def test_sequences_of_layers_are_models(tmp_path):
    """With recurrence and indices; one that names its input, whose name a shape has to use."""
    layers = [keras.layers.Embedding(10, 4), keras.layers.LSTM(3), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((7,), dtype="int32", name="ids"), *layers])
    with pytest.raises(UsageError, match="Sequential: 'x' is no input of the model, which takes: ids"):
        deltann.compare(model, "reference", inputs="random:6", shape={"x": (1, 7)}, out=tmp_path / "no")
    result = deltann.compare(model, "reference", inputs="random:6", out=tmp_path / "run")
    assert result.verdict == "AGREE"
    (spec,) = result.run.models["model"].inputs
    assert (spec.name, spec.dtype, spec.shape) == ("ids", "int32", (1, 7))


def test_a_model_of_ones_own_is_fed_by_the_names_of_its_call(tmp_path):
    arrays = {"second": vectors(6, 3), "first": vectors()}
    result = deltann.compare(Own(), "reference", inputs=arrays, evidence="noise", out=tmp_path / "run")
    assert result.verdict == "AGREE"
    assert result.cells.symptom[0] is None
    assert [spec.name for spec in result.run.models["model"].inputs] == ["first", "second"]
    assert [spec.name for spec in result.run.models["model"].outputs] == ["z", "a.0"]


@pytest.mark.parametrize(("sound", "verdict"), [(False, "DIFFER"), (True, "AGREE")])
def test_an_export_that_changes_the_model_is_caught(tmp_path, sound, verdict):
    pytest.importorskip("torch")  # the arbiter's
    model = Tampered(sound)
    result = deltann.compare(model, "reference", inputs=vectors(), evidence="arbiter", out=tmp_path / "run")
    assert result.verdict == verdict
    assert {name for blame in result.blamed for name in blame.names} == (set() if sound else {"the export"})


@pytest.mark.parametrize("kind", ["open", "signature", "concrete", "fixed", "plain"])
def test_functions_of_tensorflow_are_models(tmp_path, kind):
    weight = tf.constant(np.random.default_rng(4).standard_normal((6, 4)), tf.float32)

    def function(x):
        return tf.nn.softmax(x @ weight)

    rows = 3 if kind == "fixed" else None
    spec = tf.TensorSpec((rows, 6), tf.float32)
    model = tf.function(function) if kind in ("open", "concrete") else tf.function(function, input_signature=[spec])
    if kind == "concrete":
        model = model.get_concrete_function(spec)
    if kind == "plain":
        model = type("Callable", (tf.Module,), {"__call__": lambda _, x: function(x)})()
    result = deltann.compare(model, "reference", inputs=vectors(), out=tmp_path / "run")
    assert result.verdict == "AGREE"
    (spec,) = result.run.models["model"].inputs
    assert (spec.name, spec.shape) == ("x", (rows or 1, 6))


def test_a_function_without_shapes_needs_them(tmp_path):
    double = tf.function(lambda x: x * 2)
    with pytest.raises(UsageError, match=r"the shape of its input 'x' is not known .*: give arrays"):
        deltann.compare(double, "reference", inputs="random:4", out=tmp_path / "run")
    result = deltann.compare(double, "reference", inputs="random:4", shape={"x": (1, 6)}, out=tmp_path / "run")
    assert result.verdict == "AGREE"


def test_an_input_passed_on_is_an_output_of_its_own(tmp_path):
    result = deltann.compare(tf.function(lambda x: {"x": x, "y": x + 1}), "reference", inputs=vectors(),
                             out=tmp_path / "run")  # fmt: skip
    assert result.verdict == "AGREE"
    outputs = result.run.outputs(Cell("native"))
    assert list(outputs) == ["output_x", "y"]
    np.testing.assert_array_equal(outputs["output_x"], vectors())


def test_what_tf2onnx_does_not_know_is_named(tmp_path, capfd):
    bessel = tf.function(lambda x: tf.math.bessel_i0e(x))
    with pytest.raises(UsageError, match=r"cannot be exported: fails onnx\.checker: No Op registered for BesselI0e"):
        deltann.compare(bessel, "reference", inputs=vectors(), out=tmp_path / "run")
    assert "BesselI0e" not in capfd.readouterr().err


def test_what_the_model_itself_refuses_is_told(tmp_path):
    square = tf.function(lambda x: tf.linalg.matmul(x, x))
    with pytest.raises(UsageError, match=r"cannot be exported: ValueError: .*Dimensions must be equal"):
        deltann.compare(square, "reference", inputs=vectors(), out=tmp_path / "run")


def test_the_same_model_gives_the_same_bytes(tmp_path):
    model, digests = two_headed(), set()
    exporter = TensorFlowExporter()
    inputs = [replace(spec, shape=("batch", *spec.shape[1:])) for spec in exporter.inputs(model, ())]
    for number in range(3):
        path = tmp_path / f"{number}.onnx"
        exporter.export(model, inputs, path)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


def on(*kinds):
    values = [f"/job:localhost/replica:0/task:0/device:{kind}:0" if kind else "" for kind in kinds]
    return [SimpleNamespace(device=value) for value in values]


def test_the_device_is_that_of_the_outputs():
    """A GPU that is there and not used is not told."""
    assert export._places([tf.constant(1.0), tf.Variable(2.0)]) == [
        tf.DeviceSpec.from_string(tf.constant(1.0).device).device_type.lower()
    ]
    assert export._places(on("CPU", "GPU", "CPU")) == ["cpu", "gpu"]
    assert export._places(on("")) == []


@pytest.mark.parametrize(
    ("precision", "capability", "enabled", "override", "told"),
    [
        ("float32", (9, 0), True, None, True),
        ("float32", (9, 0), False, None, False),
        ("float32", (7, 5), True, None, False),
        ("float32", (9, 0), True, "0", False),
        ("float16", (9, 0), True, None, False),
    ],
)
def test_tf32_on_a_gpu_is_stated(monkeypatch, tmp_path, precision, capability, enabled, override, told):
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    if override is not None:
        monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", override)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _kind=None: ["a GPU of a test"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _: {"compute_capability": capability})
    monkeypatch.setattr(tf.config.experimental, "tensor_float_32_execution_enabled", lambda: enabled)
    monkeypatch.setattr(export, "_precision", lambda *_: precision)
    model = tf.function(lambda x: tf.nn.softmax(x), input_signature=[tf.TensorSpec((None, 6), tf.float32, name="x")])
    notes = []
    for place in ("gpu", "cpu"):
        monkeypatch.setattr(export, "_places", lambda _, place=place: [place])
        exporter = TensorFlowExporter()
        native = exporter.export(model, [TensorSpec("x", "float32", ("batch", 6))], tmp_path / "model.onnx")
        assert native.actual["device"] == place
        notes.append(declared({}, precision, note=native.actual["note"]))
    assert notes == [Precision.TF32 if told else Precision(precision), Precision(precision)]


def test_keras_on_another_engine_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(UsageError, match="Keras runs on torch here: set KERAS_BACKEND=tensorflow"):
        deltann.compare(two_headed(), "reference", inputs=feeds(), out=tmp_path / "run")
