from __future__ import annotations

import re
from typing import Any

import pytest

from deltann.backend import Backend, Option, Variant, enter, listen, settings
from deltann.environment import Environment
from deltann.errors import UsageError
from deltann.outcome import Stage
from deltann.testing.faulty import FaultyBackend


class _Demo(FaultyBackend):
    name = "demo"
    variants = {  # noqa: RUF012
        "O1": Variant({"level": "1"}, "less"),
        "O2": Variant({"level": "2"}, "more"),
        "fast": Variant({"math": "fast", "threads": "2"}, "quick"),
    }
    options = {  # noqa: RUF012
        "level": Option("how much", "2", choices=("1", "2")),
        "threads": Option("how many", kind="count"),
        "passes": Option("which", kind="list", choices=("a", "b", "c")),
        "math": Option("text"),
    }

    def devices(self) -> list[str]:
        return ["cpu", "cuda"]


DEMO: Backend = _Demo()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("demo", {"level": "2", "threads": None, "passes": None, "math": None}),
        ("demo-O1:cuda", {"level": "1", "threads": None, "passes": None, "math": None}),
        ("demo-O1-fast[threads=8]", {"level": "1", "threads": 8, "passes": None, "math": "fast"}),
        ("demo-O1[level=2,passes=c+a]", {"level": "2", "threads": None, "passes": ("c", "a"), "math": None}),
    ],
)
def test_defaults_then_variants_then_options(spec: str, expected: dict[str, Any]) -> None:
    assert settings(DEMO, Environment.parse(spec)) == expected


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("demo-O3", "no variant 'O3'; its variants: demo-O1, demo-O2, demo-fast"),
        ("demo-O1-O2", "O1 and O2 exclude each other"),
        ("demo[speed=1]", "no option 'speed'; its options: level, threads, passes, math"),
        ("demo[level=9]", "level=9 is unknown; level takes 1, 2"),
        ("demo[passes=a+x]", "passes=x is unknown; passes takes a, b, c"),
        ("demo[threads=0]", "threads=0 is not a whole number of at least 1"),
        ("demo[threads=-1]", "not a whole number"),
        ("demo[threads=1.5]", "not a whole number"),
        ("demo[threads=²]", "not a whole number"),
        ("demo:tpu", "no device 'tpu'; its devices: cpu, cuda"),
    ],
)
def test_what_does_not_exist_is_refused_and_what_exists_is_listed(spec: str, told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)) as caught:
        settings(DEMO, Environment.parse(spec))
    assert spec in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_whoever_listens_hears_the_stages() -> None:
    heard: list[Stage] = []
    listen(heard.append)
    try:
        enter(Stage.COMPILE)
    finally:
        listen(lambda _: None)
    enter(Stage.RUN)
    assert heard == [Stage.COMPILE]
