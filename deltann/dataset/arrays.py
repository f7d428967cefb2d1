"""Rows of stored arrays, read one at a time, matched to the model's inputs and converted without loss."""

from __future__ import annotations

import hashlib
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from deltann.binding import Binding
from deltann.dataset.plan import Array, Plan, Rows
from deltann.dataset.source import ArraySource
from deltann.errors import UsageError, one_line
from deltann.model import TensorSpec

_DAMAGE = (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class _Stored:
    """An array [N, *row]; `rows` reads it anew, row by row."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    rows: Callable[[], Iterator[Array]]


def plan_arrays(source: ArraySource, binding: Binding, limit: int | None) -> Plan:
    """Rows of the arrays [N, *row shape] by input name; a lone array fits a lone input whatever its name.

    Raises:
        UsageError: a damaged file, Python objects; missing or further arrays, wrong shapes, unequal or no samples,
            or an element type that does not convert safely. The message lists the inputs.
    """
    origin = str(source.path or "the given arrays")
    inputs = {spec.name: spec for spec in binding.model.inputs}
    wanted = "; ".join(_wanted(spec, binding.row_shape(spec.name)) for spec in inputs.values())
    stored = _stored(source)
    if len(stored) == len(inputs) == 1:
        stored = {next(iter(inputs)): next(iter(stored.values()))}
    wrong = [f"no array for '{name}'" for name in inputs if name not in stored]
    wrong += [f"no input for the array '{name}'" for name in stored if name not in inputs]
    if wrong:
        raise UsageError(f"{origin}: {', '.join(wrong)}; {binding.model.name} takes {wanted}")
    for name, array in stored.items():
        row = binding.row_shape(name)
        if not binding.batched and array.shape == row and row:
            stored[name] = array = _Stored((1, *row), array.dtype, partial(_whole, array))
        if array.shape[1:] != row or not array.shape:
            made = "x".join(map(str, array.shape)) or "scalar"
            raise UsageError(f"{origin}: '{name}' is {array.dtype}[{made}]; {binding.model.name} takes {wanted}")
    counts = {array.shape[0] for array in stored.values()}
    if len(counts) > 1 or 0 in counts:
        held = ", ".join(f"'{name}' {array.shape[0]}" for name, array in stored.items())
        raise UsageError(f"{origin}: the samples are {held}; every input needs as many, at least 1")
    count = counts.pop()
    samples = count if limit is None else min(count, limit)
    notes = tuple(filter(None, (_check_types(origin, inputs[name], array.dtype) for name, array in stored.items())))
    return Plan(
        identity={"arrays": _digest(source), "samples": samples},
        samples=samples,
        rows={name: partial(_rows, origin, inputs[name], array, samples) for name, array in stored.items()},
        notes=notes,
    )


def headers(source: ArraySource) -> dict[str, tuple[np.dtype[np.generic], tuple[int, ...]]]:
    """By name, each array's element type and shape [N, …]; of a file nothing else is read.

    Raises:
        UsageError: a damaged file, or Python objects.
    """
    return {name: (array.dtype, array.shape) for name, array in _stored(source).items()}


def _stored(source: ArraySource) -> dict[str, _Stored]:
    return _open(source.path) if source.path else {name: _in_memory(a) for name, a in source.arrays.items()}


def _wanted(spec: TensorSpec, row: tuple[int, ...]) -> str:
    return f"{spec.name}: {spec.dtype}[{'x'.join(('N', *map(str, row)))}]"


def _in_memory(array: Array) -> _Stored:
    return _Stored(array.shape, array.dtype, partial(iter, array))


def _whole(array: _Stored) -> Iterator[Array]:
    """The one sample of an array that has no sample dimension."""
    yield np.stack(list(array.rows()))


def _open(path: Path) -> dict[str, _Stored]:
    """The arrays of a file, of which only the headers are read."""
    try:
        if path.suffix.lower() == ".npy":
            return {"": _header(path, None)}
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith(".npy")]
        return {name.removesuffix(".npy"): _header(path, name) for name in members}
    except _DAMAGE as error:
        raise UsageError(f"{path}: damaged, or not a file of plain arrays ({one_line(str(error), 120)})") from error


def _header(path: Path, member: str | None) -> _Stored:
    with _stream(path, member) as file:
        shape, fortran, dtype = _read_header(file)
    if dtype.hasobject:
        raise UsageError(f"{path}: holds Python objects, which are never loaded; save numbers")
    if fortran and len(shape) > 1:
        # Its rows are not contiguous, so it cannot be read a row at a time.
        whole = np.load(path, mmap_mode="r", allow_pickle=False)
        return _in_memory(whole if member is None else whole[member.removesuffix(".npy")])
    return _Stored(shape, dtype, partial(_read_rows, path, member))


def _stream(path: Path, member: str | None) -> IO[bytes]:
    return path.open("rb") if member is None else zipfile.ZipFile(path).open(member)


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"version {version} of the .npy format, which only records need")


def _read_rows(path: Path, member: str | None) -> Iterator[Array]:
    try:
        with _stream(path, member) as file:
            shape, _, dtype = _read_header(file)
            size = math.prod(shape[1:]) * dtype.itemsize
            for _ in range(shape[0]):
                data = file.read(size)
                if len(data) < size:
                    raise EOFError("the file ends before its last sample")
                yield np.frombuffer(data, dtype).reshape(shape[1:])
    except _DAMAGE as error:
        raise UsageError(f"{path}: damaged ({one_line(str(error), 120)})") from error


def _rows(origin: str, spec: TensorSpec, array: _Stored, samples: int) -> Rows:
    dtype = np.dtype(spec.dtype)
    for number, row in zip(range(samples), array.rows(), strict=False):
        # An overflow or a lost fraction is found by comparing, so numpy need not warn of it.
        with np.errstate(over="ignore", invalid="ignore"):
            made = np.asarray(row).astype(dtype, copy=False)
        if array.dtype.kind in "iu" and not np.array_equal(made, row):
            raise UsageError(f"{origin}: '{spec.name}' has integers that {spec.dtype} cannot hold (sample {number})")
        if array.dtype.kind == dtype.kind == "f" and not np.array_equal(np.isfinite(made), np.isfinite(row)):
            raise UsageError(f"{origin}: '{spec.name}' has values too large for {spec.dtype} (sample {number})")
        yield f"row[{number}]", made


def _check_types(origin: str, spec: TensorSpec, given: np.dtype[np.generic]) -> str:
    """A remark where rounding may change the values; integers may narrow, since each is checked when read."""
    wanted = np.dtype(spec.dtype)
    integers = given.kind in "iu" and wanted.kind in "iuf"
    floats = given.kind == wanted.kind == "f"
    if not (np.can_cast(given, wanted) or integers or floats):
        raise UsageError(
            f"{origin}: '{spec.name}' is {given} and does not convert safely to {wanted}: save it as {wanted}"
        )
    return (
        f"'{spec.name}' was converted from {given} to {wanted}" if floats and given.itemsize > wanted.itemsize else ""
    )


def _digest(source: ArraySource) -> str:
    digest = hashlib.sha256()
    try:
        if source.path is not None:
            with source.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{source.path}: cannot be read ({error.strerror})") from error
    for name, array in sorted(source.arrays.items()):
        digest.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode())
        for row in array:
            digest.update(np.ascontiguousarray(row).tobytes())
    return digest.hexdigest()
