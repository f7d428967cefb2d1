"""torch on CUDA: nothing is left on the CPU, what is missing is said, TF32 is stated. CUDA is imitated where it is not.

torch can follow tensors without data through a program and tell where each result lies (`FakeTensorMode`). Of the
devices that it knows by name only `lazy` needs no driver for that; it stands for a GPU here: tensors there do not mix
with the CPU's.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from deltann.environment import Environment
from deltann.errors import Unavailable, Unsupported
from deltann.lowering.graph import read_graph
from deltann.model import Model, load_model
from deltann.testing.node_tests import array, each, node_tests
from deltann_torch import TorchBackend

torch = pytest.importorskip("torch", reason="the torch backend needs torch")

from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode  # noqa: E402
from torch._subclasses.fake_tensor import DynamicOutputShapeException as DynamicShape  # noqa: E402

from deltann_torch import build, compilation, lowering  # noqa: E402
from deltann_torch.dtypes import to_torch  # noqa: E402
from deltann_torch.executable import _Executable  # noqa: E402
from deltann_torch.table import find  # noqa: E402

BACKEND = TorchBackend()
GPU = "lazy"
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")


@pytest.fixture
def model(tmp_path: Path) -> Model:
    w = np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32)
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2, n]) for name, n in (("x", 4), ("y", 3)))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Tanh", ["m"], ["y"])]
    graph = helper.make_graph(nodes, "graph", [x], [y], [numpy_helper.from_array(w, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    return load_model(tmp_path / "m.onnx")


def placed(case: Any, monkeypatch: pytest.MonkeyPatch) -> set[str] | None:
    """The devices of a node test's outputs where inputs and constants lie on `GPU`; None where only data tells.

    Raises:
        RuntimeError: torch met tensors of both devices.
    """
    given = [each(to_torch, array(value)) for value in case.data_sets[0][0]]
    graph = read_graph(case.model)
    known: dict[int, Any] = {}
    literal = build._literal
    # Shapes and axes that the test feeds are read from the host; what has no data here is looked up.
    monkeypatch.setattr(build, "_literal", lambda tensor: literal(known.get(id(tensor), tensor)))
    metas = {n: each(lambda t: t.to("meta"), value) for n, value in zip(graph.inputs, given, strict=False)}
    module = build.build(graph, metas, None, torch.device("cpu"), eager=True)
    mode = FakeTensorMode(allow_non_fake_inputs=True)

    def put(tensor: Any) -> Any:
        with mode:
            return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=GPU)

    for part in module.modules():
        for name, buffer in list(part.named_buffers(recurse=False)):
            setattr(part, name, put(buffer))
    inputs = [each(put, value) for value in given]
    known |= {id(there): here for there, here in zip(inputs, given, strict=True) if isinstance(here, torch.Tensor)}
    try:
        with mode:
            outputs = module(*inputs)
    except (DataDependentOutputException, DynamicShape):
        return None
    return {tensor.device.type for tensor in _tensors(outputs)}


def _tensors(value: Any) -> list[Any]:
    return [t for item in value for t in _tensors(item)] if isinstance(value, tuple | list) else [value]


def test_the_table_leaves_nothing_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, set[str] | None] = {}
    operators = {}
    for case in (param.values[0] for param in node_tests({}) if not param.marks):
        try:
            with monkeypatch.context() as patch:
                found[case.name] = placed(case, patch)
        except Unsupported:
            continue
        operators[case.name] = case.model.graph.node[0]
    followed = {name: devices for name, devices in found.items() if devices is not None}
    assert len(followed) > 400
    strayed = {operators[name].op_type for name, devices in followed.items() if devices != {GPU}}
    # These make a tensor of no tensor, which the builder then moves (the next test).
    assert strayed == {"ConstantOfShape", "MelWeightMatrix"}
    opset = onnx.defs.onnx_opset_version()
    for operator in (*strayed, "OptionalHasElement", "SequenceLength"):
        entry = find(operator, "", opset)
        assert entry is not None
        assert entry.traits["made"]


def test_a_tensor_left_on_the_cpu_would_be_seen() -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        there, here = torch.ones(3, device=GPU), torch.ones(3)
        with pytest.raises(RuntimeError, match="same device"):
            there + here


def test_what_is_made_of_no_tensor_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shape that only the data tells: what ConstantOfShape makes is moved, and on the CPU it is not touched."""
    shape = helper.make_tensor_value_info("s", onnx.TensorProto.INT64, [2])
    out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = read_graph(
        helper.make_model(
            helper.make_graph([helper.make_node("ConstantOfShape", ["s"], ["y"])], "graph", [shape], [out]),
            opset_imports=[helper.make_opsetid("", 17)],
        )
    )
    metas = {"s": torch.zeros(2, dtype=torch.int64, device="meta")}
    monkeypatch.setattr(build, "_literal", lambda _shape: [2, 3])
    monkeypatch.setattr(build.Inference, "__call__", lambda *_: None)
    for device, moved in (("cpu", False), (GPU, True)):
        module = build.build(graph, metas, None, torch.device(device), eager=True)
        with FakeTensorMode(allow_non_fake_inputs=True):
            (made,) = module(torch.tensor([2, 3], device=device))
            assert made.device.type == (GPU if moved else "cpu")


def test_outputs_on_another_device_are_an_error(model: Model, tmp_path: Path) -> None:
    work, env = tmp_path / "work", Environment.parse("torch")
    work.mkdir()
    x = np.zeros((2, 4), np.float32)
    with BACKEND.load(BACKEND.lower(model, env, work), env) as program:
        assert isinstance(program, _Executable)
        assert program.run({"x": x})["y"].shape == (2, 3)
        astray = replace(program, module=lambda *_: (torch.ones(2, 3, device="meta"),))
        with pytest.raises(RuntimeError, match="cpu was asked for, but outputs were made on meta"):
            astray.run({"x": x})


@without_cuda
@pytest.mark.parametrize("spec", ["torch:cuda", "torch-compile:cuda"])
def test_no_gpu_is_unavailable_and_never_the_cpu(model: Model, spec: str, tmp_path: Path) -> None:
    env = Environment.parse(spec)
    with (
        pytest.raises(Unavailable, match="sees no CUDA device"),
        BACKEND.load(BACKEND.lower(model, env, tmp_path), env),
    ):
        pass


def _with_gpu(monkeypatch: pytest.MonkeyPatch, fault: Exception | None = None) -> None:
    class Ones:
        def add_(self, _number: int) -> Ones:
            return self

        def item(self) -> float:
            if fault is not None:
                raise fault
            return 2.0

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "a GPU of a test")
    monkeypatch.setattr(torch, "ones", lambda *_args, **_options: Ones())


def test_a_gpu_that_this_torch_has_no_code_for_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_gpu(monkeypatch, RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore"))
    with pytest.raises(Unavailable, match=r"cannot compute on a GPU of a test: CUDA error: no kernel image .* device$"):
        lowering.device_of(Environment.parse("torch:cuda"))


def test_a_gpu_whose_memory_is_taken_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_gpu(monkeypatch, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(torch.OutOfMemoryError):
        lowering.device_of(Environment.parse("torch:cuda"))


@pytest.mark.parametrize(
    "fault",
    [
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: uncorrectable ECC error encountered",
        "CUDA error: device-side assert triggered",
        "CUDA error: unspecified launch failure",
    ],
)
def test_a_gpu_that_breaks_is_a_finding_and_no_skip(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_gpu(monkeypatch, RuntimeError(f"{fault}\nCUDA kernel errors might be asynchronously reported"))
    with pytest.raises(RuntimeError, match=fault):
        lowering.device_of(Environment.parse("torch:cuda"))


@pytest.mark.parametrize(
    "fault",
    [
        "CUDA error: device kernel image is invalid",
        "CUDA error: the provided PTX was compiled with an unsupported toolchain.",
        "CUDA driver version is insufficient for CUDA runtime version",
    ],
)
def test_a_driver_and_a_build_that_do_not_go_together_are_unavailable(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_gpu(monkeypatch, RuntimeError(fault))
    with pytest.raises(Unavailable, match="cannot compute on a GPU of a test"):
        lowering.device_of(Environment.parse("torch:cuda"))


def test_a_gpu_that_computes_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_gpu(monkeypatch)
    assert lowering.device_of(Environment.parse("torch:cuda")) == torch.device("cuda")


@pytest.mark.parametrize(
    ("triton", "compiler", "said"),
    [(False, True, "Triton, which is not installed: pip install triton"), (True, False, "needs a C compiler for CUDA")],
)
def test_inductor_on_cuda_says_what_it_lacks(
    triton: bool, compiler: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(compilation, "find_spec", lambda _name: object() if triton else None)
    monkeypatch.setattr(compilation.shutil, "which", lambda name: name if compiler else None)
    with pytest.raises(Unavailable, match=said):
        compilation.compiled(torch.nn.Identity(), torch.device("cuda"))


def test_inductor_on_cuda_needs_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "find_spec", lambda _name: object())
    monkeypatch.setattr(compilation.shutil, "which", lambda name: name)
    monkeypatch.setattr(torch, "compile", lambda module, dynamic: ("compiled", module, dynamic))
    assert compilation.compiled("module", torch.device("cuda")) == ("compiled", "module", False)


NEW_API = """
import torch
from deltann_torch.executable import tf32
torch.cuda.get_device_capability = lambda _device: (9, 0)
said = lambda: tf32("float32", torch.device("cuda"))
torch.backends.cuda.matmul.fp32_precision = "tf32"
torch.backends.cudnn.conv.fp32_precision = "ieee"
print(said())
torch.backends.cuda.matmul.fp32_precision = "ieee"
torch.backends.cudnn.rnn.fp32_precision = "ieee"
print(said() or "none")
torch.backends.cudnn.conv.fp32_precision = "tf32"
print(said())
"""


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="this torch knows allow_tf32 alone")
def test_tf32_is_read_where_the_user_sets_it_by_the_newer_interface() -> None:
    """In a process of its own: after that, reading `allow_tf32` raises there."""
    ran = subprocess.run([sys.executable, "-c", NEW_API], capture_output=True, text=True, check=True, timeout=120)
    first, second, third = ran.stdout.splitlines()
    assert first.startswith(f"CUDA may compute float32 {PRODUCTS}")
    assert CONVOLUTIONS not in first
    assert (second, third) == ("none", f"CUDA may compute float32 {CONVOLUTIONS}")


CONVOLUTIONS = "convolutions in TF32 (torch.backends.cudnn.allow_tf32)"
PRODUCTS = "products in TF32 (torch.backends.cuda.matmul.allow_tf32)"


@pytest.mark.parametrize(
    ("precision", "capability", "override", "cudnn", "matmul", "told"),
    [
        ("float32", (9, 0), None, True, False, f"CUDA may compute float32 {CONVOLUTIONS}"),
        ("float32", (8, 0), None, False, True, f"CUDA may compute float32 {PRODUCTS}"),
        ("float32", (9, 0), None, True, True, f"CUDA may compute float32 {CONVOLUTIONS} and {PRODUCTS}"),
        ("float32", (9, 0), None, False, False, ""),
        ("float32", (7, 5), None, True, True, ""),
        ("float32", (9, 0), "0", True, True, ""),
        ("float16", (9, 0), None, True, True, ""),
    ],
)
def test_tf32_is_stated(
    precision: str,
    capability: tuple[int, int],
    override: str | None,
    cudnn: bool,
    matmul: bool,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from deltann.comparison.precision import Precision, declared

    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    if override is not None:
        monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", override)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "a GPU of a test")
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    facts = lowering.Lowering("eager", "model", [], [])
    program = _Executable(None, facts, torch.device("cuda"), frozenset(), precision, 2, False, None)
    try:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = cudnn, matmul
        actual = program.actual()
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
    assert actual.get("note", "") == told
    assert actual["device"] == "a GPU of a test"
    assert actual["ignored"] == "threads=2: cuda computes"
    # What is stated is what the cell is judged by.
    judged = declared({"precision": "model"}, precision, note=told)
    assert judged is (Precision.TF32 if told else Precision(precision))
