"""The file of a baseline: JSON Lines, sorted, an entry a line, to be reviewed in a diff."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltann.baseline.entries import WRONG, Agreement, Entry, Failure, Key, Time
from deltann.comparison.verdict import Verdict
from deltann.errors import UsageError, one_line
from deltann.outcome import Stage, Status, Symptom
from deltann.timing.verdict import TimeVerdict

HEADER = "deltann-baseline"
VERSION = 1
_CONFLICT = ("<<<<<<<", "=======", ">>>>>>>", "|||||||")
_NAMES = ("model", "sha256", "inputs", "host", "candidate")


@dataclass(frozen=True)
class Baseline:
    """What a file holds: its entries in their order, and the number of the line that each stands in."""

    path: Path
    entries: tuple[Entry, ...] = ()
    lines: tuple[int, ...] = ()

    def line(self, entry: Entry) -> str:
        """Where one of the entries stands, as `FILE:LINE`."""
        return f"{self.path}:{self.lines[self.entries.index(entry)]}"


def read_baseline(path: Path) -> Baseline:
    """Read a baseline; the order of its lines means nothing.

    Raises:
        UsageError: there is no file, or it is none of ours, or newer, or a line of it (which is named) is a conflict of
            two versions, is not what an update would write, says again what another says, or is of another model
            under a name that another line has.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"{path}: there is no baseline; --update-baseline makes it of a run you accept") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; name the file of a baseline") from error
    numbered = [(number, line) for number, raw in enumerate(text.split(b"\n"), 1) if (line := raw.strip())]
    for number, line in numbered:
        if line[:7].decode("ascii", "replace") in _CONFLICT:
            raise UsageError(f"{path}:{number}: a conflict of two versions; keep one side, or both without the markers")
    found = [(number, _object(path, number, line)) for number, line in numbered]
    if not found or HEADER not in found[0][1]:
        number = found[0][0] if found else 1
        raise UsageError(f'{path}:{number}: not a baseline, whose first line is {{"{HEADER}": {VERSION}}}')
    number, header = found[0]
    version = header[HEADER]
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise UsageError(f'{path}:{number}: no version of a baseline; write {{"{HEADER}": {VERSION}}}')
    if version > VERSION:
        raise UsageError(f"{path}:{number}: version {version} is newer than this deltann reads ({VERSION}); upgrade it")
    if len(header) > 1:
        raise UsageError(f'{path}:{number}: more than a version; write {{"{HEADER}": {VERSION}}}, and nothing else')
    entries = [(number, _entry(path, number, data)) for number, data in found[1:]]
    _check_once(path, entries)
    return Baseline(path, tuple(entry for _, entry in entries), tuple(number for number, _ in entries))


def write_baseline(path: Path, entries: Iterable[Entry]) -> None:
    """Write the entries, sorted, so that a reader sees the old file or the whole new one.

    Raises:
        UsageError: the file cannot be written.
    """
    ordered = sorted(entries, key=lambda entry: entry.key.order)
    lines = [json.dumps({HEADER: VERSION}), *(json.dumps(entry.to_json(), allow_nan=False) for entry in ordered)]
    target = path.resolve()  # a link stays one
    temporary = target.with_name(f"{target.name}.part")
    try:
        temporary.write_text("\n".join(lines) + "\n", encoding="ascii")
        temporary.replace(target)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; choose another --baseline") from error


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        data = json.loads(line.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
        if not isinstance(data, dict):
            raise ValueError("it is no object")
        return data
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}:{number}: not JSON that was written here ({one_line(str(error))}); mend the line, "
                         "or take the file from version control") from error  # fmt: skip


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        raise ValueError("a key stands twice")
    return data


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _entry(path: Path, number: int, data: Mapping[str, Any]) -> Entry:
    read = next((read for mark, read in _READERS.items() if mark in data), None)
    try:
        if read is None:
            raise ValueError("it has none of output, measured and status")
        if not all(isinstance(data[name], str) for name in _NAMES):
            raise ValueError(f"one of {', '.join(_NAMES)} is no text")
        entry = read(data)
        # Whatever an update would not write so, such as a key that is misspelt, was not meant.
        if entry.to_json() != data or any(isinstance(value, bool) for value in data.values()):
            raise ValueError(f"an unknown key, or a value unlike its kind, among {', '.join(data)}")
        return entry
    except KeyError as error:
        raise UsageError(f"{path}:{number}: {error} is missing; mend the line, or remove it to have it written anew"
                         ) from error  # fmt: skip
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"{path}:{number}: {one_line(str(error))}; mend the line, or remove it to have it written anew"
                         ) from error  # fmt: skip


def _key(data: Mapping[str, Any], **more: Any) -> Key:
    return Key(*(data[name] for name in _NAMES), **more)


def _pair(data: Mapping[str, Any], **more: Any) -> Key:
    if not isinstance(data["reference"], str):
        raise ValueError("'reference' is no text")
    return _key(data, reference=data["reference"], **more)


def _agreement(data: Mapping[str, Any]) -> Entry:
    samples, count, problems, output = data["samples"], data["disagreements"], data.get("problems", 0), data["output"]
    if not isinstance(output, str | None):
        raise ValueError("'output' is no text")
    if not isinstance(samples, int) or samples < 1 or not isinstance(problems, int) or problems < 0:
        raise ValueError("'samples' or 'problems' is no count")
    if count is not None and not (isinstance(count, int) and 0 <= count <= samples):
        raise ValueError(f"{count!r} of {samples} samples cannot disagree")
    off = data["outside"]
    if off is not None and not (isinstance(off, int) and 0 <= off <= samples):
        raise ValueError(f"{off!r} of {samples} samples cannot be outside the tolerance")
    errors = [_number(data[name]) for name in ("p50", "p99", "max")]
    known = [error for error in errors if error is not None]
    if known and (len(known) < 3 or known != sorted(known) or known[0] < 0):
        raise ValueError("p50, p99 and max are not three errors in their order")
    verdict = Verdict(data["verdict"])
    if verdict is Verdict.NOT_COMPARED:
        raise ValueError("a pair that was not compared has no entry")
    p50, p99, largest = errors
    return Entry(_pair(data, output=output), Agreement(verdict, samples, count, p50, p99, largest, problems, off))


def _time(data: Mapping[str, Any]) -> Entry:
    ratio, measured = data["ratio"], data["measured"]
    if not isinstance(measured, str):
        raise ValueError("'measured' is no text")
    ended = data.get("ended", {})
    if not isinstance(ended, dict) or not all(isinstance(one, dict) for one in ended.values()):
        raise ValueError("'ended' does not say how the candidate or the reference ended")
    sides = [_ended(ended[side]) if side in ended else None for side in ("candidate", "reference")]
    key, verdict = _pair(data, measured=measured), TimeVerdict(data["verdict"])
    if ratio is None:
        return Entry(key, Time(verdict, None, *sides))
    numbers = [_number(value) for value in ratio] if isinstance(ratio, list) else []
    if len(numbers) != 3 or not all(number is not None and 0 < number < math.inf for number in numbers):
        raise ValueError("'ratio' is no [ratio, low, high] of numbers above 0")
    centre, low, high = (float(number or 0) for number in numbers)
    if not low <= centre <= high:
        raise ValueError("'ratio' lies outside its own interval")
    return Entry(key, Time(verdict, (centre, low, high), *sides))


def _failure(data: Mapping[str, Any]) -> Entry:
    found = _ended(data)
    if found == WRONG:
        raise ValueError("a cell with outputs has no entry")
    return Entry(_key(data), found)


def _ended(data: Mapping[str, Any]) -> Failure:
    status, stage, symptom = Status(data["status"]), data["stage"], data["symptom"]
    found = Failure(status, None if stage is None else Stage(stage), None if symptom is None else Symptom(symptom))
    if status is Status.NOT_RUN or (status is Status.OK and found != WRONG):
        raise ValueError(f"what is {status} has no entry")
    return found


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Entry]] = {
    "output": _agreement,
    "measured": _time,
    "status": _failure,
}


def _number(value: Any) -> float | None:
    if value is None or value == "inf":
        return None if value is None else math.inf
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def _check_once(path: Path, entries: Iterable[tuple[int, Entry]]) -> None:
    keys: dict[Key, int] = {}
    models: dict[str, tuple[int, str]] = {}
    for number, entry in entries:
        key = entry.key
        if key in keys:
            raise UsageError(f"{path}:{number}: says again what line {keys[key]} says of {key.title}; keep one of them")
        keys[key] = number
        other, digest = models.setdefault(key.model, (number, key.sha256))
        if digest != key.sha256:
            raise UsageError(
                f"{path}:{number}: {key.model} is sha256 {key.sha256} here, and {digest} in line {other}; keep the "
                "lines of one of the two models, or rename one"
            )
