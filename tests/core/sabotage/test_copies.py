"""`sabotage` as a whole: what every copy keeps, that it computes something else, and that it can be had again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from onnx.reference import ReferenceEvaluator

from deltann.errors import Unsupported
from deltann.sabotage import _FAULTS, KINDS, SEVERITIES, Copy, _keeps_types, sabotage
from deltann.sabotage.draft import Draft
from deltann.sabotage.network import Network
from deltann.testing.models import MODELS
from deltann.testing.tiny import TinyModel, build, tensor

_REFERENCE_CANNOT = {"opset7"}
"""onnx.reference 1.23 returns a tuple for BatchNormalization of opset 7."""
names = st.sampled_from(sorted(MODELS))


def _interface(proto: onnx.ModelProto) -> list[bytes]:
    values = (*proto.graph.input, *proto.graph.output)
    return [value.SerializeToString(deterministic=True) for value in values]


def _answers(tiny: TinyModel, proto: onnx.ModelProto, folder: Path) -> list[Any]:
    """A list of arrays; ONNX Runtime where the reference implementation fails at the sound model already."""
    model = tiny.save(folder)
    samples = tiny.samples(model, tiny.rows or 1, seed=5)
    feed = samples if tiny.rows else {name: array[0] for name, array in samples.items()}
    if tiny.name in _REFERENCE_CANNOT:
        ort = pytest.importorskip("onnxruntime")
        return list(ort.InferenceSession(proto.SerializeToString()).run(None, feed))
    return list(ReferenceEvaluator(proto).run(None, dict(feed)))


def _distance(outputs: list[Any], sound: list[Any]) -> float:
    """The largest difference of any output, as a share of the output's largest value."""
    shares = []
    for a, b in zip(outputs, sound, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
        shares.append(float(np.abs(x - y).max() / (np.abs(y).max() + 1e-12)))
    return max(shares)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_fault_changes_the_outputs_and_nothing_around_them(name: str, tmp_path: Path) -> None:
    """All faults of all classes, at every place: none is refused for its types, each runs, each shows."""
    tiny = MODELS[name]()
    network = Network(tiny.proto)
    sound = _answers(tiny, tiny.proto, tmp_path)
    made = 0
    for kind, faults in _FAULTS.items():
        for fault in faults(network):
            draft = Draft(network, 1.0, np.random.default_rng(3))
            description = fault.work(draft)
            if description is None:
                continue
            copy = draft.finish()
            onnx.checker.check_model(copy, full_check=True)
            assert _keeps_types(network, copy), (kind, fault.name, description)
            assert _interface(copy) == _interface(tiny.proto)
            assert _distance(_answers(tiny, copy, tmp_path), sound) > 1e-5, (kind, fault.name, description)
            made += 1
    assert made >= 10


@pytest.mark.parametrize("name", sorted(MODELS))
def test_graded_faults_of_no_severity_are_none(name: str, tmp_path: Path) -> None:
    """The opposite of the test before: at severity 0 a graded fault is refused or changes next to nothing."""
    tiny = MODELS[name]()
    network = Network(tiny.proto)
    sound = _answers(tiny, tiny.proto, tmp_path)
    rounding = 2e-3 if name == "float16" else 2e-5
    for faults in _FAULTS.values():
        for fault in faults(network):
            draft = Draft(network, 0.0, np.random.default_rng(3))
            if fault.graded and fault.work(draft) is not None:
                assert _distance(_answers(tiny, draft.finish(), tmp_path), sound) <= rounding, fault.name


def test_a_milder_fault_changes_less(tmp_path: Path) -> None:
    """Over the graded faults of a network, each tenth of a severity moves the outputs less."""
    tiny = MODELS["conv_bn_relu"]()
    sound = _answers(tiny, tiny.proto, tmp_path)

    def typical(severity: float) -> float:
        copies = [copy for copy in sabotage(tiny.proto, 60, seed=1, severity=severity) if copy.severity == severity]
        return float(np.median([_distance(_answers(tiny, copy.proto, tmp_path), sound) for copy in copies]))

    assert typical(0.999) > 3 * typical(0.1) > 9 * typical(0.01) > 0


@settings(deadline=None, max_examples=60)
@given(names, st.integers(0, 2**32), st.integers(0, 30), st.sampled_from([None, 0.01, 0.3, 1.0]))
def test_copies_keep_the_interface_and_can_be_had_again(
    name: str, seed: int, count: int, severity: float | None
) -> None:
    proto = MODELS[name]().proto
    before = proto.SerializeToString(deterministic=True)
    copies = sabotage(proto, count, seed, severity)
    assert proto.SerializeToString(deterministic=True) == before
    assert len(copies) <= count
    assert len({copy.name for copy in copies}) == len(copies)
    assert len({copy.proto.SerializeToString(deterministic=True) for copy in copies}) == len(copies)
    for copy in copies:
        onnx.checker.check_model(copy.proto, full_check=True)
        assert _interface(copy.proto) == _interface(proto)
        assert copy.severity == 1 or copy.severity == severity or (severity is None and copy.severity in SEVERITIES)
        assert copy.kind in KINDS
        assert copy.description
        assert "\n" not in copy.description
    assert _plain(sabotage(proto, count, seed, severity)) == _plain(copies)


def _plain(copies: list[Copy]) -> list[tuple[object, ...]]:
    return [
        (copy.name, copy.kind, copy.description, copy.severity, copy.proto.SerializeToString(deterministic=True))
        for copy in copies
    ]


@given(names, st.integers(0, 2**32), st.integers(0, 12), st.integers(0, 12))
@settings(deadline=None, max_examples=30)
def test_fewer_copies_are_the_first_ones(name: str, seed: int, few: int, more: int) -> None:
    proto = MODELS[name]().proto
    assert _plain(sabotage(proto, few + more, seed))[:few] == _plain(sabotage(proto, few, seed))


def test_another_seed_makes_other_copies() -> None:
    proto = MODELS["depthwise_conv"]().proto
    assert _plain(sabotage(proto, 12, 0)) != _plain(sabotage(proto, 12, 1))


def test_the_classes_are_taken_in_turn() -> None:
    copies = sabotage(MODELS["depthwise_conv"]().proto, 12, 0)
    assert tuple(copy.kind for copy in copies) == KINDS * 2


def test_a_graph_without_a_place_for_some_class_gives_its_turns_to_the_others() -> None:
    proto = build([helper.make_node("Relu", ["x"], ["y"])], [tensor("x", "batch", 4)], [tensor("y", "batch", 4)], {})
    kinds = {copy.kind for copy in sabotage(proto, 50, 0)}
    assert kinds == {"preprocessing", "input dimensions", "graph"}


def test_a_graph_of_integers_may_have_no_fault_at_all() -> None:
    value = [tensor(name, dtype=np.int64) for name in "xy"]
    proto = build([helper.make_node("Identity", ["x"], ["y"])], [value[0]], [value[1]], {})
    assert sabotage(proto, 12, 0) == []


@pytest.mark.parametrize("severity", [0.0, -0.1, 1.5, float("nan")])
def test_a_severity_outside_its_range_is_refused(severity: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        sabotage(MODELS["classifier"]().proto, 1, 0, severity)


def test_old_opsets_are_refused() -> None:
    relu = [helper.make_node("Relu", ["x"], ["y"])]
    proto = build(relu, [tensor("x", "batch", 4)], [tensor("y", "batch", 4)], {}, opset=6)
    with pytest.raises(Unsupported, match="opset 7"):
        sabotage(proto, 1, 0)


def test_shapes_that_contradict_the_graph_are_refused() -> None:
    proto = MODELS["classifier"]().proto
    proto.graph.output[0].type.tensor_type.shape.dim[-1].dim_value += 1
    with pytest.raises(Unsupported, match="contradicts"):
        sabotage(proto, 1, 0)


def test_external_data_must_be_loaded(tmp_path: Path) -> None:
    proto = MODELS["conv_bn_relu"]().proto
    path = tmp_path / "external.onnx"
    onnx.save_model(proto, path, save_as_external_data=True, size_threshold=0, location="weights.bin")
    outside = onnx.load(path, load_external_data=False)
    with pytest.raises(ValueError, match="not loaded"):
        sabotage(outside, 1, 0)
    inside = onnx.load(path)
    assert len(sabotage(inside, 6, 0)) == 6


def test_copies_of_external_data_hold_their_data(tmp_path: Path, run: Callable[..., dict[str, Any]]) -> None:
    proto = MODELS["fixed_batch"]().proto
    path = tmp_path / "external.onnx"
    onnx.save_model(proto, path, save_as_external_data=True, size_threshold=0, location="weights.bin")
    (copy,) = sabotage(onnx.load(path), 1, 0)
    assert run(copy.proto, {"x": np.ones((1, 3, 4), np.float32)})["y"].shape == (1, 4)


def test_nothing_but_numpy_and_onnx_is_needed() -> None:
    assert "deltann.sabotage" in sys.modules
    text = "".join(
        path.read_text() for path in Path(sys.modules["deltann.sabotage"].__file__ or "").parent.glob("*.py")
    )
    assert "import onnxruntime" not in text
    assert "import torch" not in text


def test_a_copy_that_the_checker_refuses_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    proto = MODELS["conv_bn_relu"]().proto
    whole, real = sabotage(proto, 8, seed=0), onnx.checker.check_model
    refused = {copy.proto.SerializeToString(deterministic=True) for copy in whole[::2]}

    def refuse(copy: onnx.ModelProto) -> None:
        if copy.SerializeToString(deterministic=True) in refused:
            raise onnx.checker.ValidationError("for a test")
        real(copy)

    monkeypatch.setattr(onnx.checker, "check_model", refuse)
    made = sabotage(proto, 8, seed=0)
    assert len(made) == len(whole) == 8
    assert not {copy.proto.SerializeToString(deterministic=True) for copy in made} & refused
