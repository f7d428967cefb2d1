"""Where deltann keeps what it can make again: preprocessed inputs, artifacts, environments of pinned versions."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """`$DELTANN_CACHE`, else `$XDG_CACHE_HOME/deltann`, else `~/.cache/deltann`. It may be deleted at any time."""
    if chosen := os.environ.get("DELTANN_CACHE"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "deltann"
