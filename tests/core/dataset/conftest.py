from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder of seven noisy images of several sizes and formats, and two files that are none."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    rng = np.random.default_rng(11)
    for number, end in enumerate(("png", "jpg", "bmp", "png", "webp", "PNG", "gif")):
        pixels = rng.integers(0, 256, (40 + number, 60 - number, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.{end}")
    (folder / "labels.csv").write_text("file,label\n0,1\n")
    (folder / "notes.txt").write_text("no image")
    (folder / "more").mkdir()
    return folder
