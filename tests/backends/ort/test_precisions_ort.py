"""ONNX Runtime in int8 and float16: close to float32 and never equal, calibrated on what is given, and repeatable."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
import onnx
import pytest
from onnx import helper

from deltann.backend import Calibrated, Tensors
from deltann.environment import Environment
from deltann.errors import Unsupported
from deltann.model import Model

sys.path.insert(0, str(Path(__file__).parent))
from ort_models import BACKEND, SHAPE, Array, batches, lower, network, operators, run, save

pytest.importorskip("onnxruntime")

QUANTISED = ("ort-int8", "ort-int8-O1", "ort-int8-dynamic")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return network(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def x() -> Array:
    return batches(1, seed=8)[0]["x"]


def _error(actual: Array, expected: Array) -> float:
    """The root mean square error, relative to the expected values' own."""
    wide = expected.astype(np.float64)
    return float(np.sqrt(np.mean((actual - wide) ** 2) / np.mean(wide**2)))


@pytest.mark.parametrize("spec", [*QUANTISED, "ort-fp16"])
def test_it_is_close_to_float_and_not_equal(spec: str, model: Model, tmp_path: Path, x: Array) -> None:
    exact = run(lower(model, "ort", tmp_path / "float"), "ort", x)
    actual = run(lower(model, spec, tmp_path / "low"), spec, x)
    assert actual.dtype == exact.dtype
    low, high = (1e-5, 2e-3) if spec == "ort-fp16" else (2e-3, 0.05)
    assert low < _error(actual, exact) < high


@pytest.mark.parametrize("spec", [*QUANTISED, "ort-fp16", "ort"])
def test_two_processes_lower_to_the_same_bytes(spec: str, model: Model, tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from ort_models import *;"
        "print(lower(load_model(Path(sys.argv[2])), sys.argv[3], Path(sys.argv[4])).digest)"
    )
    digests = []
    for seed in ("1", "2"):
        command = [
            sys.executable,
            "-c",
            script,
            str(Path(__file__).parent),
            str(model.path),
            spec,
            str(tmp_path / seed),
        ]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        digests.append(done.stdout.split()[-1])
    assert digests[0] == digests[1]


def test_static_and_dynamic_make_different_artifacts(model: Model, tmp_path: Path) -> None:
    static, dynamic = lower(model, "ort-int8", tmp_path / "s"), lower(model, "ort-int8-dynamic", tmp_path / "d")
    assert static.digest != dynamic.digest
    assert {"QLinearConv", "QuantizeLinear"} <= operators(static)
    assert {"ConvInteger", "DynamicQuantizeLinear"} <= operators(dynamic)
    assert [path.name for path in static.folder.iterdir()] == ["optimised.onnx"]


def test_a_level_stays_what_it_is(model: Model, tmp_path: Path) -> None:
    folded = {"BatchNormalization"}  # before quantising, at every level
    float_convolutions = operators(lower(model, "ort-int8-O1", tmp_path / "1"))
    assert "Conv" in float_convolutions
    assert not {"QLinearConv", *folded} & float_convolutions
    fused = operators(lower(model, "ort-O2-int8", tmp_path / "2"))
    assert "QLinearConv" in fused
    assert not {"Conv", *folded} & fused


def test_weights_are_quantised_by_channel(model: Model, tmp_path: Path) -> None:
    proto = onnx.load(lower(model, "ort-int8-O0", tmp_path / "q").folder / "optimised.onnx")
    scales = [list(t.dims) for t in proto.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    assert [32] in scales
    assert [8] in scales


def test_a_disabled_optimiser_is_not_applied_before_quantising_either(model: Model, tmp_path: Path) -> None:
    spec = "ort-int8[disabled_optimizers=ConvBNFusion]"
    assert "BatchNormalization" in operators(lower(model, spec, tmp_path / "apart"))


def test_other_samples_give_other_ranges(model: Model, tmp_path: Path, x: Array) -> None:
    env = Environment.parse("ort-int8")
    artifacts = []
    for scale in (1.0, 0.02):
        (tmp_path / str(scale)).mkdir()
        artifacts.append(BACKEND.lower_calibrated(model, env, tmp_path / str(scale), batches(scale=scale)))
    exact = run(lower(model, "ort", tmp_path / "float"), "ort", x)
    right, wrong = (_error(run(artifact, "ort-int8", x), exact) for artifact in artifacts)
    assert right < 0.05
    assert wrong > 0.5  # all that exceeds the range it was shown is cut off


class _Lazy(Sequence[Tensors]):
    """Batches made when asked for, which remembers how many were alive at once."""

    def __init__(self, count: int) -> None:
        self.count, self.served = count, 0

    @overload
    def __getitem__(self, index: int) -> Tensors: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Tensors]: ...
    def __getitem__(self, index: int | slice) -> Tensors | Sequence[Tensors]:
        assert isinstance(index, int)
        if index >= self.count:
            raise IndexError(index)
        assert index == self.served, "one after the other"
        self.served += 1
        return batches(1, seed=index)[0]

    def __len__(self) -> int:
        return self.count


def test_every_batch_is_read_once_when_its_turn_comes(model: Model, tmp_path: Path) -> None:
    lazy = _Lazy(7)
    BACKEND.lower_calibrated(model, Environment.parse("ort-int8"), tmp_path, lazy)
    assert lazy.served == 7


@pytest.mark.parametrize(
    ("spec", "samples"),
    [
        ("ort-int8", 100),
        ("ort-int8-O1[samples=7]", 7),
        ("ort[precision=int8,quantise=static]", 100),
        ("ort-int8-dynamic", 0),
        ("ort-fp16", 0),
        ("ort", 0),
    ],
)
def test_what_is_calibrated(spec: str, samples: int) -> None:
    assert isinstance(BACKEND, Calibrated)
    assert BACKEND.calibration_samples(Environment.parse(spec)) == samples


def _nan() -> Iterator[Tensors]:
    yield from batches(1)
    array = batches(1)[0]["x"].copy()
    array[1, 2, 3, 4] = np.nan
    yield {"x": array}


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([], "calibrated on the run's inputs, and got none"),
        ([{"z": np.ones(SHAPE, np.float32)}], r"samples of \['z'\], but the model takes \['x'\]"),
        ([{**batches(1)[0], "z": np.ones(1, np.float32)}], r"samples of \['x', 'z'\]"),
        (list(_nan()), "'x' holds NaN or infinity"),
    ],
)
def test_what_cannot_calibrate_is_refused(samples: list[Tensors], message: str, model: Model, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=message):
        BACKEND.lower_calibrated(model, Environment.parse("ort-int8"), tmp_path, samples)


def test_lower_alone_cannot_calibrate(model: Model, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="ort-int8 is calibrated on the run's inputs"):
        BACKEND.lower(model, Environment.parse("ort-int8"), tmp_path)
    BACKEND.lower(model, Environment.parse("ort-int8-dynamic"), tmp_path)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ort-dynamic", "write ort-int8-dynamic"),
        ("ort-fp16-dynamic", "write ort-int8-dynamic"),
        ("ort[quantise=static]", "quantise .* is for precision=int8"),
        ("ort[samples=5]", "samples is for static int8"),
        ("ort-int8-dynamic[samples=5]", "samples is for static int8"),
    ],
)
def test_options_of_a_quantisation_not_asked_for_are_refused(
    spec: str, message: str, model: Model, tmp_path: Path
) -> None:
    with pytest.raises(Unsupported, match=message):
        BACKEND.lower_calibrated(model, Environment.parse(spec), tmp_path, batches())


@pytest.mark.parametrize("spec", ["ort-int8", "ort-int8-dynamic"])
def test_nothing_to_quantise_is_unsupported(spec: str, tmp_path: Path) -> None:
    model = save(tmp_path / "model", [helper.make_node("Exp", ["x"], ["y"])], {})
    with pytest.raises(Unsupported, match="finds nothing to quantise among Exp"):
        lower(model, spec, tmp_path / "q")


@pytest.mark.parametrize("spec", ["ort-int8", "ort-int8-dynamic", "ort-fp16"])
def test_an_operator_that_ort_lacks_is_unsupported_by_name(spec: str, tmp_path: Path) -> None:
    model = save(tmp_path / "model", [helper.make_node("Foo", ["x"], ["y"], domain="com.example")], {})
    with pytest.raises(Unsupported, match=r"com\.example:Foo"):
        lower(model, spec, tmp_path / "q")


@pytest.mark.parametrize("spec", ["ort-int8", "ort-int8-dynamic", "ort-fp16"])
@pytest.mark.parametrize(("opset", "ir_version"), [(7, 3), (11, 6), (12, 7)])
def test_old_opsets_and_weights_among_the_inputs(
    spec: str, opset: int, ir_version: int, tmp_path: Path, x: Array, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)  # an engine that ran in this process may have raised it
    model = network(tmp_path / "model", opset=opset, ir_version=ir_version)
    exact = run(lower(model, "ort", tmp_path / "float"), "ort", x)
    artifact = lower(model, spec, tmp_path / "low")
    assert _error(run(artifact, spec, x), exact) < 0.05
    assert ("was converted to 13, which quantising by channel needs" in caplog.text) == (spec == "ort-int8")
    assert [value.name for value in onnx.load(artifact.folder / "optimised.onnx").graph.input] == ["x"]


def test_a_recent_opset_is_not_converted(model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    lower(model, "ort-int8", tmp_path / "q")
    assert "converted" not in caplog.text


@pytest.mark.parametrize("spec", ["ort-int8", "ort-int8-dynamic", "ort-fp16"])
def test_external_data_is_the_same_model(spec: str, model: Model, tmp_path: Path) -> None:
    apart = network(tmp_path / "model", external=True)
    assert (tmp_path / "model" / "model.bin").is_file()
    assert lower(apart, spec, tmp_path / "apart").digest == lower(model, spec, tmp_path / "whole").digest
    assert not list(tmp_path.glob("model/*-inferred*"))


@pytest.mark.parametrize("spec", ["ort-int8", "ort-int8-dynamic"])
def test_float16_weights_are_not_quantised(spec: str, tmp_path: Path) -> None:
    w = np.random.default_rng(2).standard_normal((8, 16, 1, 1)).astype(np.float16)
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=onnx.TensorProto.FLOAT16),
        helper.make_node("Conv", ["h", "w"], ["c"]),
        helper.make_node("Cast", ["c"], ["y"], to=onnx.TensorProto.FLOAT),
    ]
    model = save(tmp_path / "model", nodes, {"w": w})
    with pytest.raises(Unsupported, match="weights are float16"):
        lower(model, spec, tmp_path / "q")
    lower(model, "ort-fp16", tmp_path / "half")


def test_float16_keeps_the_types_of_inputs_and_outputs(model: Model, tmp_path: Path) -> None:
    proto = onnx.load(lower(model, "ort-fp16-O0", tmp_path / "half").folder / "optimised.onnx")
    for value in (*proto.graph.input, *proto.graph.output):
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    weights = {tensor.name: tensor.data_type for tensor in proto.graph.initializer}
    assert weights["w1"] == weights["w2"] == onnx.TensorProto.FLOAT16


def test_several_inputs_are_all_calibrated(tmp_path: Path) -> None:
    w = np.random.default_rng(3).standard_normal((8, 16, 1, 1)).astype(np.float32)
    nodes = [helper.make_node("Add", ["x", "z"], ["s"]), helper.make_node("Conv", ["s", "w"], ["y"])]
    model = save(tmp_path / "model", nodes, {"w": w}, inputs=("x", "z"))
    both = [{"x": batch["x"], "z": -3 * batch["x"]} for batch in batches()]
    env = Environment.parse("ort-int8")
    with BACKEND.load(BACKEND.lower_calibrated(model, env, tmp_path, both), env) as executable:
        actual = np.asarray(executable.run(both[0])["y"])
    exact = np.einsum("oi,nihw->nohw", w[:, :, 0, 0], (both[0]["x"] + both[0]["z"]).astype(np.float64))
    assert 1e-3 < _error(actual, exact) < 0.05
    with pytest.raises(Unsupported, match=r"samples of \['x'\]"):
        BACKEND.lower_calibrated(model, env, tmp_path, batches())
