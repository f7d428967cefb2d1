"""Whole commands, timed: wall seconds and the peak memory of the process itself (its children's apart).

Of memory, what the process itself holds (RssAnon) is told from file pages mapped into it (RssFile: libraries, and
stored outputs while they are read), which the kernel drops when somebody needs the room.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """One finished command; `output` is what it wrote to stdout."""

    wall_s: float
    own_mb: float
    mapped_mb: float
    output: str


def run(command: list[str], variables: Mapping[str, str] | None = None, expected: int = 0) -> Measured:
    """Run a command to its end; both memories are peaks of the command's own process, sampled until it ends."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **(variables or {})}, text=True)
    own = mapped = 0.0
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        own, mapped = max(own, _megabytes(status, "RssAnon")), max(mapped, _megabytes(status, "RssFile"))
        time.sleep(0.02)
    wall = time.perf_counter() - started
    assert process.stdout is not None
    output = process.stdout.read()
    if process.returncode != expected:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{output}")
    return Measured(wall, own, mapped, output)


def _megabytes(status: Path, field: str) -> float:
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:")), 0.0)
