"""What a user accepts, from Python and from the command line alike."""

from __future__ import annotations

import json

import pytest

from deltann.criteria import Criteria, parse_tasks
from deltann.errors import UsageError
from deltann.tasks import Task


@pytest.mark.parametrize(
    ("rtol", "wanted"),
    [((), ()), (1e-3, ("0.001",)), ("logits=1e-3", ("logits=1e-3",)), (["1e-3", "y=0"], ("1e-3", "y=0")), (0, ("0",))],
)
def test_tolerances_are_numbers_texts_or_several(rtol, wanted):
    assert Criteria.of(None, rtol, rtol, None) == Criteria(rtol=wanted, atol=wanted)


@pytest.mark.parametrize(("given", "wanted"), [(None, None), (0, "0"), (0.005, "0.005"), ("0.5%", "0.5%")])
def test_a_limit_of_nothing_is_a_limit(given, wanted):
    assert Criteria.of(None, (), (), given).max_disagreement == wanted


def test_they_survive_json():
    criteria = Criteria.of("ort", 1e-3, ["y=1"], "1%", "boxes=tensor")
    assert Criteria.from_json(json.loads(json.dumps(criteria.to_json()))) == criteria
    assert json.loads(json.dumps(criteria.to_json())) == {
        "reference": "ort", "rtol": ["0.001"], "atol": ["y=1"], "max_disagreement": "1%",
        "tasks": ["boxes=tensor"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "y", "z"),
    [
        ((), None, None),
        (("tensor",), Task.TENSOR, Task.TENSOR),
        (("y=tensor",), Task.TENSOR, None),
        (("tensor", "y=classification"), Task.CLASSIFICATION, Task.TENSOR),
    ],
)
def test_a_task_is_that_of_one_output_or_of_all(texts, y, z):
    tasks = parse_tasks(texts)
    assert (tasks.asked("y"), tasks.asked("z")) == (y, z)


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["boxes"], "the tasks: classification, tensor"),
        (["y="], "write"),
        (["=tensor"], "write"),
        (["y=tensor", "y=classification"], "this output is set twice"),
        (["tensor", "tensor"], "the general task is set twice"),
    ],
)
def test_what_is_no_task_is_refused(texts, told):
    with pytest.raises(UsageError, match=told):
        parse_tasks(texts)
