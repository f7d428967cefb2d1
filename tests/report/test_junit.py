"""JUnit XML: a case each environment and output; what fails is whoever is at fault, and no doubt looks passed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltann.baseline.drift import Drift, Row, Standing, update
from deltann.baseline.drift import drift as beside
from deltann.baseline.entries import Agreement, Entry, Failure, Key, Time
from deltann.comparison.verdict import Verdict
from deltann.criteria import Criteria
from deltann.findings import command
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.report.contents import load_contents
from deltann.report.junit import to_junit
from deltann.report.text import printable
from deltann.store import write_json
from deltann.testing.stored import write_against, write_run
from deltann.testing.times import HOST, write_times
from deltann.timing.verdict import TimeVerdict

RNG = np.random.default_rng(6)
SCORES = RNG.standard_normal((40, 10)).astype(np.float32)
WRONG = np.roll(SCORES, 1, axis=1)
CRASH = Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, "SIGSEGV", "the log\x1b[2J\nof the worker")


class Cases:
    """The test cases of a document, by name."""

    def __init__(self, text):
        self.root = ElementTree.fromstring(text.encode())
        self.all = {case.get("name"): case for case in self.root.iter("testcase")}
        assert len(self.all) == len(list(self.root.iter("testcase"))), "each has a name of its own"

    def __getitem__(self, name):
        """What became of a case, and its message."""
        children = list(self.all[name])
        return (children[0].tag, children[0].get("type")) if children else ("passed", None)

    def text(self, name):
        """The message and the body."""
        (child,) = self.all[name]
        return f"{child.get('message')}\n{child.text}"

    @property
    def tags(self):
        """What became of all cases."""
        return {name: self[name][0] for name in self.all}


@pytest.fixture
def cases(tmp_path):
    """The cases of a run made of `cells`."""

    def make(cells, times=None, drift=None, **settings):
        run = write_run(tmp_path / "run", cells, **settings)
        if times:
            write_times(run, times)
        contents = load_contents(run.folder)
        return Cases(to_junit(replace(contents, drift=drift) if drift else contents))

    return make


def drift(*rows, ci=False):
    """A drift of rows (candidate, reference, output, value, standing)."""
    found = []
    for candidate, reference, output, value, standing in rows:
        measured = "p50, batch 1" if isinstance(value, Time) else None
        key = Key("model.onnx", "0", "0", "a host", candidate, reference, output, measured)
        found.append(Row(Entry(key, value), None, standing, (("labels", "0", "40"),)))
    return Drift(Path("baseline.jsonl"), tuple(found), (), ci)


DIFFERS = Agreement(Verdict.DIFFER, 40)


def test_a_suite_a_model_and_a_case_an_environment_and_output(cases):
    both = {"y": SCORES, "z": -SCORES}
    found = cases({"ort": both, "torch": both}, model="net.onnx")
    (suite,) = found.root
    assert suite.get("name") == "net.onnx"
    assert list(found.all) == ["ort / y", "ort / z", "torch / y", "torch / z"]
    assert {case.get("classname") for case in found.all.values()} == {"net.onnx"}
    assert set(found.tags.values()) == {"passed"}


def test_who_is_blamed_for_sure_fails_and_nobody_else(cases):
    found = cases({"ort": {"y": SCORES}, "tvm": {"y": WRONG}, "torch": {"y": SCORES}})
    assert found.tags == {"ort / y": "passed", "tvm / y": "failure", "torch / y": "passed"}
    text = found.text("tvm / y")
    assert "40 of 40 labels differ beyond rounding" in text
    assert "tvm: wrong, by majority alone: " in text
    assert "sample random[" in text
    assert "deltann report " in text


def test_both_fail_where_it_cannot_be_told_who_is_wrong(cases):
    found = cases({"ort": {"y": SCORES}, "torch": {"y": WRONG}})
    assert found.tags == {"ort / y": "failure", "torch / y": "failure"}


@pytest.mark.parametrize("reference", ["ort", "torch"])
def test_with_a_reference_the_candidate_fails(cases, reference):
    found = cases({"ort": {"y": SCORES}, "torch": {"y": WRONG}}, criteria=Criteria(reference=reference))
    assert [name for name, tag in found.tags.items() if tag == "failure"] == [
        "torch / y" if reference == "ort" else "ort / y"
    ]


def test_only_the_output_that_differs_fails(cases):
    cells = {"ort": {"y": SCORES, "z": SCORES}, "torch": {"y": SCORES, "z": WRONG}}
    found = cases(cells, criteria=Criteria(reference="ort"))
    assert found.tags == {"ort / y": "passed", "ort / z": "passed", "torch / y": "passed", "torch / z": "failure"}


def test_an_output_that_one_lacks_is_its_own_fault(cases):
    cells = {"ort": {"y": SCORES, "z": SCORES}, "torch": {"y": SCORES}}
    found = cases(cells, criteria=Criteria(reference="torch"))
    assert found.tags == {"ort / y": "passed", "ort / z": "passed", "torch / y": "passed", "torch / z": "failure"}
    assert "output 'z' is missing" in found.text("torch / z") or "in ort only" in found.text("torch / z")


def test_an_output_that_one_has_alone_is_its_own_fault(cases):
    cells = {"ort": {"y": SCORES}, "torch": {"y": SCORES, "more": SCORES}}
    found = cases(cells)
    assert found["ort / y"] == ("passed", None)
    assert found["torch / more"] == ("failure", "DIFFER")


def test_of_two_models_there_are_two_suites_and_the_second_fails(tmp_path):
    run = write_run(tmp_path / "run", {"ort": {"y": SCORES}, "torch": {"y": SCORES}})
    run = write_against(run, {"ort": {"out": WRONG}, "torch": {"out": SCORES}}, {"y": "out"})
    root = ElementTree.fromstring(to_junit(load_contents(run.folder)))
    found = {
        (suite.get("name"), case.get("name")): [child.tag for child in case]
        for suite in root
        for case in suite.iter("testcase")
    }
    assert found == {
        ("model.onnx", "ort / out"): [],
        ("model.onnx", "torch / out"): [],
        ("other.onnx", "ort / out"): ["failure"],
        ("other.onnx", "torch / out"): [],
    }


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (CRASH, ("error", "CRASH")),
        (Outcome(Status.FAILED, Stage.RUN, Symptom.TIMEOUT, "slow"), ("error", "TIMEOUT")),
        (Outcome(Status.FAILED, Stage.COMPILE, Symptom.EXCEPTION, "no"), ("error", "EXCEPTION")),
        (Outcome(Status.UNSUPPORTED, Stage.CONVERT, None, "no Foo"), ("skipped", "UNSUPPORTED")),
        (Outcome(Status.UNAVAILABLE, None, None, "pip install"), ("skipped", "UNAVAILABLE")),
    ],
)
def test_a_cell_without_outputs_is_one_case(cases, outcome, expected):
    found = cases({"ort": {"y": SCORES}, "torch": {"y": SCORES}, "tvm": outcome})
    assert list(found.all) == ["ort / y", "torch / y", "tvm"]
    assert found["tvm"] == expected
    assert outcome.reason in found.text("tvm")


def test_a_crash_brings_its_log(cases):
    found = cases({"ort": {"y": SCORES}, "torch": {"y": SCORES}, "tvm": CRASH})
    assert "the log\\x1b[2J\nof the worker" in found.text("tvm")


def test_what_could_not_be_judged_does_not_pass(cases):
    same = np.ones_like(SCORES)
    found = cases({"ort": {"y": same}, "torch": {"y": same}})
    assert found["ort / y"] == found["torch / y"] == ("error", "INCONCLUSIVE")
    assert "could not have told" in found.text("ort / y")


def test_an_output_that_proves_nothing_is_skipped_where_others_prove_it(cases):
    both = {"y": SCORES, "constant": np.ones((40, 3), np.float32)}
    found = cases({"ort": both, "torch": both})
    assert found["ort / y"] == ("passed", None)
    assert found["ort / constant"] == ("skipped", "VACUOUS")


def test_alone_with_a_cell_that_failed_nothing_passes(cases):
    found = cases({"ort": {"y": SCORES}, "tvm": CRASH})
    assert found["ort / y"] == ("error", "NOT_JUDGED")


def test_the_same_code_run_twice_is_skipped(cases):
    facts = {name: {"artifact": "1"} for name in ("ort", "ort-O0")}
    cells = {name: {"y": SCORES} for name in ("ort", "ort-O0", "torch")}
    found = cases(cells, facts=facts, criteria=Criteria(reference="ort"))
    assert found.tags == {"ort / y": "passed", "ort-O0 / y": "skipped", "torch / y": "passed"}


def test_and_is_an_error_where_nothing_else_was_judged(cases):
    facts = {name: {"artifact": "1"} for name in ("ort", "ort-O0")}
    found = cases({name: {"y": SCORES} for name in ("ort", "ort-O0")}, facts=facts)
    assert set(found.tags.values()) == {"error"}


def test_a_regression_fails_and_a_gain_passes(cases):
    cells = {name: {"y": SCORES} for name in ("ort", "torch", "tvm")}
    found = cases(cells, times={"ort": 0.0, "torch": 0.5, "tvm": -0.5})
    assert found["torch / time"] == ("failure", "REGRESSION")
    assert found["tvm / time"] == ("passed", None)
    assert "ort / time" not in found.all
    assert "slower" in found.text("torch / time")


def test_a_timed_pair_that_differs_fails_though_another_reference_judges(cases):
    cells = {"ort": {"y": SCORES}, "torch": {"y": WRONG}, "tvm": CRASH}
    found = cases(cells, times={"ort": 0.0, "torch": 0.0}, criteria=Criteria(reference="tvm"))
    assert found["torch / time"] == ("failure", "DIFFER")


def test_a_time_that_is_not_known_does_not_pass(tmp_path):
    run = write_run(tmp_path / "run", {name: {"y": SCORES} for name in ("ort", "torch")})
    write_times(run, {"ort": 0.0, "torch": 0.0}, rounds={"measure": 2})
    assert Cases(to_junit(load_contents(run.folder)))["torch / time"] == ("error", "INCONCLUSIVE")


def test_seconds_are_of_the_environment_once(cases):
    both = {"y": SCORES, "z": -SCORES}
    found = cases({"ort": both, "torch": both}, facts={"ort": {"lower_s": 2.0, "load_s": 0.5}})
    # `write_run` gives each sample a millisecond.
    assert [float(case.get("time")) for case in found.all.values()] == pytest.approx([2.54, 0, 0.04, 0], abs=1e-6)
    (suite,) = found.root
    assert float(suite.get("time")) == pytest.approx(2.58, abs=1e-6)
    told = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert told["time"].startswith("seconds an environment took to lower, load and run")
    assert told["verdict"] == "AGREE"


def test_an_incomplete_run_does_not_pass(tmp_path):
    run = write_run(tmp_path / "run", {name: {"y": SCORES} for name in ("ort", "torch", "tvm")})
    for file in run.outputs_folder(run.cells[2]).iterdir():
        file.write_bytes(file.read_bytes()[:10])
    found = Cases(to_junit(load_contents(run.folder)))
    assert found["the run is complete"] == ("error", "MISSING")
    assert found["tvm"][0] == "error"


def test_what_the_baseline_accepts_is_skipped(cases):
    found = cases({"ort": {"y": SCORES}, "torch": {"y": WRONG}},
                  drift=drift(("torch", "ort", "y", DIFFERS, Standing.SAME)))  # fmt: skip
    assert found["ort / y"] == found["torch / y"] == ("skipped", "ACCEPTED")
    assert found["torch : ort, y / baseline"] == ("passed", None)


def test_what_is_worse_than_the_baseline_fails(cases):
    found = cases({"ort": {"y": SCORES}, "torch": {"y": WRONG}},
                  drift=drift(("torch", "ort", "y", DIFFERS, Standing.WORSE)))  # fmt: skip
    assert found["torch / y"] == ("failure", "DIFFER")
    assert found["torch : ort, y / baseline"] == ("failure", "WORSE")
    assert "labels: 0 → 40" in found.text("torch : ort, y / baseline")


@pytest.mark.parametrize(("ci", "expected"), [(True, "failure"), (False, "skipped")])
def test_what_is_new_fails_in_ci(cases, ci, expected):
    agrees = Agreement(Verdict.AGREE, 40)
    found = cases({"ort": {"y": SCORES}, "torch": {"y": SCORES}},
                  drift=drift(("torch", "ort", "y", agrees, Standing.NEW), ci=ci))  # fmt: skip
    assert found["torch : ort, y / baseline"] == (expected, "NEW")


def test_a_run_that_was_just_accepted_has_nothing_that_fails(cases, tmp_path):
    tags = cases({"ort": {"y": SCORES}, "torch": {"y": WRONG}, "tvm": CRASH}).tags
    assert tags == {"ort / y": "failure", "torch / y": "failure", "tvm": "error"}
    contents = load_contents(tmp_path / "run")
    for found in (update(contents, tmp_path / "baseline"), beside(contents, tmp_path / "baseline")):
        tags = Cases(to_junit(replace(contents, drift=found))).tags
        assert set(tags.values()) == {"passed", "skipped"}
        assert tags["torch / y"] == tags["tvm"] == "skipped"
        assert tags["torch : ort, y / baseline"] == "passed"


def test_accepted_failures_and_slowdowns_are_skipped(cases):
    rows = [
        ("tvm", None, None, Failure(Status.FAILED, Stage.RUN, Symptom.CRASH), Standing.SAME),
        ("torch", "ort", None, Time(TimeVerdict.REGRESSION, (1.5, 1.4, 1.6)), Standing.SAME),
    ]
    cells = {"ort": {"y": SCORES}, "torch": {"y": SCORES}, "tvm": CRASH}
    found = cases(cells, times={"ort": 0.0, "torch": 0.5}, drift=drift(*rows))
    assert found["tvm"] == ("skipped", "CRASH")
    assert found["torch / time"] == ("skipped", "REGRESSION")


def test_outputs_of_any_name_stand_beside_times_and_a_baseline(tmp_path):
    both = {"time": SCORES, "baseline": -SCORES}
    run = write_run(tmp_path / "run", {"ort": both, "torch": both}, model="net.onnx")
    document = json.loads((run.folder / "run.json").read_text())
    write_json(run.folder / "run.json", {**document, "host": {"class": "a kind of host"}})
    write_times(run, {"ort": 0.0, "torch": 0.0})
    timing = run.folder / "timing" / "timing.json"
    write_json(timing, {**json.loads(timing.read_text()), "host": {**HOST, "class": "a kind of host"}})
    contents = load_contents(run.folder)
    contents = replace(contents, drift=update(contents, tmp_path / "baseline"))
    root = ElementTree.fromstring(to_junit(contents))
    found = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    assert len(set(found)) == len(found)
    assert sorted(found) == [
        ("net.onnx", "ort / baseline"),
        ("net.onnx", "ort / time"),
        ("net.onnx", "torch / baseline"),
        ("net.onnx", "torch / time"),
        ("net.onnx (baseline of times)", "torch : ort, time / baseline"),
        ("net.onnx (baseline)", "torch : ort, baseline / baseline"),
        ("net.onnx (baseline)", "torch : ort, time / baseline"),
        ("net.onnx (times)", "torch / time"),
    ]


def test_what_is_accepted_of_one_output_is_not_of_another(cases):
    rows = [("torch", "ort", "y", DIFFERS, Standing.SAME), ("torch", "ort", "z", DIFFERS, Standing.WORSE)]
    both, wrong = {"y": SCORES, "z": SCORES}, {"y": WRONG, "z": WRONG}
    found = cases({"ort": both, "torch": wrong}, criteria=Criteria(reference="ort"), drift=drift(*rows))
    assert found["torch / y"] == ("skipped", "ACCEPTED")
    assert found["torch / z"] == ("failure", "DIFFER")


NASTY = "]]> <b>&amp; \"'\x00\x0b\x1b[2J\ufffe\uffff\udcff\r\n\t\u2028 é 😀"


def test_nasty_names_are_readable_xml(cases):
    output = NASTY.replace("\udcff", "")
    found = cases({"ort": {output: SCORES}, "torch": {output: WRONG}, "tvm": Outcome(
        Status.FAILED, Stage.RUN, Symptom.CRASH, NASTY, NASTY)}, model=NASTY, source=NASTY,
        names=[f"{NASTY}{number}" for number in range(40)])  # fmt: skip
    assert list(found.all) == [f"ort / {printable(output)}", f"torch / {printable(output)}", "tvm"]
    (suite,) = found.root
    assert suite.get("name") == printable(NASTY)
    assert f"sample {printable(NASTY)}" in found.text(f"ort / {printable(output)}")


@settings(max_examples=60, deadline=None)
@given(name=st.text(st.characters(), min_size=1, max_size=30), reason=st.text(max_size=30))
def test_any_text_can_be_read_back(tmp_path_factory, name, reason):
    output = name.encode("utf-8", "replace").decode()
    cells = {"ort": {output: SCORES[:4]}, "torch": Outcome(Status.FAILED, Stage.RUN, None, reason, reason)}
    run = write_run(tmp_path_factory.mktemp("x") / "run", cells, model=name, names=[name] * 4)
    found = Cases(to_junit(load_contents(run.folder)))
    assert list(found.all) == [f"ort / {printable(output)}", "torch"]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_counts_are_of_the_cases_and_say_what_the_exit_code_says(any_contents, data):
    contents = any_contents(data)
    root = ElementTree.fromstring(to_junit(contents))
    total = Counter()
    for suite in root:
        tags = Counter(child.tag for case in suite.iter("testcase") for child in case)
        own = {"tests": len(list(suite.iter("testcase"))), "failures": tags["failure"], "errors": tags["error"],
               "skipped": tags["skipped"]}  # fmt: skip
        assert {key: int(suite.get(key)) for key in own} == own
        total.update(own)
    assert {key: int(root.get(key)) for key in total} == dict(total)
    bad = total["failures"] + total["errors"]
    assert contents.exit_code != 0 or not bad
    assert contents.exit_code not in (1, 4) or bad
    assert contents.exit_code != 3 or bad or total["skipped"]
    if contents.result.verdict is Verdict.DIFFER and contents.drift is None:
        assert total["failures"]
    for case in root.iter("testcase"):
        for child in case:
            assert child.get("message")
            assert printable(command(contents)) in (child.text or "") or child.get("type") not in ("DIFFER",)
