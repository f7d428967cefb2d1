"""The file of a baseline: what is written is read back, sorted and the same; what nobody can mean is an error."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deltann.baseline.entries import WRONG, Agreement, Entry, Failure, Key, Time
from deltann.baseline.file import read_baseline, write_baseline
from deltann.comparison.verdict import Verdict
from deltann.errors import UsageError
from deltann.outcome import Stage, Status, Symptom
from deltann.timing.verdict import TimeVerdict

HEADER = '{"deltann-baseline": 1}'
KEY = Key("model.onnx", "0" * 16, "1" * 16, "linux x86_64 avx2, 2 cores", "torch", "ort", "y")
LINE = json.dumps(Entry(KEY, Agreement(Verdict.AGREE, 10, 1, 1e-7, 1e-6, 1e-5)).to_json())

# Names of files may hold bytes that are no text, which Python keeps as lone surrogates.
TEXTS = st.text(st.characters(exclude_categories=()), min_size=1, max_size=6)
POSITIVE = st.floats(min_value=1e-9, max_value=1e9)
ERRORS = st.one_of(
    st.just((None, None, None)),
    st.lists(st.floats(min_value=0, allow_nan=False), min_size=3, max_size=3).map(sorted).map(tuple),
)


@st.composite
def agreements(draw) -> Agreement:
    samples = draw(st.integers(1, 1000))
    count = draw(st.none() | st.integers(0, samples))
    verdict = draw(st.sampled_from([Verdict.AGREE, Verdict.DIFFER, Verdict.INCONCLUSIVE]))
    off = draw(st.none() | st.integers(0, samples))
    return Agreement(verdict, samples, count, *draw(ERRORS), problems=draw(st.integers(0, 3)), outside=off)


@st.composite
def times(draw) -> Time:
    low, ratio, high = sorted(draw(st.lists(POSITIVE, min_size=3, max_size=3)))
    sides = (draw(st.sampled_from([None, WRONG, Failure(Status.FAILED, Stage.RUN, Symptom.CRASH)])) for _ in range(2))
    return Time(draw(st.sampled_from(list(TimeVerdict))), draw(st.sampled_from([None, (ratio, low, high)])), *sides)


@st.composite
def an_entry(draw) -> Entry:
    name = draw(TEXTS)
    # One digest a name, as of one model.
    common = (name, f"{crc32(name.encode(errors='surrogatepass')):x}", draw(TEXTS), draw(TEXTS), draw(TEXTS))
    kind = draw(st.integers(0, 2))
    if kind == 0:
        return Entry(Key(*common, draw(TEXTS), draw(st.none() | st.text(max_size=5))), draw(agreements()))
    if kind == 1:
        return Entry(Key(*common, draw(TEXTS), measured=draw(TEXTS)), draw(times()))
    status = draw(st.sampled_from([Status.FAILED, Status.UNSUPPORTED, Status.UNAVAILABLE]))
    stage, symptom = draw(st.none() | st.sampled_from(list(Stage))), draw(st.none() | st.sampled_from(list(Symptom)))
    return Entry(Key(*common), Failure(status, stage, symptom))


MANY = st.lists(an_entry(), max_size=8, unique_by=lambda entry: entry.key)
ONE_FOLDER = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ONE_FOLDER
@given(MANY, st.randoms())
def test_what_is_written_is_read_back_whatever_the_order(tmp_path: Path, entries: list[Entry], chance: random.Random):
    path = tmp_path / "baseline.jsonl"
    write_baseline(path, entries)
    first = path.read_bytes()
    read = read_baseline(path)
    assert set(read.entries) == set(entries)
    assert [entry.key.order for entry in read.entries] == sorted(entry.key.order for entry in entries)
    chance.shuffle(entries)
    write_baseline(path, entries)
    assert path.read_bytes() == first
    lines = first.decode().splitlines()
    shuffled = [lines[0], *chance.sample(lines[1:], len(entries))]
    path.write_text("\n\n".join(shuffled))
    assert set(read_baseline(path).entries) == set(entries), "neither does the order in the file, nor an empty line"


@ONE_FOLDER
@given(st.data())
def test_a_damaged_line_is_an_error_that_names_it_or_reads_as_something_sensible(tmp_path: Path, data: st.DataObject):
    """Any one character replaced: never a traceback, and what is read is what would be written."""
    at = data.draw(st.integers(0, len(LINE) - 1))
    path = tmp_path / "baseline.jsonl"
    path.write_text(f"{HEADER}\n{LINE[:at]}{data.draw(st.characters(codec='utf-8'))}{LINE[at + 1 :]}\n", newline="")
    try:
        (entry,) = read_baseline(path).entries
    except UsageError as error:
        told = str(error)
    else:
        write_baseline(tmp_path / "again", [entry])
        assert read_baseline(tmp_path / "again").entries == (entry,)
        return
    assert told.startswith(f"{path}:2: ")
    assert "\n" not in told


def changed(**changes: object) -> str:
    data = {key: value for key, value in {**json.loads(LINE), **changes}.items() if value != "absent"}
    return json.dumps(data)


TIME = json.dumps(Entry(Key("m", "0", "1", "h", "torch", "ort", measured="p50"),
                        Time(TimeVerdict.EQUIVALENT, (1.01, 0.99, 1.03))).to_json())  # fmt: skip
CELL = json.dumps(Entry(Key("m", "0", "1", "h", "torch"), Failure(Status.FAILED)).to_json())


def ended(**sides: object) -> str:
    return json.dumps({**json.loads(TIME), "ended": sides})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("<<<<<<< HEAD", "a conflict of two versions"),
        ("=======", "a conflict of two versions"),
        (">>>>>>> theirs", "a conflict of two versions"),
        ("what is this", "not JSON"),
        ("[1, 2]", "not JSON that was written here (it is no object)"),
        ("[" * 100_000, "not JSON"),
        ("\xff", "not JSON"),
        (LINE[:-1] + ', "verdict": "DIFFER"}', "a key stands twice"),
        (changed(p50="NaN").replace('"NaN"', "NaN"), "NaN is no number"),
        (changed(verdict="FINE"), "'FINE' is not a valid Verdict"),
        (changed(verdict="NOT_COMPARED"), "not compared"),
        (changed(verdict="absent"), "'verdict' is missing"),
        (changed(model=5), "is no text"),
        (changed(reference=None), "'reference' is no text"),
        (changed(output=7), "'output' is no text"),
        (changed(disagreements=11), "11 of 10 samples cannot disagree"),
        (changed(disagreements=True), "unlike its kind"),
        (changed(outside=11), "11 of 10 samples cannot be outside"),
        (changed(outside=True), "unlike its kind"),
        (changed(outside="absent"), "'outside' is missing"),
        (changed(samples=0), "no count"),
        (changed(problems=-1), "no count"),
        (changed(problems=0), "unlike its kind"),
        (changed(p99=1e-9), "in their order"),
        (changed(p99=None), "in their order"),
        (changed(p50=-1), "in their order"),
        (changed(max="much"), "'much' is no number"),
        (changed(comment="fine by me"), "an unknown key"),
        (changed(output="absent"), "none of output, measured and status"),
        (TIME.replace("1.01", "1.5"), "outside its own interval"),
        (TIME.replace("0.99", "-1"), "no [ratio, low, high]"),
        (TIME.replace("[1.01, 0.99, 1.03]", "2"), "no [ratio, low, high]"),
        (TIME.replace("[1.01, 0.99, 1.03]", "[true, true, true]"), "True is no number"),
        (ended(candidate={"status": "FAILED", "stage": None}), "'symptom' is missing"),
        (ended(candidate={"status": "OK", "stage": None, "symptom": None}), "what is OK has no entry"),
        (ended(candidate={"status": "NOT_RUN", "stage": None, "symptom": None}), "what is NOT_RUN has no entry"),
        (ended(both={"status": "FAILED", "stage": None, "symptom": None}), "an unknown key"),
        (ended(), "an unknown key"),
        (ended(candidate="FAILED"), "'ended' does not say"),
        (CELL.replace("FAILED", "OK"), "has no entry"),
        (CELL.replace("FAILED", "OK").replace('"symptom": null', '"symptom": "MISMATCH"'), "has no entry"),
        (CELL.replace("FAILED", "TIRED"), "'TIRED' is not a valid Status"),
    ],
)
def test_nonsense_is_an_error_with_the_line(tmp_path: Path, line: str, why: str):
    path = tmp_path / "baseline.jsonl"
    path.write_text(f"{HEADER}\n{TIME}\n{line}\n", encoding="latin-1")
    with pytest.raises(UsageError) as caught:
        read_baseline(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_same_lines_unharmed_are_read(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    path.write_text("\r\n".join([HEADER, TIME, LINE]))
    assert {entry.key.title for entry in read_baseline(path).entries} == {"torch : ort, time", "torch : ort, y"}


def test_what_is_said_twice_names_both_lines(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    path.write_text("\n".join([HEADER, LINE, TIME, changed(verdict="DIFFER")]))
    with pytest.raises(UsageError, match=r"jsonl:4: says again what line 2 says of torch : ort, y; keep one"):
        read_baseline(path)


def test_two_models_of_one_name_are_refused(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    other = changed(sha256="f" * 16, candidate="tvm")
    path.write_text("\n".join([HEADER, LINE, other]))
    with pytest.raises(UsageError, match=r"jsonl:3: model.onnx is sha256 f{16} here, and 0{16} in line 2"):
        read_baseline(path)
    path.write_text("\n".join([HEADER, LINE, changed(sha256="f" * 16, model="other.onnx")]))
    assert len(read_baseline(path).entries) == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", ":1: not a baseline"),
        (LINE, ":1: not a baseline"),
        ('{"deltann-baseline": 2}', ":1: version 2 is newer"),
        ('{"deltann-baseline": "1"}', ":1: no version"),
        ('{"deltann-baseline": 0}', ":1: no version"),
        ('{"deltann-baseline": true}', ":1: no version"),
        ('{"deltann-baseline": true, "note": "x"}', ":1: no version"),
        ('{"deltann-baseline": 1, "note": "x"}', ":1: more than a version"),
        ('{"deltann-baseline": 2, "note": "x"}', ":1: version 2 is newer"),
        ("PK\x03\x04", ":1: not JSON"),
    ],
)
def test_a_file_of_another_kind_or_a_newer_one_is_refused(tmp_path: Path, text: str, why: str):
    path = tmp_path / "baseline.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_baseline(path)
    assert f"{path}{why}" in str(caught.value)


def test_a_file_that_is_not_there_or_is_a_folder_is_a_usage_error(tmp_path: Path):
    with pytest.raises(UsageError, match="--update-baseline makes it"):
        read_baseline(tmp_path / "none")
    with pytest.raises(UsageError, match="cannot read"):
        read_baseline(tmp_path)
    with pytest.raises(UsageError, match="cannot write"):
        write_baseline(tmp_path / "no" / "folder", [])


def test_a_link_stays_a_link_and_nothing_else_is_left(tmp_path: Path):
    real, link = tmp_path / "real.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(real)
    write_baseline(link, [Entry(KEY, Agreement(Verdict.AGREE, 3, max=math.inf, p50=0.0, p99=1.0))])
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.jsonl", "real.jsonl"]
    assert read_baseline(real).entries[0].value.max == math.inf
