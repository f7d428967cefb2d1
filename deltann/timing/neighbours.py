"""Keeping environments that share a machine out of each other's way while one of them is timed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from deltann.errors import UsageError


def pause(pid: int) -> None:
    """Stop a worker's process group: threads that spin while they wait for work would take their neighbours' time."""
    with suppress(ProcessLookupError, ChildProcessError):  # whoever waits for its answer finds out
        os.killpg(pid, signal.SIGSTOP)
        if hasattr(os, "waitid"):
            # The signal is sent; that all threads have stopped takes a moment, which would be a neighbour's.
            os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


def resume(pid: int) -> None:
    """Let a stopped process group go on."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGCONT)


@contextmanager
def pinned(cpus: Sequence[int]) -> Iterator[None]:
    """Processes that this thread starts meanwhile run on `cpus` alone; anywhere where there are none.

    They inherit it, so that an engine which counts the processors it may use before it makes its threads sees it.
    """
    if not cpus:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def parse_cpus(text: str) -> tuple[int, ...]:
    """Numbers of processors, from texts such as `0,1` or `0-3`.

    Raises:
        UsageError: not numbers, processors that this process may not use, or a system that cannot pin.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise UsageError("--pin: this system cannot keep a process on some processors; leave it out")
    there = sorted(os.sched_getaffinity(0))
    found: set[int] = set()
    for part in text.split(","):
        first, separator, last = part.partition("-")
        if not first.strip().isdecimal() or (separator and not last.strip().isdecimal()):
            raise UsageError(f"--pin {text}: write numbers of processors, such as 0,1 or 0-3")
        found |= set(range(int(first), int(last) + 1)) if separator else {int(first)}
    if not found or not found <= set(there):
        raise UsageError(f"--pin {text}: the processors here are {', '.join(map(str, there))}; choose among them")
    return tuple(sorted(found))
