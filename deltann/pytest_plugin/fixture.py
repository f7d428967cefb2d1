"""What the fixture `deltann` gives to a test."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

import deltann
from deltann.errors import UsageError
from deltann.pytest_plugin.assessment import Assessment, assess
from deltann.pytest_plugin.kept import folder_for, write_reports
from deltann.pytest_plugin.known import KnownFailure, known_failures
from deltann.pytest_plugin.message import message
from deltann.pytest_plugin.plugin import STATE
from deltann.pytest_plugin.request import NATIVE, Request, chosen_backends, read_request
from deltann.report.contents import Contents, with_times
from deltann.report.text import printable
from deltann.result import Result
from deltann.runner.cell import Limits
from deltann.timing.measure import bench as take_times
from deltann.timing.options import Options
from deltann.timing.stored import timing

UNTIMED = "pytest-xdist runs tests side by side, which spoils times; pytest -n0 takes them"


class Agreement:
    """Compares models for one test.

    `requests`: what was asked for so far. `met`, `unmet`: the known failures that happened, and those that did not.
    `missing`: a line for each environment that is not on this machine. `over`: nothing more can be asked for.
    """

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request
        self._item: pytest.Item = request.node
        self.requests: list[Request] = []
        self.met: frozenset[KnownFailure] = frozenset()
        self.unmet: frozenset[KnownFailure] = frozenset()
        self.missing: list[str] = []
        self.over = False
        self._item.stash[STATE] = self

    def __repr__(self) -> str:
        return f"<deltann, for {self._item.name}>"

    def assert_agree(
        self,
        model: Any = None,
        backends: str | Iterable[str] | None = None,
        *,
        bench: bool = False,
        margin: float | str | None = None,
        budget: float | None = None,
        **options: Any,
    ) -> Result:
        """Run `model` under the environments `backends`, and fail unless they agree.

        What is not given is what the test's `@pytest.mark.deltann(…)` says. --deltann-backends stands in for
        `backends`, beside a `reference` that is named. With `bench`, or a `margin`, the environments are timed too (in
        `budget` seconds, 60), and none may be slower than the reference by more than the margin (5%). `options` are
        what `deltann.compare` takes. Where a backend is not on this machine the test goes on with the result of the
        others, and is skipped at its end.

        Raises:
            AssertionError: they differ, one gave no outputs or is slower, or it cannot be told whether they agree.
            deltann.UsageError: the request or its input is wrong, or the test is over.
        """
        __tracebackhide__ = True
        given = {"model": model, "backends": backends, "bench": bench or None, "margin": margin, "budget": budget}
        if self.over:
            raise UsageError("the test is over: call deltann.assert_agree() in its body, or before it")
        try:
            contents, found = self._compare({**given, **options})
        except UsageError as error:
            raise UsageError(printable(str(error))) from None  # one line that blames the call, not what was called
        if found.failures:
            raise AssertionError(message(contents, found.failures))
        if found.missing:
            lines = printable("; ".join(found.missing))
            if self._item.config.getoption("--deltann-strict"):
                raise AssertionError(f"{lines} (and --deltann-strict)")
            self.missing += [lines] if lines not in self.missing else []
            self._item.add_report_section("call", "deltann", f"{lines}\n")  # shown where the test fails after this
        return contents.result

    def _compare(self, given: dict[str, Any]) -> tuple[Contents, Assessment]:
        config, mark = self._item.config, self._item.get_closest_marker("deltann")
        known = known_failures(self._item)
        share = getattr(self._request, "param", None)
        asked = read_request(mark.kwargs if mark else {}, given, share, chosen_backends(config))
        self.requests.append(asked)
        alone = not hasattr(config, "workerinput")
        if asked.times is not None:
            Options.of(**asked.times)  # refused before anything runs
        folder = folder_for(self._request, len(self.requests))
        result = deltann.compare(asked.model, asked.backends, **asked.options, out=folder)
        self._item.user_properties.append(("deltann_run", str(folder)))
        contents = with_times(result, _timed(result, asked) if alone else None)
        if untimed := asked.times is not None and not alone:
            # No warning: `-W error` would make a failure of it. The end of the session says it.
            self._item.user_properties.append(("deltann_untimed", UNTIMED))
        if config.getoption("--deltann-report") is not None and (why := write_reports(contents)):
            self._item.user_properties.append(("deltann_no_html", why))
        found = assess(contents, () if config.option.runxfail else known, untimed=untimed)
        self.met, self.unmet = self.met | found.met, self.unmet | found.unmet
        return contents, found


def _timed(result: Result, asked: Request) -> Any:
    """The times of a finished comparison, where they are asked for."""
    if asked.times is None:
        return None
    limits = {name: asked.options[name] for name in ("timeout", "memory_limit") if name in asked.options}
    reference = asked.options.get("reference")
    # An object is not timed: it runs in this process, not in fresh ones.
    options = Options.of(**asked.times, reference=None if reference == NATIVE else reference)
    take_times(result.run, options, Limits.of(**limits), lambda _what, _doing, _done, _total: None)
    return timing(result.run, result=result)
