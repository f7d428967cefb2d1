from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann.dataset import ArraySource, ImageSource, RandomSource, parse_source
from deltann.errors import UsageError


@given(st.integers(1, 10**6), st.integers(0, 2**40), st.sampled_from(["normal", "uniform"]))
def test_random_is_read(count: int, seed: int, dist: str) -> None:
    assert parse_source(f"random:{count}") == RandomSource(count, 0, "normal")
    assert parse_source(f"random:{count},dist={dist},seed={seed}") == RandomSource(count, seed, dist)


@pytest.mark.parametrize(
    "text",
    [
        "random",
        *(
            f"random:{rest}"
            for rest in ("", "0", "-3", "2.5", "8,", "8,seed=x", "8,dist=cauchy", "8,size=3", "8,seed=1,seed=2")
        ),
    ],
)
def test_random_that_cannot_be_read_shows_the_grammar(text: str) -> None:
    with pytest.raises(UsageError, match=r"random:N|give it once"):
        parse_source(text)


def test_a_folder_gives_its_images_by_name(photographs: Path) -> None:
    source = parse_source(photographs)
    assert isinstance(source, ImageSource)
    assert [file.name for file in source.files] == ["0.png", "1.jpg", "2.bmp", "3.png", "4.webp", "5.PNG", "6.gif"]
    assert source.ignored == 2


def test_single_files_are_taken_by_their_ending(photographs: Path, tmp_path: Path) -> None:
    assert parse_source(str(photographs / "5.PNG")) == ImageSource((photographs / "5.PNG",))
    np.save(tmp_path / "x.npy", np.zeros(3))
    assert parse_source(tmp_path / "x.npy") == ArraySource(tmp_path / "x.npy")


def test_arrays_are_taken_as_they_are() -> None:
    array = np.arange(6).reshape(2, 3)
    source = parse_source(array)
    assert isinstance(source, ArraySource)
    assert source.arrays[""] is array
    named = parse_source({"a": array})
    assert isinstance(named, ArraySource)
    assert list(named.arrays) == ["a"]


def test_what_is_not_there_or_not_understood_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder; give a folder of images"):
        parse_source(tmp_path / "none")
    with pytest.raises(UsageError, match="holds no files"):
        parse_source(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UsageError, match="holds 1 files, none of them an image"):
        parse_source(tmp_path)
    with pytest.raises(UsageError, match=r"'\.txt' are not understood"):
        parse_source(tmp_path / "a.txt")


def test_a_folder_named_random_can_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photographs: Path) -> None:
    monkeypatch.chdir(tmp_path)
    photographs.rename(tmp_path / "random")
    assert isinstance(parse_source("random"), ImageSource)
    assert isinstance(parse_source("random/0.png"), ImageSource)
