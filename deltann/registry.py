"""Finding backends: lazy entry points of the group `deltann.backends`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version

from deltann.backend import Backend, settings
from deltann.environment import Environment
from deltann.errors import UsageError, one_line

GROUP = "deltann.backends"
EXTRA = "DELTANN_BACKENDS"
"""Environment variable naming further adapters while one is being written: `mine=my_module:MyBackend,…`."""


@dataclass(frozen=True)
class Availability:
    """`state` is available, unavailable (framework missing; `note` is the pip line) or broken (`note` says how)."""

    name: str
    state: str
    version: str = ""
    note: str = ""
    summary: str = ""


class BrokenBackend(Exception):
    """An adapter that is installed but cannot be imported; never to be mistaken for one that is missing."""


@cache
def _points() -> dict[str, list[EntryPoint]]:
    """By name; more than one where packages claim the same name. What the environment variable names goes first.

    Raises:
        UsageError: the environment variable cannot be read.
    """
    points: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        points.setdefault(point.name, [])
        if point.value not in [other.value for other in points[point.name]]:  # a package may be found on two paths
            points[point.name].append(point)
    for item in filter(None, os.environ.get(EXTRA, "").split(",")):
        name, _, value = item.partition("=")
        if not name or not re.fullmatch(r"[\w.]+:[\w.]+", value):
            raise UsageError(f"{EXTRA}={item}: write NAME=MODULE:CLASS, several joined by commas")
        points[name] = [EntryPoint(name, value, GROUP)]
    return points


def own_version() -> str:
    """The version of deltann."""
    return version("deltann")


def names() -> list[str]:
    """The names of all registered backends, sorted."""
    return sorted(_points())


@cache
def get(name: str) -> Backend:
    """The adapter of that name.

    Raises:
        UsageError: no such backend; the message lists those there are.
        BrokenBackend: it is registered but cannot be imported, or several packages bring one of that name.
    """
    if name not in _points():
        raise UsageError(f"no backend '{name}'; installed adapters: {', '.join(names())}")
    first, *others = _points()[name]
    if others:
        claims = ", ".join(point.value for point in (first, *others))
        raise BrokenBackend(f"several packages bring a backend '{name}' ({claims}): uninstall all but one")
    try:
        backend: Backend = first.load()()
    except Exception as error:
        raise BrokenBackend(
            f"the adapter '{name}' does not load: {type(error).__name__}: {one_line(str(error))}"
        ) from error
    return backend


def availability(name: str) -> Availability:
    """Whether the framework behind `name` is installed, without importing it.

    Raises:
        UsageError: no such backend.
    """
    try:
        backend = get(name)
    except BrokenBackend as error:
        return Availability(name, "broken", note=str(error))
    try:
        return Availability(name, "available", version=backend.version(), summary=backend.summary)
    except PackageNotFoundError:
        return Availability(name, "unavailable", note=f"pip install '{backend.install}'", summary=backend.summary)
    except Exception as error:
        note = f"the adapter '{name}' cannot tell its version: {type(error).__name__}: {one_line(str(error))}"
        return Availability(name, "broken", note=note, summary=backend.summary)


def check(environment: Environment) -> None:
    """Raise UsageError where the environment names an unknown backend, variant, option, value or device."""
    settings(get(environment.backend), environment)
