"""The reference backend: what it cannot hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from deltann.backend import Telling
from deltann.environment import Environment
from deltann.errors import Unsupported
from deltann.model import Model, load_model
from deltann_reference import ReferenceBackend

_TEXT = '<ir_version: 8, opset_import: ["": 17]> agraph (float[3] x) => (float[3] y) { y = Exp(x) }'
ENV = Environment.parse("reference")


@pytest.fixture
def model(tmp_path: Path) -> Model:
    onnx.save(parser.parse_model(_TEXT), tmp_path / "net.onnx")
    return load_model(tmp_path / "net.onnx")


def test_a_model_that_fits_runs(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx.checker, "MAXIMUM_PROTOBUF", model.proto().ByteSize() + 1)
    x = np.random.default_rng(1).standard_normal(3).astype(np.float32)
    backend = ReferenceBackend()
    with backend.load(backend.lower(model, ENV, tmp_path), ENV) as executable:
        np.testing.assert_allclose(executable.run({"x": x})["y"], np.exp(x), rtol=1e-6)


def test_a_model_beyond_protobufs_limit_is_unsupported(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx.checker, "MAXIMUM_PROTOBUF", model.proto().ByteSize())
    with pytest.raises(Unsupported, match="exceeds 2 GB"):
        ReferenceBackend().lower(model, ENV, tmp_path)


@pytest.mark.parametrize("weight", [None, np.float64, np.int64])
def test_it_tells_the_type_of_most_weights(weight: type[np.generic] | None, tmp_path: Path) -> None:
    """Of the inputs where no weight is a float."""
    proto = parser.parse_model(_TEXT)
    if weight is not None:
        proto.graph.initializer.append(numpy_helper.from_array(np.arange(4).astype(weight), "w"))
        proto.graph.node.add(op_type="Identity", input=["w"], output=["unused"])
    onnx.save(proto, tmp_path / "net.onnx")
    backend = ReferenceBackend()
    with backend.load(backend.lower(load_model(tmp_path / "net.onnx"), ENV, tmp_path), ENV) as executable:
        assert isinstance(executable, Telling)
        expected = "float64" if weight is np.float64 else "float32"
        assert executable.actual() == {"device": "cpu (numpy)", "precision": expected}
