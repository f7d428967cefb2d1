"""Workers started before anybody knows for what: they import numpy and onnx while the parent does the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from deltann.cache import cache_dir
from deltann.runner.local import WorkerProcess

AT_ONCE = min(2, os.cpu_count() or 1)
"""Cells lowered and loaded side by side; each that waits for its turn holds its model in memory."""

_spares: list[WorkerProcess] = []


@contextmanager
def spare_workers() -> Iterator[None]:
    """Start idle workers of this interpreter for the first cells; those that nobody took are gone at the end."""
    with ExitStack() as ends:
        # Whoever writes to the cache says what is wrong with it.
        with suppress(OSError):
            for number in range(AT_ONCE):
                log = cache_dir() / "logs" / f"{os.getpid()}-{number}.log"
                _spares.append(ends.enter_context(WorkerProcess(log)))
                ends.callback(log.unlink, missing_ok=True)
        try:
            yield
        finally:
            _spares.clear()


def take() -> WorkerProcess | None:
    """One of the idle workers, which is the caller's from now on; None if there is none."""
    return _spares.pop(0) if _spares else None
