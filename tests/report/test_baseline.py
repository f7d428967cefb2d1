"""The table of a drift: old beside new, nothing of it for a terminal to obey, 80 columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from deltann.baseline.drift import Drift, Row, Standing
from deltann.baseline.entries import Agreement, Entry, Failure, Key, Time
from deltann.comparison.verdict import Verdict
from deltann.outcome import Stage, Status, Symptom
from deltann.report.baseline import MOST_OBSOLETE, MOST_ROWS, drift_parts
from deltann.timing.verdict import TimeVerdict

KEY = Key("model.onnx", "0" * 16, "1" * 16, "linux x86_64 avx2, 4 cores", "tvm-O3", "ort", "logits")
OLD = Entry(KEY, Agreement(Verdict.AGREE, 1000, 2, 1e-7, 1e-6, 1e-5))
NOW = Entry(KEY, Agreement(Verdict.DIFFER, 1000, 60, 1e-3, 1e-2, 0.5))
CELL = Entry(replace(KEY, candidate="tract", reference=None, output=None),
             Failure(Status.FAILED, Stage.LOAD, Symptom.CRASH))  # fmt: skip
TIME = Entry(replace(KEY, output=None, measured="p50, batch 1"), Time(TimeVerdict.EQUIVALENT, (1.02, 1.01, 1.03)))
CHANGES = (("verdict", "AGREE", "DIFFER"), ("labels that differ", "2 of 1000", "60 of 1000"))
WORSE = Row(NOW, OLD, Standing.WORSE, CHANGES, ("the rate changed by +5.80%",))


def shown(*rows: Row, obsolete: tuple[Entry, ...] = (), ci: bool = False, updated: bool = False) -> str:
    console = Console(width=80, highlight=False, markup=False, emoji=False, color_system=None)
    with console.capture() as captured:
        for part in drift_parts(Drift(Path("baseline.jsonl"), rows, obsolete, ci, updated)):
            console.print(part)
    return captured.get()


def test_old_stands_beside_new_with_the_reason():
    text = shown(WORSE, Row(OLD, OLD, Standing.SAME))
    (first, second) = [line for line in text.splitlines() if "AGREE" in line or "60 of 1000" in line]
    assert first.split() == ["WORSE", "tvm-O3", ":", "ort,", "logits", "verdict", "AGREE", "DIFFER"]
    assert "labels that differ" in second
    assert second.index("2 of 1000") < second.index("60 of 1000")
    assert "the rate changed by +5.80%" in text
    assert "1 WORSE, 1 SAME" in text
    assert max(map(len, text.splitlines())) <= 80


def test_where_all_is_the_same_there_is_one_line():
    text = shown(Row(OLD, OLD, Standing.SAME), Row(TIME, TIME, Standing.SAME))
    assert text == "Baseline baseline.jsonl: 2 SAME.\n"


def test_times_that_could_not_tell_are_counted():
    text = shown(Row(TIME, TIME, Standing.SAME, reasons=("a change of 45% could not have been told",)))
    assert "1 of the times could not have told a change as large as the margin" in " ".join(text.split())


def test_a_new_entry_is_told_in_words_and_so_is_what_it_does():
    row = Row(TIME, None, Standing.NEW, reasons=("accepted on linux",))
    text = shown(row)
    assert "1.02 [1.01, 1.03]" in " ".join(text.split())
    assert "count as without a baseline" in text
    assert "fail in CI" in shown(row, ci=True)
    assert "fail in CI" not in shown(WORSE, ci=True)


def test_a_cell_that_has_come_to_fail_shows_what_it_was():
    row = Row(CELL, None, Standing.WORSE, (("status", "gave outputs", str(CELL.value)),), ("died of SIGSEGV",))
    text = " ".join(shown(row).split())
    assert "WORSE tract status gave outputs FAILED CRASH while LOAD" in text
    assert "died of SIGSEGV" in text


def test_the_obsolete_are_listed_and_an_update_says_that_they_are_gone():
    text = shown(obsolete=(OLD, CELL))
    assert "· tvm-O3 : ort, logits: AGREE, 2 of 1000 labels differ" in text
    assert "· tract: FAILED CRASH while LOAD" in text
    assert "--update-baseline removes them" in text
    gone = shown(obsolete=(OLD,), updated=True)
    assert "removed from it" in gone
    assert "written" in gone


@pytest.mark.parametrize(("count", "cut"), [(MOST_ROWS, False), (MOST_ROWS + 3, True)])
def test_many_entries_are_cut_and_counted(count: int, cut: bool):
    text = shown(*[replace(WORSE, reasons=(f"reason {n}.",)) for n in range(count)])
    assert ("… and 3 more entries; --json has all" in text) is cut
    assert ("… and 3 more reasons; --json has all" in text) is cut
    assert f"{count} WORSE" in text
    many = shown(obsolete=(OLD,) * (MOST_OBSOLETE + 1))
    assert "… and 1 more entry; --json has all" in many


def test_names_of_strangers_reach_no_terminal():
    key = replace(KEY, output="[red]\x1b[2J\n\u202elogits")
    row = Row(Entry(key, OLD.value), None, Standing.NEW, reasons=("\x1b]0;title\x07",))
    text = shown(row, obsolete=(Entry(key, OLD.value),))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\x07" not in text
    assert "[red]" in text.replace("\n", "")
