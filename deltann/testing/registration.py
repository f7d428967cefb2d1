"""Adapters known for the length of a test, without being installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from deltann import registry


@contextmanager
def registered(**adapters: str) -> Iterator[None]:
    """Have this process and the workers it starts know `name="module:Class"`, beside what is installed."""
    before = os.environ.get(registry.EXTRA)
    known = [before] if before else []
    os.environ[registry.EXTRA] = ",".join([*known, *(f"{name}={entry}" for name, entry in adapters.items())])
    _forget()
    try:
        yield
    finally:
        if before is None:
            del os.environ[registry.EXTRA]
        else:
            os.environ[registry.EXTRA] = before
        _forget()


def _forget() -> None:
    registry._points.cache_clear()
    registry.get.cache_clear()
