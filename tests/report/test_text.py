"""Making a stranger's text safe to show."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deltann.report.text import printable


@given(st.text(st.characters()))
def test_whatever_comes_is_printable_and_one_line(text):
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode("utf-8").decode() == shown


@given(st.text(st.characters(exclude_categories=["C", "Z"])))
def test_what_is_printable_stays_as_it_is(text):
    assert printable(text) == text


def test_what_is_not_is_shown_as_its_escape():
    assert printable("a\x1b[31m\n‮\udcffé日本") == r"a\x1b[31m\n\u202e\udcffé日本"
