"""Inductor: the compiler it needs, where its cache lies, and the run that makes it compile."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from deltann.errors import Unavailable

_CACHES = {"TORCHINDUCTOR_CACHE_DIR": ".", "TRITON_CACHE_DIR": "triton"}


def compiled(module: Any, device: torch.device) -> Any:
    """`module` by torch.compile, its shapes taken as fixed.

    Raises:
        Unavailable: what Inductor makes its code with is missing: a C++ compiler for the CPU; for CUDA Triton, which
            needs a C compiler.
    """
    if device.type == "cuda":
        if find_spec("triton") is None:
            raise Unavailable(
                "torch.compile writes code for CUDA by Triton, which is not installed: pip install triton; the eager "
                "variant, torch:cuda, needs none"
            )
        _need("CC", ("gcc", "clang"), "a C compiler for CUDA (Triton's launchers)", "apt install gcc")
    else:
        _need("CXX", ("g++", "clang++"), "a C++ compiler", "apt install g++")
    return torch.compile(module, dynamic=False)


def _need(variable: str, names: Sequence[str], what: str, how: str) -> None:
    named = os.environ.get(variable)
    if not any(shutil.which(name) for name in ([named] if named else names)):
        raise Unavailable(
            f"torch.compile needs {what}: install one (Debian: {how}) or name it in the variable {variable}; "
            "the eager variant, torch, needs none"
        )


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
