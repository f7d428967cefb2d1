"""Where samples come from: random numbers, image files, stored arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deltann.errors import UsageError
from deltann.preprocess.decode import is_image

_RANDOM = "random:N[,seed=0,dist=normal|uniform]"
_FORMS = f"give a folder of images, an image, a .npz or .npy file, or {_RANDOM}"


@dataclass(frozen=True)
class RandomSource:
    """`count` samples drawn with `seed`; `dist` is that of floats: normal (0, 1) or uniform on [0, 1)."""

    count: int
    seed: int = 0
    dist: str = "normal"


@dataclass(frozen=True)
class ImageSource:
    """Image files in the order they are fed, and how many other files lay beside them."""

    files: tuple[Path, ...]
    ignored: int = 0


@dataclass(frozen=True)
class ArraySource:
    """A .npz or .npy file, or arrays in memory by input name (the empty name for one without)."""

    path: Path | None = None
    arrays: Mapping[str, npt.NDArray[np.generic]] = field(default_factory=dict)


Source = RandomSource | ImageSource | ArraySource


def parse_source(given: str | Path | npt.NDArray[np.generic] | Mapping[str, npt.NDArray[np.generic]]) -> Source:
    """Read what `--inputs` or the Python call names.

    Of a folder, the files whose ending is an image format's are taken, sorted by name; other files are counted and
    left, sub-folders are not entered.

    Raises:
        UsageError: no such path, no image in the folder, an unknown kind of file, or random:N that cannot be read.
    """
    if isinstance(given, np.ndarray):
        return ArraySource(arrays={"": given})
    if isinstance(given, Mapping):
        return ArraySource(arrays={name: np.asarray(array) for name, array in given.items()})
    if str(given).startswith("random"):
        source = _random(str(given))
        if source is not None:
            return source
    path = Path(given)
    try:
        if path.is_dir():
            return _folder(path)
        if not path.is_file():
            raise UsageError(f"{given}: no such file or folder; {_FORMS}")
    except OSError as error:
        raise UsageError(f"{given}: cannot be read ({error.strerror}); {_FORMS}") from error
    if path.suffix.lower() in (".npz", ".npy"):
        return ArraySource(path)
    if is_image(path):
        return ImageSource((path,))
    raise UsageError(f"{given}: files ending in '{path.suffix}' are not understood; {_FORMS}")


def _random(text: str) -> RandomSource | None:
    """The source that `text` spells; None where it is a path that only begins so."""
    head, _, rest = text.partition(":")
    if head != "random" or (not rest and Path(text).exists()):
        return None
    count, *options = (part.strip() for part in rest.split(","))
    if not count.isdecimal() or int(count) < 1:
        raise UsageError(f"'{text}': N is a whole number of at least 1: write {_RANDOM}, such as random:64")
    source = RandomSource(int(count))
    seen = set()
    for option in options:
        key, _, value = option.partition("=")
        if key in seen:
            raise UsageError(f"'{text}': {key} is given twice: give it once")
        seen.add(key)
        if key == "seed" and value.isdecimal():
            source = RandomSource(source.count, int(value), source.dist)
        elif key == "dist" and value in ("normal", "uniform"):
            source = RandomSource(source.count, source.seed, value)
        else:
            raise UsageError(f"'{text}': '{option}' is not understood: write {_RANDOM}")
    return source


def _folder(path: Path) -> ImageSource:
    files = sorted((file for file in path.iterdir() if file.is_file()), key=lambda file: file.name)
    images = tuple(file for file in files if is_image(file) and not file.name.startswith("."))
    if not images:
        held = f"holds {len(files)} files, none of them an image" if files else "holds no files"
        raise UsageError(f"{path}: the folder {held} (sub-folders are not entered); {_FORMS}")
    return ImageSource(images, len(files) - len(images))
