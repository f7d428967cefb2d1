"""What TVM is said to do is what its code does."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from deltann.backend import ACTUAL, Telling
from deltann.environment import Environment
from deltann.model import Model
from deltann_tvm import TvmBackend
from deltann_tvm.kernels import precision

sys.path.insert(0, str(Path(__file__).parent))
from tvm_models import conv_bn_relu, save, value

pytest.importorskip("tvm")

BACKEND = TvmBackend()


def _actual(model: Model, spec: str, folder: Path) -> dict[str, str]:
    folder.mkdir()
    env = Environment.parse(spec)
    rng = np.random.default_rng(3)
    inputs = {s.name: rng.standard_normal(s.static_shape).astype(s.dtype) for s in model.inputs}
    with BACKEND.load(BACKEND.lower(model, env, folder), env) as program:
        program.run(inputs)
        assert isinstance(program, Telling)
        facts = dict(program.actual())
    assert set(facts) <= set(ACTUAL)
    return facts


def _large(folder: Path) -> Model:
    """A product with loops that are worth sharing."""
    w = np.random.default_rng(1).standard_normal((256, 256)).astype(np.float32)
    return save(folder, [helper.make_node("MatMul", ["x", "w"], ["y"])], [value("x", 256, 256)], [value("y", 256, 256)],
                {"w": w})  # fmt: skip


def test_the_cpu_that_code_is_for(tmp_path: Path) -> None:
    model = conv_bn_relu(tmp_path)
    generic, native = _actual(model, "tvm-O1", tmp_path / "1"), _actual(model, "tvm-O3", tmp_path / "3")
    assert generic["precision"] == native["precision"] == "float32"
    assert generic["device"] == "cpu (LLVM code for any CPU of its kind)"
    assert native["device"] != generic["device"]


def test_threads_that_no_loop_uses_are_not_counted(tmp_path: Path) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core")
    model = _large(tmp_path)
    scheduled, plain = (_actual(model, f"tvm-{level}[threads=2]", tmp_path / level) for level in ("O3", "O1"))
    assert scheduled["threads"] == "2"
    assert "ignored" not in scheduled
    assert plain["threads"] == "1"
    assert plain["ignored"].startswith("threads=2: no loop of this model is parallel")
    assert "ignored" not in _actual(model, "tvm-O1[threads=1]", tmp_path / "one")


def test_a_model_of_two_types_says_how_much_of_each(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    weights = {"w": rng.standard_normal((8, 8)).astype(np.float16), "v": rng.standard_normal((8, 8)).astype(np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Exp", ["m"], ["e"]),
        helper.make_node("Cast", ["e"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["f", "v"], ["y"]),
    ]
    model = save(tmp_path, nodes, [value("x", 4, 8, kind=TensorProto.FLOAT16)], [value("y", 4, 8)], weights)
    assert _actual(model, "tvm-O0", tmp_path / "0")["precision"] in (
        "float16 (2 of 4 kernels; float32: 2)",
        "float16 (2 of 3 kernels; float32: 1)",
    )


def test_precision_is_spelt_out_only_where_there_are_several() -> None:
    assert precision({}) == ""
    assert precision({"float16": 3}) == "float16"
    assert precision({"float32": 1, "float16": 3}) == "float16 (3 of 4 kernels; float32: 1)"
