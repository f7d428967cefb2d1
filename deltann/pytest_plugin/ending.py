"""When a test has ended well: did it compare what its marks are about, and did the known failures happen?"""

from __future__ import annotations

import pytest

from deltann import registry
from deltann.environment import Environment
from deltann.errors import UsageError
from deltann.pytest_plugin.known import MARK, KnownFailure, known_failures
from deltann.pytest_plugin.plugin import STATE
from deltann.pytest_plugin.request import NATIVE, Request


def end(item: pytest.Item) -> None:
    """Fail, skip or xfail a test that has raised nothing.

    Raises:
        pytest.fail.Exception: it compared nothing, or a known failure did not happen or is of an environment that the
            test has nothing to do with.
        pytest.skip.Exception: a backend was not on this machine.
        pytest.xfail.Exception: a known failure happened.
    """
    __tracebackhide__ = True
    state = item.stash.get(STATE, None)
    if state is not None:
        state.over = True
    if state is None or not state.requests:
        if not (item.get_closest_marker("deltann") or item.get_closest_marker(MARK)):
            return
        pytest.fail("the test is marked, and compared nothing: call deltann.assert_agree()", pytrace=False)
    try:
        strange = [reason for mark in known_failures(item) if (reason := _strange(mark, state.requests))]
    except UsageError as error:
        strange = [str(error)]
    strange += [
        f"the known failure of {mark} did not happen: take the mark away"
        for mark in sorted(state.unmet - state.met, key=str)
    ]
    if strange:
        pytest.fail("; ".join(strange), pytrace=False)
    if state.missing:
        # Where the test stands, as pytest's own mark does: it is no line of ours that is skipped.
        raise pytest.skip.Exception("; ".join(state.missing), _use_item_location=True)
    if state.met:
        pytest.xfail("; ".join(sorted(map(str, state.met))))


def _strange(mark: KnownFailure, requests: list[Request]) -> str | None:
    """Why the mark can never be met, as one that is misspelt."""
    compared = {spec for request in requests for spec in request.backends}
    named = {spec for request in requests for spec in request.named or ()}
    if mark.environment in {*compared, *named} or (mark.environment == NATIVE and any(r.native for r in requests)):
        return None
    if all(request.named is not None for request in requests):
        return f"the known failure of {mark}: this test compares {', '.join(sorted(named | compared))} alone"
    registry.check(Environment.parse(mark.environment))  # which the command line may choose another day
    return None
