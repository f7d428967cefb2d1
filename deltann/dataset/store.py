"""The folder that holds the arrays of one set of samples: written once, whole or not at all, checked when reused."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from deltann.dataset.plan import Array
from deltann.errors import UsageError

_MANIFEST = "inputs.json"
_SCHEMA = 1
_ABANDONED_SECONDS = 24 * 3600.0


def key_of(identity: Any) -> str:
    """The folder's name: a digest of everything that decides the arrays' bytes."""
    text = json.dumps([_SCHEMA, identity], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class ArrayWriter:
    """Writes one .npy file, row by row.

    Rows go through a plain file, not a mapping: a full disk then is an error and not a SIGBUS, and the pages
    written do not count as this process's memory.
    """

    def __init__(self, path: Path, dtype: str, row: tuple[int, ...], most: int) -> None:
        self._dtype, self._row, self._count = np.dtype(dtype), row, 0
        self._file = path.open("wb")
        self._header = self._write_header(most)

    def append(self, row: Array) -> memoryview:
        """Write one row; its bytes, for the digest."""
        if row.shape != self._row or row.dtype != self._dtype:
            raise ValueError(f"a row of {row.dtype}{row.shape} in an array of {self._dtype}{self._row}")
        view = np.ascontiguousarray(row).data.cast("B")
        self._file.write(view)
        self._count += 1
        return view

    def __enter__(self) -> ArrayWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Put the number of rows there really are into the header, which numpy pads so that it keeps its length."""
        with self._file:
            if kind is None:
                self._file.seek(0)
                if self._write_header(self._count) != self._header:
                    raise ValueError("the header of the array changed its length")

    def _write_header(self, count: int) -> int:
        shape = (count, *self._row)
        header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        return self._file.tell()


def finished(folder: Path) -> dict[str, Any] | None:
    """The manifest of a finished folder whose arrays have the bytes it says; None for any other."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text("utf-8"))
        arrays = [(folder / array["file"], tuple(array["shape"]), array["dtype"]) for array in manifest["arrays"]]
        if any(shape[0] != len(manifest["names"]) for _, shape, _ in arrays) or "skipped" not in manifest:
            return None
        whole = hashlib.sha256()
        for path, shape, dtype in arrays:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            if array.shape != shape or array.dtype != np.dtype(dtype):
                return None
            _digest_data(path, math.prod(shape) * array.dtype.itemsize, whole)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    return dict(manifest) if whole.hexdigest() == manifest["digest"] else None


def _digest_data(path: Path, size: int, digest: Any) -> None:
    with path.open("rb") as file:
        file.seek(path.stat().st_size - size)
        while block := file.read(1 << 20):
            digest.update(block)


@contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `final` in one step when the block ends well, and vanishes when it does not.

    Raises:
        UsageError: the disk is full or cannot be written.
    """
    part = final.with_name(f".{final.name}-{os.getpid()}-{time.monotonic_ns()}.part")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        _sweep(final.parent)
        part.mkdir()
        yield part
        _move(part, final)
    except OSError as error:
        reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or str(error)
        raise UsageError(
            f"cannot write the inputs to {final.parent} ({reason}): free space, or set DELTANN_CACHE to another folder"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Written last, so that a folder without one is unfinished."""
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")


def array_entry(file: str, shape: Sequence[int], dtype: str) -> dict[str, Any]:
    """An array's line in the manifest."""
    return {"file": file, "shape": list(shape), "dtype": dtype}


def _move(part: Path, final: Path) -> None:
    if final.exists() and finished(final) is None:
        shutil.rmtree(final)
    try:
        part.rename(final)
    except OSError:
        # Another process has made the same arrays meanwhile, which serve as well.
        if finished(final) is None:
            raise


def _sweep(folder: Path) -> None:
    """Remove what killed processes left, once nobody can still be writing it."""
    for part in folder.glob(".*.part"):
        if time.time() - part.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(part, ignore_errors=True)
