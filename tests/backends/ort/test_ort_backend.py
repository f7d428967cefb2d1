"""ONNX Runtime: levels that differ, options that act, refusals by name."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deltann.artifact import Artifact
from deltann.environment import Environment
from deltann.errors import Unavailable, Unsupported
from deltann.model import Model, load_model
from deltann_ort import OrtBackend

onnxruntime = pytest.importorskip("onnxruntime")

BACKEND = OrtBackend()
LEVELS = ("O0", "O1", "O2", "O3")


def _save(folder: Path, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], opset: int = 17) -> Model:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 16, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, list("abcd"))
    tensors = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "graph", [x], [y], tensors)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.example", 1)]
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return load_model(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Work for each level: a constant to fold, BatchNormalization (O1), Conv and Relu to fuse (O2), a layout (O3)."""
    rng = np.random.default_rng(3)
    weights = {"w": rng.standard_normal((32, 16, 3, 3)), "shift": rng.standard_normal(32)}
    weights |= {"mean": rng.standard_normal(32), "scale": 1 + rng.random(32), "var": 0.5 + rng.random(32)}
    weights |= {"a": rng.standard_normal((1,)), "b": rng.standard_normal((1,))}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Add", ["a", "b"], ["ab"]),
        helper.make_node("Mul", ["r", "ab"], ["y"]),
    ]
    return _save(tmp_path_factory.mktemp("model"), nodes, weights)


def _lower(model: Model, spec: str, folder: Path) -> Artifact:
    folder.mkdir()
    return BACKEND.lower(model, Environment.parse(spec), folder)


def _run(artifact: Artifact, spec: str, x: np.ndarray) -> np.ndarray:
    with BACKEND.load(artifact, Environment.parse(spec)) as executable:
        return np.asarray(executable.run({"x": x})["y"])


def test_levels_have_different_artifacts_and_one_function(model: Model, tmp_path: Path) -> None:
    artifacts = {level: _lower(model, f"ort-{level}", tmp_path / level) for level in LEVELS}
    assert len({artifact.digest for artifact in artifacts.values()}) == len(LEVELS)
    x = np.random.default_rng(4).standard_normal((2, 16, 8, 8)).astype(np.float32)
    outputs = [_run(artifact, f"ort-{level}", x) for level, artifact in artifacts.items()]
    assert np.ptp(outputs[0]) > 1
    for output in outputs[1:]:
        np.testing.assert_allclose(output, outputs[0], rtol=1e-4, atol=1e-4)


def test_the_stored_graph_is_what_a_session_computes_by_itself(model: Model, tmp_path: Path) -> None:
    x = np.random.default_rng(5).standard_normal((2, 16, 8, 8)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
    ours = _run(_lower(model, "ort", tmp_path / "ort"), "ort", x)
    np.testing.assert_array_equal(ours, session.run(None, {"x": x})[0])


def test_the_default_is_o3(model: Model, tmp_path: Path) -> None:
    assert _lower(model, "ort", tmp_path / "a").digest == _lower(model, "ort-O3", tmp_path / "b").digest


def test_a_disabled_optimiser_is_not_applied(model: Model, tmp_path: Path) -> None:
    fused = _lower(model, "ort-O1", tmp_path / "fused")
    spec = "ort-O1[disabled_optimizers=ConvBNFusion]"
    apart = _lower(model, spec, tmp_path / "apart")

    def operators(artifact: Artifact) -> list[str]:
        return [node.op_type for node in onnx.load(artifact.folder / "optimised.onnx").graph.node]

    assert "BatchNormalization" not in operators(fused)
    assert "BatchNormalization" in operators(apart)


def test_an_optimiser_that_ort_has_not_is_refused(model: Model, tmp_path: Path) -> None:
    for number, names in enumerate(("NoSuchThing", "NoSuchThing+ConvBNFusion")):
        with pytest.raises(Unsupported, match=r"NoSuchThing changes nothing, and .* no such name"):
            _lower(model, f"ort-O1[disabled_optimizers={names}]", tmp_path / str(number))


def test_a_disabled_optimiser_with_nothing_to_do_is_told(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)  # an engine that ran in this process may have raised it
    plain = _lower(model, "ort-O1", tmp_path / "plain")
    idle = _lower(model, "ort-O1[disabled_optimizers=GemmSumFusion]", tmp_path / "idle")
    assert idle.digest == plain.digest
    assert [path.name for path in (tmp_path / "idle").iterdir()] == ["optimised.onnx"]
    assert "disabled_optimizers=GemmSumFusion changes nothing" in caplog.text
    caplog.clear()
    _lower(model, "ort-O1[disabled_optimizers=ConvBNFusion]", tmp_path / "busy")
    assert not caplog.text


@pytest.mark.parametrize(
    ("spec", "refused"),
    [
        ("ort:cuda[providers=CPUExecutionProvider]", True),
        ("ort:cuda[providers=CPUExecutionProvider+CUDAExecutionProvider]", True),
        ("ort:cpu[providers=CUDAExecutionProvider]", True),
        ("ort:cuda[providers=TensorrtExecutionProvider+CUDAExecutionProvider]", False),
        ("ort:cpu[providers=CPUExecutionProvider]", False),
        ("ort[providers=CUDAExecutionProvider]", False),
        ("ort:cuda", False),
    ],
)
def test_providers_of_another_device_than_the_named_are_refused(
    model: Model, tmp_path: Path, spec: str, refused: bool
) -> None:
    reason = BACKEND.unsupported(model, Environment.parse(spec))
    assert (reason is not None) == refused
    if refused:
        with pytest.raises(Unsupported, match=r"ExecutionProvider does not run on c\w+, whose providers are"):
            _lower(model, spec, tmp_path / "refused")


def test_a_model_beyond_protobufs_limit_is_unsupported(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only its external data can bring it there."""
    path = tmp_path / "model.onnx"
    onnx.save_model(model.proto(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    outside = load_model(path).bind({spec.name: spec.static_shape for spec in model.inputs})
    assert outside.external() == (tmp_path / "weights.bin",)
    assert model.external() == ()
    size = outside.proto().ByteSize()
    monkeypatch.setattr(onnx.checker, "MAXIMUM_PROTOBUF", size + 1)
    _lower(outside, "ort", tmp_path / "fits")
    monkeypatch.setattr(onnx.checker, "MAXIMUM_PROTOBUF", size)
    with pytest.raises(Unsupported, match="exceeds 2 GB"):
        _lower(outside, "ort", tmp_path / "large")


def test_threads_reach_the_session(model: Model, tmp_path: Path) -> None:
    artifact = _lower(model, "ort", tmp_path / "ort")
    for spec, threads in (("ort[threads=1]", 1), ("ort[threads=2]", 2)):
        with BACKEND.load(artifact, Environment.parse(spec)) as executable:
            assert executable._session.get_session_options().intra_op_num_threads == threads


def test_a_provider_that_is_not_there_is_unavailable_and_never_the_cpu(model: Model, tmp_path: Path) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    for number, spec in enumerate(("ort:cuda", "ort[providers=CUDAExecutionProvider+CPUExecutionProvider]")):
        with pytest.raises(Unavailable, match=r"has no CUDAExecutionProvider; it has .*CPUExecutionProvider"):
            _lower(model, spec, tmp_path / str(number))


def test_an_operator_it_lacks_is_unsupported_by_name(tmp_path: Path) -> None:
    model = _save(tmp_path, [helper.make_node("Foo", ["x"], ["y"], domain="com.example")], {})
    with pytest.raises(Unsupported, match=r"com\.example:Foo"):
        _lower(model, "ort", tmp_path / "ort")
