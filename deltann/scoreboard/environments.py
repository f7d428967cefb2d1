"""Which environments a scoreboard is made of."""

from __future__ import annotations

from deltann import registry
from deltann.backend import calibration_samples
from deltann.environment import Environment, parse_all
from deltann.errors import UsageError

LeftOut = list[tuple[str, str]]


def chosen(specs: str | None) -> tuple[dict[str, str], LeftOut]:
    """The framework's version by environment, and (name, why) of the backends that are left out.

    Where `specs` is None: the default of each backend that is there, with those left out that are not.

    Raises:
        UsageError: an environment that does not exist, is not installed, is broken, or is quantised after data.
    """
    if specs is not None:
        return {str(one): _version(one) for one in parse_all(specs)}, []
    found = [registry.availability(name) for name in registry.names()]
    there = {one.name: one.version for one in found if one.state == "available"}
    if not there:
        raise UsageError("no backend is installed: see `deltann backends` for how to install one")
    return there, [(one.name, f"{one.state}: {one.note}") for one in found if one.state != "available"]


def _version(environment: Environment) -> str:
    """The version that will run.

    Raises:
        UsageError: as `chosen`.
    """
    try:
        backend = registry.get(environment.backend)
    except registry.BrokenBackend as error:
        raise UsageError(f"{error}; reinstall the package that brings it") from error
    found = registry.availability(environment.backend)
    if found.state == "broken":
        raise UsageError(f"{found.note}; reinstall the package that brings it")
    if found.state == "unavailable" and environment.version is None:
        raise UsageError(f"'{environment}' is not installed: {found.note}")
    registry.check(environment)
    if calibration_samples(backend, environment):
        raise UsageError(
            f"'{environment}' is quantised after samples of data, and the test cases are single answers to the last "
            "digit: leave it out; `deltann compare` measures what quantisation costs"
        )
    return environment.version or found.version
