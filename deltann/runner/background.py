"""Work that goes on beside the caller's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def in_background(work: Callable[[], T]) -> Future[T]:
    """Begin `work`, and return at once; whoever asks for its result gets what it raised.

    Its thread holds nobody up: whoever stops waiting, at Ctrl-C or for good, need not wait for its end.
    """
    promised: Future[T] = Future()

    def fulfil() -> None:
        try:
            promised.set_result(work())
        except BaseException as error:
            promised.set_exception(error)

    Thread(target=fulfil, daemon=True).start()
    return promised
