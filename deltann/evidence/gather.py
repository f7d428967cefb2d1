"""Gathering evidence once the cells of a run have ended: the arbiter first, then the sabotaged copies."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import EncodeError

from deltann import registry
from deltann.cache import cache_dir
from deltann.errors import Unsupported, UsageError, one_line
from deltann.evidence.engine import Engine
from deltann.evidence.places import evidence_folder
from deltann.evidence.request import Kind, Request
from deltann.model import Model, load_model
from deltann.outcome import Outcome, Status
from deltann.runner.background import in_background
from deltann.runner.cell import Limits, Work
from deltann.runner.cells import Listener
from deltann.sabotage import sabotage
from deltann.store import Run, write_json

PERTURBED = 3
"""Runs with intermediate values rounded at random: enough for a scale, which is all they are for."""
SEED = 0
MOST_COPIED = 512 << 20
"""Bytes of a model of which copies are made and lowered: each takes that much disk and more memory."""

_EXACT = {
    # Its grouped convolutions in float64 stall where threads share few cores: 0.2 s in one thread, 49 s in two.
    "torch": "torch[outputs=computed,precision=float64,threads=1]",
    "reference": "reference[outputs=computed,precision=float64]",
}
_YARDSTICK = {"torch": "torch[outputs=computed,precision=float32,threads=1]", "reference": "reference"}
_HALVES = {"bfloat16": onnx.TensorProto.BFLOAT16, "float16": onnx.TensorProto.FLOAT16}
_COPIED_BY = ("ort", "torch", "reference")
"""What runs sabotaged copies, the quickest to lower and run first: the question is what the inputs can show."""


def gather(
    run: Run,
    work: Mapping[str, Work],
    request: Request,
    flipped: Mapping[str, Sequence[int]],
    limits: Limits,
    listener: Listener,
) -> None:
    """Gather what was asked for on each model; `flipped`: by role, samples that the arbiter has to see besides.

    How a part fails is told in its record, and never fails the comparison.

    Raises:
        UsageError: the disk is full.
    """
    for role, its in work.items():
        folder = evidence_folder(run, role)
        chosen = request.chosen(its.samples)
        # Those of a sample's whole batch are not needed: rows are fed on their own, whatever their neighbours were.
        more = np.setdiff1d(np.asarray(flipped.get(role, ()), np.int64), chosen)
        samples = np.concatenate([chosen, more])
        record: dict[str, Any] = {"samples": samples.tolist(), "chosen": len(chosen), "weights": _weights(its.model)}
        if _read(folder / "evidence.json").get("samples") != record["samples"]:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "evidence.json", record)  # so that a run taken up again keeps what was done
        half = record["weights"] is not None
        parts = _part(its, samples, folder), _part(its, chosen, folder)
        record |= _side_by_side(folder, *parts, half, request, limits, listener)
        shutil.rmtree(folder / "inputs", ignore_errors=True)
        write_json(folder / "evidence.json", record)


def _side_by_side(
    folder: Path, disputed: Work, chosen: Work, half: bool, request: Request, limits: Limits, listener: Listener
) -> dict[str, Any]:
    """What was asked for: the arbiter on `disputed`, the copies on `chosen`, together, since neither is timed."""
    scratch = Path(tempfile.mkdtemp(prefix="sabotage-", dir=folder))
    told: dict[str, Any] = {}
    try:
        with (
            Engine(folder / "arbiter.log", limits, cache_dir()) as arbiter,
            Engine(folder / "sabotage.log", limits, scratch / "cache") as copier,
        ):
            if request.wants(Kind.POWER):
                sabotaged = in_background(partial(_sabotage, folder, chosen, request.copies, copier, listener))
            if request.wants(Kind.ARBITER):
                told["arbiter"] = _arbitrate(folder, disputed, half, arbiter, listener)
            if request.wants(Kind.POWER):
                told["sabotage"] = sabotaged.result()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return told


def _weights(model: Model) -> str | None:
    """The type of less than 32 bits, the coarser of two, that weights have: numbers are rounded to it, whatever the
    types of inputs and outputs are. None where they have none, or the model is no ONNX file.
    """
    if model.format != "onnx":
        return None
    graph = onnx.load(model.path, format="protobuf", load_external_data=False).graph
    types = {tensor.data_type for tensor in graph.initializer if math.prod(tensor.dims) > 1}
    return next((name for name, known in _HALVES.items() if known in types), None)


def _arbitrate(folder: Path, work: Work, half: bool, runner: Engine, listener: Listener) -> dict[str, Any]:
    """Run the graph in float64 and float32 by the first engine that can; tells which, or why none.

    `half`: its weights are of less than 32 bits.
    """
    whys = []
    half = half or any(spec.dtype == "float16" for spec in (*work.model.inputs, *work.model.outputs))
    for engine in _EXACT:
        if engine == "reference" and half:
            whys.append("onnx.reference computes a float16 model in float16, which is no yardstick")
            continue
        if why := _missing(engine, work):
            whys.append(why)
            continue
        told = partial(_tell, listener, "arbiter", work.samples)
        runs = {"float64": _EXACT[engine], "float32": _YARDSTICK[engine]}
        failed = _first_failure(runner, runs, work, folder, told)
        if failed is not None:
            whys.append(f"{engine}: {failed.reason}")
            for name in runs:  # another engine's arbiter would be taken for the next one's
                shutil.rmtree(folder / name, ignore_errors=True)
            continue
        perturbed = 0
        while engine == "torch" and perturbed < PERTURBED:
            seed = perturbed + 1
            spec = f"torch[outputs=computed,perturb={seed},precision=float32,threads=1]"
            if _first_failure(runner, {f"perturbed-{seed}": spec}, work, folder, told) is not None:
                break
            perturbed = seed
        return {"environment": _EXACT[engine], "perturbed": perturbed}
    return {"reason": "; ".join(whys)}


def _first_failure(runner: Engine, runs: Mapping[str, str], work: Work, folder: Path, told: Any) -> Outcome | None:
    for name, environment in runs.items():
        outcome = runner.execute(environment, work.model, work, folder / name, told)
        if outcome.status is not Status.OK:
            return outcome
    return None


def _sabotage(folder: Path, work: Work, copies: int, runner: Engine, listener: Listener) -> dict[str, Any]:
    """Run the model and its sabotaged copies by the first engine that can; they lie beside `runner`'s own cache."""
    engine = next((name for name in _COPIED_BY if not _missing(name, work)), None)
    if engine is None:
        return {"reason": f"nothing is installed that reads this model; one of {', '.join(_COPIED_BY)} would"}
    try:
        proto = work.model.proto()
        size = proto.ByteSize()
        if size > MOST_COPIED:
            most = MOST_COPIED >> 20
            return {"reason": f"the model takes {size >> 20} MiB, and copies are made of {most} MiB at most"}
        made = sabotage(proto, copies, SEED)
    except (Unsupported, ValueError, EncodeError) as error:
        return {"reason": one_line(str(error))}
    told = partial(_tell, listener, "sabotage", None)
    sound = runner.execute(engine, work.model, work, folder / "sound", told)
    if sound.status is not Status.OK:
        return {"reason": f"{engine}: {sound.reason}"}
    copied = []
    for number, copy in enumerate(made):
        told(number)
        path = runner.cache.parent / "copy.onnx"
        onnx.save_model(copy.proto, path)
        reason = None
        try:
            model = replace(load_model(path), inputs=work.model.inputs)
        except UsageError as error:
            reason = one_line(str(error))
        else:
            outcome = runner.execute(engine, model, work, folder / f"copy-{number:02d}", told)
            reason = None if outcome.status is Status.OK else outcome.reason
        shutil.rmtree(runner.cache, ignore_errors=True)
        copied.append({"name": copy.name, "kind": copy.kind, "description": copy.description, "reason": reason})
    return {"environment": engine, "copies": copied}


def _missing(engine: str, work: Work) -> str:
    """Why `engine` cannot be used on this model; empty where it can."""
    if engine not in registry.names():
        return f"{engine} is not installed"
    found = registry.availability(engine)
    if found.state != "available":
        return f"{engine} is {found.state}: {found.note}"
    if work.model.format != "onnx":
        return f"{engine} reads no .{work.model.format} files"
    return ""


def _part(work: Work, samples: npt.NDArray[np.int64], folder: Path) -> Work:
    """The same work on some samples only."""
    inputs = folder / "inputs"
    inputs.mkdir(exist_ok=True)
    arrays = {}
    for number, (name, path) in enumerate(work.arrays.items()):
        arrays[name] = inputs / f"{len(samples)}-{number}.npy"
        np.save(arrays[name], np.load(path, mmap_mode="r", allow_pickle=False)[samples])
    return replace(work, arrays=arrays, samples=len(samples))


def _tell(listener: Listener, what: str, total: int | None, done: int) -> None:
    listener(what, "RUN", done, total)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
