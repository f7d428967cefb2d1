"""What a test asks for: its mark, its call and the command line, put together. Light, since collecting needs it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from deltann.environment import Environment, parse_all
from deltann.errors import UsageError

NATIVE = "native"
"""The cell of a model that is an object, which its own framework runs; it is there without being named."""


@dataclass(frozen=True)
class Request:
    """One comparison. `backends`, `options`: what `deltann.compare` takes. `times`: what times are judged by, or None.

    `named`: the environments that the test names, compared or not; None where it leaves them to the command line.
    """

    model: Any
    backends: tuple[str, ...]
    options: Mapping[str, Any]
    times: Mapping[str, Any] | None
    named: frozenset[str] | None

    @property
    def native(self) -> bool:
        """Whether the model is an object, and so an environment of its own."""
        return not isinstance(self.model, str | os.PathLike)


@dataclass(frozen=True)
class Share:
    """What one test of a parametrised mark compares: an environment, and the one it is held against, if any is."""

    candidate: str
    reference: str | None

    @property
    def backends(self) -> tuple[str, ...]:
        """Those to run; the native cell needs no naming."""
        return tuple(spec for spec in (self.reference, self.candidate) if spec not in (None, NATIVE))


def shares(mark: pytest.Mark, chosen: tuple[str, ...] | None) -> list[Share]:
    """What each test of `mark` compares: every environment with the reference, the first one where it names none.

    Of two models (`against=`), and of one that is an object (beside its own framework), each environment by itself.

    Raises:
        UsageError: the mark, or a spec of it, cannot be read, or nothing is left to compare.
    """
    asked = _said(mark.kwargs)
    if mark.args or "model" not in asked:
        raise UsageError('the mark is written @pytest.mark.deltann(model="FILE.onnx", backends=["torch", "ort"])')
    for name, value in asked.items():
        if name != "model" and isinstance(value, Iterator):
            raise UsageError(f"{name}= is an iterator, and the first of the mark's tests would use it up: give a list")
    environments = chosen or _specs(asked.get("backends"))
    alone = "against" in asked or not isinstance(asked["model"], str | os.PathLike)
    reference = _canonical(asked.get("reference")) or (None if alone else environments[0])
    found = [Share(environment, reference) for environment in environments if environment != reference]
    if not found:
        raise UsageError(f"{reference} alone has nothing to agree with: name a second environment, or a reference=")
    return found


def read_request(
    marked: Mapping[str, Any], given: Mapping[str, Any], share: Share | None, chosen: tuple[str, ...] | None
) -> Request:
    """Put together what the mark says, what the call gives (None: nothing), and what the command line chose.

    Raises:
        UsageError: something is missing, cannot be read, or does not go together.
    """
    given = _said(given)
    if share is not None and (twice := next((name for name in ("backends", "reference") if name in given), None)):
        raise UsageError(f"{twice}= is what the test's mark says: leave it out of the call")
    asked = {**_said(marked), **given}
    if "out" in asked:
        raise UsageError("out= is not for tests, whose runs are kept in pytest's folder, or in --deltann-report DIR")
    model = asked.pop("model", None)
    backends = None if (named := asked.pop("backends", None)) is None else _specs(named)
    if model is None:
        raise UsageError('no model is given: deltann.assert_agree("FILE.onnx", backends=["torch", "ort"])')
    times = _times(asked)
    reference = _canonical(asked.get("reference"))
    known = None if backends is None else frozenset((*backends, *filter(None, [reference])))
    if share is not None:
        if share.reference is not None:
            asked["reference"] = share.reference
        return Request(model, share.backends, asked, times, known)
    environments = chosen or backends or _specs(None)
    if reference is not None and reference not in (*environments, NATIVE):
        environments = (reference, *environments)  # which --deltann-backends is no reason to go without
    return Request(model, environments, asked, times, known)


def chosen_backends(config: pytest.Config) -> tuple[str, ...] | None:
    """The environments that --deltann-backends names; None where it is not given.

    Raises:
        UsageError: it cannot be read.
    """
    text: str | None = config.getoption("--deltann-backends")
    return None if text is None else _specs(text)


def _said(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is None, which stands for nothing said."""
    return {name: value for name, value in kwargs.items() if value is not None}


def _times(asked: dict[str, Any]) -> dict[str, Any] | None:
    """What is asked of the times, which `asked` loses."""
    bench = asked.pop("bench", False)
    times: dict[str, Any] = {name: asked.pop(name) for name in ("margin", "budget") if name in asked}
    if "budget" in times and not bench and "margin" not in times:
        raise UsageError("budget= says how long to time: add bench=True, or leave it out")
    return times if bench or times else None


def _specs(backends: str | Iterable[str] | None) -> tuple[str, ...]:
    """Canonical spellings."""
    if not backends:
        raise UsageError('no backends are given: backends=["torch", "ort"], or pytest --deltann-backends torch,ort')
    return tuple(str(environment) for environment in parse_all(backends))


def _canonical(spec: str | None) -> str | None:
    return None if spec is None else str(Environment.parse(spec))
