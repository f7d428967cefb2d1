from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann.binding import bind, parse_shapes
from deltann.errors import UsageError
from deltann.model import Dim, Model, TensorSpec

Shape = tuple[Dim, ...] | None


def model(inputs: dict[str, Shape], outputs: dict[str, Shape]) -> Model:
    def specs(shapes: dict[str, Shape]) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(name, "float32", shape) for name, shape in shapes.items())

    return Model("m.onnx", Path("m.onnx"), "0" * 64, 17, specs(inputs), specs(outputs))


def test_a_dynamic_first_dimension_becomes_the_batch_size() -> None:
    binding = bind(model({"x": ("N", 3, 8, 8)}, {"y": ("N", 10)}), {}, 16)
    assert (binding.rows, binding.batched, binding.notes) == (16, True, ())
    assert binding.model.inputs[0].static_shape == (16, 3, 8, 8)
    assert binding.row_shape("x") == (3, 8, 8)


def test_an_unknown_first_dimension_and_differently_named_outputs_are_batched_too() -> None:
    binding = bind(model({"x": (None, 4), "z": ("n2", 2)}, {"y": ("unk__9", 10), "w": None}), {}, 4)
    assert [spec.static_shape for spec in binding.model.inputs] == [(4, 4), (4, 2)]


def test_a_fixed_batch_wins_over_the_batch_size_and_says_so() -> None:
    binding = bind(model({"x": (1, 3, 8, 8)}, {"y": (1, 10)}), {}, 16)
    assert (binding.rows, binding.batched) == (1, True)
    assert "fixed by the model" in binding.notes[0]
    assert binding.row_shape("x") == (3, 8, 8)
    assert bind(model({"x": (4, 3)}, {"y": (4, 10)}), {}, 4).notes == ()


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"x": (1, 3, 8, 8)}, {"y": (100, 4)}),  # boxes, not one row a sample
        ({"x": (1, 3, 8, 8)}, {"y": ()}),
        ({"x": (2, 3), "scale": (1,)}, {"y": (2, 3)}),
        ({"x": (3,), "s": ()}, {"y": (3,)}),
    ],
)
def test_what_has_no_common_batch_runs_whole(inputs: dict[str, Shape], outputs: dict[str, Shape]) -> None:
    binding = bind(model(inputs, outputs), {}, 16)
    assert (binding.rows, binding.batched) == (1, False)
    assert binding.row_shape("x") == inputs["x"]


def test_an_output_of_one_row_keeps_the_batch_at_one() -> None:
    binding = bind(model({"x": ("N", 3)}, {"y": (1, 10)}), {}, 16)
    assert (binding.rows, binding.batched) == (1, True)
    assert "an output holds 1 row" in binding.notes[0]


def test_a_given_shape_fixes_the_batch_and_the_other_dimensions() -> None:
    binding = bind(model({"x": ("N", 3, "H", "W")}, {"y": ("N", 10)}), parse_shapes(["x=4x3x32x48"]), 16)
    assert (binding.rows, binding.row_shape("x")) == (4, (3, 32, 48))
    assert "--shape" in binding.notes[0]


def test_a_symbol_given_for_one_input_holds_for_all() -> None:
    text = model({"ids": ("N", "S"), "mask": ("N", "S")}, {"y": ("N", 2)})
    binding = bind(text, {"ids": (1, 128)}, 8)
    assert binding.model.inputs[1].static_shape == (1, 128)
    with pytest.raises(UsageError, match=r"'S'.*128.*64"):
        bind(text, {"ids": (1, 128), "mask": (1, 64)}, 8)


def test_a_lone_input_needs_no_name() -> None:
    assert bind(model({"x": ("N", "S")}, {"y": ("N", 2)}), parse_shapes(["2x7"]), 8).row_shape("x") == (7,)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"z": (1, 3)}, "which m.onnx has not; its inputs: x: "),
        ({"x": (1, 3)}, "has 2 dimensions"),
        ({"x": (1, 4, 8, 8)}, "contradicts a fixed dimension"),
        ({"x": (1, 3, 0, 8)}, "below 1"),
        ({"x": (1, 3, -8, 8)}, "below 1"),
    ],
)
def test_wrong_shapes_are_refused(shapes: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        bind(model({"x": ("N", 3, "H", "W")}, {"y": ("N", 10)}), shapes, 1)


def test_an_open_dimension_is_named_with_an_example() -> None:
    with pytest.raises(UsageError, match=r"dimension 2 \('H'\) of the input 'x'.*--shape x=8x3x224x224"):
        bind(model({"x": ("N", 3, "H", "W")}, {"y": ("N", 10)}), {}, 8)
    with pytest.raises(UsageError, match="even the rank of 'x' is open"):
        bind(model({"x": None}, {"y": None}), {}, 8)
    assert bind(model({"x": None}, {"y": ("N", 2)}), {"x": (5,)}, 8).row_shape("x") == ()


def test_nothing_to_feed_is_refused() -> None:
    with pytest.raises(UsageError, match="no inputs"):
        bind(model({}, {"y": (1,)}), {}, 1)
    with pytest.raises(UsageError, match="no elements"):
        bind(model({"x": ("N", 0)}, {"y": ("N",)}), {}, 1)
    with pytest.raises(UsageError, match="--batch-size"):
        bind(model({"x": ("N", 3)}, {"y": ("N",)}), {}, 0)


def test_several_inputs_need_the_name() -> None:
    with pytest.raises(UsageError, match="several"):
        bind(model({"a": ("N",), "b": ("N",)}, {"y": ("N",)}), parse_shapes(["3"]), 1)


NAMES = st.text("abcXYZ0123_/:.=", min_size=1).filter(lambda name: not name.endswith("="))
SHAPES = st.lists(st.integers(1, 10_000), min_size=1, max_size=6).map(tuple)


@given(st.dictionaries(NAMES, SHAPES, max_size=4))
def test_shapes_round_trip(shapes: dict[str, tuple[int, ...]]) -> None:
    assert parse_shapes(f"{name}={'x'.join(map(str, shape))}" for name, shape in shapes.items()) == shapes


@pytest.mark.parametrize("texts", [["x="], ["x=1,2"], ["x=1xax3"], [""], ["x=1x0"], ["x=1", "x=2"], ["x=1x-2"]])
def test_texts_that_are_no_shapes_are_refused(texts: list[str]) -> None:
    with pytest.raises(UsageError, match=r"--shape|below 1"):
        parse_shapes(texts)
