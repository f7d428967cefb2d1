"""What is asked of a bench, read from texts."""

from __future__ import annotations

import os

import pytest

from deltann.environment import parse_all
from deltann.errors import UsageError
from deltann.timing.neighbours import parse_cpus, pinned
from deltann.timing.options import Options, parse_margin, with_threads

HERE = sorted(os.sched_getaffinity(0))


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0.05", 0.05), (0.1, 0.1), ("100%", 1.0), (" 2 %", 0.02)])
def test_a_margin_is_a_share(text, share):
    assert parse_margin(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["0", "-5%", "5 percent", "nan", "5", "inf", ""])
def test_other_margins_are_refused(text):
    with pytest.raises(UsageError, match="--margin"):
        parse_margin(text)


@pytest.mark.parametrize("budget", [0, -1, float("nan"), float("inf")])
def test_a_budget_is_seconds(budget):
    with pytest.raises(UsageError, match="--budget"):
        Options.of(budget=budget)


@pytest.mark.parametrize("percentile", [0, 100, 101, -1])
def test_a_percentile_lies_inside(percentile):
    with pytest.raises(UsageError, match="percentile"):
        Options.of(percentile=percentile)


def test_options_come_back_from_json():
    options = Options(0.02, 10.0, 90.0, "ort", (0, 1), 3)
    assert Options.from_json(options.to_json()) == options


def test_judging_anew_keeps_how_it_was_measured():
    options = Options(0.02, 10.0, 90.0, "ort", (0, 1), 3)
    assert options.judged_by() == options
    again = options.judged_by("10%", 50.0, "torch")
    assert again == Options(0.1, 10.0, 50.0, "torch", (0, 1), 3)


def test_processors_are_read():
    first, last = HERE[0], HERE[-1]
    assert parse_cpus(f"{first}") == (first,)
    assert parse_cpus(f"{last},{first}") == tuple(sorted({first, last}))
    if list(range(first, last + 1)) == HERE:
        assert parse_cpus(f"{first}-{last}") == tuple(HERE)


@pytest.mark.parametrize("text", ["", "a", "0-", "-1", "1.5", "100000", "5-3"])
def test_other_processors_are_refused(text):
    with pytest.raises(UsageError, match="--pin"):
        parse_cpus(text)


def test_pinning_ends():
    with pinned(HERE[:1]):
        assert os.sched_getaffinity(0) == {HERE[0]}
    assert sorted(os.sched_getaffinity(0)) == HERE


def test_threads_are_set_where_they_can_be(faulty):
    found = with_threads(parse_all(f"{faulty}[at=2],{faulty}"), 3)
    assert [str(environment) for environment in found] == [f"{faulty}[at=2,threads=3]", f"{faulty}[threads=3]"]


def test_threads_are_refused_by_name_where_there_is_no_such_option(faulty):
    with pytest.raises(UsageError, match="reference has no option 'threads'"):
        with_threads(parse_all(f"{faulty},reference"), 1)


def test_threads_set_twice_are_refused(faulty):
    with pytest.raises(UsageError, match="sets it too"):
        with_threads(parse_all(f"{faulty}[threads=2]"), 1)


def test_no_threads_are_refused(faulty):
    with pytest.raises(UsageError, match="at least 1"):
        with_threads(parse_all(faulty), 0)
