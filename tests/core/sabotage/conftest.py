"""Networks to be sabotaged, and how to run them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from deltann.sabotage import _FAULTS
from deltann.sabotage.draft import Draft, Fault
from deltann.sabotage.network import Network

Arrays = dict[str, npt.NDArray[Any]]
Run = Callable[[onnx.ModelProto, Mapping[str, npt.NDArray[Any]]], Arrays]
Make = Callable[..., list[tuple[str, onnx.ModelProto]]]


@pytest.fixture
def run() -> Run:
    """A model's outputs by name, by onnx's reference implementation."""

    def evaluate(proto: onnx.ModelProto, feed: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        values = ReferenceEvaluator(proto).run(None, dict(feed))
        assert isinstance(values, list)
        return dict(zip((value.name for value in proto.graph.output), values, strict=True))

    return evaluate


@pytest.fixture
def make() -> Make:
    """(description, copy) of every place of the fault in the model; those that would compute the same left out."""

    def made(proto: onnx.ModelProto, name: str, severity: float = 1.0) -> list[tuple[str, onnx.ModelProto]]:
        network = Network(proto)
        copies = []
        for fault in faults_of(network):
            if fault.name == name:
                draft = Draft(network, severity, np.random.default_rng(0))
                description = fault.work(draft)
                if description is not None:
                    copy = draft.finish()
                    onnx.checker.check_model(copy, full_check=True)
                    copies.append((description, copy))
        return copies

    return made


def faults_of(network: Network) -> list[Fault]:
    """Of all classes."""
    return [fault for faults in _FAULTS.values() for fault in faults(network)]
