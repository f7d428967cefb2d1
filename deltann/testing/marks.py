"""Marks of the failures that are known: whose they are, and why. Each is strict: it falls when the failure does."""

from __future__ import annotations

import pytest


def notimpl(raises: type[Exception], reason: str) -> pytest.MarkDecorator:
    """A failure that is ours to mend: the adapter does not do this yet."""
    return _known("notimpl", raises, reason)


def notyet(raises: type[Exception], reason: str) -> pytest.MarkDecorator:
    """A failure that is the framework's to mend."""
    return _known("notyet", raises, reason)


def never(raises: type[Exception], reason: str) -> pytest.MarkDecorator:
    """A failure by design, which will stay."""
    return _known("never", raises, reason)


def _known(kind: str, raises: type[Exception], reason: str) -> pytest.MarkDecorator:
    return pytest.mark.xfail(raises=raises, reason=f"{kind}: {reason}", strict=True)
