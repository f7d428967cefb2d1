"""How much memory one worker may take."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from deltann.errors import UsageError

DEFAULT = "80%"
_UNITS = {"%": 0, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def machine_memory() -> int:
    """Bytes of memory that this machine has, or that the container one is in may use."""
    total = int(psutil.virtual_memory().total)
    for file in _CGROUPS:
        with suppress(OSError, ValueError):
            total = min(total, int(Path(file).read_text()))
    return total


def parse_memory(text: str) -> int:
    """Bytes, from `80%` (of the machine) or from an amount such as `4GiB` or `500MB`.

    Raises:
        UsageError: neither.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%|[kmg]i?b)", text.strip(), re.IGNORECASE)
    unit = _UNITS.get(match[2].upper()) if match else None
    amount = float(match[1]) if match else 0.0
    if unit is None or not math.isfinite(amount) or amount <= 0 or (unit == 0 and amount > 100):
        raise UsageError(f"--memory-limit {text}: write a share of this machine's memory such as 80%, or 4GiB or 500MB")
    return max(1, int(amount * unit if unit else machine_memory() * amount / 100))


def memory_of(pid: int) -> int:
    """Bytes that a process and its children hold of their own; files mapped into them do not count. 0 once gone."""
    total = 0
    for one in _family(pid):
        with suppress(psutil.Error):
            held = psutil.Process(one).memory_info()
            total += held.rss - getattr(held, "shared", 0)
    return total


def _family(pid: int) -> Iterator[int]:
    """A process and all that came of it.

    Asked while an engine runs: what looks through all processes of a large machine would take milliseconds from it.
    """
    yield pid
    tasks = Path(f"/proc/{pid}/task")
    if not Path("/proc/self/task", str(os.getpid()), "children").is_file():  # not Linux, or built without the list
        with suppress(psutil.Error):
            yield from (child.pid for child in psutil.Process(pid).children(recursive=True))
        return
    with suppress(OSError):  # it, or a thread of it, is gone
        for task in list(tasks.iterdir()):
            for child in (task / "children").read_text().split():
                yield from _family(int(child))
