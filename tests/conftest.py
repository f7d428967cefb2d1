"""Markers and fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deltann import registry
from deltann.evidence.request import VARIABLE
from deltann.testing.faulty import ENTRY
from deltann.testing.registration import registered

pytest_plugins = ["pytester"]
_BACKENDS = Path(__file__).parent / "backends"


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
        yield


@pytest.fixture
def faulty() -> Iterator[str]:
    """Makes `FaultyBackend` known as `faulty`."""
    with registered(faulty=ENTRY):
        yield "faulty"
