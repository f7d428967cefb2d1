from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from deltann import registry
from deltann.environment import Environment
from deltann.errors import UsageError
from deltann.testing.registration import registered

_ADAPTERS = """
from importlib.metadata import PackageNotFoundError
from deltann.testing.faulty import FaultyBackend

class Missing(FaultyBackend):
    install = "deltann[missing]"
    summary = "not installed"

    def version(self):
        raise PackageNotFoundError("missing")

class Unreadable(FaultyBackend):
    def version(self):
        raise ValueError("the version file is damaged")

class Unmade(FaultyBackend):
    def __init__(self):
        raise OSError("its library is of another processor")
"""


@pytest.fixture(autouse=True)
def _adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "adapters_of_registry_test.py").write_text(_ADAPTERS)
    (tmp_path / "syntax_of_registry_test.py").write_text("def broken(:")
    monkeypatch.syspath_prepend(tmp_path)
    adapters = {
        name.lower(): f"adapters_of_registry_test:{name}" for name in ("Missing", "Unreadable", "Unmade", "Absent")
    }
    with registered(**adapters, nowhere="no_such_module:X", syntax="syntax_of_registry_test:X"):
        yield


def test_the_projects_own_backends_are_found() -> None:
    assert {"reference", "ort", "torch", "tvm"} <= set(registry.names())
    assert registry.names() == sorted(registry.names())
    assert registry.get("reference") is registry.get("reference")
    found = registry.availability("reference")
    assert (found.state, found.note) == ("available", "")
    assert re.match(r"\d+\.\d+", found.version)


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no backend 'onnxruntime'; installed adapters: .*ort, reference,"):
        registry.get("onnxruntime")
    with pytest.raises(UsageError, match="no variant 'O7'"):
        registry.check(Environment.parse("ort-O7"))


def test_a_missing_framework_shows_its_pip_line() -> None:
    found = registry.availability("missing")
    assert (found.state, found.note, found.summary) == (
        "unavailable",
        "pip install 'deltann[missing]'",
        "not installed",
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nowhere", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("syntax", "SyntaxError"),
        ("absent", "AttributeError"),
        ("unmade", "OSError: its library is of another processor"),
        ("unreadable", "the version file is damaged"),
    ],
)  # fmt: skip
def test_a_broken_adapter_shows_as_broken_and_never_as_missing(name: str, told: str) -> None:
    assert name in registry.names()
    found = registry.availability(name)
    assert found.state == "broken"
    assert told in found.note


def test_adapters_known_for_a_test_are_forgotten_after_it() -> None:
    with registered(other="adapters_of_registry_test:Missing"):
        assert "other" in registry.names()
        assert "missing" in registry.names()
    assert "other" not in registry.names()
    assert "missing" in registry.names()


def test_an_unheard_of_backend_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no backend 'unheard_of'"):
        registry.availability("unheard_of")


@pytest.mark.parametrize("text", ["mine", "mine=", "=a:B", "mine=a b:C", "mine=a:B:C"])
def test_what_the_variable_cannot_say_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.EXTRA, text)
    registry._points.cache_clear()
    with pytest.raises(UsageError, match=r"DELTANN_BACKENDS=.*: write NAME=MODULE:CLASS"):
        registry.names()
    registry._points.cache_clear()


def test_two_packages_of_one_name_are_told_and_neither_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("twice", f"adapters_of_registry_test:{name}", registry.GROUP) for name in ("Missing", "Unmade")
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: [*points, points[0]] if group else [])
    registry._points.cache_clear()
    found = registry.availability("twice")
    assert found.state == "broken"
    assert "adapters_of_registry_test:Missing, adapters_of_registry_test:Unmade" in found.note
    registry._points.cache_clear()
