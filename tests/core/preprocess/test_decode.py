from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deltann.preprocess import BadImage, decode
from deltann.preprocess.decode import is_image


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, shape, np.uint8)


def test_colour_is_read_as_it_is(tmp_path: Path) -> None:
    made = pixels(9, 7, 3)
    Image.fromarray(made).save(tmp_path / "a.png")
    image = decode(tmp_path / "a.png")
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), made)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "PA"])
def test_modes_with_one_meaning_become_rgb(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(pixels(9, 7, 3)).convert("L" if mode in ("LA", "PA") else "RGB").convert(mode)
    path = tmp_path / ("a.tif" if mode == "PA" else "a.png")
    if mode == "PA":
        image = image.convert("LA")
    image.save(path)
    expected = image.convert("RGB")
    np.testing.assert_array_equal(np.asarray(decode(path)), np.asarray(expected))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_are_refused(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(pixels(9, 7, 3)).convert(mode)
    image.putpixel((2, 3), (0,) * (len(mode) - 1) + (254,))
    image.save(tmp_path / "a.png")
    with pytest.raises(BadImage, match="transparent"):
        decode(tmp_path / "a.png")


def test_a_transparent_palette_entry_is_refused_where_it_is_used(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 1]], np.uint8)).convert("P")
    image.save(tmp_path / "used.png", transparency=0)
    image.save(tmp_path / "unused.png", transparency=9)
    with pytest.raises(BadImage, match="transparent"):
        decode(tmp_path / "used.png")
    assert decode(tmp_path / "unused.png").mode == "RGB"


def test_cmyk_is_refused(tmp_path: Path) -> None:
    Image.fromarray(pixels(9, 7, 4), "CMYK").save(tmp_path / "a.jpg")
    with pytest.raises(BadImage, match="CMYK has no one meaning"):
        decode(tmp_path / "a.jpg")


def test_more_than_eight_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(tmp_path / "grey.png")
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tif")
    for name in ("grey.png", "float.tif"):
        with pytest.raises(BadImage, match="more than 8 bits"):
            decode(tmp_path / name)


def test_sixteen_bit_colour_is_refused_and_not_cut_to_eight(tmp_path: Path) -> None:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(range(12)) for _ in range(2))
    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    with pytest.raises(BadImage, match="more than 8 bits"):
        decode(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "webp", "gif"])
def test_truncated_files_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    Image.fromarray(pixels(64, 64, 3)).save(path)
    assert decode(path).size == (64, 64)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadImage):
        decode(path)


def test_files_that_are_no_images_say_so(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(BadImage, match="not an image"):
        decode(tmp_path / "a.png")
    with pytest.raises(BadImage, match="no such file"):
        decode(tmp_path / "b.png")


def test_postscript_is_never_run(tmp_path: Path) -> None:
    Image.fromarray(pixels(8, 8, 3)).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")
    with pytest.raises(BadImage, match="not an image"):
        decode(tmp_path / "a.png")


def test_bombs_are_refused_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(pixels(40, 40, 3)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.warns(Image.DecompressionBombWarning), pytest.raises(BadImage, match="safe to decode"):
        decode(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(BadImage, match="decompression bomb"):
        decode(tmp_path / "a.png")


def test_exif_turns_only_where_asked(tmp_path: Path) -> None:
    image = Image.fromarray(pixels(10, 20, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    assert decode(tmp_path / "a.jpg").size == (20, 10)
    assert decode(tmp_path / "a.jpg", exif=True).size == (10, 20)


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.webp", "a.tiff"])
def test_endings_of_formats_that_are_read(name: str) -> None:
    assert is_image(Path(name))


@pytest.mark.parametrize("name", ["a.eps", "a.txt", "a"])
def test_endings_of_others(name: str) -> None:
    assert not is_image(Path(name))


def test_a_format_is_told_by_what_is_in_the_file(tmp_path: Path) -> None:
    """Also one that Pillow imports only when those it imports at once do not know the file."""
    Image.fromarray(np.full((3, 4, 3), 77, np.uint8)).save(tmp_path / "a.tiff")
    (tmp_path / "a.tiff").rename(tmp_path / "a.png")
    assert np.asarray(decode(tmp_path / "a.png")).tolist() == [[[77] * 3] * 4] * 3


def test_usual_formats_import_no_others(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    code = """
import sys
from pathlib import Path
from deltann.preprocess.decode import decode, is_image
file = Path(sys.argv[1])
assert is_image(file)
decode(file)
assert 'PIL.TiffImagePlugin' not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")], check=True)
