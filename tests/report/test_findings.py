"""What is said of a run: the most serious first, whoever is at fault first, and nothing of a run that is fine."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltann.acceptance import accepted
from deltann.baseline.drift import Drift, Row, Standing, update
from deltann.baseline.drift import drift as beside
from deltann.baseline.entries import Agreement, Entry, Failure, Key, Time
from deltann.comparison.verdict import Verdict
from deltann.criteria import Criteria
from deltann.findings import Level, command, findings
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.report.contents import load_contents
from deltann.testing.stored import write_against, write_repeats, write_run
from deltann.testing.times import write_times
from deltann.timing.verdict import TimeVerdict

RNG = np.random.default_rng(5)
SCORES = RNG.standard_normal((40, 10)).astype(np.float32)
WRONG = np.roll(SCORES, 1, axis=1)
CRASH = Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, "SIGSEGV")


@pytest.fixture
def found(tmp_path):
    """The findings of a run made of `cells`; `times` are slowdowns, `drift` makes a drift of its contents."""

    def make(cells, times=None, drift=None, folder="run", **settings):
        run = write_run(tmp_path / folder, cells, **settings)
        if times:
            write_times(run, times)
        contents = load_contents(run.folder)
        return findings(replace(contents, drift=drift) if drift else contents)

    return make


def entry(candidate, reference=None, output=None, value=None):
    """An entry of a baseline."""
    measured = "p50, batch 1" if isinstance(value, Time) else None
    key = Key("model.onnx", "0", "0", "a host", candidate, reference, output, measured)
    return Entry(key, value or Agreement(Verdict.DIFFER, 40))


def drift(*rows, ci=False, obsolete=()):
    """A drift of rows (entry, standing)."""
    return Drift(Path("baseline.jsonl"), tuple(Row(e, None, standing) for e, standing in rows), obsolete, ci)


def test_nothing_is_said_of_a_run_that_is_fine(found):
    assert found({"ort": {"y": SCORES}, "torch": {"y": SCORES * (1 + 1e-6)}, "tvm": {"y": SCORES}}) == ()


def test_the_odd_one_out_comes_with_all_that_it_differs_from(found):
    (one,) = found({"ort": {"y": SCORES}, "tvm": {"y": WRONG}, "torch": {"y": SCORES}})
    assert one.level is Level.ERROR
    assert one.title == "tvm differs from ort, torch"
    assert one.cells == ("tvm", "ort", "torch")
    assert one.output == "y"
    assert "tvm: wrong, by majority alone: " in one.text
    assert "40 of 40 labels differ beyond rounding (1 more pair alike)" in one.text


def test_whom_the_blame_is_sure_of_comes_before_others(found):
    # Of four that agree and two that differ from all, each of the two is blamed; their own pair belongs to the first.
    cells = {"ort": SCORES, "tvm": WRONG, "torch": SCORES, "tf": SCORES, "iree": -SCORES, "tract": SCORES}
    first, second = found({name: {"y": array} for name, array in cells.items()})
    assert first.title == "tvm differs from ort, torch, tf and 2 more"
    assert second.title == "iree differs from ort, torch, tf and 1 more"


def test_without_a_blame_a_pair_is_told_of_its_candidate(found):
    (one,) = found({"ort": {"y": SCORES}, "torch": {"y": WRONG}})
    assert one.title == "torch differs from ort"
    assert "wrong, by" not in one.text


def test_with_a_reference_each_candidate_is_told_by_itself(found):
    cells = {"ort": {"y": SCORES}, "torch": {"y": WRONG}, "tvm": {"y": -SCORES}}
    assert [one.title for one in found(cells, criteria=Criteria(reference="ort"))] == [
        "torch differs from ort",
        "tvm differs from ort",
    ]


def test_of_two_models_the_second_is_told_of(tmp_path):
    run = write_run(tmp_path / "run", {"ort": {"y": SCORES}, "torch": {"y": SCORES}})
    run = write_against(run, {"ort": {"y": WRONG}, "torch": {"y": SCORES}})
    (one,) = findings(load_contents(run.folder))
    assert one.title == "against:ort differs from ort"


def test_the_output_is_named_where_it_is_one_of_several(found):
    both = {"y": SCORES, "z": SCORES[:, :4]}
    (one,) = found({"ort": both, "torch": {**both, "z": -SCORES[:, :4]}})
    assert one.output == "z"


def test_and_not_where_there_are_several(found):
    both = {"y": SCORES, "z": SCORES[:, :4]}
    (one,) = found({"ort": both, "torch": {"y": WRONG, "z": -SCORES[:, :4]}})
    assert one.output is None


@pytest.mark.parametrize(
    ("status", "level"),
    [
        (Status.FAILED, Level.ERROR),
        (Status.UNSUPPORTED, Level.WARNING),
        (Status.UNAVAILABLE, Level.WARNING),
    ],
)
def test_a_cell_without_outputs(found, status, level):
    cells = {"ort": {"y": SCORES}, "torch": {"y": SCORES}, "tvm": Outcome(status, Stage.LOAD, None, "because")}
    (one,) = [finding for finding in found(cells) if finding.cells == ("tvm",)]
    assert (one.level, one.text) == (level, "because")
    assert one.title.startswith(f"tvm: {status}")


def test_a_crash_says_when(found):
    (one,) = found({"ort": {"y": SCORES}, "torch": {"y": SCORES}, "tvm": CRASH})
    assert one.title == "tvm: FAILED CRASH while RUN"


def test_a_pair_that_cannot_be_judged_is_a_warning_once(found):
    same = np.ones_like(SCORES)
    (one,) = found({name: {"y": same} for name in ("ort", "torch", "tvm")})
    assert one.level is Level.WARNING
    assert one.title == "cannot tell whether torch and ort agree and 2 more pairs"
    assert one.cells == ("torch", "ort", "tvm")
    assert "could not have told" in one.text


@pytest.mark.parametrize("cells", [{"ort": {"y": SCORES}}, {"ort": {"y": SCORES}, "tvm": CRASH}])
def test_a_run_in_which_nothing_is_judged_says_so(found, cells):
    assert any(one.title == "nothing could be judged" for one in found(cells))


def test_a_regression_and_no_improvement(found):
    cells = {name: {"y": SCORES} for name in ("ort", "torch", "tvm")}
    (one,) = found(cells, times={"ort": 0.0, "torch": 0.5, "tvm": -0.5})
    assert (one.level, one.title, one.cells) == (Level.ERROR, "torch: slower than ort", ("torch", "ort"))
    assert "slower" in one.text


def test_a_timed_pair_that_differs_is_an_error_though_another_reference_judges(found):
    cells = {"ort": {"y": SCORES}, "torch": {"y": WRONG}, "tvm": CRASH}
    told = found(cells, times={"ort": 0.0, "torch": 0.0}, criteria=Criteria(reference="tvm"))
    assert "torch is timed beside ort, from which its outputs differ" in [one.title for one in told]
    alike = found({**cells, "torch": {"y": SCORES}}, {"ort": 0.0, "torch": 0.0}, folder="b",
                  criteria=Criteria(reference="tvm"))  # fmt: skip
    assert not any("timed beside" in one.title for one in alike)


def test_a_time_that_is_not_known_is_a_warning(tmp_path):
    run = write_run(tmp_path / "run", {name: {"y": SCORES} for name in ("ort", "torch")})
    write_times(run, {"ort": 0.0, "torch": 0.0}, rounds={"measure": 2})
    (one,) = findings(load_contents(run.folder))
    assert (one.level, one.title) == (Level.WARNING, "torch: time not known")


def test_a_cell_that_failed_while_it_was_timed(tmp_path):
    run = write_run(tmp_path / "run", {name: {"y": SCORES} for name in ("ort", "torch")})
    write_times(run, {"ort": 0.0, "torch": 0.0}, failed={"torch": CRASH})
    titles = [one.title for one in findings(load_contents(run.folder))]
    assert titles[0] == "torch: FAILED CRASH while it was timed"


@pytest.mark.parametrize(("amount", "level"), [(1.0, Level.WARNING), (1e-7, Level.NOTICE), (0.0, None)])
def test_nondeterminism(tmp_path, amount, level):
    run = write_run(tmp_path / "run", {name: {"y": SCORES} for name in ("ort", "torch")})
    write_repeats(run, "torch", [{"y": SCORES[:8] * np.float32(1 + amount)}] * 2)
    found = [one for one in findings(load_contents(run.folder)) if "determinis" in one.title.lower()]
    assert [(one.level, one.cells, one.output) for one in found] == ([(level, ("torch",), "y")] if level else [])


def test_what_is_missing_of_a_run_is_an_error(tmp_path):
    run = write_run(tmp_path / "run", {name: {"y": SCORES} for name in ("ort", "torch", "tvm")})
    for file in run.outputs_folder(run.cells[2]).iterdir():
        file.write_bytes(file.read_bytes()[:10])
    found = findings(load_contents(run.folder))
    assert (found[0].level, found[0].title, found[0].cells) == (Level.ERROR, "the run is incomplete", ("tvm",))
    assert "tvm: its outputs are missing or damaged" in found[0].text
    assert [one.title for one in found if "tvm" in one.cells] == ["the run is incomplete"], "it is told of once"


def test_what_is_missing_comes_before_any_number_of_failures(tmp_path):
    cells = {"ort": {"y": SCORES}, "torch": {"y": SCORES}, "tvm": {"y": SCORES}, "iree": {"y": SCORES}}
    crashed = {f"ort[threads={number}]": CRASH for number in range(1, 14)}
    run = write_run(tmp_path / "run", {**cells, **crashed})
    for cell in run.cells[2:4]:
        for file in run.outputs_folder(cell).iterdir():
            file.write_bytes(file.read_bytes()[:10])
    found = findings(load_contents(run.folder))
    assert [one.title for one in found][:2] == ["the run is incomplete", "ort[threads=1]: FAILED CRASH while RUN"]
    assert found[0].cells == ("tvm", "iree")
    assert len(found[0].text.splitlines()) == 2
    assert len([one for one in found if one.title.endswith("FAILED CRASH while RUN")]) == 13


@pytest.mark.parametrize(("standing", "level"), [(Standing.SAME, Level.NOTICE), (Standing.WORSE, Level.ERROR)])
def test_a_failure_while_timed_that_the_baseline_accepts_is_a_notice(tmp_path, standing, level):
    run = write_run(tmp_path / "run", {"ort": {"y": SCORES}, "torch": {"y": SCORES * (1 + 1e-6)}})
    write_times(run, {"ort": 0.0, "torch": 0.0}, failed={"torch": CRASH})
    time = Time(TimeVerdict.INCONCLUSIVE, None, Failure(Status.FAILED, Stage.RUN, Symptom.CRASH))
    rows = ((entry("torch", "ort", value=time), standing), (entry("torch", "ort", "y"), Standing.SAME))
    told = {one.title: one.level for one in findings(replace(load_contents(run.folder), drift=drift(*rows)))}
    known = " (accepted by the baseline)" if level is Level.NOTICE else ""
    assert told[f"torch: FAILED CRASH while it was timed{known}"] is level


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"actual": {"precision": "bfloat16"}}, "tvm: computed in bfloat16, which was not asked for"),
        ({"actual": {"precision": "bfloat16"}, "options": {"precision": "bf16"}}, None),
        ({"actual": {"precision": "float32", "threads": "2", "note": "oneDNN on"}}, None),
        ({"actual": {"precision": "float32", "ignored": "threads"}}, "tvm: ignored threads"),
        ({}, None),
    ],
)
def test_what_an_engine_did_unasked_is_a_notice(found, facts, told):
    cells = {name: {"y": SCORES} for name in ("ort", "torch", "tvm")}
    told_of = [(one.level, one.title) for one in found(cells, facts={"tvm": facts})]
    assert told_of == ([(Level.NOTICE, told)] if told else [])


def test_identical_artifacts_are_a_notice(found):
    facts = {name: {"artifact": "1"} for name in ("ort", "ort-O0")}
    cells = {name: {"y": SCORES} for name in ("ort", "ort-O0", "torch")}
    (one,) = found(cells, facts=facts)
    assert (one.level, one.title) == (Level.NOTICE, "ort, ort-O0: lowered to identical artifacts")


def test_a_difference_that_the_baseline_accepts_is_a_notice(found):
    cells = {"ort": {"y": SCORES}, "torch": {"y": WRONG}}
    (one,) = found(cells, drift=drift((entry("torch", "ort", "y"), Standing.SAME)))
    assert (one.level, one.title) == (Level.NOTICE, "torch differs from ort (accepted by the baseline)")


@pytest.mark.parametrize("standing", [Standing.WORSE, Standing.NEW])
def test_and_no_other(found, standing):
    cells = {"ort": {"y": SCORES}, "torch": {"y": WRONG}}
    first, second = found(cells, drift=drift((entry("torch", "ort", "y"), standing)))
    assert (first.level, first.title) == (Level.ERROR, "torch differs from ort")
    titles = {
        Standing.WORSE: "torch : ort, y: worse than the baseline",
        Standing.NEW: "1 entry of this run not in the baseline",
    }
    assert second.title == titles[standing]
    assert second.level is (Level.ERROR if standing is Standing.WORSE else Level.NOTICE)


def test_one_output_that_is_accepted_excuses_no_other(found):
    rows = [(entry("torch", "ort", "y"), Standing.SAME), (entry("torch", "ort", "z"), Standing.WORSE)]
    cells = {"ort": {"y": SCORES, "z": SCORES}, "torch": {"y": WRONG, "z": WRONG}}
    assert found(cells, drift=drift(*rows))[0].level is Level.ERROR


def test_a_new_entry_is_an_error_in_ci(found):
    cells = {"ort": {"y": SCORES}, "torch": {"y": SCORES}}
    rows = (entry("torch", "ort", "y", Agreement(Verdict.AGREE, 40)), Standing.NEW)
    (one,) = found(cells, drift=drift(rows, ci=True))
    assert (one.level, one.title) == (Level.ERROR, "1 entry of this run not in the baseline")


def test_a_failure_that_the_baseline_accepts_is_a_notice(found):
    cells = {"ort": {"y": SCORES}, "torch": {"y": SCORES}, "tvm": CRASH}
    row = entry("tvm", value=Failure(Status.FAILED, Stage.RUN, Symptom.CRASH))
    (one,) = found(cells, drift=drift((row, Standing.SAME)))
    assert one.level is Level.NOTICE


def test_a_slowdown_that_the_baseline_accepts_is_a_notice(found):
    cells, times = {"ort": {"y": SCORES}, "torch": {"y": SCORES}}, {"ort": 0.0, "torch": 0.5}
    slow = entry("torch", "ort", value=Time(TimeVerdict.REGRESSION, (1.5, 1.4, 1.6)))
    agree = entry("torch", "ort", "y")
    (one,) = found(cells, times=times, drift=drift((slow, Standing.SAME), (agree, Standing.SAME)))
    assert one.level is Level.NOTICE
    rows = ((slow, Standing.WORSE), (agree, Standing.SAME))
    (one,) = [o for o in found(cells, times, drift(*rows), "again") if "slower" in o.title]
    assert one.level is Level.ERROR, "its outputs are accepted, its time is not"


def test_obsolete_entries_are_told_of_once(found):
    cells = {"ort": {"y": SCORES}, "torch": {"y": SCORES}}
    gone = tuple(entry(f"ort[threads={number}]", "ort", "y") for number in range(1, 10))
    (one,) = found(cells, drift=drift(obsolete=gone))
    assert one.level is Level.NOTICE
    assert one.title == "9 entries of the baseline not in this run"
    assert one.text.endswith("and 3 more")


def test_a_run_that_was_just_accepted_has_no_errors(found, tmp_path):
    cells = {"ort": {"y": SCORES}, "torch": {"y": WRONG}, "tvm": CRASH}
    assert {one.level for one in found(cells)} == {Level.ERROR}
    contents = load_contents(tmp_path / "run")
    accepting = update(contents, tmp_path / "baseline.jsonl")
    assert {one.level for one in findings(replace(contents, drift=accepting))} == {Level.NOTICE}
    again = beside(contents, tmp_path / "baseline.jsonl")
    assert {one.level for one in findings(replace(contents, drift=again))} == {Level.NOTICE}


def test_no_baseline_accepts_nothing(tmp_path):
    run = write_run(tmp_path / "run", {"ort": {"y": SCORES}, "torch": {"y": WRONG}})
    assert not accepted(load_contents(run.folder), "torch", "ort")


def test_the_command_is_one_for_a_shell(tmp_path):
    run = write_run(tmp_path / "a 'folder'; rm -rf $HOME", {"ort": {"y": SCORES}})
    words = shlex.split(command(load_contents(run.folder)))
    assert words == ["deltann", "report", str(run.folder), "--html", "report.html"]


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_findings_say_what_the_exit_code_says(any_contents, data):
    contents = any_contents(data)
    found = findings(contents)
    levels = {finding.level for finding in found}
    assert list(found) == sorted(found, key=lambda finding: list(Level).index(finding.level))
    if contents.exit_code == 1:
        assert Level.ERROR in levels
    elif contents.exit_code:
        assert levels & {Level.ERROR, Level.WARNING}
    else:
        assert Level.ERROR not in levels
    names = {str(cell) for cell in contents.result.run.cells}
    for finding in found:
        assert finding.title.isprintable()
        assert finding.text.strip()
        assert set(finding.cells) <= names
