"""Running a resolved pipeline on one image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from deltann.errors import UsageError
from deltann.preprocess.pipeline import Pipeline
from deltann.preprocess.steps import OF_IMAGE, Colour, Crop, Dtype, Layout, Normalise, Resize

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}


def apply(
    pipeline: Pipeline, image: Image.Image, out: npt.NDArray[np.generic] | None = None
) -> npt.NDArray[np.generic]:
    """One row [C,H,W] or [H,W,C] of a *resolved* pipeline, from an RGB image; written into `out` where given.

    The arithmetic is float32, whatever type results.

    Raises:
        UsageError: the result has not the shape of `out` (the model's row), or a crop does not fit in the image.
        ValueError: the pipeline is not resolved.
    """
    for step in pipeline.steps:
        if isinstance(step, Resize):
            image = _resize(step, image)
        elif isinstance(step, Crop):
            image = _crop(pipeline, step, image)
    colour, normalise = pipeline.find(Colour, Colour()), pipeline.find(Normalise, Normalise())
    layout, dtype = pipeline.find(Layout, Layout()).order, pipeline.find(Dtype, Dtype()).dtype
    if "input" in (layout, dtype):
        raise ValueError(f"the pipeline '{pipeline.name}' is not resolved")
    pixels = np.atleast_3d(np.asarray(image.convert("L") if colour.order == "L" else image))
    channels_first = np.moveaxis(pixels[..., ::-1] if colour.order == "BGR" else pixels, -1, 0)
    shape = channels_first.shape if layout == "NCHW" else pixels.shape
    if out is None:
        out = np.empty(shape, dtype)
    elif out.shape != shape:
        made, wanted = ("x".join(map(str, s)) for s in (shape, out.shape))
        raise UsageError(
            f"the pipeline '{pipeline.name}' makes {made} of an image of this size, the model's input wants {wanted}: "
            "choose another preset, or declare a resize or crop to size = 'input' in a .toml file"
        )
    planes = out if layout == "NCHW" else np.moveaxis(out, -1, 0)
    if normalise == Normalise():
        planes[...] = channels_first
        return out
    work = planes if out.dtype == np.float32 else np.empty(planes.shape, np.float32)
    _normalise(normalise, channels_first, work)
    if work is not planes:
        planes[...] = work
    return out


def _normalise(step: Normalise, pixels: npt.NDArray[np.generic], out: npt.NDArray[np.generic]) -> None:
    """(x · scale − mean) / std, a plane at a time so that each pass stays in the cache."""
    for index, (source, plane) in enumerate(zip(pixels, out, strict=True)):
        mean, std = (values[index % len(values)] for values in (step.mean, step.std))
        np.multiply(source, np.float32(step.scale), out=plane)
        np.subtract(plane, np.float32(mean), out=plane)
        np.divide(plane, np.float32(std), out=plane)


def _resize(step: Resize, image: Image.Image) -> Image.Image:
    kernel = _FILTERS[step.interpolation]
    width, height = image.size
    if isinstance(step.size, tuple):
        tall, wide = step.size
        if step.mode == "exact":
            return image.resize((wide, tall), kernel)
        ratio = min(tall / height, wide / width)
        inner = image.resize((max(1, int(width * ratio)), max(1, int(height * ratio))), kernel)
        ground = Image.new("RGB", (wide, tall), (step.fill,) * 3)
        left, top = (0, 0) if step.anchor == "top_left" else ((wide - inner.width) // 2, (tall - inner.height) // 2)
        ground.paste(inner, (left, top))
        return ground
    if isinstance(step.size, str):
        raise ValueError(f"the size '{step.size}' is not resolved")
    side = min(image.size) if step.mode == "short_side" else max(image.size)
    return image.resize((max(1, step.size * width // side), max(1, step.size * height // side)), kernel)


def _crop(pipeline: Pipeline, step: Crop, image: Image.Image) -> Image.Image:
    width, height = image.size
    if isinstance(step.size, tuple):
        tall, wide = step.size
        top, left = round((height - tall) / 2), round((width - wide) / 2)
        if tall > height or wide > width:
            raise UsageError(
                f"the pipeline '{pipeline.name}' crops {tall}x{wide} out of {height}x{width}: put a resize before it"
            )
        return image.crop((left, top, left + wide, top + tall))
    match = OF_IMAGE.fullmatch(str(step.size))
    if match is None:
        raise ValueError(f"the size '{step.size}' is not resolved")
    fraction = float(match["fraction"])
    if match["whole"] == "short_side":
        side = max(1, int(min(image.size) * fraction))
        top, left = (height - side + 1) // 2, (width - side + 1) // 2
        return image.crop((left, top, left + side, top + side))
    top, left = int((height - height * fraction) / 2), int((width - width * fraction) / 2)
    return image.crop((left, top, width - left, height - top))
