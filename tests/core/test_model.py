from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deltann.errors import UsageError
from deltann.model import Model, TensorSpec, load_model, unchanged
from deltann.testing.models import MODELS
from deltann.testing.tiny import build, normal, tensor

_TEXT_SUFFIXES = (".json", ".onnxjson", ".onnxtxt", ".textproto", ".txtpb")
_AS_TEXT = (pytest.mark.filterwarnings("ignore:The onnxtxt format is experimental"),)


def _refused(path: Path, told: str) -> None:
    """Refused with one line that names the file and says `told`."""
    with pytest.raises(UsageError, match=told) as caught:
        load_model(path)
    assert len(str(caught.value).splitlines()) == 1
    assert path.name in str(caught.value)


def _external(folder: Path, location: str = "weights.bin") -> Path:
    """A model whose weights lie beside it."""
    proto = MODELS["classifier"]().proto
    path = folder / "external.onnx"
    onnx.save_model(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    if location != "weights.bin":
        moved = onnx.load(path, load_external_data=False)
        for weights in moved.graph.initializer:
            for entry in weights.external_data:
                if entry.key == "location":
                    entry.value = location
        path.write_bytes(moved.SerializeToString())
    return path


def test_what_a_model_says_of_itself(tmp_path: Path) -> None:
    model = load_model(_saved(tmp_path, "mixed_inputs"))
    assert (model.name, model.opset, model.format) == ("mixed_inputs.onnx", 17, "onnx")
    assert model.inputs == (TensorSpec("tokens", "int64", ("batch", 3)), TensorSpec("dense", "float32", ("batch", 4)))
    assert [f"{spec}" for spec in model.outputs] == [
        "score: float32[batchx5]", "best: int64[batch]", "high: bool[batchx5]",
    ]  # fmt: skip
    bound = model.bind({"tokens": (2, 3), "dense": (2, 4)})
    assert [spec.static_shape for spec in bound.inputs] == [(2, 3), (2, 4)]
    with pytest.raises(ValueError, match="tokens"):
        _ = model.inputs[0].static_shape


def test_weights_that_are_inputs_too_are_no_inputs(tmp_path: Path) -> None:
    model = load_model(_saved(tmp_path, "opset7"))
    assert len(model.proto().graph.input) == 8
    assert [spec.name for spec in model.inputs] == ["x"]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_survives_json(name: str, tmp_path: Path) -> None:
    model = MODELS[name]().save(tmp_path)
    assert Model.from_json(model.to_json()) == model


def test_outputs_keep_the_order_of_their_declaration(tmp_path: Path) -> None:
    assert [spec.name for spec in load_model(_saved(tmp_path, "two_outputs")).outputs] == ["z_scores", "a_features"]


def test_a_size_that_nothing_tells(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, "n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [0, None, 3])],
    )
    path = tmp_path / "open.onnx"
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    model = load_model(path)
    assert model.inputs[0].shape == (None, "n", 3)
    assert model.outputs[0].shape == (None, None, 3)
    assert f"{model.inputs[0]}" == "x: float32[?xnx3]"


def test_no_such_file(tmp_path: Path) -> None:
    _refused(tmp_path / "missing.onnx", "no such file; give the path of an .onnx file")
    (tmp_path / "folder.onnx").mkdir()
    _refused(tmp_path / "folder.onnx", "no such file")


@pytest.mark.parametrize("content", [b"", b"\0", b"GIF89a not a model", b"\x08\x07", os.urandom(200), b"PK\x03\x04"])
def test_not_onnx(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture.onnx"
    path.write_bytes(content)
    _refused(path, "not an ONNX|fails onnx.checker")


@pytest.mark.parametrize("suffix", [".onnx", ".pb", *(pytest.param(s, marks=_AS_TEXT) for s in _TEXT_SUFFIXES)])
def test_not_onnx_under_any_suffix(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"notes{suffix}"
    path.write_text("this is no model")
    _refused(path, "not an ONNX")


@pytest.mark.parametrize("kept", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.995])
def test_truncated(kept: float, tmp_path: Path) -> None:
    whole = _saved(tmp_path, "conv_bn_relu").read_bytes()
    path = tmp_path / "truncated.onnx"
    path.write_bytes(whole[: int(len(whole) * kept)])
    _refused(path, "truncated|fails onnx.checker")


def test_truncated_anywhere_near_the_end(tmp_path: Path) -> None:
    """The last fields are short; a file that ends between two of them still parses, and must not pass for whole."""
    whole = _saved(tmp_path, "classifier").read_bytes()
    path = tmp_path / "truncated.onnx"
    for cut in range(1, 40):
        path.write_bytes(whole[:-cut])
        _refused(path, "truncated|fails onnx.checker")


def test_the_checker_has_its_say(tmp_path: Path) -> None:
    proto = MODELS["classifier"]().proto
    proto.graph.node[1].input[0] = "nowhere"
    path = tmp_path / "wrong.onnx"
    path.write_bytes(proto.SerializeToString())
    _refused(path, "fails onnx.checker: .*nowhere.*re-export")


def test_values_that_are_no_tensors(tmp_path: Path) -> None:
    inner = helper.make_tensor_type_proto(TensorProto.FLOAT, [2])
    graph = helper.make_graph(
        [helper.make_node("SequenceConstruct", ["x"], ["y"])],
        "g",
        [tensor("x", 2)],
        [helper.make_value_info("y", helper.make_sequence_type_proto(inner))],
    )
    path = tmp_path / "sequence.onnx"
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    _refused(path, "'y' is a sequence_type; only tensors")


def test_external_data_inside_the_folder(tmp_path: Path) -> None:
    path = _external(tmp_path)
    model = load_model(path)
    expected = {t.name: numpy_helper.to_array(t) for t in MODELS["classifier"]().proto.graph.initializer}
    for weights in model.proto().graph.initializer:
        np.testing.assert_array_equal(numpy_helper.to_array(weights), expected[weights.name])


def test_the_digest_covers_external_data(tmp_path: Path) -> None:
    path = _external(tmp_path)
    before = load_model(path).sha256
    assert load_model(path).sha256 == before
    data = bytearray((tmp_path / "weights.bin").read_bytes())
    data[5] ^= 1
    (tmp_path / "weights.bin").write_bytes(data)
    assert load_model(path).sha256 != before


@pytest.mark.parametrize("file", ["external.onnx", "weights.bin"])
def test_a_model_whose_files_change_is_no_longer_what_it_was(file: str, tmp_path: Path) -> None:
    model = load_model(_external(tmp_path))
    assert unchanged(model)
    kept = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    assert not unchanged(model)
    (tmp_path / file).unlink()
    assert not unchanged(model)
    (tmp_path / file).write_bytes(kept)
    assert unchanged(model)


def test_external_data_missing(tmp_path: Path) -> None:
    path = _external(tmp_path)
    (tmp_path / "weights.bin").unlink()
    _refused(path, "external data 'weights.bin' is missing; put that file beside the model")


def test_external_data_too_short(tmp_path: Path) -> None:
    path = _external(tmp_path)
    weights = tmp_path / "weights.bin"
    os.truncate(weights, weights.stat().st_size // 2)
    _refused(path, "external data|fails onnx.checker")


@pytest.mark.parametrize(
    "make", [lambda outside: str(outside), lambda _: "../outside.bin", lambda _: "a/../../outside.bin"]
)
def test_external_data_outside_the_folder_is_refused(make: Callable[[Path], str], tmp_path: Path) -> None:
    (tmp_path / "model" / "a").mkdir(parents=True)
    outside = tmp_path / "outside.bin"
    path = _external(tmp_path / "model", make(outside))
    (tmp_path / "model" / "weights.bin").rename(outside)
    _refused(path, "outside the model's folder: refused")


def test_external_data_through_a_link_that_points_outside_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    path = _external(tmp_path / "model")
    (tmp_path / "model" / "weights.bin").rename(tmp_path / "outside.bin")
    (tmp_path / "model" / "weights.bin").symlink_to(tmp_path / "outside.bin")
    _refused(path, "outside the model's folder: refused")


def test_external_data_of_a_subgraph_is_checked_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    branches = {}
    for name in ("then_branch", "else_branch"):
        weights = numpy_helper.from_array(normal(rng, 2, 3), "w")
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        weights.external_data.add(key="location", value="../outside.bin")
        nodes = [helper.make_node("Identity", ["w"], ["b"])]
        branches[name] = helper.make_graph(nodes, name, [], [tensor("b", 2, 3)], [weights])
    graph = helper.make_graph(
        [helper.make_node("If", ["flag"], ["y"], **branches)],  # type: ignore[arg-type]
        "g",
        [tensor("flag", dtype=np.bool_)],
        [tensor("y", 2, 3)],
    )
    path = tmp_path / "if.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    _refused(path, "outside the model's folder: refused")


def test_two_models_have_two_digests(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    digests = set()
    for name in "ab":
        nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
        proto = build(nodes, [tensor("x", "n", 3)], [tensor("y", "n", 2)], {"w": normal(rng, 3, 2)})
        onnx.save_model(proto, tmp_path / f"{name}.onnx")
        digests.add(load_model(tmp_path / f"{name}.onnx").sha256)
    assert len(digests) == 2


def _saved(folder: Path, name: str) -> Path:
    return MODELS[name]().save(folder).path
