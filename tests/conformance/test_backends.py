"""The conformance suite on every backend of this project. `pytest -m 'long or not long'` runs all of it."""

from __future__ import annotations

from typing import ClassVar

import pytest

from deltann import registry
from deltann.environment import Environment
from deltann.testing.conformance import BackendConformance, CellFailed, Unsupported, notimpl, notyet

_TVM = {"too_new_opset": notimpl(pytest.fail.Exception, "an opset that does not exist yet is lowered all the same")}
_ORT = {
    "newest_opset": notyet(Unsupported, "ONNX Runtime 1.31 reads opset 26 at most"),
    "unknown_operator": notimpl(CellFailed, "the adapter lets ORT's 'is not a registered function/op' out as FAILED"),
    "too_new_opset": notimpl(AssertionError, "the reason is cut before ORT names the opset"),
}


class TestReference(BackendConformance):
    spec = "reference"
    known: ClassVar = {
        "opset7": notyet(CellFailed, "onnx 1.23: BatchNormalization before opset 9 returns a tuple in a tuple"),
        "too_new_opset": notimpl(pytest.fail.Exception, "the evaluator runs any opset as the newest it knows"),
    }


class TestOrt(BackendConformance):
    spec = "ort"
    known = _ORT | {
        # Not `notimpl`, which is strict: this one fails about every second time.
        "deterministic_artifact": pytest.mark.skip("notimpl: ORT numbers the nodes it adds in an order that varies"),
    }


class TestOrtUnoptimised(BackendConformance):
    spec = "ort-O0"
    known = _ORT


class TestTorch(BackendConformance):
    spec = "torch"


class TestTorchCompile(BackendConformance):
    spec = "torch-compile"
    quick = ("contract", "two_outputs")


class TestTvm(BackendConformance):
    spec = "tvm-O3"
    known = _TVM


class TestTvmUnoptimised(BackendConformance):
    spec = "tvm-O0"
    known = _TVM
    quick = ("contract", "deterministic_artifact", "conv_bn_relu", "mixed_inputs", "whole")


def test_every_backend_is_here() -> None:
    ours = {Environment.parse(suite.spec).backend for suite in BackendConformance.__subclasses__()}
    assert set(registry.names()) <= ours
