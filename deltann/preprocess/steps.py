"""The steps of a pipeline, each a frozen record that refuses values it does not know."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from deltann.errors import UsageError

Size = int | tuple[int, int] | str
"""Pixels: a side, (height, width), or a text that is a fraction of something: see `Resize` and `Crop`."""

RELATIVE = re.compile(r"input(?:/(?P<fraction>\d*\.?\d+))?")
OF_IMAGE = re.compile(r"(?P<whole>short_side|image)\*(?P<fraction>\d*\.?\d+)")


@dataclass(frozen=True)
class Decode:
    """Read the file as 8-bit RGB. `exif` turns the image as its EXIF orientation says (OpenCV does, TensorFlow not)."""

    name: ClassVar[str] = "decode"
    exif: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.exif, bool):
            raise UsageError(f"exif is {self.exif!r}; it is true or false")


@dataclass(frozen=True)
class Resize:
    """Resample with Pillow, whose filters widen when shrinking (they antialias; OpenCV's `INTER_LINEAR` does not).

    `mode`: `exact` makes it `size`; `short_side` and `long_side` make that side `size` and keep the proportions, the
    other side cut to a whole number (as torchvision does); `letterbox` fits it into `size`, each side being
    int(side · ratio) as in YOLOX, on a ground of grey level `fill`, at the `anchor`.
    `size`: pixels, [height, width], `input` (the model's own) or `input/0.875` (cut to a whole number).
    """

    name: ClassVar[str] = "resize"
    mode: str = "exact"
    size: Size = "input"
    interpolation: str = "bilinear"
    fill: int = 0
    anchor: str = "centre"

    def __post_init__(self) -> None:
        _one_of("mode", self.mode, ("short_side", "long_side", "exact", "letterbox"))
        _one_of("interpolation", self.interpolation, INTERPOLATIONS)
        _one_of("anchor", self.anchor, ("centre", "top_left"))
        object.__setattr__(self, "size", _size(self.size, pair=self.mode in ("exact", "letterbox"), of_image=False))
        if not _is_whole(self.fill) or not 0 <= self.fill <= 255:
            raise UsageError(f"fill is {self.fill!r}; it is a whole number from 0 to 255")


@dataclass(frozen=True)
class Crop:
    """Cut out the centre.

    `size`: pixels, [height, width], `input` or `input/0.875`: offsets rounded half to even, as torchvision does;
    `short_side*0.875`: a square, offsets rounded up, as the EfficientNets' own evaluation does;
    `image*0.875`: that share of each side, as `tf.image.central_crop` does.
    """

    name: ClassVar[str] = "crop"
    size: Size = "input"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", _size(self.size, pair=True, of_image=True))


@dataclass(frozen=True)
class Colour:
    """The channels and their order; `L` is one channel of luma (ITU-R 601-2), as Pillow makes it."""

    name: ClassVar[str] = "colour"
    order: str = "RGB"

    def __post_init__(self) -> None:
        _one_of("order", self.order, ("RGB", "BGR", "L"))


@dataclass(frozen=True)
class Normalise:
    """y = (x · scale − mean) / std in float32, x being 0–255; `mean` and `std` in the order of the channels."""

    name: ClassVar[str] = "normalise"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        (scale, *more) = _numbers("scale", self.scale)
        if more:
            raise UsageError(f"scale is {self.scale!r}; it is one number")
        object.__setattr__(self, "scale", scale)
        for key in ("mean", "std"):
            values = _numbers(key, getattr(self, key))
            if len(values) not in (1, 3):
                raise UsageError(f"{key} has {len(values)} values; it has 1, or one for each of the 3 channels")
            object.__setattr__(self, key, values)
        if 0.0 in self.std or self.scale == 0.0:
            raise UsageError("scale and std are not 0")


@dataclass(frozen=True)
class Layout:
    """`NCHW`, `NHWC`, or `input`: where the model's input has its 1 or 3 channels."""

    name: ClassVar[str] = "layout"
    order: str = "input"

    def __post_init__(self) -> None:
        _one_of("order", self.order, ("input", "NCHW", "NHWC"))


@dataclass(frozen=True)
class Dtype:
    """The element type that results: `input` (the model's own) or a numpy name, to which the values convert safely."""

    name: ClassVar[str] = "dtype"
    dtype: str = "input"

    def __post_init__(self) -> None:
        _one_of("dtype", self.dtype, ("input", *DTYPES))


Step = Decode | Resize | Crop | Colour | Normalise | Layout | Dtype
STEPS: dict[str, type[Step]] = {kind.name: kind for kind in (Decode, Resize, Crop, Colour, Normalise, Layout, Dtype)}
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box")
DTYPES = ("float16", "float32", "float64", "uint8", "uint16", "uint32", "uint64", "int16", "int32", "int64")


def _one_of(key: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        raise UsageError(f"{key} is {value!r}; it is one of {', '.join(known)}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _numbers(key: str, value: object) -> tuple[float, ...]:
    """`value`, a number or several, as finite floats."""
    values = value if isinstance(value, list | tuple) else (value,)
    numbers = tuple(float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool))
    if not numbers or len(numbers) != len(values) or not all(map(math.isfinite, numbers)):
        raise UsageError(f"{key} is {value!r}; it is a finite number or a list of them")
    return numbers


def _size(value: object, pair: bool, of_image: bool) -> Size:
    """`value` as a checked size; a single number stands for a square where the step takes a `pair`."""
    if isinstance(value, str):
        match = RELATIVE.fullmatch(value) or (OF_IMAGE.fullmatch(value) if of_image else None)
        if match is not None and 0 < float(match["fraction"] or 1) <= 1:
            return value
    sides = value if isinstance(value, list | tuple) else (value,)
    if all(_is_whole(side) and side > 0 for side in sides) and len(sides) in ((1, 2) if pair else (1,)):
        return (int(sides[0]), int(sides[-1])) if pair else int(sides[0])
    forms = ["a number of pixels", *(["[height, width]"] if pair else []), "'input'", "'input/0.875'"]
    forms += ["'short_side*0.875'", "'image*0.875'"] if of_image else []
    raise UsageError(f"size is {value!r}; it is {', '.join(forms)} (fractions up to 1)")
