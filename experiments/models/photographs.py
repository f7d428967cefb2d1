"""Write the colour photographs that the scikit-image wheel ships, and four corner crops of each, as PNG files.

    python experiments/models/photographs.py OUT_DIR

Nothing is downloaded: the files are already on disk with the package. PNG is lossless, so every crop holds exactly
the pixels that Pillow decodes from the file as shipped. A file newer than its source and this script is left alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

# The colour photographs among scikit-image's files. Left out: drawings and charts (logo, color, phantom, horse, the
# chessboards), photographs in grey (camera, coins, brick, …) and motorcycle_right, the stereo twin of motorcycle_left.
PHOTOGRAPHS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
CROP_SIDE = 0.8  # of the short side: corner crops overlap, yet no two show the same picture
CROPS = ("whole", "top_left", "top_right", "bottom_left", "bottom_right")


def sources() -> list[Path]:
    """Paths of the photographs inside the installed scikit-image. Raises SystemExit where one is missing."""
    try:
        folder = Path(str(files("skimage") / "data"))
    except ModuleNotFoundError:
        raise SystemExit("scikit-image is not installed: pip install 'deltann[demo]'") from None
    missing = [name for name in PHOTOGRAPHS if not (folder / name).is_file()]
    if missing:
        raise SystemExit(f"{folder} has no {', '.join(missing)}: pip install --force-reinstall 'scikit-image==0.26.0'")
    return [folder / name for name in PHOTOGRAPHS]


def target_name(source: Path, crop: str) -> str:
    """`chelsea.png` for the whole photograph, `chelsea_top_left.png` for a crop of it."""
    return f"{source.stem}.png" if crop == "whole" else f"{source.stem}_{crop}.png"


def cut(image: Image.Image, crop: str) -> Image.Image:
    """The whole image, or the square of `CROP_SIDE` × short side in the corner that `crop` names."""
    if crop == "whole":
        return image
    side = round(CROP_SIDE * min(image.size))
    left = image.width - side if crop.endswith("right") else 0
    top = image.height - side if crop.startswith("bottom") else 0
    return image.crop((left, top, left + side, top + side))


def samples() -> Iterator[tuple[str, Image.Image]]:
    """Every photograph and crop as (file name, RGB image), in a fixed order."""
    for source in sources():
        with Image.open(source) as opened:
            image = opened.convert("RGB")
        for crop in CROPS:
            yield target_name(source, crop), cut(image, crop)


def batch(resample: Image.Resampling, mean: Sequence[float], std: Sequence[float]) -> npt.NDArray[np.float32]:
    """All samples as float32 N×3×224×224, RGB: centre crop 224/256 of the short side, resize, (x − mean) / std."""
    tensors = []
    for _, image in samples():
        side = min(image.size) * 224 / 256
        left, top = (image.width - side) / 2, (image.height - side) / 2
        small = image.resize((224, 224), resample, box=(left, top, left + side, top + side))
        pixels = (np.asarray(small, np.float32) - np.float32(mean)) / np.float32(std)
        tensors.append(pixels.transpose(2, 0, 1))
    return np.stack(tensors)


def write(folder: Path) -> tuple[int, int]:
    """Write every sample into `folder` unless it is up to date; returns how many were written and how many exist."""
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for source in sources():
        newest_input = max(source.stat().st_mtime, Path(__file__).stat().st_mtime)
        targets = {crop: folder / target_name(source, crop) for crop in CROPS}
        stale = {c: p for c, p in targets.items() if not p.exists() or p.stat().st_mtime < newest_input}
        if not stale:
            continue
        with Image.open(source) as opened:
            image = opened.convert("RGB")
        for crop, path in stale.items():
            # Renamed into place, so that a killed run leaves no half-written photograph that looks up to date.
            partial = path.with_name(path.name + ".part")
            cut(image, crop).save(partial, format="PNG", compress_level=1)
            partial.replace(path)
            written += 1
    return written, len(PHOTOGRAPHS) * len(CROPS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    out = parser.parse_args().out
    written, total = write(out)
    print(f"{out}: {total} photographs ({written} written, {total - written} up to date)")
