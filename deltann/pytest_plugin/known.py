"""`deltann.known_failure`: a failure that is known, excused for one environment until a version of its backend."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from deltann.environment import Environment
from deltann.errors import UsageError

MARK = "deltann_known_failure"
KINDS = ("UNSUPPORTED", "FAILED", "DIFFER", "REGRESSION")
"""How an environment can fail, in the words of reports: no outputs by `Status`, others by `Verdict`, `TimeVerdict`."""


def known_failure(
    backend: str, *, reason: str, until: str | None = None, raises: str | Iterable[str] | None = None
) -> pytest.MarkDecorator:
    """Mark a test in which the environment `backend` (a spec such as `tvm-O3`) is known to fail.

    Only that environment's failures are excused: it gives no outputs, differs from the others (not where these are
    found to be the wrong side), or is slower. The test is then reported as xfailed. It fails where the environment
    did not fail, so that the mark falls when the failure does.

    `until`: versions of the backend that no longer fail, such as `">=1.2"`; with one of them nothing is excused.
    `raises`: the one way it fails, or several: UNSUPPORTED, FAILED (a crash, a time-out, an exception), DIFFER,
    REGRESSION; none other is excused. Where it is not given, each is.
    """
    kinds = raises if raises is None or isinstance(raises, str) else tuple(raises)  # marks are read more than once
    mark: pytest.MarkDecorator = getattr(pytest.mark, MARK)(backend, reason=reason, until=until, raises=kinds)
    return mark


@dataclass(frozen=True)
class KnownFailure:
    """A mark that was read; `environment` is spelled canonically, `raises` are some of `KINDS` (None: any of them)."""

    environment: str
    reason: str
    until: str | None = None
    raises: frozenset[str] | None = None

    def __str__(self) -> str:
        return f"{self.environment}: {self.reason}"

    def admits(self, kind: str) -> bool:
        """Whether it is about failures of that kind."""
        return self.raises is None or kind in self.raises

    def ended(self, version: str) -> bool:
        """Whether `version`, of the environment's backend, is one of those that no longer fail.

        Raises:
            UsageError: `version` cannot be ordered, so that `until` cannot be held against it.
        """
        if self.until is None:
            return False
        from packaging.specifiers import SpecifierSet
        from packaging.version import InvalidVersion, Version

        try:
            # What was mended in 1.2 is to be mended in a nightly build of 1.3 too.
            return SpecifierSet(self.until).contains(Version(version), prereleases=True)
        except InvalidVersion as error:
            raise UsageError(
                f"known_failure of {self.environment}: '{version}' is no version that until='{self.until}' can be held "
                "against: leave `until` out"
            ) from error


def known_failures(item: pytest.Item) -> tuple[KnownFailure, ...]:
    """The marks on a test.

    Raises:
        UsageError: one of them cannot be read.
    """
    return tuple(_read(mark.args, mark.kwargs) for mark in item.iter_markers(MARK))


def _read(args: Sequence[Any], kwargs: Mapping[str, Any]) -> KnownFailure:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    if len(args) != 1 or not isinstance(args[0], str) or set(kwargs) - {"reason", "until", "raises"}:
        raise UsageError('a known failure is written deltann.known_failure("tvm-O3", reason="…", until=">=1.2")')
    reason, until = kwargs.get("reason"), kwargs.get("until")
    if not isinstance(reason, str) or not reason.strip():
        raise UsageError(f'known_failure of {args[0]}: say why it fails: reason="…"')
    if until is not None:
        try:
            if not list(SpecifierSet(until)):
                raise InvalidSpecifier("it holds for every version")
        except (InvalidSpecifier, TypeError, AttributeError) as error:
            raise UsageError(
                f'known_failure of {args[0]}: until={until!r} names no versions: write such as until=">=1.2"'
            ) from error
    return KnownFailure(str(Environment.parse(args[0])), reason, until, _kinds(args[0], kwargs.get("raises")))


def _kinds(environment: str, raises: Any) -> frozenset[str] | None:
    if raises is None:
        return None
    kinds = [raises] if isinstance(raises, str) else list(raises) if isinstance(raises, Collection) else []
    if not kinds or any(kind not in KINDS for kind in kinds):
        raise UsageError(f"known_failure of {environment}: raises={raises!r} is not one or more of {', '.join(KINDS)}")
    return frozenset(map(str, kinds))
