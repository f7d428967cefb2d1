from __future__ import annotations

import re

import pytest

from deltann.errors import UsageError
from deltann.outcome import Stage
from deltann.runner.deadlines import DEFAULT_S, parse_deadlines


@pytest.mark.parametrize(
    ("texts", "compile_s", "run_s"),
    [
        ([], DEFAULT_S, DEFAULT_S),
        (["90"], 90, 90),
        (["COMPILE=1200"], 1200, DEFAULT_S),
        (["compile=0.5", "90"], 0.5, 90),
    ],
)
def test_one_for_all_stages_and_one_for_one(texts: list[str], compile_s: float, run_s: float) -> None:
    timeouts = parse_deadlines(texts)
    assert set(timeouts) == set(Stage)
    assert (timeouts[Stage.COMPILE], timeouts[Stage.RUN]) == (compile_s, run_s)


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "soon", "nan", "inf", "LINK=5", "COMPARE=5", "COMPILE=", "COMPILE=0", "=5"]
)
def test_what_is_no_deadline_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"--timeout {text}: write SECONDS, or STAGE=SECONDS")):
        parse_deadlines([text])
