"""Checks of the machine, each with what was found and how to mend it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deltann import registry
from deltann.cache import cache_dir
from deltann.outcome import Stage, Status
from deltann.runner.local import WorkerProcess
from deltann.store import host

_LEAST_FREE_GB = 2.0
_START_S = 120.0


@dataclass(frozen=True)
class Check:
    """One thing examined; `fix` says what to do where it is not `ok`."""

    what: str
    ok: bool
    found: str
    fix: str = ""


def examine() -> Iterator[Check]:
    """Every check, in the order of what depends on what."""
    machine = host()
    yield Check("python", sys.version_info >= (3, 11), str(machine["python"]), "install Python 3.11 or newer")
    yield Check("host", True, f"{machine['cpu']}, {machine['cores']} cores, {_memory_gb():.1f} GB memory")
    yield _cache()
    compiler = next((found for name in ("g++", "clang++", "c++") if (found := shutil.which(name))), None)
    yield Check("C++ compiler", compiler is not None, compiler or "none",
                "torch-compile and tvm need one: install g++ (Debian: apt install g++)")  # fmt: skip
    for name in registry.names():
        yield _backend(name)


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _cache() -> Check:
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free / 1e9
    except OSError as error:
        return Check("cache", False, f"{folder}: {error.strerror}", "set DELTANN_CACHE to a folder you may write to")
    return Check(
        "cache", free >= _LEAST_FREE_GB, f"{folder}, {free:.1f} GB free", "free some disk, or set DELTANN_CACHE"
    )


def _backend(name: str) -> Check:
    found = registry.availability(name)
    if found.state == "unavailable":
        return Check(name, True, f"not installed ({found.note})")
    if found.state == "broken":
        return Check(name, False, found.note, "reinstall the package that brings this adapter")
    with tempfile.TemporaryDirectory() as folder, WorkerProcess(Path(folder) / "worker.log") as worker:
        reply = worker.request({"op": "probe", "backend": name}, dict.fromkeys(Stage, _START_S))
    ok = reply.outcome.status is Status.OK
    return Check(
        name,
        ok,
        found.version if ok else reply.outcome.reason,
        f"reinstall: pip install '{registry.get(name).install}'",
    )
