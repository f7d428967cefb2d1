"""Making the arrays that every environment reads: once, to disk, under a name that says what they are made of."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deltann.binding import Binding
from deltann.dataset import store
from deltann.dataset.arrays import plan_arrays
from deltann.dataset.draw import plan_random
from deltann.dataset.images import plan_images
from deltann.dataset.plan import Plan
from deltann.dataset.source import ImageSource, RandomSource, Source
from deltann.errors import UsageError
from deltann.model import TensorSpec
from deltann.preprocess import Pipeline

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Materialised:
    """`arrays` holds by input name a .npy file [N, *row shape], to be read with `np.load(…, mmap_mode="r")`.

    `names`: the N samples' (a file's name, `random[3]`, `row[3]`). `digest`: sha256 over the arrays' data, in the
    order of their inputs' names. `skipped`: (file, reason) of what could not be read. `pipeline`: as resolved, plain.
    """

    folder: Path
    arrays: Mapping[str, Path]
    names: tuple[str, ...]
    digest: str
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    pipeline: dict[str, Any] | None = None


def materialise(
    source: Source,
    binding: Binding,
    pipeline: Pipeline | None,
    cache: Path,
    *,
    limit: int | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Materialised:
    """Write the samples of `source` as the model's inputs to `cache/inputs/<key>/`, or find them there.

    The key is made of the samples' bytes, the resolved pipeline and the inputs' types and row shapes (their names
    too where they are several), so two models of the same needs share the arrays. `limit` takes the first files or
    rows; bad images among them are refused, or with `skip_bad` left out and not replaced. `progress(done, total)`
    is called for each row. A process killed midway leaves nothing that looks complete.

    Raises:
        UsageError: samples and model do not fit, a bad image, nothing left, or a folder that cannot be written.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit} leaves no samples: give at least 1")
    inputs = sorted(binding.model.inputs, key=lambda spec: spec.name)
    for spec in inputs:
        _refuse_unstorable(spec)
    plan = _plan(source, binding, pipeline, limit)
    shapes = [binding.row_shape(spec.name) for spec in inputs]
    named = [spec.name if len(inputs) > 1 else "" for spec in inputs]
    specs = [[name, spec.dtype, shape] for name, spec, shape in zip(named, inputs, shapes, strict=True)]
    folder = cache / "inputs" / store.key_of([plan.identity, specs])
    manifest = store.finished(folder)
    if manifest is None:
        with store.new_folder(folder) as part:
            manifest = _write(part, plan, inputs, shapes, skip_bad, progress)
    skipped = tuple((str(name), str(reason)) for name, reason in manifest["skipped"])
    _refuse_bad(skipped, plan.samples, skip_bad)
    return Materialised(
        folder=folder,
        arrays={spec.name: folder / a["file"] for spec, a in zip(inputs, manifest["arrays"], strict=True)},
        names=tuple(manifest["names"]),
        digest=manifest["digest"],
        skipped=skipped,
        notes=binding.notes + plan.notes,
        pipeline=plan.pipeline,
    )


def _plan(source: Source, binding: Binding, pipeline: Pipeline | None, limit: int | None) -> Plan:
    if isinstance(source, ImageSource):
        return plan_images(source, binding, pipeline, limit)
    if pipeline is not None:
        raise UsageError(
            f"--preprocess {pipeline.name} is for images; leave it out where the inputs are arrays or random"
        )
    if isinstance(source, RandomSource):
        return plan_random(source, binding, limit)
    return plan_arrays(source, binding, limit)


def _write(
    folder: Path,
    plan: Plan,
    inputs: list[TensorSpec],
    shapes: list[tuple[int, ...]],
    skip_bad: bool,
    progress: Progress | None,
) -> dict[str, Any]:
    digest = hashlib.sha256()
    arrays: list[dict[str, Any]] = []
    names: list[str] = []
    skipped: list[tuple[str, str]] = []
    total = plan.samples * len(inputs)
    for index, (spec, shape) in enumerate(zip(inputs, shapes, strict=True)):
        names, skipped = [], []
        writer = store.ArrayWriter(folder / f"{index}.npy", spec.dtype, shape, plan.samples)
        with writer, closing(plan.rows[spec.name]()) as rows, warnings.catch_warnings():
            # What Pillow only warns of is a refusal here, told with the file's name.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            for done, (name, row) in enumerate(rows, 1 + index * plan.samples):
                if isinstance(row, str):
                    skipped.append((name, row))
                else:
                    digest.update(writer.append(row))
                    names.append(name)
                if progress is not None:
                    progress(done, total)
        arrays.append(store.array_entry(f"{index}.npy", (len(names), *shape), spec.dtype))
        _refuse_bad(tuple(skipped), plan.samples, skip_bad)
    manifest = {"digest": digest.hexdigest(), "names": names, "skipped": skipped, "arrays": arrays}
    store.write_manifest(folder, manifest)
    return manifest


def _refuse_bad(skipped: tuple[tuple[str, str], ...], samples: int, skip_bad: bool) -> None:
    if not skipped or (skip_bad and len(skipped) < samples):
        return
    shown = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3]) + ("; …" if len(skipped) > 3 else "")
    fix = "leave them out with --skip-bad-inputs" if len(skipped) < samples else "give others"
    raise UsageError(f"{len(skipped)} of {samples} images cannot be used ({shown}): {fix}")


def _refuse_unstorable(spec: TensorSpec) -> None:
    kind = np.dtype(spec.dtype).kind if spec.dtype in np.sctypeDict else "V"
    if kind not in "fiub":
        raise UsageError(
            f"the input {spec} has a type that .npy files cannot hold: put a Cast from a numeric type before it"
        )
