"""What the page about baselines shows is what the code reads and says."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from deltann.baseline.change import FACTOR, PEAK_FACTOR, Direction, agreement_changes, time_changes
from deltann.baseline.drift import Drift, Row, Standing
from deltann.baseline.entries import Agreement, Time
from deltann.baseline.file import read_baseline, write_baseline
from deltann.comparison.verdict import Verdict
from deltann.report.baseline import drift_parts
from deltann.timing.verdict import MARGIN, TimeVerdict

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "baselines.md").read_text()


def side(tmp_path: Path, left_out: str) -> Path:
    """The file before or after the diff."""
    lines = PAGE.partition("```diff\n")[2].partition("```")[0].splitlines()
    path = tmp_path / ("old" if left_out == "+" else "new")
    path.write_text("".join(f"{line[1:]}\n" for line in lines if not line.startswith(left_out)))
    return path


def test_the_diff_is_of_two_files_as_they_are_written_and_the_table_is_of_it(tmp_path: Path):
    before, after = side(tmp_path, "+"), side(tmp_path, "-")
    old, new = (read_baseline(path).entries for path in (before, after))
    for path, entries in ((before, old), (after, new)):
        text = path.read_text()
        write_baseline(path, entries)
        assert path.read_text() == text
    assert old[1] == new[1]
    assert isinstance(old[0].value, Agreement)
    assert isinstance(new[0].value, Agreement)
    found = list(agreement_changes(old[0].value, new[0].value, atol=1e-3))
    assert {change.direction for change in found} == {Direction.WORSE}
    changes = tuple((change.what, change.old, change.new) for change in found)
    reasons = tuple(change.reason for change in found)
    rows = (Row(new[0], old[0], Standing.WORSE, changes, reasons), Row(new[1], old[1], Standing.SAME))
    console = Console(width=100, highlight=False, markup=False, emoji=False, color_system=None)
    with console.capture() as captured:
        for part in drift_parts(Drift(Path("deltann.baseline.jsonl"), rows, (), ci=False)):
            console.print(part)
    shown = PAGE.partition("```\nbaseline of")[2].partition("```")[0]
    assert [line.split() for line in f"baseline of{shown}".splitlines()] == [
        line.split() for line in captured.get().splitlines()
    ]


def test_the_numbers_of_the_rules_are_those_of_the_code():
    def labels(old: int, new: int) -> set[Direction]:
        sides = (Agreement(Verdict.AGREE, 1000, count) for count in (old, new))
        return {change.direction for change in agreement_changes(*sides, atol=0)}

    assert "Of 1,000 samples 5 → 8 is SAME, and 5 → 25 is WORSE" in PAGE
    assert labels(5, 8) == set()
    assert labels(5, 25) == {Direction.WORSE}
    assert f"more than {FACTOR:g} times at the median" in PAGE
    assert f"more than {PEAK_FACTOR:g}\n  times at the largest" in PAGE
    assert "1,000 samples\n  1 → 5 is SAME, and 1 → 9 is WORSE" in PAGE
    for count, expected in ((5, set()), (9, {Direction.WORSE})):
        sides = (Agreement(Verdict.DIFFER, 1000, outside=number) for number in (1, count))
        assert {change.direction for change in agreement_changes(*sides, atol=0)} == expected


def test_the_change_of_a_time_that_is_found_is_the_one_that_the_page_names():
    assert MARGIN == 0.05
    assert "(`--margin`, 5 % unless told)" in PAGE
    assert "intervals of ±2 % in both runs a change that measures 9 % is found, and one of 7 % is not" in PAGE
    for ratio, expected in ((1.09, [Direction.WORSE]), (1.07, [])):
        sides = (Time(TimeVerdict.EQUIVALENT, (at, at * 0.98, at * 1.02)) for at in (1.0, ratio))
        assert [change.direction for change in time_changes(*sides, MARGIN)] == expected
