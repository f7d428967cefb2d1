"""The inputs of a stored run, found again in the cache."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from deltann.cache import cache_dir
from deltann.dataset import store
from deltann.errors import UsageError
from deltann.model import Model, unchanged
from deltann.runner.cell import Work
from deltann.store import Run


def stored_work(run: Run, role: str) -> Work:
    """What the cells of the model of `role` were fed.

    Raises:
        UsageError: the model's file or its inputs are no longer there, or no longer the same.
    """
    model = run.models[role]
    if not unchanged(model):
        raise UsageError(f"{model.path} is no longer the model that {run.folder} was made of: run the comparison again")
    digest, samples = run.document["inputs"]["digest"][role], len(run.sample_names)
    for file in sorted((cache_dir() / "inputs").glob("*/inputs.json")):
        with suppress(OSError, ValueError, KeyError, TypeError, IndexError):
            manifest = json.loads(file.read_text("utf-8"))
            if manifest["digest"] != digest or len(manifest["names"]) != samples:
                continue
            batched = _batched(model, manifest)
            if batched is not None and store.finished(file.parent) is not None:
                specs = sorted(model.inputs, key=lambda spec: spec.name)
                arrays = {s.name: file.parent / a["file"] for s, a in zip(specs, manifest["arrays"], strict=True)}
                return Work(model, arrays, samples, run.document["rows"][role], batched)
    raise UsageError(f"the inputs of {run.folder} are no longer in the cache: run the comparison again")


def _batched(model: Model, manifest: Mapping[str, Any]) -> bool | None:
    """Whether the arrays hold rows of the model's inputs or whole ones; None where they are another model's."""
    specs = sorted(model.inputs, key=lambda spec: spec.name)
    arrays = manifest["arrays"]
    if len(specs) != len(arrays) or any(s.dtype != a["dtype"] for s, a in zip(specs, arrays, strict=True)):
        return None
    rows = [tuple(array["shape"][1:]) for array in arrays]
    if rows == [spec.static_shape for spec in specs]:
        return False
    return True if rows == [spec.static_shape[1:] for spec in specs] else None
