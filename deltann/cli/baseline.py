"""A run beside its baseline: refused before anything runs where it can be, judged after, and written last of all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deltann.baseline.drift import Drift
    from deltann.report.contents import Contents


def check_models(file: Path, models: Sequence[Path]) -> None:
    """Raise UsageError where the baseline in `file` holds other models under the names of `models`."""
    from deltann.baseline.entries import DIGEST
    from deltann.baseline.file import read_baseline
    from deltann.errors import UsageError
    from deltann.model import load_model
    from deltann.report.text import printable

    baseline, name = read_baseline(file), " against ".join(path.name for path in models)
    if not (known := [entry for entry in baseline.entries if entry.key.model == name]):
        return
    digest = "+".join(load_model(path).sha256[:DIGEST] for path in models)
    if known[0].key.sha256 != digest:
        raise UsageError(
            f"{baseline.line(known[0])}: {printable(name)} is sha256 {known[0].key.sha256} there, and {digest} here; "
            "accept the new model by --update-baseline, or name another --baseline"
        )


@contextmanager
def beside(contents: Contents, file: Path | None, update: bool) -> Iterator[Contents]:
    """The contents with their drift from the baseline in `file`; with `update` it is written once the block is through.

    Raises:
        UsageError: the baseline is none for this run, or cannot be written. What has run is shown all the same: it is
            raised after the block, which gets the contents as they are.
    """
    from deltann.errors import UsageError

    if file is None:
        yield contents
        return
    new = file.resolve().with_name(f"{file.resolve().name}.new")
    try:
        try:
            found, refused = _drift(contents, file, new if update else None), None
        except UsageError as error:
            found, refused = None, error
        yield replace(contents, drift=found)
        if refused is not None:
            raise refused
        if update:
            _put(new, file)
    finally:
        new.unlink(missing_ok=True)


def _drift(contents: Contents, file: Path, new: Path | None) -> Drift:
    """`new`: where to write the baseline that accepts the run."""
    from deltann.baseline.drift import drift, update
    from deltann.errors import UsageError

    if new is None:
        return drift(contents, file)
    if missing := contents.result.missing:
        raise UsageError(f"{file}: a run with parts missing cannot be accepted ({missing[0]}); run it again")
    new.unlink(missing_ok=True)
    if file.exists():
        shutil.copyfile(file, new)
    return replace(update(contents, new), path=file)


def _put(new: Path, file: Path) -> None:
    from deltann.errors import UsageError

    try:
        new.replace(file.resolve())  # a link stays one
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}; choose another --baseline") from error
