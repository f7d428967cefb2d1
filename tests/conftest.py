"""Markers and fixtures that all tests share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache, wraps
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import deltann.report.json
import deltann.report.timing_json
import deltann.scoreboard.report.json
from deltann import registry
from deltann.evidence.request import VARIABLE
from deltann.report.schema import schema
from deltann.testing.faulty import ENTRY
from deltann.testing.registration import registered

pytest_plugins = ["pytester"]
_BACKENDS = Path(__file__).parent / "backends"
_FEW = 40
"""Entries of a list that are looked at: a thousand flips are alike."""


@cache
def _validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(schema(kind))


def _fewer(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _fewer(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        kept = value if len(value) <= _FEW else [*value[: _FEW - 5], *value[-5:]]
        return [_fewer(item) for item in kept]
    return value


def _validated(make: Callable[..., Any], kind: str) -> Callable[..., Any]:
    """`make`, whose documents (JSON, or its data) have to be what the published schema says."""

    @wraps(make)
    def made(*args: Any, **settings: Any) -> Any:
        found = make(*args, **settings)
        # By way of JSON: what counts is what a reader gets.
        data = json.loads(found) if isinstance(found, str) else json.loads(json.dumps(_fewer(found), allow_nan=False))
        _validator(kind).validate(_fewer(data))
        return found

    return made


for _module, _name, _kind in (
    (deltann.report.json, "document", "report"),
    (deltann.report.timing_json, "calibration_json", "calibration"),
    (deltann.scoreboard.report.json, "to_json", "scoreboard"),
):
    # Here, before any test imports one of them by name.
    setattr(_module, _name, _validated(getattr(_module, _name), _kind))


def pytest_configure(config: pytest.Config) -> None:
    """One marker a backend, so that `pytest -m tvm` runs what concerns tvm."""
    for name in registry.names():
        config.addinivalue_line("markers", f"{name}: tests of the backend '{name}'")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests in `backends/NAME/` carry the marker NAME; those marked `long` run only where `-m` speaks of `long`."""
    for item in items:
        if item.path.is_relative_to(_BACKENDS):
            name = item.path.relative_to(_BACKENDS).parts[0]
            if name in registry.names():
                item.add_marker(name)
    if "long" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture(scope="session", autouse=True)
def no_evidence() -> Iterator[None]:
    """Comparisons gather evidence only in the tests about it, which ask for it: it takes seconds a model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, "none")
        # What CI sets changes what is printed and what fails; tests of that set it themselves.
        patch.delenv("CI", raising=False)
        patch.delenv("GITHUB_ACTIONS", raising=False)
        yield


@pytest.fixture
def faulty() -> Iterator[str]:
    """Makes `FaultyBackend` known as `faulty`."""
    with registered(faulty=ENTRY):
        yield "faulty"
