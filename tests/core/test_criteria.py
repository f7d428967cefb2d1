"""What a user accepts, from Python and from the command line alike."""

from __future__ import annotations

import json

import pytest

from deltann.criteria import Criteria


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
    criteria = Criteria.of("ort", 1e-3, ["y=1"], "1%")
    assert json.loads(json.dumps(criteria.to_json())) == {
        "reference": "ort", "rtol": ["0.001"], "atol": ["y=1"], "max_disagreement": "1%",
    }  # fmt: skip
