"""Annotations: a line each, ten of a level, and nothing in a name that ends one or starts another."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltann.criteria import Criteria
from deltann.findings import findings
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.report.contents import load_contents
from deltann.report.github import LONGEST_TEXT, MOST, annotations
from deltann.report.text import printable
from deltann.testing.stored import write_run

RNG = np.random.default_rng(7)
SCORES = RNG.standard_normal((20, 6)).astype(np.float32)
COMMAND = re.compile(r"::(error|warning|notice) title=([^:,\r\n]*)::([^\r\n]*)")


def decoded(line):
    """The level, title and text that GitHub's runner reads."""
    match = COMMAND.fullmatch(line)
    assert match, line
    level, title, text = match.groups()
    for name, char in (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
        title, text = title.replace(name, char), text if name in ("%2C", "%3A") else text.replace(name, char)
    return level, title, text


@pytest.fixture
def lines(tmp_path):
    """The annotations of a run made of `cells`."""

    def make(cells, **settings):
        return annotations(load_contents(write_run(tmp_path / "run", cells, **settings).folder))

    return make


def test_a_run_that_is_fine_has_none(lines):
    assert lines({"ort": {"y": SCORES}, "torch": {"y": SCORES}}) == []


def test_a_difference_is_an_error_with_the_command(lines):
    (line,) = lines({"ort": {"y": SCORES}, "torch": {"y": -SCORES}})
    level, title, text = decoded(line)
    assert (level, title) == ("error", "torch differs from ort")
    assert "20 of 20 labels differ beyond rounding" in text
    assert text.splitlines()[-1].startswith("More: deltann report ")


def test_each_level_has_its_command(lines):
    cells = {
        "ort": {"y": SCORES},
        "torch": {"y": SCORES},
        "tvm": Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, "SIGSEGV"),
        "tract": Outcome(Status.UNSUPPORTED, Stage.CONVERT, None, "no Foo"),
    }
    facts = {"torch": {"actual": {"ignored": "threads"}}}
    assert [decoded(line)[:2] for line in lines(cells, facts=facts)] == [
        ("error", "tvm: FAILED CRASH while RUN"),
        ("warning", "tract: UNSUPPORTED"),
        ("notice", "torch: ignored threads"),
    ]


@pytest.mark.parametrize(("wrong", "shown"), [(MOST, MOST), (MOST + 1, MOST), (MOST + 20, MOST)])
def test_of_a_level_there_are_ten_at_most_and_the_rest_are_counted(lines, wrong, shown):
    cells = {f"ort[threads={number + 1}]": {"y": SCORES * (number - 1)} for number in range(1, wrong + 1)}
    cells = {"torch": {"y": -SCORES}, **cells}
    found = [decoded(line) for line in lines(cells, criteria=Criteria(reference="torch"))]
    assert len(found) == shown
    rest = wrong - (MOST - 1)
    assert (found[-1][1] == f"deltann: {rest} more of this kind") is (wrong > MOST)


NASTY = "50% of a, b: c\n::error title=x::y\r\n##[error]z\x1b[2J ::stop-commands::t"


def test_nasty_names_are_inside_one_command(lines):
    cells = {
        "ort": {NASTY: SCORES},
        "torch": {NASTY: -SCORES},
        "tvm": Outcome(Status.FAILED, Stage.LOAD, Symptom.EXCEPTION, NASTY),
    }
    found = lines(cells, model=NASTY)
    assert not any("\n" in line or "\r" in line or "\x1b" in line for line in found)
    assert [line[:8] for line in found] == ["::error "] * 2
    texts = [decoded(line)[2] for line in found]
    assert printable(f"output '{NASTY}': ") in texts[0]
    assert texts[1].startswith(printable(NASTY))


def test_a_reason_without_end_is_cut(lines):
    long = Outcome(Status.FAILED, Stage.LOAD, Symptom.EXCEPTION, "x" * 100_000)
    (line,) = [one for one in lines({"ort": {"y": SCORES}, "torch": {"y": SCORES}, "tvm": long}) if "tvm" in one]
    assert LONGEST_TEXT < len(line) < LONGEST_TEXT + 1000


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_every_finding_is_told_or_counted(any_contents, data):
    contents = any_contents(data)
    told = [decoded(line) for line in annotations(contents)]
    found = findings(contents)
    assert [(level, title) for level, title, _ in told] == [(str(f.level), f.title) for f in found][: len(told)]
    assert len(told) == len(found), "of so few environments there are no more than ten"
