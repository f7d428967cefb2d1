"""Small pictures of the samples worth seeing, kept in the run, so that a report needs the image files no more."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from deltann.dataset.source import ImageSource, Source
from deltann.inside import LeadsOut, check_inside
from deltann.preprocess import BadImage, decode
from deltann.store import Run

FOLDER = "pictures"
SIDE = 160
"""Pixels of the longer side, at most."""
MOST = 200
"""Pictures of a run: about a megabyte in all."""
MOST_BYTES = 1 << 16
_QUALITY = 80
_THREADS = 2  # each holds one decoded image, and more bring little beside a disk


def keep_pictures(run: Run, source: Source, samples: Sequence[int], exif: bool = False) -> None:
    """Write a small JPEG of each of the samples to RUN/pictures/INDEX.jpg, where they are images.

    `exif`: turn them as their EXIF orientation says, as preprocessing did. A file that is gone, or no image (any more),
    is left out.

    Raises:
        OSError: the run cannot be written to.
    """
    if not samples or not isinstance(source, ImageSource):
        return
    files = {file.name: file for file in source.files}
    names = run.sample_names
    folder = run.folder / FOLDER
    folder.mkdir(exist_ok=True)
    with warnings.catch_warnings(), ThreadPoolExecutor(_THREADS) as pool:
        # What Pillow only warns of, for its size, is no picture here.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        found = pool.map(lambda index: _small(files.get(names[index]), exif), samples)
        for index, data in zip(samples, found, strict=True):
            if data is not None:
                temporary = folder / f"{index}.jpg.part"
                temporary.write_bytes(data)
                temporary.replace(folder / f"{index}.jpg")


def picture(run: Run, index: int) -> bytes | None:
    """The JPEG kept of a sample, at most `MOST_BYTES` long and `SIDE` pixels wide and high.

    None where none is kept, or where the file is anything else: the run may be a stranger's.
    """
    path = run.folder / FOLDER / f"{index}.jpg"
    try:
        check_inside(run.folder, path)
        if not path.is_file():
            return None
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, LeadsOut):
        return None
    return data if len(data) <= MOST_BYTES and _is_small_jpeg(data) else None


def _small(file: Path | None, exif: bool) -> bytes | None:
    if file is None:
        return None
    try:
        image = decode(file, exif)
    except BadImage:
        return None
    image.thumbnail((SIDE, SIDE))
    image.info.clear()  # Pillow would copy the file's comment
    data = io.BytesIO()
    image.save(data, "JPEG", quality=_QUALITY)
    return data.getvalue()


def _is_small_jpeg(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            if max(image.size) > SIDE:
                return False
            image.load()
    except Exception:  # Pillow's plugins raise whatever their parsing runs into on a malformed file
        return False
    return True
