"""What a comparison means for a test, from runs made of given outputs: nothing is executed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import deltann
from deltann.comparison.verdict import Verdict
from deltann.criteria import Criteria
from deltann.errors import UsageError
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.pytest_plugin.assessment import assess
from deltann.pytest_plugin.known import KINDS, KnownFailure
from deltann.report.contents import Contents
from deltann.testing.stored import write_run
from deltann.testing.times import write_times
from deltann.timing.stored import timing

RNG = np.random.default_rng(11)
SCORES = RNG.standard_normal((40, 10)).astype(np.float32)
GOOD, BAD = {"y": SCORES}, {"y": SCORES + RNG.standard_normal(SCORES.shape).astype(np.float32)}
CRASH = Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, "SIGSEGV while RUN")
UNSUPPORTED = Outcome(Status.UNSUPPORTED, Stage.CONVERT, None, "no operator Foo")
MISSING = Outcome(Status.UNAVAILABLE, reason="pip install 'deltann[tvm]'")
KNOWN = KnownFailure("tvm", "its Conv is wrong")


@pytest.fixture
def contents(tmp_path_factory):
    """The contents of a run made of cells, with times where `slowdowns` are given."""

    def make(cells, slowdowns=None, **settings):
        run = write_run(tmp_path_factory.mktemp("stored") / "run", cells, **settings)
        if slowdowns is not None:
            write_times(run, slowdowns)
        result = deltann.load(run)
        return Contents(result, timing(run, result=result))

    return make


def test_agreement_is_no_failure(contents):
    assert assess(contents({"torch": GOOD, "ort": GOOD, "tvm": GOOD})) == assess(contents({"torch": GOOD, "ort": GOOD}))
    found = assess(contents({"torch": GOOD, "ort": GOOD}))
    assert (found.failures, found.missing, found.met, found.unmet) == ((), (), frozenset(), frozenset())


def test_a_difference_fails_and_names_both(contents):
    (failure,) = assess(contents({"torch": GOOD, "tvm": BAD})).failures
    assert failure.startswith("tvm and torch DIFFER: ")


@pytest.mark.parametrize("outcome", [CRASH, UNSUPPORTED])
def test_an_environment_without_outputs_fails(contents, outcome):
    found = contents({"torch": GOOD, "ort": GOOD, "tvm": outcome})
    (failure,) = assess(found).failures
    assert failure.startswith("tvm ")
    assert outcome.reason in failure
    excused = assess(found, [KNOWN])
    assert (excused.failures, excused.met, excused.unmet) == ((), {KNOWN}, frozenset())


def test_one_that_is_not_installed_is_missing_and_no_failure(contents):
    found = assess(contents({"torch": GOOD, "ort": GOOD, "tvm": MISSING}), [KNOWN])
    assert found.missing == ("tvm is UNAVAILABLE: pip install 'deltann[tvm]'",)
    assert (found.failures, found.met, found.unmet) == ((), frozenset(), frozenset())


def test_a_difference_of_the_others_fails_beside_a_missing_one(contents):
    found = assess(contents({"torch": GOOD, "ort": BAD, "tvm": MISSING}))
    assert found.missing
    assert any("ort and torch DIFFER" in failure for failure in found.failures)


def test_where_the_reference_is_missing_nobody_failed(contents):
    found = assess(contents({"torch": MISSING, "tvm": GOOD}), [KNOWN])
    assert found.failures == ()
    assert found.unmet == frozenset(), "it ran, but what it gave was held against nothing"


def test_only_the_marked_environment_is_excused(contents):
    cells = {"torch": GOOD, "ort": GOOD, "tvm": BAD}
    excused = assess(contents(cells), [KNOWN])
    assert (excused.failures, excused.met, excused.unmet) == ((), {KNOWN}, frozenset())
    other = KnownFailure("ort", "is it?")
    found = assess(contents(cells), [other])
    # Most of them say that tvm is wrong, so it is no failure of ort's that it differs from tvm.
    assert len(found.failures) == 2
    assert (found.met, found.unmet) == (frozenset(), {other})


def test_of_two_that_nobody_can_tell_apart_either_excuses(contents):
    for known in (KNOWN, KnownFailure("torch", "it may be this one")):
        found = assess(contents({"torch": GOOD, "tvm": BAD}), [known])
        assert (found.failures, found.met) == ((), {known})


def test_a_difference_elsewhere_is_not_excused(contents):
    found = assess(contents({"torch": GOOD, "ort": BAD, "tvm": CRASH}), [KNOWN])
    assert found.met == {KNOWN}
    (failure,) = found.failures
    assert failure.startswith("ort and torch DIFFER")


def test_a_failure_that_does_not_happen_is_unmet(contents):
    found = assess(contents({"torch": GOOD, "ort": GOOD, "tvm": GOOD}), [KNOWN])
    assert (found.failures, found.met, found.unmet) == ((), frozenset(), {KNOWN})


@pytest.mark.parametrize(
    ("version", "until", "over"),
    [("1.1", ">=1.2", False), ("1.2", ">=1.2", True), ("1.3.dev5+gabc", ">=1.2", True), ("1.2rc1", ">=1.2", False),
     ("2.13.0+cpu", ">=2.13", True), ("1.5", ">=1.2,!=1.5.*", False)],
)  # fmt: skip
def test_until_a_version(contents, version, until, over):
    known = KnownFailure("tvm", "its Conv is wrong", until)
    facts = {"tvm": {"version": version}}
    bad = assess(contents({"torch": GOOD, "tvm": BAD}, facts=facts), [known])
    assert bool(bad.failures) == over
    assert bad.met == (frozenset() if over else {known})
    assert any(f"is over: it is excused until {until}, and this is {version}" in f for f in bad.failures) == over
    good = assess(contents({"torch": GOOD, "tvm": GOOD}, facts=facts), [known])
    assert good.failures == ()
    assert good.unmet == (frozenset() if over else {known}), "a mark that is over asks for nothing"


@pytest.mark.parametrize(("until", "over"), [(">=2.14", False), (">=2.13", True)])
def test_until_a_version_of_the_object_s_own_framework(contents, until, over):
    found = contents({"native": GOOD, "ort": BAD}, facts={"native": {"version": "torch 2.13.0+cpu"}})
    assert bool(assess(found, [KnownFailure("native", "…", until)]).failures) == over


def test_until_a_version_that_cannot_be_ordered(contents):
    found = contents({"torch": GOOD, "tvm": BAD}, facts={"tvm": {"version": "main-2026"}})
    with pytest.raises(UsageError, match="'main-2026' is no version"):
        assess(found, [KnownFailure("tvm", "…", ">=1.2")])
    assert assess(found, [KNOWN]).met == {KNOWN}
    missing = contents({"torch": GOOD, "ort": GOOD, "tvm": MISSING})  # and so is its version
    assert assess(missing, [KnownFailure("tvm", "…", ">=1.2")]) == assess(missing)


def test_what_could_not_be_told_fails_and_no_mark_excuses_it(contents):
    same = {"y": np.zeros_like(SCORES)}
    found = contents({"torch": same, "tvm": same})
    assert found.result.verdict is Verdict.INCONCLUSIVE
    for known in ([], [KNOWN]):
        (failure,) = assess(found, known).failures
        assert "INCONCLUSIVE" in failure


SAME = {name: {"version": "1", "artifact": "a" * 64} for name in ("ort", "ort-O2")}
NOTHING = "INCONCLUSIVE: only environments that ran the very same thing were compared"


@pytest.mark.parametrize("third", [None, CRASH, UNSUPPORTED, MISSING, BAD])
def test_the_same_code_twice_is_no_agreement_whatever_is_excused_or_missing_beside_it(contents, third):
    cells = {"ort": GOOD, "ort-O2": GOOD} | ({} if third is None else {"tvm": third})
    found = assess(contents(cells, facts=SAME), [KNOWN])
    assert found.failures == (NOTHING,)
    assert bool(found.met) == (third not in (None, MISSING)), "its own failure is excused all the same"


def test_the_same_code_twice_is_no_failure_where_a_third_agrees(contents):
    cells = {"ort": GOOD, "ort-O2": GOOD, "tvm": GOOD}
    assert assess(contents(cells, facts=SAME)).failures == ()
    slower = contents(cells, {"ort": 0.0, "ort-O2": 0.0, "tvm": 0.5}, facts=SAME)
    found = assess(slower, [KNOWN])
    assert (found.failures, found.met) == ((), {KNOWN}), "it was slower, and agreed"


def test_one_that_is_left_alone_by_what_is_excused_or_missing_is_no_failure(contents):
    for third in (CRASH, MISSING, BAD):
        assert assess(contents({"ort": GOOD, "tvm": third}), [KNOWN]).failures == ()
    # Nor are two that were never to be held against each other.
    cells, criteria = {"torch": GOOD, "ort": GOOD, "tvm": MISSING}, Criteria(reference="tvm")
    assert assess(contents(cells, criteria=criteria)).failures == ()


def test_what_is_missing_of_the_run_is_not_hidden_by_what_is_excused(contents):
    whole = contents({"torch": GOOD, "ort": GOOD, "tvm": BAD})
    lost = Contents(replace(whole.result, missing=("times: interrupted",)))
    assert assess(lost, [KNOWN]).failures == ("INCONCLUSIVE: times: interrupted",)
    assert assess(whole, [KNOWN]).failures == ()


FAILING = {
    "UNSUPPORTED": {"torch": GOOD, "ort": GOOD, "tvm": UNSUPPORTED},
    "FAILED": {"torch": GOOD, "ort": GOOD, "tvm": CRASH},
    "DIFFER": {"torch": GOOD, "ort": GOOD, "tvm": BAD},
    "REGRESSION": {"torch": GOOD, "tvm": GOOD},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("admitted", KINDS)
def test_a_mark_excuses_the_kinds_it_names_and_no_other(contents, kind, admitted):
    found = contents(FAILING[kind], {"torch": 0.0, "tvm": 0.5} if kind == "REGRESSION" else None)
    for raises in (frozenset([admitted]), frozenset([admitted, KINDS[0]])):
        known = KnownFailure("tvm", "why", raises=raises)
        judged = assess(found, [known])
        assert judged.met == ({known} if kind in raises else frozenset())
        assert bool(judged.failures) == (kind not in raises)
        told = f"the known failure of tvm: why excuses {', '.join(sorted(raises))} alone"
        assert (told in judged.failures) == (kind not in raises)
    assert assess(found, [KNOWN]).failures == (), "one that names none excuses any"


def test_of_two_marks_each_is_held_to_its_own_kind(contents):
    both = [KnownFailure("tvm", kind, raises=frozenset([kind])) for kind in ("DIFFER", "FAILED")]
    found = assess(contents(FAILING["DIFFER"]), both)
    assert (found.failures, found.met, found.unmet) == ((), {both[0]}, {both[1]})


def test_beside_a_missing_one_a_failure_that_does_not_happen_is_unmet(contents):
    cells = {"torch": GOOD, "tvm": GOOD, "iree": MISSING}
    assert assess(contents(cells), [KNOWN]).unmet == {KNOWN}
    # They may both differ from the one that is missing.
    both = [KNOWN, KnownFailure("torch", "as bad")]
    assert assess(contents(cells), both).unmet == frozenset()
    assert assess(contents({"torch": GOOD, "tvm": GOOD}), both).unmet == set(both)


def test_being_slower_fails_and_is_excused_by_its_own_mark(contents):
    cells = {"torch": GOOD, "tvm": GOOD}
    slow = contents(cells, {"torch": 0.0, "tvm": 0.5})
    (failure,) = assess(slow).failures
    assert failure.startswith("tvm is slower than torch: ")
    assert assess(slow, [KNOWN]).met == {KNOWN}
    wrong = KnownFailure("torch", "the reference is not the slow one")
    assert assess(slow, [wrong]).failures == (failure,)
    assert assess(slow, [wrong]).unmet == {wrong}


def test_being_as_fast_is_no_failure(contents):
    found = assess(contents({"torch": GOOD, "tvm": GOOD}, {"torch": 0.0, "tvm": 0.0}), [KNOWN])
    assert found.failures == ()
    assert found.unmet == {KNOWN}
    # It may be the slowness that is known, of which nothing was seen.
    agree = contents({"torch": GOOD, "tvm": GOOD})
    assert assess(agree, [KNOWN], untimed=True).unmet == frozenset()
    # What does not need times is known without them.
    known = KnownFailure("tvm", "why", raises=frozenset(["DIFFER"]))
    assert assess(agree, [known], untimed=True).unmet == {known}


CELLS = {"good": GOOD, "bad": BAD, "crash": CRASH, "unsupported": UNSUPPORTED, "missing": MISSING}


@given(st.lists(st.sampled_from(sorted(CELLS)), min_size=2, max_size=4), st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_but_agreement_passes(tmp_path_factory, kinds, known):
    names = ("torch", "ort", "tvm", "iree")
    cells = {name: CELLS[kind] for name, kind in zip(names, kinds, strict=False)}
    result = deltann.load(write_run(tmp_path_factory.mktemp("any") / "run", cells))
    found = assess(Contents(result), [KNOWN] if known else [])
    assert bool(result.exit_code) == bool(found.failures or found.missing or found.met)
    assert not found.met & found.unmet
    if not known:
        failed = {"crash", "unsupported"} & set(kinds) or {"good", "bad"} <= set(kinds)
        assert bool(found.failures) == bool(failed)
