"""Times and hosts of a run beside what was accepted."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deltann.baseline.drift import Standing, drift, update
from deltann.baseline.entries import Agreement, entries
from deltann.baseline.file import read_baseline
from deltann.outcome import Outcome, Status
from deltann.report.contents import Contents
from deltann.testing.times import HOST
from deltann.timing.rounds import Checks

sys.path.insert(0, str(Path(__file__).parent))
from baseline_runs import CRASHED, HERE, SOUND, THERE, TIMES, judged, made, row_of, standings


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


def test_a_run_that_was_not_timed_keeps_the_times_of_its_pairs(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "a", slowdowns=TIMES), path)
    untimed = made(tmp_path / "b", {"ort": 0.0, "torch": 1e-6})
    update(untimed, path)
    assert {entry.key.title for entry in read_baseline(path).entries} == {"torch : ort, y", "torch : ort, time"}


def test_a_ratio_that_grew_fails_and_one_that_did_not_passes(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "a", slowdowns=TIMES), path)
    slower = made(tmp_path / "b", slowdowns={**TIMES, "torch": 0.4})
    found, code = judged(slower, path)
    assert code == 1
    row = row_of(found, "torch : ort, time")
    assert row.standing is Standing.WORSE
    assert row.changes[0][0] == "time ratio"
    # The whole machine half as fast: the ratio is what it was.
    everything = made(tmp_path / "c", slowdowns={"ort": 1.0, "torch": 1.2, "tvm": 1.0})
    assert judged(everything, path)[1] == 0


def test_a_time_too_noisy_to_tell_passes_and_says_so(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "a", slowdowns=TIMES, spread=0.15), path)
    found = drift(made(tmp_path / "b", slowdowns=TIMES, spread=0.15), path)
    row = row_of(found, "torch : ort, time")
    assert row.standing is Standing.SAME
    assert "could not have been told" in row.reasons[0]


@pytest.mark.parametrize("host", [None, [], {"class": 7, "accelerators": 5}, {"class": None, "accelerators": [5]}])
def test_a_host_described_by_a_stranger_is_of_unknown_kind(tmp_path: Path, host: Any):
    contents = made(tmp_path / "a", {"ort": 0.0, "torch": 0.0, "ort:cuda": 0.0})
    run = replace(contents.result.run, document={**contents.result.run.document, "host": host})
    found = entries(Contents(replace(contents.result, run=run)))
    assert {entry.key.host for entry in found} == {"unknown", "unknown + cuda"}


def test_times_of_another_host_than_the_run_are_that_hosts(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "a", slowdowns=TIMES), path)
    contents = made(tmp_path / "b", slowdowns=TIMES)
    assert contents.timing is not None
    elsewhere = replace(contents, timing=replace(contents.timing, host={**HOST, **THERE}))
    found = drift(elsewhere, path)
    assert row_of(found, "torch : ort, time").standing is Standing.NEW
    assert found.obsolete == (), "it does not say that the times of this one are gone"


def test_a_cell_without_outputs_has_one_entry_and_no_time(tmp_path: Path):
    contents = made(tmp_path / "a", {**SOUND, "tvm": CRASHED}, slowdowns=TIMES)
    titles = {entry.key.title for entry in entries(contents)}
    assert titles == {"torch : ort, y", "torch : ort, time", "tvm"}


def test_times_taken_otherwise_are_not_compared(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "a", slowdowns=TIMES), path)
    contents = made(tmp_path / "b", slowdowns=TIMES)
    assert contents.timing is not None
    pinned = replace(contents.timing, options=replace(contents.timing.options, pin=(0,)))
    row = row_of(drift(replace(contents, timing=pinned), path), "torch : ort, time")
    assert row.standing is Standing.NEW
    assert row.reasons[0] == "its time was accepted as p50, batch 1, and is p50, batch 1, pinned to 1 here"


def test_an_environment_that_fails_while_timed_is_worse(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "a", slowdowns=TIMES), path)
    found, code = judged(made(tmp_path / "b", slowdowns=TIMES, failed={"torch": CRASHED}), path)
    assert code == 1
    row = row_of(found, "torch : ort, time")
    assert row.standing is Standing.WORSE
    assert row.changes[0] == ("candidate while timed", "came through", "FAILED CRASH while COMPILE")
    assert row.changes[1][2] == "not known"
    assert "torch is FAILED" in row.reasons


WRONG_ANSWERS = {"torch": Checks(runs=60, wrong=9, problem="9 elements are outside the tolerance")}


@pytest.mark.parametrize("how", [{"failed": {"torch": CRASHED}}, {"checks": WRONG_ANSWERS}])
def test_no_time_for_want_of_rounds_is_not_no_time_for_a_failure(tmp_path: Path, how: dict[str, Any]):
    """Both are INCONCLUSIVE, with no ratio: what was accepted of the first accepts nothing of the second."""
    path = tmp_path / "baseline.jsonl"
    few: dict[str, Any] = {"slowdowns": TIMES, "rounds": {"measure": 1}}
    update(made(tmp_path / "a", **few), path)
    assert judged(made(tmp_path / "b", **few), path)[1] == 0
    failing = made(tmp_path / "c", **few, **how)
    found, code = judged(failing, path)
    assert code == 1
    assert row_of(found, "torch : ort, time").standing is Standing.WORSE
    assert row_of(found, "tvm : ort, time").standing is Standing.SAME
    update(failing, path)
    assert judged(failing, path)[1] == 0, "it was accepted"
    found, code = judged(made(tmp_path / "d", **few), path)
    assert (row_of(found, "torch : ort, time").standing, code) == (Standing.BETTER, 0)


def test_a_failure_while_timed_that_is_new_counts_as_without_a_baseline(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    update(made(tmp_path / "a"), path)
    crashing = made(tmp_path / "b", slowdowns=TIMES, failed={"torch": CRASHED})
    found, code = judged(crashing, path)
    assert row_of(found, "torch : ort, time").standing is Standing.NEW
    assert code == crashing.exit_code == 3
    assert judged(made(tmp_path / "c", slowdowns=TIMES | {"torch": 0.0}), path)[1] == 0


@pytest.mark.parametrize(
    ("times", "code"),
    [
        ({"failed": {"torch": CRASHED}}, 3),
        ({"rounds": {"measure": 1}}, 4),
        ({"slowdowns": {"ort": 0.0, "torch": 0.5, "tvm": 0.0}}, 1),
        ({"slowdowns": {"ort": 0.0, "torch": 0.0, "tvm": 0.0}}, 0),
    ],
)
def test_times_of_a_host_of_unknown_kind_are_not_kept_and_count_as_without_a_baseline(
    tmp_path: Path, times: dict[str, Any], code: int
):
    path = tmp_path / "baseline.jsonl"
    contents = made(tmp_path / "a", **{"slowdowns": TIMES, **times}, host={"node": "old"})
    update(contents, path)
    assert {type(entry.value) for entry in read_baseline(path).entries} == {Agreement}
    found, own = judged(contents, path)
    assert set(standings(found).values()) == {Standing.SAME}
    assert own == contents.exit_code == code


def test_an_accelerator_is_part_of_the_host_of_what_ran_on_it(tmp_path: Path):
    path = tmp_path / "baseline.jsonl"
    with_gpu = {**HERE, "accelerators": ["NVIDIA H100"]}
    cells = {"ort": 0.0, "torch": 1e-6, "torch:cuda": 1e-5, "ort:qemu-aarch64": 1e-6}
    update(made(tmp_path / "a", cells, host=with_gpu), path)
    hosts = {entry.key.title: entry.key.host for entry in read_baseline(path).entries}
    assert hosts["torch : ort, y"] == hosts["ort:qemu-aarch64 : ort, y"] == HERE["class"]
    assert hosts["torch:cuda : ort, y"] == f"{HERE['class']} + NVIDIA H100"
    other = {**HERE, "accelerators": ["NVIDIA L4"]}
    found = drift(made(tmp_path / "b", cells, host=other), path)
    assert row_of(found, "torch:cuda : ort, y").standing is Standing.NEW
    assert row_of(found, "torch : ort, y").standing is Standing.SAME
    # A machine of the same kind without a GPU has nothing to say of the GPU's entries.
    assert drift(made(tmp_path / "c", {"ort": 0.0, "torch": 1e-6}), path).obsolete == tuple(
        entry for entry in read_baseline(path).entries if "qemu" in entry.key.title and "cuda" not in entry.key.title
    )
    gone = {**cells, "torch:cuda": Outcome(Status.UNAVAILABLE, reason="no device")}
    assert row_of(drift(made(tmp_path / "d", gone), path), "torch:cuda").standing is Standing.WORSE
