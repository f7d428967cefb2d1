"""What the adapter takes, refuses and hands back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, parser

from deltann.artifact import Artifact
from deltann.environment import Environment
from deltann.errors import Unavailable, Unsupported, UsageError
from deltann.model import Model
from deltann_tvm import TvmBackend
from deltann_tvm.frontend import missing_operators

sys.path.insert(0, str(Path(__file__).parent))
from tvm_models import save, value

pytest.importorskip("tvm")

BACKEND = TvmBackend()
TVM = Environment.parse("tvm")


def two_outputs(folder: Path) -> Model:
    """An integer input, an input that nothing reads, and outputs in an order of their own."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("ReduceSum", ["rows", "axes"], ["z_sum"], keepdims=0),
        helper.make_node("Mul", ["z_sum", "z_sum"], ["a_square"]),
    ]
    weights = {
        "table": np.random.default_rng(2).standard_normal((9, 4)).astype(np.float32),
        "axes": np.array([1], np.int64),
    }
    return save(
        folder,
        nodes,
        [value("unread", 2), value("ids", 3, 5, kind=TensorProto.INT32)],
        [value("z_sum", 3, 4), value("a_square", 3, 4)],
        weights,
    )


@pytest.fixture(scope="module")
def lowered(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return BACKEND.lower(two_outputs(tmp_path_factory.mktemp("m")), TVM, tmp_path_factory.mktemp("a"))


def feed(seed: int) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(seed).integers(0, 9, (3, 5)).astype(np.int32)
    return {"unread": np.zeros(2, np.float32), "ids": ids}


def test_outputs_by_their_own_names_in_order(lowered: Artifact) -> None:
    with BACKEND.load(lowered, TVM) as program:
        outputs = program.run(feed(0))
    assert list(outputs) == ["z_sum", "a_square"]
    np.testing.assert_allclose(outputs["a_square"], outputs["z_sum"] ** 2, rtol=1e-6)


def test_a_later_run_leaves_earlier_outputs_alone(lowered: Artifact) -> None:
    with BACKEND.load(lowered, TVM) as program:
        first = program.run(feed(0))["z_sum"]
        kept = first.copy()
        second = program.run(feed(1))["z_sum"]
    np.testing.assert_array_equal(first, kept)
    assert not np.array_equal(first, second)


def test_memory_mapped_inputs(lowered: Artifact, tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", feed(3)["ids"])
    mapped = {**feed(3), "ids": np.load(tmp_path / "ids.npy", mmap_mode="r")}
    with BACKEND.load(lowered, TVM) as program:
        np.testing.assert_array_equal(program.run(mapped)["z_sum"], program.run(feed(3))["z_sum"])


@pytest.mark.parametrize("wrong", [np.zeros((3, 4), np.int32), np.zeros((3, 5), np.int64)])
def test_wrong_inputs_are_named(lowered: Artifact, wrong: np.ndarray) -> None:
    with BACKEND.load(lowered, TVM) as program, pytest.raises(UsageError, match="'ids' is int"):
        program.run({**feed(0), "ids": wrong})


def test_missing_operators_are_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("StringNormalizer", ["x"], ["y"])]
    model = save(tmp_path, nodes, [value("x", 2)], [value("y", 2)], {})
    assert BACKEND.unsupported(model, TVM) == "TVM's ONNX frontend lacks StringNormalizer"
    with pytest.raises(Unsupported, match="StringNormalizer"):
        BACKEND.lower(model, TVM, tmp_path)


def test_what_the_importer_refuses_is_unsupported_in_its_own_words(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)]
    model = save(tmp_path, nodes, [value("x", 2, 3), value("axes", 1, kind=TensorProto.INT64)], [value("y", 2)], {})
    with pytest.raises(Unsupported, match="TVM's importer: Only constant axes"):
        BACKEND.lower(model, TVM, tmp_path)


def test_what_goes_wrong_in_the_importer_is_let_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("max() arg is an empty sequence")

    monkeypatch.setattr("tvm.relax.frontend.onnx.from_onnx", fail)
    model = save(tmp_path, [helper.make_node("Relu", ["x"], ["y"])], [value("x", 2)], [value("y", 2)], {})
    with pytest.raises(ValueError, match="empty sequence"):
        BACKEND.lower(model, TVM, tmp_path)


def test_known_operators_are_not_refused(tmp_path: Path) -> None:
    assert BACKEND.unsupported(two_outputs(tmp_path), TVM) is None


def test_unknown_element_types_and_opsets_are_named(tmp_path: Path) -> None:
    model = two_outputs(tmp_path)
    odd = replace(model, inputs=(replace(model.inputs[0], dtype="bfloat16"),))
    assert "bfloat16 ('unread')" in str(BACKEND.unsupported(odd, TVM))
    assert "opset 99" in str(BACKEND.unsupported(replace(model, opset=99), TVM))


def test_tuning_is_refused_with_its_reason(tmp_path: Path) -> None:
    reason = BACKEND.unsupported(two_outputs(tmp_path), Environment.parse("tvm-tuned[trials=4]"))
    assert reason is not None
    assert "MetaSchedule" in reason
    assert "\n" not in reason


def test_trials_are_refused_where_nothing_is_tuned(tmp_path: Path) -> None:
    model = two_outputs(tmp_path)
    for spec in ("tvm[trials=4]", "tvm-O0[trials=64]"):
        assert "trials is for tvm-tuned" in str(BACKEND.unsupported(model, Environment.parse(spec)))
    assert BACKEND.unsupported(model, Environment.parse("tvm-O0[threads=1]")) is None


def test_missing_operators_of_functions_and_domains_are_named() -> None:
    text = """<ir_version: 8, opset_import: ["": 17, "own": 1, "odd": 1]>
    agraph (float[2] x, bool c) => (float[2] y) {
       h = own.f(x)
       y = If (c) <then_branch = t () => (float[2] a) { a = odd.Relu(h) },
                   else_branch = e () => (float[2] b) { b = Relu(h) }>
    }
    <domain: "own", opset_import: ["": 17]> f (x) => (y) { s = Softsign(x) y = RandomNormalLike(s) }"""
    assert missing_operators(parser.parse_model(text)) == ["RandomNormalLike", "odd::Relu"]


def test_no_compiler_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"PATH": "", "CXX": "", "CC": ""}.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(Unavailable, match=r"install g\+\+"):
        BACKEND.lower(two_outputs(tmp_path), TVM, tmp_path)


def test_code_for_another_cpu_is_not_run(lowered: Artifact, tmp_path: Path) -> None:
    lowering = json.loads((lowered.folder / "lowering.json").read_text())
    lowering["target"]["mcpu"] = "some-other-cpu"
    (tmp_path / "lowering.json").write_text(json.dumps(lowering))
    moved = replace(lowered, folder=tmp_path)
    with pytest.raises(Unavailable, match="some-other-cpu"), BACKEND.load(moved, TVM):
        pass


_COUNT = """
import sys, threading
from pathlib import Path
import numpy as np
from deltann.artifact import Artifact
from deltann.environment import Environment
from deltann_tvm import TvmBackend
from deltann_tvm.frontend import missing_operators
from deltann_tvm.frontend import import_tvm
folder, spec = sys.argv[1:]
artifact = Artifact.of(Path(folder), ["lib.so", "lowering.json"])
import_tvm()
idle = len(list(Path("/proc/self/task").iterdir()))
with TvmBackend().load(artifact, Environment.parse(spec)) as program:
    program.run({"x": np.ones((256, 256), np.float32)})
    import tvm
    print(tvm.runtime.num_threads(), len(list(Path("/proc/self/task").iterdir())) - idle)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
@pytest.mark.parametrize("threads", [1, 2])
def test_threads_take_effect(tmp_path: Path, threads: int) -> None:
    if threads > len(os.sched_getaffinity(0)):
        pytest.skip("this machine has too few cores")
    nodes = [helper.make_node("Exp", ["x"], ["y"])]
    model = save(tmp_path, nodes, [value("x", 256, 256)], [value("y", 256, 256)], {})
    spec = f"tvm[threads={threads}]"
    BACKEND.lower(model, Environment.parse(spec), tmp_path)
    counted = subprocess.run(
        [sys.executable, "-c", _COUNT, str(tmp_path), spec], capture_output=True, text=True, check=True
    )
    asked, created = map(int, counted.stdout.split())
    assert asked == threads
    assert created == threads - 1, "the caller's own thread works too"


def test_more_threads_than_cores_are_refused(lowered: Artifact) -> None:
    spec = Environment.parse("tvm[threads=4096]")
    with pytest.raises(UsageError, match="at most one for each core"), BACKEND.load(lowered, spec):
        pass
