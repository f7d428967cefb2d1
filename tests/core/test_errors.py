from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deltann.errors import one_line


@given(st.text(), st.integers(1, 50))
def test_one_line_is_one_short_line(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    assert bool(line) == bool(text.strip())


def test_one_line_keeps_the_first_that_says_something() -> None:
    assert one_line("\n  \n  first \t one\nsecond") == "first one"
    assert one_line("x" * 10, limit=10) == "x" * 10
    assert one_line("x" * 11, limit=10) == "x" * 9 + "…"
