"""Lowered artifacts, kept in the cache by everything that they depend on."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import deltann.lowering
from deltann import registry
from deltann.artifact import Artifact
from deltann.backend import Backend, Calibrated, LowersWith, Tensors, calibration_samples, settings
from deltann.environment import Environment
from deltann.host import cpu_facts
from deltann.model import Model, unchanged

_ABANDONED_S = 7 * 24 * 3600.0


def lower_or_reuse(
    backend: Backend, model: Model, env: Environment, cache: Path, calibration: Sequence[Tensors] | None = None
) -> tuple[Artifact, bool]:
    """The artifact, and whether it was in the cache. A failed or killed lowering leaves nothing that looks finished.

    Raises:
        ValueError: the environment is calibrated on samples and has none.
    """
    if model.format == "onnx" and calibration_samples(backend, env) and calibration is None:
        raise ValueError(f"'{env}' is calibrated on samples of the inputs, and got none")
    folder = cache / "artifacts" / _key(backend, model, env, calibration)
    found = Artifact.read(folder)
    if found is not None:
        return found, True
    _sweep(folder.parent)
    work = folder.with_name(f"{folder.name}.{os.getpid()}")
    # A killed worker that had this process's number may have left one.
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        if calibration is not None and isinstance(backend, Calibrated):
            artifact = backend.lower_calibrated(model, env, work, calibration)
        else:
            artifact = backend.lower(model, env, work)
        if not unchanged(model):
            raise RuntimeError(f"{model.path} changed while it was lowered; start again")
        artifact.save()
        return _replace(folder, work) or Artifact(folder, artifact.files, artifact.digest), False
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove what killed workers left half-made, once nobody can still be at it."""
    for left in parent.glob("*.*"):
        with suppress(FileNotFoundError):  # another worker has just finished it
            if time.time() - left.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(left, ignore_errors=True)


def _replace(folder: Path, work: Path) -> Artifact | None:
    """Put `work` in the place of `folder`; what another worker has just put there, and may be loading, then serves."""
    if (found := Artifact.read(folder)) is not None:
        return found
    shutil.rmtree(folder, ignore_errors=True)
    try:
        work.rename(folder)
    except OSError:
        if (found := Artifact.read(folder)) is None:
            raise
    return found


def _key(backend: Backend, model: Model, env: Environment, calibration: Sequence[Tensors] | None) -> str:
    facts = {
        "model": model.sha256,
        "inputs": [str(spec) for spec in model.inputs],
        "backend": backend.name,
        "settings": settings(backend, env),
        "device": env.device or backend.devices()[0],
        "version": backend.version(),
        "adapter": adapter_digest(backend),
        "calibration": calibration and _digest(calibration),
        "host": _cpu(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def adapter_digest(backend: Backend) -> str:
    """Of the adapter's own code, and of what it lowers with beside its framework: other code, other results."""
    others = backend.lowers_with if isinstance(backend, LowersWith) else ()
    parts = [_source_digest(backend), *(_told_of(name) for name in others)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _digest(batches: Sequence[Tensors]) -> str:
    """Of the samples that quantisation looked at, which decide its scales."""
    digest = hashlib.sha256()
    for batch in batches:
        for name in sorted(batch):
            digest.update(f"{name} {batch[name].dtype} {batch[name].shape} ".encode())
            digest.update(np.ascontiguousarray(batch[name]).data)
    return digest.hexdigest()


def _told_of(name: str) -> list[str]:
    """The version of a PyPI project, or of a backend's framework with its adapter's source; none where missing."""
    try:
        if name not in registry.names():
            return [name, version(name)]
        return [name, registry.get(name).version(), _source_digest(registry.get(name))]
    except PackageNotFoundError:
        return [name]


def _source_digest(backend: Backend) -> str:
    """The adapter's own code, and the core's that it lowers with, are part of what made the artifact."""
    package = sys.modules[type(backend).__module__.partition(".")[0]]
    file = Path(inspect.getfile(package))
    files = sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]
    shared = Path(deltann.lowering.__file__).parent
    digest = hashlib.sha256()
    for file in (*files, *sorted(shared.rglob("*.py"))):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _cpu() -> str:
    """The CPU's model and what it can do: code compiled for one may not run on another."""
    facts = cpu_facts()
    return " ".join([platform.machine(), platform.processor(), facts.get("model name", ""), facts.get("flags", "")])
