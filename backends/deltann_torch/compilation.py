"""Inductor: the compiler it needs, where its cache lies, and the run that makes it compile."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from deltann.errors import Unavailable

_CACHES = {"TORCHINDUCTOR_CACHE_DIR": ".", "TRITON_CACHE_DIR": "triton"}


def compiled(module: Any) -> Any:
    """`module` by torch.compile, its shapes taken as fixed.

    Raises:
        Unavailable: no C++ compiler is to be found, which Inductor's code for the CPU needs.
    """
    named = os.environ.get("CXX")
    if not any(shutil.which(name) for name in ([named] if named else ["g++", "clang++"])):
        raise Unavailable(
            "torch.compile needs a C++ compiler: install one (Debian: apt install g++) or name it in the variable CXX; "
            "the eager variant, torch, needs none"
        )
    return torch.compile(module, dynamic=False)


def warm_up(module: Any, examples: Sequence[torch.Tensor]) -> None:
    """Run once, which is when torch.compile compiles."""
    with torch.inference_mode():
        module(*examples)


@contextmanager
def threads_set(threads: int | None) -> Iterator[None]:
    """Within, torch uses so many threads inside one operator; None leaves its own choice."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def cached_in(folder: Path, threads: int | None) -> Iterator[None]:
    """Within, Inductor and Triton keep what they compile in `folder` (one of no consequence if it cannot be written).

    Threads are set as well: Inductor writes their number into the loops it makes.
    """
    try:
        folder.mkdir(exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    with tempfile.TemporaryDirectory(prefix="deltann-inductor-") as temporary, threads_set(threads):
        root = folder if writable else Path(temporary)
        before = {name: os.environ.get(name) for name in _CACHES}
        os.environ |= {name: str(root / part) for name, part in _CACHES.items()}
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
