"""Tests that use the plugin, run by pytest: what passes, fails, is skipped and is xfailed, and what is printed."""

from __future__ import annotations

import json
import re
from importlib.metadata import version

import pytest

from deltann.pytest_plugin.kept import folder_name
from deltann.testing.registration import registered

CALL = "    deltann.assert_agree(MODEL, backends={}, inputs='random:4')\n"


def calling(backends, name="test_it", head=""):
    return f"{head}\ndef {name}(deltann):\n{CALL.format(backends)}"


def test_agreement_passes_and_gives_the_result(project):
    source = """
def test_it(deltann):
    result = deltann.assert_agree(MODEL, ["reference", "faulty"], inputs="random:4", atol=0.25)
    assert result.verdict == "AGREE" and len(result.cells) == 2
    assert [pair.comparison.outputs[0].tolerance.atol for pair in result.compared] == [0.25]
"""
    done = project(source)
    done.assert_outcomes(passed=1)
    done.stdout.no_fnmatch_line("*= deltann =*")


def test_a_difference_fails_with_all_there_is_to_know(project):
    done = project(calling(["reference", "faulty[amount=0.5,symptom=MISMATCH]", "faulty"]))
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        [
            ">*deltann.assert_agree(MODEL*",
            "E  *classifier.onnx: faulty[[]amount=0.5,symptom=MISMATCH] and reference DIFFER: *",
            "E  *Top-1 disagreements of each pair*",
            "E  *DIFFER: at least one pair differs*",
            "E  *Worst samples:",
            "E  * random[[]?]: faulty*",
            "E  *To see more: deltann report /*/run --html report.html",
            "FAILED test_models.py::test_it - *classifier.onnx: faulty*",
        ]
    )
    assert "pytest_plugin" not in done.stdout.str(), "the failure is the test's, not ours"


def test_a_crash_fails(project):
    done = project(calling(["reference", "faulty-crash"]))
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["E  *classifier.onnx: faulty-crash FAILED CRASH: SIGSEGV while RUN*"])


def test_what_could_not_be_told_fails(project):
    source = """
def test_it(deltann):
    deltann.assert_agree(MODEL, ["reference", "faulty"], inputs="random:1")
"""
    done = project(source)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["E  *reference: INCONCLUSIVE: *sample*"])


def test_a_usage_error_is_one_line_and_no_traceback_of_ours(project):
    done = project(
        """
def test_file(deltann):
    deltann.assert_agree("nowhere.onnx", ["reference", "faulty"])

def test_option(deltann):
    deltann.assert_agree(MODEL, ["reference", "faulty[colour=red]"])
"""
    )
    done.assert_outcomes(failed=2)
    done.stdout.fnmatch_lines(["E *UsageError: nowhere.onnx: no such file*", "E *UsageError: *no option 'colour'*"])
    assert "/deltann/" not in done.stdout.str()
    assert sum(line.startswith("E ") for line in done.outlines) == 2


def test_a_missing_backend_is_skipped_with_its_pip_line(project):
    source = calling(["reference", "faulty", "faulty[status=UNAVAILABLE]"])
    done = project(source)
    done.assert_outcomes(skipped=1)
    done.stdout.fnmatch_lines(["SKIPPED * test_models.py:*: faulty[[]status=UNAVAILABLE] is UNAVAILABLE: injected*"])
    done = project(source, "--deltann-strict")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["E *faulty[[]status=UNAVAILABLE] is UNAVAILABLE: injected*(and --deltann-strict)"])


def test_a_framework_that_is_not_installed(project, pytester, monkeypatch):
    pytester.makepyfile(
        absent="""
        from deltann.testing.faulty import FaultyBackend
        class AbsentBackend(FaultyBackend):
            name, install, distribution = "absent", "deltann[absent]", "no-such-project"
        """
    )
    monkeypatch.syspath_prepend(pytester.path)
    with registered(absent="absent:AbsentBackend"):
        done = project(calling(["reference", "absent"]))
    done.assert_outcomes(skipped=1)
    done.stdout.fnmatch_lines(["SKIPPED * absent is UNAVAILABLE: pip install 'deltann[[]absent]'"])


def test_a_difference_counts_where_another_backend_is_missing(project):
    done = project(calling(["reference", "faulty-wrong", "faulty[status=UNAVAILABLE]"]))
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["E *faulty-wrong and reference DIFFER: *"])


ABSENT = ["reference", "faulty", "faulty[status=UNAVAILABLE]"]


def test_a_missing_backend_hides_nothing_that_comes_after(project):
    done = project(
        calling(ABSENT, "test_differs")
        + CALL.format(["reference", "faulty-wrong"])
        + calling(ABSENT, "test_asserts")
        + "    assert MODEL is None\n"
        + calling(ABSENT, "test_misspelt", '@known_failure("faulti", reason="wrong")')
        + calling(ABSENT, "test_unmet", '@known_failure("faulty", reason="it was wrong once")')
        + calling(ABSENT, "test_passes")
        + CALL.format(["reference", "faulty"])
    )
    done.assert_outcomes(failed=4, skipped=1)
    done.stdout.fnmatch_lines(
        [
            "E *faulty-wrong and reference DIFFER: *",
            "*Captured deltann call*",  # why a result may be without the outputs that a body looks for
            "faulty[[]status=UNAVAILABLE] is UNAVAILABLE: injected*",
            "*AssertionError: assert * is None",
            "the known failure of faulti: wrong: this test compares *",
            "the known failure of faulty: it was wrong once did not happen: take the mark away",
            "SKIPPED [[]1] test_models.py:*: faulty[[]status=UNAVAILABLE] is UNAVAILABLE: injected*",
        ]
    )


def test_what_is_missing_is_seen_wherever_it_was_compared(project):
    done = project(
        f"""
@pytest.fixture
def before(deltann):
    return deltann.assert_agree(MODEL, {ABSENT}, inputs="random:4")

@pytest.fixture
def after(deltann):
    yield
    deltann.assert_agree(MODEL, {ABSENT}, inputs="random:4")

def test_before(before):
    assert len(before.cells) == 3

def test_after(after):
    pass
"""
    )
    done.assert_outcomes(skipped=1, passed=1, errors=1)
    done.stdout.fnmatch_lines(["E *UsageError: the test is over: *"])


MARKED = """
@pytest.mark.deltann(model=MODEL, backends=["reference", "faulty", "faulty-wrong"], inputs="random:4")
"""


def test_a_mark_is_a_test_for_each_environment(project):
    done = project(MARKED + "def test_it(deltann):\n    deltann.assert_agree()\n", "-v")
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(
        ["*::test_it[[]faulty] PASSED*", "*::test_it[[]faulty-wrong] FAILED*", "E *faulty-wrong and reference DIFFER*"]
    )


def test_a_known_failure_excuses_its_own_environment_alone(project):
    head = '@known_failure("faulty-wrong", reason="wrong by design")' + MARKED
    done = project(head + "def test_it(deltann):\n    deltann.assert_agree()\n", "-v")
    done.assert_outcomes(passed=1, xfailed=1)
    done.stdout.fnmatch_lines(["XFAIL *::test_it[[]faulty-wrong] - faulty-wrong: wrong by design"])


def test_under_runxfail_nothing_is_excused(project):
    source = calling(["reference", "faulty-wrong"], head='@known_failure("faulty-wrong", reason="wrong by design")')
    project(source, "--runxfail").assert_outcomes(failed=1)


def test_known_failures_are_strict(project):
    done = project(
        calling(["reference", "faulty"], "test_unmet", '@known_failure("faulty", reason="it was wrong once")')
        + calling(["reference", "faulty"], "test_misspelt", '@known_failure("faulti", reason="wrong")')
        + calling(["reference", "faulty"], "test_unreadable", '@known_failure("faulty", reason="")')
        + '@known_failure("faulty", reason="x")\ndef test_nothing():\n    pass\n'
        + calling(["reference", "faulty"], "test_native", '@known_failure("native", reason="the file is no object")')
        + calling(
            ["reference", "faulty-wrong"], "test_kind", '@known_failure("faulty-wrong", reason="x", raises="FAILED")'
        )
    )
    done.assert_outcomes(failed=6)
    done.stdout.fnmatch_lines(
        [
            "the known failure of faulty: it was wrong once did not happen: take the mark away",
            "the known failure of faulti: wrong: this test compares faulty, reference alone",
            "E *UsageError: known_failure of faulty: say why it fails*",
            "the test is marked, and compared nothing: call deltann.assert_agree()",
            "the known failure of native: the file is no object: this test compares faulty, reference alone",
            "E *the known failure of faulty-wrong: x excuses FAILED alone",
        ]
    )


def test_a_known_failure_of_one_kind(project):
    mark = '@known_failure("faulty-wrong", reason="wrong by design", raises="DIFFER")'
    project(calling(["reference", "faulty-wrong"], head=mark)).assert_outcomes(xfailed=1)


def test_native_is_none_of_the_environments_that_the_command_line_could_choose(project):
    source = """
@known_failure("native", reason="the file is no object")
def test_it(deltann):
    deltann.assert_agree(MODEL, inputs="random:4")
"""
    done = project(source, "--deltann-backends", "reference,faulty")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*native*"])


@pytest.mark.parametrize(("until", "outcome"), [(">={}", "failed"), (">{}", "xfailed")])
def test_a_known_failure_ends_with_a_version(project, until, outcome):
    until = until.format(version("onnx"))
    mark = f'@known_failure("faulty-wrong", reason="mended soon", until={until!r})'
    done = project(calling(["reference", "faulty-wrong"], head=mark))
    done.assert_outcomes(**{outcome: 1})
    if outcome == "failed":
        done.stdout.fnmatch_lines([f"E *the known failure of faulty-wrong: mended soon is over: *until {until}*"])


def test_a_body_that_fails_is_not_excused(project):
    mark = '@known_failure("faulty-wrong", reason="wrong by design")'
    done = project(calling(["reference", "faulty-wrong"], head=mark) + "    assert MODEL is None\n")
    done.assert_outcomes(failed=1)


def test_the_command_line_chooses_backends(project):
    source = calling(["nonsense", "faulty-wrong"]) + MARKED + "def test_that(deltann):\n    deltann.assert_agree()\n"
    done = project(source, "--deltann-backends", "reference,faulty[threads=2]", "-v")
    done.assert_outcomes(passed=2)
    done.stdout.fnmatch_lines(["*::test_it PASSED*", "*::test_that[[]faulty[[]threads=2]] PASSED*"])


@pytest.mark.parametrize(("specs", "message"), [("Torch", "cannot read"), ("", "no backend"), ("ort,ort", "twice")])
def test_a_choice_that_cannot_be_read_is_refused_at_once(project, specs, message):
    done = project("def test_it():\n    pass\n", "--deltann-backends", specs)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert message in done.stderr.str()
    assert "Traceback" not in done.stderr.str()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (MARKED + "def test_it():\n    pass\n", "takes the fixture of that name"),
        (MARKED + MARKED + "def test_it(deltann):\n    pass\n", "has one mark"),
        ("@pytest.mark.deltann(MODEL)\ndef test_it(deltann):\n    pass\n", "the mark is written"),
        (MARKED.replace('["ref', 'iter(["ref').replace("],", "]),") + "def test_it(deltann):\n    pass\n", "iterator"),
        ("@pytest.mark.deltann(model=MODEL, backends='A')\ndef test_it(deltann):\n    pass\n", "cannot read"),
    ],
)
def test_marks_that_cannot_be_followed_are_errors_of_collection(project, source, message):
    done = project(source)
    assert done.ret == pytest.ExitCode.INTERRUPTED
    assert message in done.stdout.str()
    assert "Traceback" not in done.stdout.str()
    assert "/deltann/" not in done.stdout.str()


def test_a_marked_test_that_compares_nothing_fails(project):
    done = project(MARKED.replace(', "faulty-wrong"', "") + "def test_it(deltann):\n    pass\n")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["the test is marked, and compared nothing*"])


def test_marks_are_registered(project):
    project("", "--markers").stdout.fnmatch_lines(["@pytest.mark.deltann(*", "@pytest.mark.deltann_known_failure(*"])
    source = MARKED.replace(', "faulty-wrong"', "") + "def test_it(deltann):\n    deltann.assert_agree()\n"
    project(source, "--strict-markers").assert_outcomes(passed=1)


SLOWED = """
import deltann.pytest_plugin.fixture
from deltann.testing.times import write_times

@pytest.fixture(autouse=True)
def made_up_times(monkeypatch):
    def bench(run, options, limits, listener):
        assert (options.margin, options.budget, options.reference) == (0.02, 7, "reference")
        write_times(run, {{"reference": 0.0, "faulty": {slowdown}}}, options=options)
    monkeypatch.setattr(deltann.pytest_plugin.fixture, "take_times", bench)

def test_it(deltann):
    deltann.assert_agree(MODEL, ["reference", "faulty"], inputs="random:4", margin="2%", budget=7,
                         reference="reference")
"""


@pytest.mark.parametrize("slowdown", [0.0, 0.3, -0.3])
def test_times_are_judged_too(project, slowdown):
    done = project(SLOWED.format(slowdown=slowdown))
    done.assert_outcomes(**{"failed" if slowdown > 0 else "passed": 1})
    if slowdown > 0:
        done.stdout.fnmatch_lines(["E *: faulty is slower than reference: *", "E *REGRESSION*"])


def test_times_are_taken(project):
    source = """
def test_it(deltann):
    deltann.assert_agree(MODEL, ["reference", "faulty"], inputs="random:4", bench=True, budget=0.5)
"""
    done = project(source)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["E *times of faulty and reference: INCONCLUSIVE: not enough samples: *", "E *slowdown*"])


NO_PAGE = "deltann.report.html.page.find_spec"


def test_reports_are_kept_and_replaced(project, pytester, monkeypatch):
    source = calling(["reference", "faulty"])
    # Not in this process: matplotlib does not survive being unloaded.
    done = project(source, "--deltann-report", "reports", process=True)
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["*= deltann =*", "1 run with reports in reports"])
    (folder,) = (pytester.path / "reports").iterdir()
    assert folder.name.startswith("test_models.py_test_it-")
    assert names(folder) == {"run", "report.json", "report.html"}
    assert json.loads((folder / "report.json").read_text())["verdict"] == "AGREE"
    assert "classifier.onnx" in (folder / "report.html").read_text()

    monkeypatch.setattr(NO_PAGE, lambda _name: None)
    done = project(source.replace("random:4", "random:5"), "--deltann-report", "reports")
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["1 run with reports in reports", "*pip install 'deltann[[]html]'"])
    assert names(folder) == {"run", "report.json"}, "the page of another run must not stay"
    document = json.loads((folder / "report.json").read_text())
    assert document["request"]["inputs"]["source"] == "random:5"


def test_each_comparison_of_a_test_has_a_folder_which_goes_when_there_are_fewer(project, pytester, monkeypatch):
    monkeypatch.setattr(NO_PAGE, lambda _name: None)
    one = calling(["reference", "faulty"])
    done = project(one + 2 * CALL.format(["reference", "faulty"]), "--deltann-report", "reports")
    done.stdout.fnmatch_lines(["3 runs with reports in reports"])
    folders = sorted((pytester.path / "reports").iterdir())
    assert [folder.name for folder in folders[1:]] == [f"{folders[0].name}-2", f"{folders[0].name}-3"]
    assert all(names(folder) == {"run", "report.json"} for folder in folders)
    (folders[2] / "mine.txt").write_text("mine")
    mine = folders[0].with_name(f"{folders[0].name}-4") / "run"
    mine.mkdir(parents=True)
    project(one, "--deltann-report", "reports").assert_outcomes(passed=1)
    assert names(folders[0].parent) == {folders[0].name, folders[2].name, mine.parent.name}
    assert names(folders[2]) == {"mine.txt"}, "what is not ours stays"
    assert mine.is_dir()


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_what_is_no_run_is_not_deleted(project, pytester, monkeypatch):
    monkeypatch.setattr(NO_PAGE, lambda _name: None)
    source = calling(["reference", "faulty"])
    project(source, "--deltann-report", "reports")
    (folder,) = (pytester.path / "reports").iterdir()
    (folder / "run" / "run.json").unlink()
    (folder / "run" / "mine.txt").write_text("mine")
    done = project(source, "--deltann-report", "reports")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["E *UsageError: *is not empty and holds no run*"])
    assert (folder / "run" / "mine.txt").read_text() == "mine"


def test_reports_that_cannot_be_written(project, pytester):
    (pytester.path / "reports").write_text("a file")
    done = project(calling(["reference", "faulty"]), "--deltann-report", "reports")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["E *UsageError: cannot write to *choose another --deltann-report"])


def test_each_test_has_a_folder_of_its_own():
    ids = ["t.py::a[x/y]", "t.py::a[x_y]", "t.py::a[x y]", "t.py::a[é]", "t.py::" + "a" * 300, "t.py::" + "a" * 301]
    folders = [folder_name(nodeid) for nodeid in ids]
    assert len(set(folders)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9._=-]{1,100}", name) and not name.startswith(".") for name in folders)
    assert folder_name(ids[0]) == folders[0]
