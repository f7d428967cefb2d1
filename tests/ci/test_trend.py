"""A step in a nightly series is seen, noise and one bad night are none, and no trend ever fails anything."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("ruptures", reason="the trend needs ruptures")

sys.path.insert(0, str(Path(__file__).parent))
from matrix_scripts import publish, records, trend

Record = records.Record

NOISE = 0.03
SERIES = 60


def drawn(rng: np.random.Generator, kind: str, nights: int) -> np.ndarray:
    return NOISE * (rng.standard_normal(nights) if kind == "normal" else rng.standard_t(3, nights))


@pytest.mark.parametrize("kind", ["normal", "heavy tails"])
def test_noise_is_no_step(kind: str) -> None:
    rng = np.random.default_rng(7)
    alarms = sum(bool(trend.steps(drawn(rng, kind, 30), 0.01)) for _ in range(SERIES))
    assert alarms <= 0.05 * SERIES


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_step_is_seen_within_a_week(sign: int) -> None:
    rng = np.random.default_rng(8)
    seen = 0
    for _ in range(SERIES):
        series = drawn(rng, "normal", 30)
        series[23:] += sign * 3 * NOISE
        found = [step for step in trend.steps(series, 0.01) if abs(step.at - 23) <= 1]
        seen += bool(found)
        assert all((step.after - step.before) * sign > 0 for step in found)
    assert seen >= 0.85 * SERIES


def test_two_bad_nights_are_no_step() -> None:
    rng = np.random.default_rng(9)
    alarms = 0
    for _ in range(SERIES):
        series = drawn(rng, "normal", 30)
        series[12:14] += 20 * NOISE
        alarms += bool(trend.steps(series, 0.01))
    assert alarms <= 0.05 * SERIES


def test_what_never_moved_and_then_does_is_a_step_from_the_resolution_on() -> None:
    assert trend.steps([0.0] * 20, 0.005) == []
    (step,) = trend.steps([0.0] * 12 + [0.02] * 8, 0.005)
    assert (step.at, step.before, step.after) == (12, 0.0, 0.02)
    assert trend.steps([0.0] * 12 + [0.004] * 8, 0.005) == []


def test_few_nights_say_nothing() -> None:
    series = [0.0] * 5 + [1.0] * 5
    assert trend.steps(series[:9], 0.01) == []
    assert trend.steps(series, 0.01)


def test_a_gap_is_left_out_beforehand() -> None:
    with pytest.raises(ValueError, match="leave that night out"):
        trend.steps([1.0, float("nan")] * 5, 0.01)


@given(st.lists(st.floats(-1e6, 1e6), max_size=25), st.floats(1e-3, 1.0))
def test_steps_are_ordered_and_apart(series: list[float], resolution: float) -> None:
    found = trend.steps(series, resolution)
    places = [0, *(step.at for step in found), len(series)]
    assert not found or all(after - before >= trend.SHORTEST for before, after in pairwise(places))
    assert all(abs(step.after - step.before) >= resolution for step in found)


def history(values: list[float | None], host: str = "host") -> list[Any]:
    """A night each with that slowdown; a failed cell where it is None."""
    return [
        Record(
            f"2026-01-{night:02}",
            "row",
            False,
            "net",
            "torch:cuda",
            "cuda",
            "FAILED" if value is None else "OK",
            slowdown=value,
            host=host,
        )
        for night, value in enumerate(values, 1)
    ]


def published(folder: Path, found: list[Any]) -> int:
    (folder / "row").mkdir()
    records.write(folder / "row" / "records.jsonl", found)
    matrix = folder / "matrix.toml"
    matrix.write_text('reference = "ort"\nmodels = []\nrows = []\n')
    given = {"results": folder, "history": folder / "h", "site": folder / "site", "matrix": matrix}
    (folder / "h").touch()  # of no night before
    return int(publish.main([word for name, path in given.items() for word in (f"--{name}", str(path))]))


def test_a_step_is_a_warning_and_never_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert published(tmp_path, history([0.0] * 10 + [0.5] * 5)) == 0
    told = capsys.readouterr()
    sentence = "torch:cuda on net: time / reference's went from 1.00× to 1.50× on 2026-01-11 (host)"
    assert f"::warning title=A step in a nightly trend::{sentence}\n" in told.err
    assert sentence in told.out
    assert sentence.replace("'", "&#39;") in (tmp_path / "site" / "index.html").read_text()


def test_without_a_step_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert published(tmp_path, history([0.1, 0.11, 0.1, 0.09, 0.1, 0.11, 0.1, 0.1, 0.09, 0.1])) == 0
    assert "warning" not in capsys.readouterr().err


def test_hosts_are_never_one_series() -> None:
    """Half of the nights on a machine that is twice as fast: each by itself is steady."""
    slow, fast = history([0.0] * 10, "a host"), history([-0.5] * 10, "another")
    assert [series.news for series in publish.series_of([*slow, *fast])] == [[], []]


def test_failed_nights_are_gaps_and_old_steps_no_news() -> None:
    (series,) = publish.series_of(history([0.0] * 5 + [None] * 3 + [0.0] * 5))
    assert len(series.values) == 10
    (old,) = publish.series_of(history([0.0] * 8 + [0.5] * 20))
    assert [step.at for step in old.steps] == [8]
    assert old.news == []
