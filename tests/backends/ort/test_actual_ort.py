"""What ONNX Runtime is said to do is what it does."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from deltann.artifact import Artifact
from deltann.backend import ACTUAL, Telling
from deltann.environment import Environment
from deltann.model import Model
from deltann_ort import executable
from deltann_ort.actual import Precision, tf32

sys.path.insert(0, str(Path(__file__).parent))
from ort_models import BACKEND, batches, lower, network, save

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return network(tmp_path_factory.mktemp("model"))


def _actual(artifact: Artifact, spec: str) -> dict[str, str]:
    with BACKEND.load(artifact, Environment.parse(spec)) as executable:
        executable.run(batches(1)[0])
        assert isinstance(executable, Telling)
        facts = dict(executable.actual())
    assert set(facts) <= set(ACTUAL)
    assert all(facts.values())
    return facts


def test_float32_on_the_cpu(model: Model, tmp_path: Path) -> None:
    facts = _actual(lower(model, "ort", tmp_path / "a"), "ort[threads=1]")
    assert facts == {"precision": "float32", "threads": "1", "device": "CPUExecutionProvider"}


@pytest.mark.parametrize(
    ("spec", "precision", "ignored"),
    [
        ("ort-int8", "int8", ""),
        ("ort-int8-dynamic", "int8", ""),
        ("ort-int8-O2", "int8", ""),
        ("ort-int8-O1", "float32", "precision=int8: 2 of 2 Conv/Gemm/MatMul run in float32, between QuantizeLinear"),
    ],
)
def test_int8_is_int8_where_the_level_fuses_it(
    spec: str, precision: str, ignored: str, model: Model, tmp_path: Path
) -> None:
    facts = _actual(lower(model, spec, tmp_path / "a"), spec)
    assert facts["precision"] == precision
    assert facts.get("ignored", "").startswith(ignored)
    assert bool(ignored) == ("ignored" in facts)


def test_float16_is_what_the_kernels_compute_in(model: Model, tmp_path: Path) -> None:
    """Casts to float32 around every Conv say that this ORT has no float16 kernel for it; else there are none."""
    artifact = lower(model, "ort-fp16", tmp_path / "a")
    graph = onnx.load(artifact.folder / "optimised.onnx").graph
    weights = {t.data_type for t in graph.initializer if len(t.dims) == 4}
    facts = _actual(artifact, "ort-fp16")
    expected = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16"}
    assert {facts["precision"]} == {expected[kind] for kind in weights}
    assert ("ignored" in facts) == (facts["precision"] != "float16")


def test_a_product_left_in_float_is_counted(tmp_path: Path) -> None:
    """Of two matrix products the dynamic quantiser takes only the one by a constant."""
    w = np.random.default_rng(1).standard_normal((8, 8)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("MatMul", ["m", "x"], ["y"])]
    model = save(tmp_path / "model", nodes, {"w": w})
    facts = _actual(lower(model, "ort-int8-dynamic", tmp_path / "a"), "ort-int8-dynamic")
    assert facts["precision"] == "float32 (1 of 2 Conv/Gemm/MatMul; int8: 1)"
    assert facts["ignored"] == "precision=int8: 1 of 2 Conv/Gemm/MatMul run in float32"


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_are_counted_not_repeated(threads: int, model: Model, tmp_path: Path) -> None:
    if not Path("/proc/self/task").is_dir():
        pytest.skip("this system does not list a process's threads")
    facts = _actual(lower(model, "ort", tmp_path / "a"), f"ort[threads={threads}]")
    assert facts["threads"] == str(threads)


def test_a_provider_that_computes_nothing_is_not_the_device(model: Model, tmp_path: Path) -> None:
    if "AzureExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has no provider that takes no node")
    spec = "ort[providers=AzureExecutionProvider+CPUExecutionProvider]"
    facts = _actual(lower(model, spec, tmp_path / "a"), spec)
    found = re.fullmatch(r"CPUExecutionProvider \((\d+) of (\d+) nodes\)", facts["device"])
    assert found is not None
    assert found[1] == found[2] != "0"


def _graph(nodes: list[onnx.NodeProto], types: dict[str, int]) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info(name, kind, None) for name, kind in types.items()]
    return helper.make_model(helper.make_graph(nodes, "graph", inputs, []))


def test_types_pass_through_what_ort_leaves_untyped() -> None:
    """Through a Cast to its own type, else on from input to output; into subgraphs too."""
    inner = helper.make_graph([helper.make_node("MatMul", ["d", "d"], ["i"])], "inner", [], [])
    nodes = [
        helper.make_node("Cast", ["h"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Relu", ["f"], ["r"]),
        helper.make_node("MatMul", ["r", "r"], ["m"]),
        helper.make_node("MatMul", ["h", "h"], ["k"]),
        helper.make_node("If", ["b"], ["o"], then_branch=inner, else_branch=inner),
    ]
    types = {"h": TensorProto.FLOAT16, "d": TensorProto.DOUBLE, "b": TensorProto.BOOL}
    found = Precision.of(_graph(nodes, types))
    assert found.counts == Counter({"float64": 2, "float32": 1, "float16": 1})
    assert str(found) == "float64 (2 of 4 Conv/Gemm/MatMul; float16: 1, float32: 1)"


def test_without_products_all_nodes_count() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Cast", ["r"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Exp", ["h"], ["e"]),
        helper.make_node("Tanh", ["h"], ["t"]),
    ]
    found = Precision.of(_graph(nodes, {"x": TensorProto.FLOAT}))
    assert str(found) == "float16 (2 of 3 nodes; float32: 1)"
    assert str(Precision.of(_graph([helper.make_node("Not", ["x"], ["y"])], {"x": TensorProto.BOOL}))) == ""


@pytest.mark.parametrize(("allowed", "told"), [("1", True), ("0", False)])
def test_tf32_is_noted_where_the_provider_allows_it(allowed: str, told: bool) -> None:
    options = {"CUDAExecutionProvider": {"use_tf32": allowed}, "CPUExecutionProvider": {}}
    session = SimpleNamespace(get_providers=lambda: list(options), get_provider_options=lambda: options)
    assert ("CUDAExecutionProvider may compute" in tf32(session)) == told


def test_a_thread_that_ends_meanwhile_is_not_taken_from_the_count(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/proc/self/task").is_dir():
        pytest.skip("this system does not list a process's threads")
    end, opened = threading.Event(), executable.open_session
    other = threading.Thread(target=end.wait)
    other.start()

    def open_session(*arguments: Any) -> Any:
        listed = Path(f"/proc/self/task/{other.native_id}")
        end.set()
        other.join()
        while listed.exists():  # a joined thread is listed for a moment longer
            time.sleep(0.001)
        return opened(*arguments)

    monkeypatch.setattr(executable, "open_session", open_session)
    facts = _actual(lower(model, "ort", tmp_path / "a"), "ort[threads=1]")
    assert facts["threads"] == "1"
