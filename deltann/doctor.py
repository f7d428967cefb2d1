"""Checks of the machine, each with what was found and how to mend it."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deltann import registry
from deltann.cache import cache_dir
from deltann.host import host
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.runner.local import WorkerProcess
from deltann.runner.memory import machine_memory
from deltann.runner.outputs import read_outputs
from deltann.testing.models import MODELS

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
    yield Check("host", True, f"{machine['cpu']}, {machine['cores']} cores, {machine_memory() / 1e9:.1f} GB memory")
    yield _cache()
    compiler = next((found for name in ("g++", "clang++", "c++") if (found := shutil.which(name))), None)
    yield Check("C++ compiler", compiler is not None, compiler or "none",
                "torch-compile and tvm need one: install g++ (Debian: apt install g++)")  # fmt: skip
    for name in registry.names():
        yield _backend(name)


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
    outcome = _try(name)
    ok = outcome.status is Status.OK
    return Check(
        name,
        ok,
        found.version if ok else f"{found.version}: {outcome.reason}",
        f"reinstall: pip install --force-reinstall '{registry.get(name).install}'",
    )


def _try(name: str) -> Outcome:
    """What becomes of a tiny classifier: is it lowered, loaded and run, and are its answers right?"""
    tiny = MODELS["classifier"]()
    with tempfile.TemporaryDirectory() as temporary, WorkerProcess(Path(temporary) / "worker.log") as worker:
        folder = Path(temporary)
        model = tiny.save(folder)
        samples = tiny.samples(model, count=4, seed=0)
        for input_name, array in samples.items():
            np.save(folder / f"{input_name}.npy", array)
        deadlines = dict.fromkeys(Stage, _START_S)
        prepare = {"op": "prepare", "environment": name, "model": model.to_json(), "cache": str(folder / "cache")}
        inputs = {input_name: str(folder / f"{input_name}.npy") for input_name in samples}
        run = {"op": "run", "inputs": inputs, "out": str(folder / "outputs"), "samples": 4, "rows": tiny.rows,
               "batched": True}  # fmt: skip
        for request in (prepare, run):
            outcome = worker.request(request, deadlines).outcome
            if outcome.status is not Status.OK:
                return outcome
        found = read_outputs(folder / "outputs")
        for output, right in tiny.answers(model, samples).items():
            if output not in found or not np.allclose(found[output], right, rtol=tiny.tolerance, atol=tiny.tolerance):
                wrong = "it runs, but a tiny classifier's outputs are wrong"
                return Outcome(Status.FAILED, Stage.RUN, Symptom.MISMATCH, wrong)
        return outcome
