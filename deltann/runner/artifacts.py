"""Lowered artifacts, kept in the cache by everything that they depend on."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import platform
import shutil
from pathlib import Path

import deltann.lowering
from deltann.artifact import Artifact
from deltann.backend import Backend, enter, settings
from deltann.environment import Environment
from deltann.model import Model
from deltann.outcome import Stage


def lower_or_reuse(backend: Backend, model: Model, env: Environment, cache: Path) -> tuple[Artifact, bool]:
    """The artifact, and whether it was in the cache. A failed or killed lowering leaves nothing that looks finished."""
    folder = cache / "artifacts" / _key(backend, model, env)
    artifact = Artifact.read(folder)
    if artifact is not None:
        return artifact, True
    work = folder.with_name(f"{folder.name}.{os.getpid()}")
    # A killed worker that had this process's number may have left one.
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        enter(Stage.CONVERT)
        backend.lower(model, env, work).save()
        _replace(folder, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    artifact = Artifact.read(folder)
    if artifact is None:
        raise RuntimeError(f"the artifact in {folder} changed while it was written; try again")
    return artifact, False


def _replace(folder: Path, work: Path) -> None:
    """Put `work` in the place of `folder`; another worker may just have made the same, which then serves."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        work.rename(folder)
    except OSError:
        if Artifact.read(folder) is None:
            raise


def _key(backend: Backend, model: Model, env: Environment) -> str:
    facts = {
        "model": model.sha256,
        "inputs": [str(spec) for spec in model.inputs],
        "backend": backend.name,
        "settings": settings(backend, env),
        "device": env.device or backend.devices()[0],
        "version": backend.version(),
        "adapter": _source_digest(backend),
        "host": _cpu(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def _source_digest(backend: Backend) -> str:
    """The adapter's own code, and the core's that it lowers with, are part of what made the artifact."""
    module = Path(inspect.getfile(type(backend)))
    files = sorted(module.parent.rglob("*.py")) if module.name == "__init__.py" else [module]
    shared = Path(deltann.lowering.__file__).parent
    digest = hashlib.sha256()
    for file in (*files, *sorted(shared.rglob("*.py"))):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _cpu() -> str:
    """The CPU's model and what it can do: code compiled for one may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    facts = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines if ":" in line}
    return " ".join([platform.machine(), platform.processor(), facts.get("model name", ""), facts.get("flags", "")])
