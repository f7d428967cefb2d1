"""Rows made from image files, decoded and preprocessed by a few threads a little ahead of the writer."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL

from deltann.binding import Binding
from deltann.dataset.plan import Array, Plan, Rows
from deltann.dataset.source import ImageSource
from deltann.errors import UsageError
from deltann.preprocess import BadImage, Pipeline, apply, decode, preset_names, resolve
from deltann.preprocess.steps import Decode

# Pillow and numpy release the interpreter lock while they work, so threads serve as well as processes.
_THREADS = min(8, len(os.sched_getaffinity(0)))


def plan_images(source: ImageSource, binding: Binding, pipeline: Pipeline | None, limit: int | None) -> Plan:
    """Rows of a model of one input.

    Raises:
        UsageError: no pipeline, several inputs, or an input that no image fits.
    """
    model = binding.model
    if len(model.inputs) != 1:
        specs = "; ".join(map(str, model.inputs))
        raise UsageError(
            f"images feed models of one input, {model.name} has {specs}: give the inputs as .npz or random:N"
        )
    if pipeline is None:
        raise UsageError(
            "images need a pipeline to become the model's input: give --preprocess with a .toml file or one of: "
            f"{', '.join(preset_names())}"
        )
    spec, shape = model.inputs[0], binding.row_shape(model.inputs[0].name)
    resolved = resolve(pipeline, spec)
    if len(shape) == 4 and shape[0] != 1:
        raise UsageError(f"a sample of {model.name} holds {shape[0]} images ({spec}): give the inputs as .npz or .npy")
    files = source.files[:limit]
    exif = resolved.find(Decode, Decode()).exif

    def row(file: Path) -> Array | str:
        made = np.empty(shape, spec.dtype)
        try:
            apply(resolved, decode(file, exif), out=made[0] if made.ndim == 4 else made)
        except BadImage as error:
            return str(error)
        except UsageError as error:
            raise UsageError(f"{file.name}: {error}") from error
        return made

    def rows() -> Rows:
        pool = ThreadPoolExecutor(_THREADS)
        pending: deque[tuple[str, Future[Array | str]]] = deque()
        try:
            for file in files:
                pending.append((file.name, pool.submit(row, file)))
                if len(pending) > 2 * _THREADS:  # bounds the memory, whatever the number of files
                    name, future = pending.popleft()
                    yield name, future.result()
            for name, future in pending:
                yield name, future.result()
        finally:
            pool.shutdown(cancel_futures=True)

    with ThreadPoolExecutor(_THREADS) as pool:
        digests = list(pool.map(_digest, files))
    others = f"{source.ignored} other files beside the images are left out" if source.ignored else ""
    return Plan(
        identity={"images": digests, "names": [f.name for f in files], "pillow": PIL.__version__, **resolved.to_dict()},
        samples=len(files),
        rows={spec.name: rows},
        pipeline={"name": resolved.name, **resolved.to_dict()},
        notes=(others,) if others else (),
    )


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"
