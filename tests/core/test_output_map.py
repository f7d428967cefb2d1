"""`--map-outputs`: names matched, and classes that one model has more declared."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltann.errors import UsageError
from deltann.model import Model, TensorSpec
from deltann.output_map import OutputMap, parse_output_map


def model(*outputs: TensorSpec) -> Model:
    return Model("m.onnx", Path("m.onnx"), "0", 17, (), outputs)


MODELS = {
    "model": model(TensorSpec("probs", "float32", ("n", 1001)), TensorSpec("flat", "float32", ("n",))),
    "against": model(TensorSpec("logits", "float32", ("n", 1000)), TensorSpec("open", "float32", None)),
}


def test_names_alone() -> None:
    assert parse_output_map(["probs=logits"], MODELS) == OutputMap({"probs": "logits"})
    assert parse_output_map({"probs": "logits"}, MODELS) == OutputMap({"probs": "logits"})
    assert parse_output_map([], {"model": MODELS["model"]}) == OutputMap()


@pytest.mark.parametrize(
    ("text", "kept", "classes"),
    [("probs[1:]=logits", (1, None), 1000), ("probs[:10]=logits", (0, 10), 10), ("probs[5:7]=logits", (5, 7), 2)],
)
def test_classes_that_count(text, kept, classes) -> None:
    found = parse_output_map([text], MODELS)
    assert found == OutputMap({"probs": "logits"}, {"model": {"probs": kept}})
    assert found.view("model", MODELS["model"]).outputs[0].shape == ("n", classes)
    assert found.view("against", MODELS["against"]) == MODELS["against"]


def test_either_side_may_be_cut() -> None:
    assert parse_output_map(["probs=logits[:3]"], MODELS).kept == {"against": {"logits": (0, 3)}}


def test_a_name_that_looks_like_one_is_one() -> None:
    odd = model(TensorSpec("y[1:]", "float32", ("n", 3)))
    assert parse_output_map(["y[1:]=y[1:]"], {"model": odd, "against": odd}) == OutputMap({"y[1:]": "y[1:]"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("probs", "write OLD=NEW"),
        ("=logits", "write OLD=NEW"),
        ("nothing=logits", "m.onnx has no output 'nothing'; its outputs: probs, flat"),
        ("nothing[1:]=logits", "has no output 'nothing'"),
        ("probs[a:]=logits", "has no output"),
        ("probs[1001:]=logits", "name classes from 0 to 1001"),
        ("probs[3:3]=logits", "name classes from 0 to 1001"),
        ("probs[:1002]=logits", "name classes from 0 to 1001"),
        ("flat[1:]=logits", "has no second dimension of a known size"),
        ("probs=open[1:]", "has no second dimension of a known size"),
    ],
)
def test_what_does_not_fit_is_refused(text: str, told: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_output_map([text], MODELS)
    assert told in str(refused.value)


def test_each_output_once_and_two_models() -> None:
    with pytest.raises(UsageError, match="each OLD and each NEW once"):
        parse_output_map(["probs=logits", "probs[1:]=open"], MODELS)
    with pytest.raises(UsageError, match="give the second with --against"):
        parse_output_map(["probs=logits"], {"model": MODELS["model"]})
