"""The conformance suite on every backend of this project. `pytest -m 'long or not long'` runs all of it."""

from __future__ import annotations

from typing import ClassVar

import pytest

from deltann import registry
from deltann.environment import Environment
from deltann.host import accelerators
from deltann.testing.conformance import BackendConformance, CellFailed, Unsupported, never, notyet

_ORT = {"newest_opset": notyet(Unsupported, "ONNX Runtime 1.31 reads opset 26 at most")}
_HALF = never(Unsupported, "ONNX Runtime's quantiser takes float32 weights")
_NONE = never(Unsupported, "there is nothing in it that ONNX Runtime's quantiser takes")
_GPU = pytest.mark.skipif(not accelerators(), reason="no NVIDIA GPU here: CUDA environments are UNAVAILABLE")


class TestReference(BackendConformance):
    spec = "reference"
    known: ClassVar = {
        "opset7": notyet(CellFailed, "onnx 1.23: BatchNormalization before opset 9 returns a tuple in a tuple"),
    }


class TestOrt(BackendConformance):
    spec = "ort"
    known = _ORT


class TestOrtUnoptimised(BackendConformance):
    spec = "ort-O0"
    known = _ORT


class TestOrtFloat16(BackendConformance):
    spec = "ort-fp16"
    tolerance = 5e-3
    quick = ("conv_bn_relu", "deterministic_artifact")
    known = _ORT


class TestOrtInt8(BackendConformance):
    spec = "ort-int8"
    tolerance = 0.2
    quick = ("calibration", "conv_bn_relu", "deterministic_artifact")
    known: ClassVar = {**_ORT, "float16": _HALF, "resize": _NONE}


class TestOrtDynamic(BackendConformance):
    spec = "ort-int8-dynamic"
    tolerance = 0.2
    quick = ("conv_bn_relu",)
    known: ClassVar = {**_ORT, "float16": _HALF, "pools": _NONE, "resize": _NONE, "whole": _NONE}


class TestTorch(BackendConformance):
    spec = "torch"


class TestTorchCompile(BackendConformance):
    spec = "torch-compile"
    quick = ("contract", "two_outputs")


class TestTvm(BackendConformance):
    spec = "tvm-O3"


class TestTvmUnoptimised(BackendConformance):
    spec = "tvm-O0"
    quick = ("contract", "deterministic_artifact", "conv_bn_relu", "mixed_inputs", "whole")


class TestTensorFlow(BackendConformance):
    spec = "tf"
    quick = ("contract", "deterministic_artifact", "two_outputs", "conv_bn_relu", "mixed_inputs", "odd_names", "opset7")


class TestTensorFlowEager(BackendConformance):
    spec = "tf-eager"
    quick = ("contract", "two_outputs")


class TestTensorFlowXla(BackendConformance):
    spec = "tf-xla"
    quick = ("contract", "two_outputs")


class TestTflite(BackendConformance):
    spec = "tflite"
    quick = (
        "contract",
        "deterministic_artifact",
        "conv_bn_relu",
        "two_outputs",
        "mixed_inputs",
        "odd_names",
        "float16",
    )


class TestTfliteInt8(BackendConformance):
    spec = "tflite-int8"
    tolerance = 0.25  # calibrated on samples of their own: a rare larger value saturates
    quick = ("calibration", "deterministic_artifact", "conv_bn_relu")


class TestOpenvino(BackendConformance):
    spec = "openvino-f32"
    quick = ("contract", "deterministic_artifact", "conv_bn_relu", "two_outputs", "mixed_inputs", "odd_names", "opset7")


class TestOpenvinoDefault(BackendConformance):
    spec = "openvino"
    tolerance = 0.03  # bfloat16 where the CPU has it
    quick = ("contract", "conv_bn_relu")


class TestOpenvinoInt8(BackendConformance):
    spec = "openvino-int8"
    tolerance = 0.6
    quick = ("contract", "calibration", "deterministic_artifact", "conv_bn_relu", "two_outputs")


class TestTract(BackendConformance):
    spec = "tract"
    known: ClassVar = {"float16": notyet(Unsupported, "tract 0.23.9 types a half-precision Gemm as float32")}


class TestIree(BackendConformance):
    spec = "iree"
    quick = ("contract", "deterministic_artifact", "classifier", "reshape_by_shape", "mixed_inputs", "odd_names")


def test_every_backend_is_here() -> None:
    ours = {Environment.parse(suite.spec).backend for suite in BackendConformance.__subclasses__()}
    assert set(registry.names()) <= ours


@_GPU
class TestTorchCuda(BackendConformance):
    spec = "torch:cuda"
    quick = ("contract", "two_outputs", "conv_bn_relu", "mixed_inputs")


@_GPU
class TestTorchCompileCuda(BackendConformance):
    spec = "torch-compile:cuda"
    quick = ("contract", "two_outputs")


@_GPU
class TestOrtCuda(BackendConformance):
    spec = "ort:cuda"
    quick = ("contract", "two_outputs", "conv_bn_relu", "mixed_inputs")
    known = _ORT


@_GPU
class TestTvmCuda(BackendConformance):
    spec = "tvm-O3:cuda"
    quick = ("contract", "conv_bn_relu", "mixed_inputs", "whole")
