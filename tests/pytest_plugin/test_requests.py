"""What a test asks for, put together from its mark, its call and the command line."""

from __future__ import annotations

import pytest

from deltann.comparison.verdict import Verdict
from deltann.errors import UsageError
from deltann.native import NATIVE as THEIRS
from deltann.outcome import Status
from deltann.pytest_plugin.known import KINDS, KnownFailure, known_failure, known_failures
from deltann.pytest_plugin.request import NATIVE, Share, read_request, shares
from deltann.timing.verdict import TimeVerdict

MODEL = "resnet50.onnx"


def marked(**kwargs):
    return pytest.mark.deltann(**kwargs).mark


def ask(given=(), chosen=None, share=None, **mark):
    return read_request(mark, dict(given), share, chosen)


def test_a_call_alone():
    asked = ask({"model": MODEL, "backends": "torch, ort[threads=1]", "inputs": "images/", "limit": None})
    assert (asked.model, asked.backends) == (MODEL, ("torch", "ort[threads=1]"))
    assert asked.options == {"inputs": "images/"}
    assert asked.times is None
    assert ask({"margin": None}, model=MODEL, backends="torch,ort", margin=None, limit=None) == ask(
        model=MODEL, backends="torch,ort"
    )
    assert asked.named == {"torch", "ort[threads=1]"}


def test_specs_are_spelled_canonically_and_read_once():
    asked = ask({"model": MODEL, "backends": (spec for spec in ["ort[b=2,a=1]", "torch"])})
    assert asked.backends == ("ort[a=1,b=2]", "torch")
    assert asked.named == set(asked.backends)


def test_the_command_line_takes_the_place_of_the_backends():
    asked = ask({"model": MODEL, "backends": ["torch", "ort"]}, chosen=("iree", "tvm"))
    assert asked.backends == ("iree", "tvm")
    assert asked.named == {"torch", "ort"}
    assert ask({"model": MODEL}, chosen=("iree", "tvm")).named is None


@pytest.mark.parametrize(
    ("chosen", "backends"),
    [(("iree",), ("torch", "iree")), (("iree", "torch"), ("iree", "torch")), (None, ("ort", "torch"))],
)
def test_the_reference_stays(chosen, backends):
    given = {"model": MODEL, "backends": ["ort", "torch"], "reference": "torch"}
    assert ask(given, chosen=chosen).backends == backends


def test_the_native_reference_is_no_backend():
    given = {"model": object(), "backends": ["ort"], "reference": NATIVE}
    assert ask(given).backends == ("ort",)
    assert NATIVE == THEIRS


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "no model is given"),
        ({"model": MODEL}, "no backends are given"),
        ({"model": MODEL, "backends": []}, "no backends are given"),
        ({"model": MODEL, "backends": "torch,torch"}, "named twice"),
        ({"model": MODEL, "backends": "Torch"}, "cannot read the backend spec"),
        ({"model": MODEL, "backends": "torch,ort", "reference": "T!"}, "cannot read the backend spec"),
        ({"model": MODEL, "backends": "torch,ort", "out": "runs"}, "out= is not for tests"),
        ({"model": MODEL, "backends": "torch,ort", "budget": 5}, "add bench=True"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(UsageError, match=message) as caught:
        ask(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "times"),
    [({}, None), ({"bench": True}, {}), ({"margin": "2%"}, {"margin": "2%"}),
     ({"bench": True, "budget": 5}, {"budget": 5}), ({"bench": False}, None)],
)  # fmt: skip
def test_times(given, times):
    asked = ask({"model": MODEL, "backends": "torch,ort", **given})
    assert asked.times == times
    assert asked.options == {}


def test_a_mark_is_one_test_for_each_environment_beside_the_reference():
    assert shares(marked(model=MODEL, backends=["torch", "ort", "tvm-O3"]), None) == [
        Share("ort", "torch"),
        Share("tvm-O3", "torch"),
    ]
    named = marked(model=MODEL, backends=["torch", "ort", "tvm-O3"], reference="ort")
    assert shares(named, None) == [Share("torch", "ort"), Share("tvm-O3", "ort")]
    assert shares(marked(model=MODEL, backends=["torch", "ort"], against=None, reference=None), None) == [
        Share("ort", "torch")
    ]
    assert shares(named, ("iree",)) == [Share("iree", "ort")]


def test_a_mark_of_two_models_or_of_an_object_has_no_reference():
    for mark in (marked(model=MODEL, against="b.onnx", backends="torch,ort"), marked(model=len, backends="torch,ort")):
        found = shares(mark, None)
        assert found == [Share("torch", None), Share("ort", None)]
        asked = ask(share=found[0], **mark.kwargs)
        assert asked.backends == ("torch",)
        assert "reference" not in asked.options


def test_the_share_is_what_is_compared():
    mark = marked(model=MODEL, backends=["torch", "ort", "tvm-O3"], inputs="images/")
    asked = ask({"limit": 3}, share=shares(mark, None)[1], **mark.kwargs)
    assert asked.backends == ("torch", "tvm-O3")
    assert asked.options == {"inputs": "images/", "limit": 3, "reference": "torch"}
    assert asked.named == {"torch", "ort", "tvm-O3"}
    with pytest.raises(UsageError, match="backends= is what the test's mark says"):
        ask({"backends": "iree"}, share=Share("ort", "torch"), **mark.kwargs)


def test_a_mark_s_iterator_would_be_used_up_and_is_refused():
    for name in ("backends", "classes"):
        once = {"backends": ["torch", "ort"], name: iter(["torch", "ort"])}
        with pytest.raises(UsageError, match=f"{name}= is an iterator, .*: give a list"):
            shares(marked(model=MODEL, **once), None)
    many = marked(model=iter([]), backends=("torch", "ort"))  # a model is what it is
    assert shares(many, None) == shares(many, None)


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (pytest.mark.deltann(MODEL).mark, "the mark is written"),
        (marked(backends=["torch", "ort"]), "the mark is written"),
        (marked(model=MODEL), "no backends are given"),
        (marked(model=MODEL, backends=["torch"]), "torch alone has nothing to agree with"),
    ],
)
def test_marks_that_are_refused(mark, message):
    with pytest.raises(UsageError, match=message):
        shares(mark, None)


class Marked:
    """As much of a test as `known_failures` asks of one."""

    def __init__(self, *marks):
        self._marks = [mark.mark for mark in marks]

    def iter_markers(self, name):
        return (mark for mark in self._marks if mark.name == name)


def test_known_failures_are_read():
    item = Marked(known_failure("ort[b=2,a=1]", reason="why"), known_failure("tvm", reason="why", until=">=1.2"))
    assert known_failures(item) == (KnownFailure("ort[a=1,b=2]", "why"), KnownFailure("tvm", "why", ">=1.2"))
    assert known_failures(Marked(pytest.mark.skip)) == ()


def test_the_kinds_of_a_known_failure_are_those_that_reports_name():
    item = Marked(
        known_failure("tvm", reason="why", raises="DIFFER"),
        known_failure("ort", reason="why", raises=(kind for kind in [Status.FAILED, Status.UNSUPPORTED])),
    )
    for _ in range(2):  # an iterator too
        assert [known.raises for known in known_failures(item)] == [{"DIFFER"}, {"FAILED", "UNSUPPORTED"}]
    assert set(KINDS) == {Status.UNSUPPORTED, Status.FAILED, Verdict.DIFFER, TimeVerdict.REGRESSION}


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (known_failure("Torch", reason="why"), "cannot read the backend spec"),
        (known_failure("tvm", reason=" "), "say why it fails"),
        (known_failure("tvm", reason="why", until="1.2"), "until='1.2' names no versions"),
        (known_failure("tvm", reason="why", until=""), "until='' names no versions"),
        (known_failure("tvm", reason="why", until=1.2), "until=1.2 names no versions"),
        (
            known_failure("tvm", reason="why", raises="SLOWER"),
            "raises='SLOWER' is not one or more of UNSUPPORTED, FAILED",
        ),
        (known_failure("tvm", reason="why", raises=["DIFFER", "AGREE"]), "is not one or more of"),
        (known_failure("tvm", reason="why", raises=()), "is not one or more of"),
        (pytest.mark.deltann_known_failure("tvm", reason="why", raises=5), "raises=5 is not one or more of"),
        (pytest.mark.deltann_known_failure(reason="why"), "is written deltann.known_failure"),
        (pytest.mark.deltann_known_failure("tvm", reason="why", till=">1"), "is written deltann.known_failure"),
    ],
)
def test_known_failures_that_are_refused(mark, message):
    with pytest.raises(UsageError, match=message) as caught:
        known_failures(Marked(mark))
    assert "\n" not in str(caught.value)
