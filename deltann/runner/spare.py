"""Workers started before their cells are known: they import numpy, onnx and a framework beside the parent's imports."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from deltann.cache import cache_dir
from deltann.environment import Environment
from deltann.runner.local import WorkerProcess

AT_ONCE = min(2, os.cpu_count() or 1)
"""Cells lowered and loaded side by side; each that waits for its turn holds its model in memory."""

_spares: list[tuple[Environment, WorkerProcess]] = []


@contextmanager
def spare_workers(expected: Sequence[Environment]) -> Iterator[None]:
    """Start idle workers of this interpreter for the first cells, whose environments will most likely be `expected`.

    Those that nobody took are gone at the end.
    """
    with ExitStack() as ends:
        # Whoever writes to the cache says what is wrong with it.
        with suppress(OSError):
            for number, environment in enumerate(expected[:AT_ONCE]):
                if environment.version is not None:  # installed with an interpreter of its own
                    continue
                log = cache_dir() / "logs" / f"{os.getpid()}-{number}.log"
                worker = ends.enter_context(WorkerProcess(log))
                ends.callback(log.unlink, missing_ok=True)
                worker.send({"op": "expect", "environment": str(environment)})
                _spares.append((environment, worker))
        try:
            yield
        finally:
            _spares.clear()


def take(environment: Environment) -> WorkerProcess | None:
    """The idle worker that expects `environment`, which is the caller's from now on; None if there is none."""
    for place, (expected, worker) in enumerate(_spares):
        if expected == environment:
            del _spares[place]
            return worker
    return None


def dismiss() -> None:
    """End the workers that are still idle."""
    while _spares:
        _spares.pop()[1].kill()
