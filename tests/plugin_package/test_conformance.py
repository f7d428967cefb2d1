"""deltann's conformance suite on this package's backend."""

from __future__ import annotations

from typing import ClassVar

from deltann.testing.conformance import BackendConformance, Unsupported, notimpl

LACKING = {
    "pools": notimpl(Unsupported, "no AveragePool, no MaxPool"),
    "resize": notimpl(Unsupported, "no Resize"),
    "composite": notimpl(Unsupported, "no LayerNormalization, Gelu, HardSwish"),
    "opset7": notimpl(Unsupported, "no operators as they were in 2018"),
}


class TestNumpy(BackendConformance):
    spec = "numpy"
    known: ClassVar = LACKING


class TestNumpyInt8(BackendConformance):
    spec = "numpy-int8"
    known: ClassVar = LACKING
    tolerance = 0.1
