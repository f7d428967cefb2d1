"""Reading a stranger's image file as 8-bit RGB, or saying why that cannot be done."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from deltann.errors import one_line

# Ghostscript and the Windows metafile player execute what they are given; the stubs read nothing.
_REFUSED = frozenset({"EPS", "WMF", "EMF", "BUFR", "GRIB", "HDF5", "MPEG"})
_PLAIN = frozenset({"1", "L", "RGB"})
_WITH_ALPHA = {"P": "RGBA", "PA": "RGBA", "LA": "RGBA", "La": "RGBA", "RGBa": "RGBA", "RGBA": "RGBA"}


class BadImage(Exception):
    """A file that gives no RGB picture; the message says why and begins in lower case."""


@cache
def formats() -> tuple[str, ...]:
    """The formats of Pillow that are read here."""
    Image.init()
    return tuple(sorted(set(Image.OPEN) - _REFUSED))


@cache
def _usual() -> tuple[str, ...]:
    """Those among them that Pillow imports at once (PNG, JPEG, …); all others take as long as ten pictures."""
    Image.preinit()
    return tuple(sorted(set(Image.OPEN) - _REFUSED))


def is_image(file: Path) -> bool:
    """Whether the ending of the file's name is that of a format read here."""
    ending, usual = file.suffix.lower(), _usual()
    return Image.EXTENSION.get(ending) in usual or Image.registered_extensions().get(ending) in formats()


def _open(path: Path) -> ImageFile.ImageFile:
    try:
        return Image.open(path, formats=_usual())
    except UnidentifiedImageError:
        return Image.open(path, formats=formats())


def decode(path: Path, exif: bool = False) -> Image.Image:
    """The first frame of an image file, in mode RGB.

    Grey, black-and-white and palette images become RGB; an alpha channel is dropped where it is fully opaque.
    `exif` turns the image as its EXIF orientation says.

    Raises:
        BadImage: unreadable, truncated, larger than `PIL.Image.MAX_IMAGE_PIXELS`, translucent, or of a mode whose
            meaning in RGB depends on more than the file (CMYK, 16 bits a channel, Lab, …).
    """
    try:
        with _open(path) as file:
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and file.width * file.height > limit:
                raise BadImage(f"{file.width}x{file.height} pixels are more than the {limit} that are safe to decode")
            deep = any(";16" in str(tile) for tile in file.tile)  # Pillow would cut 16-bit RGB to 8 bits silently
            file.load()
            image: Image.Image = ImageOps.exif_transpose(file) if exif else file
    except BadImage:
        raise
    except FileNotFoundError as error:
        raise BadImage("no such file") from error
    except Exception as error:  # Pillow's plugins raise whatever their parsing runs into on a malformed file
        raise BadImage(_reason(error)) from error
    if deep or image.mode.startswith("I") or image.mode == "F":
        raise BadImage(f"more than 8 bits a channel ({image.mode}); convert it to 8-bit RGB")
    return _to_rgb(image)


def _reason(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow reads"
    return one_line(str(error), 120) or type(error).__name__


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in _WITH_ALPHA or (image.mode in _PLAIN and "transparency" in image.info):
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise BadImage("has transparent parts, whose colour the file leaves open; flatten it on a background")
    elif image.mode not in _PLAIN:
        raise BadImage(f"mode {image.mode} has no one meaning in RGB; convert it to 8-bit RGB")
    return image.convert("RGB")
