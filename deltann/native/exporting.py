"""From an object to an ONNX file: who exports it, with which inputs, and whether its batch may be of any size."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import numpy as np

from deltann.dataset.arrays import headers
from deltann.dataset.source import ArraySource, Source
from deltann.errors import Unavailable, Unsupported, UsageError, one_line
from deltann.model import Dim, Model, TensorSpec, load_model
from deltann.native import BATCH, Exporter, Native

GROUP = "deltann.exporters"
_FOR_CALLABLES = "torch"
_LONGEST_NAME = 80
_TAKES = "an .onnx path, a torch.nn.Module, a Keras model, a tf.function, or a callable on torch tensors"


@dataclass(frozen=True)
class Exported:
    """The ONNX file, the object behind it, the backend of the same framework, and remarks for the report."""

    model: Model
    native: Native
    backend: str
    notes: tuple[str, ...]


def is_path(model: object) -> bool:
    """Whether `model` names a file, and is no object of a framework."""
    return isinstance(model, str | os.PathLike)


def export(model: Any, source: Source, shapes: Mapping[str, tuple[int, ...]], batch_size: int, cache: Path) -> Exported:
    """Export `model` into a folder of `cache`, with a batch of any size where that works.

    The shapes of inputs that the object does not know itself are taken from `shapes`, else from the arrays of
    `source`.

    Raises:
        UsageError: nobody exports such an object, an input's shape is not known, or exporting fails.
    """
    exporter = _exporter(model)
    name = _name(model)
    inputs = _inputs(exporter, model, name, source, shapes)
    sizes = {spec.name: (shapes.get(spec.name) or shapes.get("") or (batch_size,))[0] for spec in inputs}
    folder = cache / "exported"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix="part-", dir=folder))
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}; choose another DELTANN_CACHE") from error
    try:
        made, native, notes = _written(exporter, model, inputs, sizes, scratch / f"{name}.onnx")
        place = folder / f"{name}-{made.sha256[:32]}"
        try:
            scratch.rename(place)
        except OSError:
            if not place.is_dir():  # else it was made before, perhaps by another process just now
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Exported(replace(made, path=(place / made.path.name).resolve()), native, exporter.backend, notes)


def kept(model: Model, run: Path) -> Model:
    """`model` as the run in that folder names it: there the file is when the cache is gone."""
    return replace(model, path=(run / "exported" / model.path.name).absolute())


def keep(model: Model, run: Path) -> None:
    """Copy the exported file to where `kept` says."""
    folder = kept(model, run).path.parent
    folder.mkdir(parents=True, exist_ok=True)
    for file in model.path.parent.iterdir():
        shutil.copyfile(file, folder / file.name)


def _exporter(model: Any) -> Exporter:
    """By the package that the object's class, or one it is derived from, comes from."""
    points = {point.name: point for point in entry_points(group=GROUP)}
    packages = [cls.__module__.partition(".")[0] for cls in type(model).__mro__]
    point = next((points[package] for package in packages if package in points), None)
    if point is None and callable(model):
        point = points.get(_FOR_CALLABLES)
    if point is None:
        raise UsageError(f"a {type(model).__name__} is no model that deltann takes; give {_TAKES}")
    return _loaded(point)


def _loaded(point: EntryPoint) -> Exporter:
    try:
        exporter: Exporter = point.load()()
    except ImportError as error:
        raise UsageError(
            f"exporting needs more than is installed ({one_line(str(error))}): pip install 'deltann[{point.name}]'"
        ) from error
    return exporter


def _name(model: Any) -> str:
    """Of a function its own name, else its class's: neither changes from one process to the next."""
    called = str(getattr(model, "__name__", type(model).__name__))
    return re.sub(r"[^A-Za-z0-9._-]+", "_", called).strip("._")[:_LONGEST_NAME] or "model"


def _inputs(
    exporter: Exporter, model: Any, name: str, source: Source, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[TensorSpec, ...]:
    """The inputs to export, of known types and shapes; the first dimension is `BATCH` where the object leaves it open.

    What has no name, and a lone array whatever its name, is for a lone input, as it is for a model that is a file.
    """
    fed = headers(source) if isinstance(source, ArraySource) else {}
    named = (*shapes, *(fed if len(fed) > 1 else ()))
    specs = exporter.inputs(model, tuple(dict.fromkeys(name for name in named if name)))
    known = [spec.name for spec in specs]
    if unknown := [key for key in named if key and key not in known]:
        raise UsageError(f"{name}: '{unknown[0]}' is no input of the model, which takes: {', '.join(known)}")
    lone = len(specs) == 1
    resolved = []
    for spec in specs:
        array = next(iter(fed.values()), None) if lone and len(fed) == 1 else fed.get(spec.name)
        shape = shapes.get(spec.name) or (shapes.get("") if lone else None)
        whole = _resolved(spec, shape, array)
        if whole is None:
            raise UsageError(
                f"{name}: the shape of its input '{spec.name}' is not known ({spec}): give arrays as inputs, or "
                f"shape={{'{spec.name}': (1, 3, 224, 224)}}"
            )
        resolved.append(whole)
    return tuple(resolved)


def _resolved(
    spec: TensorSpec, shape: tuple[int, ...] | None, array: tuple[np.dtype[np.generic], tuple[int, ...]] | None
) -> TensorSpec | None:
    """`spec` with what the user's shape, or else the array [N, …], adds to it; None where that leaves it open."""
    given = shape or (array[1] if array else ())
    if spec.shape is None:
        # Arrays of float64 are what numpy makes by itself; the object's own type is meant.
        dtype = spec.dtype if array is None or array[0].kind == "f" else array[0].name
        return replace(spec, dtype=dtype, shape=(BATCH, *given[1:])) if given else None
    fitting = given if len(given) == len(spec.shape) else (None,) * len(spec.shape)
    dims: list[Dim] = [dim if isinstance(dim, int) else size for dim, size in zip(spec.shape, fitting, strict=True)]
    if dims and not isinstance(spec.shape[0], int):
        dims[0] = BATCH
    return None if None in dims else replace(spec, shape=tuple(dims))


def _written(
    exporter: Exporter, model: Any, inputs: Sequence[TensorSpec], sizes: Mapping[str, int], path: Path
) -> tuple[Model, Native, tuple[str, ...]]:
    """Export with a batch of any size, or where that does not work with one of fixed size, and say why."""
    why = ""
    if all(_open(spec) for spec in inputs) and len(set(sizes.values())) == 1:
        try:
            made, native = _exported(exporter, model, inputs, path)
            if all(map(_open, (*made.inputs, *made.outputs))):
                return made, native, ()
            why = "not every output has a row for each sample"
        except _Failed as error:
            why = str(error)
        for file in path.parent.iterdir():
            file.unlink()
    fixed = [
        replace(spec, shape=(sizes[spec.name], *spec.shape[1:])) if spec.shape and spec.shape[0] == BATCH else spec
        for spec in inputs
    ]
    try:
        made, native = _exported(exporter, model, fixed, path)
    except _Failed as error:
        raise UsageError(
            f"{path.stem} cannot be exported: {error}; change it, or export it and give the file"
        ) from error
    return made, native, (f"{made.name}: exported with shapes of a fixed size: {why}",) if why else ()


class _Failed(Exception):
    """An export that gave no model, in one line."""


def _exported(exporter: Exporter, model: Any, inputs: Sequence[TensorSpec], path: Path) -> tuple[Model, Native]:
    try:
        native = exporter.export(model, inputs, path)
        made = load_model(path)
    except (UsageError, Unsupported, Unavailable) as error:
        raise _Failed(str(error).removeprefix(f"{path}: ").removesuffix("; re-export the model")) from error
    except Exception as error:  # whatever the framework has to say of the user's own code
        raise _Failed(_reason(error)) from error
    if {spec.name for spec in made.inputs} != {spec.name for spec in inputs}:
        took, has = (", ".join(spec.name for spec in specs) or "nothing" for specs in (inputs, made.inputs))
        raise _Failed(f"it is called with {took}, and what was exported takes {has}")
    return made, native


def _open(spec: TensorSpec) -> bool:
    """Whether its first dimension may be of any size."""
    return spec.shape is not None and spec.shape != () and not isinstance(spec.shape[0], int)


def _reason(error: BaseException) -> str:
    """An exporter's exception often only says that another one came before, and its first line that more follow."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line for line in str(error).splitlines() if line.strip()] or [""]
    return f"{type(error).__name__}: {one_line(lines[-1] if lines[0].rstrip().endswith(':') else lines[0])}"
