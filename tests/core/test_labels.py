from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deltann.errors import UsageError
from deltann.labels import load_labels


def csv(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "file,label\na.png,3\nb.png,5\n",
        "label,owner,filename\n5,x,b\n3,y,a\n",
        "\ufeffName , CLASS\nimages/b.png,5\n\nimages/a.png,3\n",
        "path,target\nC:\\data\\a.JPEG,3\nb.JPEG,5\nother.JPEG,9\n",
    ],
)
def test_labels_are_matched_by_name_or_stem(tmp_path: Path, text: str) -> None:
    labels = load_labels(csv(tmp_path, text), ["a.png", "b.png"])
    assert labels.tolist() == [3, 5]
    assert labels.dtype == np.int64


def test_the_order_is_that_of_the_samples(tmp_path: Path) -> None:
    assert load_labels(csv(tmp_path, "file,label\na.png,3\nb.png,5\n"), ["b.png", "a.png"]).tolist() == [5, 3]


def test_a_full_name_goes_before_a_stem(tmp_path: Path) -> None:
    path = csv(tmp_path, "file,label\na.png,1\na.jpg,2\n")
    assert load_labels(path, ["a.jpg", "a.png"]).tolist() == [2, 1]


def test_a_label_column_alone_follows_the_rows(tmp_path: Path) -> None:
    path = csv(tmp_path, "label\n4\n2\n")
    assert load_labels(path, ["row[0]", "row[1]"]).tolist() == [4, 2]
    with pytest.raises(UsageError, match="2 labels for 3 samples"):
        load_labels(path, ["row[0]", "row[1]", "row[2]"])
    with pytest.raises(UsageError, match=r"no column of file names.*file, filename"):
        load_labels(path, ["a.png", "b.png"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,score\na.png,3\n", "no column of labels.*'file', 'score'.*label, class, target"),
        ("a.png,3\nb.png,5\n", "no column of labels"),
        ("file,label\na.png,cat\nb.png,1\n", "line 2: the label 'cat'"),
        ("file,label\na.png,1.5\nb.png,1\n", "line 2"),
        ("file,label\na.png,-1\nb.png,1\n", "line 2"),
        ("file,label\na.png\nb.png,1\n", "line 2"),
        ("file,label\na.png,99999999999999999999\n", "line 2"),
        ("file,label\na.png,1\n", r"no label for 1 of 2 samples \(b.png\)"),
        ("file,label\nx,1\ny,2\n", r"no label for 2 of 2 samples.*like 'x'"),
        ("file,label\na.png,1\na.png,2\nb.png,1\n", "'a.png' is labelled 1 in line 2 and 2 in line 3"),
        ("file,label\n", "holds no labels"),
        ("", "holds no labels"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_labels(csv(tmp_path, text), ["a.png", "b.png"])


def test_a_label_said_twice_alike_is_no_contradiction(tmp_path: Path) -> None:
    assert load_labels(csv(tmp_path, "file,label\na,1\na,1\n"), ["a.png"]).tolist() == [1]


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        load_labels(tmp_path / "none.csv", ["a.png"])
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UsageError, match="cannot be read as CSV"):
        load_labels(tmp_path / "binary.csv", ["a.png"])
