from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann.errors import UsageError
from deltann.evidence.request import VARIABLE, Kind, Request, parse_evidence


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("all", tuple(Kind)),
        ("none", ()),
        ("power,arbiter", (Kind.ARBITER, Kind.POWER)),
        (["noise"], (Kind.NOISE,)),
        ([], ()),
    ],
)
def test_kinds_are_read(text: str, kinds: tuple[Kind, ...]) -> None:
    assert parse_evidence(text).kinds == kinds


def test_the_variable_stands_in_where_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "noise")
    assert parse_evidence(None).kinds == (Kind.NOISE,)
    assert parse_evidence("arbiter").kinds == (Kind.ARBITER,)
    monkeypatch.delenv(VARIABLE)
    assert parse_evidence(None).kinds == tuple(Kind)


@pytest.mark.parametrize("text", ["arbitre", "none,noise", "noise,", "ALL"])
def test_an_unknown_kind_is_refused_with_those_that_exist(text: str) -> None:
    with pytest.raises(UsageError, match="arbiter, noise, power"):
        parse_evidence(text)


@pytest.mark.parametrize("samples", [1, 0, -3])
def test_too_few_samples_are_refused(samples: int) -> None:
    with pytest.raises(UsageError, match="at least 2"):
        parse_evidence("all", samples)


@given(st.integers(1, 5000), st.integers(2, 64))
def test_chosen_samples_are_spread_evenly_and_never_twice(samples: int, wanted: int) -> None:
    chosen = Request(samples=wanted).chosen(samples)
    assert len(chosen) == min(samples, wanted)
    assert chosen[0] == 0
    assert chosen[-1] == (samples - 1 if len(chosen) > 1 else 0)
    assert (np.diff(chosen) > 0).all()
    assert not len(chosen) > 1 or np.ptp(np.diff(chosen)) <= 1


def test_a_request_survives_its_json() -> None:
    request = Request((Kind.NOISE,), 5, 3)
    assert Request.from_json(request.to_json()) == request
    assert Request.from_json(None).kinds == ()
