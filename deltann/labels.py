"""The true classes of samples, read from a CSV file and matched to them by name; and the names of classes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deltann.errors import UsageError, one_line

_FILE = ("file", "filename", "file_name", "image", "name", "path")
_LABEL = ("label", "class", "target", "label_id", "class_id", "class_index")
_NAMED = 3


def load_labels(path: Path, sample_names: Sequence[str]) -> npt.NDArray[np.int64]:
    """The label of each sample, int64[N], as the file has it (nothing is shifted).

    The file has a header. A row belongs to the sample whose name its file column gives (folders before it do not
    count): the full name, else without the sample's ending, else without both endings. Rows of other files are left.
    A file with a label column alone gives the labels of arrays and random samples in their order.

    Raises:
        UsageError: no such file, no such columns, a label that is no whole number from 0, samples without a label,
            two labels for one sample, or (without names) another number of rows than of samples.
    """
    header, rows = _read(path)
    names = {column.strip().lower(): index for index, column in reversed(list(enumerate(header)))}
    at_label = next((names[column] for column in _LABEL if column in names), None)
    at_file = next((names[column] for column in _FILE if column in names), None)
    seen = f"its columns are {', '.join(map(repr, header))}"
    if at_label is None:
        raise UsageError(f"{path}: no column of labels ({seen}): name one of them {', '.join(_LABEL)}")
    labels = [_label(path, line, row[at_label] if at_label < len(row) else "") for line, row in rows]
    if at_file is None:
        if not all(name.startswith(("row[", "random[")) for name in sample_names):
            raise UsageError(f"{path}: no column of file names ({seen}): name one of them {', '.join(_FILE)}")
        if len(labels) != len(sample_names):
            raise UsageError(
                f"{path}: {len(labels)} labels for {len(sample_names)} samples: give one for each, in order"
            )
        return np.array(labels, dtype=np.int64)
    entries = [(line, row[at_file].strip() if at_file < len(row) else "") for line, row in rows]
    return _match(path, entries, labels, sample_names)


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and each row with its line number; empty lines are left out."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file; give a CSV file with the columns file and label")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read as CSV: {one_line(str(error), 120)}") from error
    if len(rows) < 2:
        raise UsageError(
            f"{path}: holds no labels; give a CSV file with a header, such as file,label, and a row a sample"
        )
    return rows[0][1], rows[1:]


def _label(path: Path, line: int, text: str) -> int:
    if not text.strip().isdecimal() or len(text.strip()) > 18:
        raise UsageError(f"{path}, line {line}: the label '{text}' is no whole number from 0; give the class's index")
    return int(text)


def _match(
    path: Path, entries: list[tuple[int, str]], labels: list[int], sample_names: Sequence[str]
) -> npt.NDArray[np.int64]:
    found: dict[str, int] = {}
    ways: tuple[tuple[Callable[[str], str], Callable[[str], str]], ...] = (
        (_base, _base),
        (_stem, _base),
        (_stem, lambda entry: _stem(_base(entry))),
    )
    for of_sample, of_entry in ways:
        groups: dict[str, list[tuple[int, int]]] = {}
        for (line, entry), label in zip(entries, labels, strict=True):
            groups.setdefault(of_entry(entry), []).append((line, label))
        for sample in sample_names:
            rows = groups.get(of_sample(sample), [])
            if sample in found or not rows:
                continue
            for line, label in rows:
                if label != rows[0][1]:
                    raise UsageError(
                        f"{path}: '{sample}' is labelled {rows[0][1]} in line {rows[0][0]} and {label} in line {line}: "
                        "keep the right one"
                    )
            found[sample] = rows[0][1]
    missing = [name for name in sample_names if name not in found]
    if missing:
        shown = ", ".join(missing[:_NAMED]) + (", …" if len(missing) > _NAMED else "")
        first = next((entry for _, entry in entries), "")
        raise UsageError(
            f"{path}: no label for {len(missing)} of {len(sample_names)} samples ({shown}); its file names are like "
            f"'{first}': give the samples' names, with or without their ending"
        )
    return np.array([found[name] for name in sample_names], dtype=np.int64)


def _base(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def _stem(name: str) -> str:
    return Path(name).stem


def load_class_names(path: Path) -> list[str]:
    """The names of a model's classes, from class 0 on: a text file with a name a line, or (`.json`) a list of names or
    an object {"0": "name", "1": …}.

    Empty lines at the end of a text file do not count. Names may repeat, as some of ImageNet's do.

    Raises:
        UsageError: no such file, not UTF-8 or JSON, no names, an empty one, or an object that leaves a class out.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file; give a text file with the name of a class in each line, from class 0")
    try:
        text = path.read_text("utf-8-sig")
        given = json.loads(text) if path.suffix.lower() == ".json" else text.rstrip().split("\n")
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read as names of classes: {one_line(str(error), 120)}") from error
    if isinstance(given, dict):
        if missing := [number for number in range(len(given)) if str(number) not in given]:
            raise UsageError(f'{path}: has no class {missing[0]}; write {{"0": "name", "1": …}}, each class once')
        given = [given[str(number)] for number in range(len(given))]
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise UsageError(f'{path}: holds no names; write ["name of class 0", …] or {{"0": "name", …}}')
    names = [name.strip() for name in given]
    if not any(names):
        raise UsageError(f"{path}: holds no names; give a name for each class, from class 0")
    if "" in names:
        raise UsageError(f"{path}: class {names.index('')} has an empty name, which would shift the others: name it")
    return names
