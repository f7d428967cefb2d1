"""The faults that leave outputs behind are found by the comparison; one run of all of them beside a sound backend."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import deltann
from deltann.comparison.verdict import Verdict
from deltann.judging import Pair
from deltann.outcome import Status, Symptom
from deltann.result import Result
from deltann.testing.faulty import ENTRY
from deltann.testing.models import MODELS
from deltann.testing.registration import registered

_WRONG = [
    *(f"faulty[stage={stage},symptom=MISMATCH]" for stage in ("CONVERT", "COMPILE", "LOAD", "RUN")),
    *(f"faulty[stage={stage},symptom=NONDETERMINISM]" for stage in ("COMPILE", "RUN")),
    *(
        f"faulty[mismatch={how},symptom=MISMATCH]"
        for how in ("swapped", "missing", "extra", "renamed", "dtype", "nan", "rows", "stale")
    ),
]
_FAILED = [
    "faulty[symptom=EXCEPTION]",
    "faulty[stage=LOAD,symptom=CRASH]",
    "faulty[stage=COMPILE,symptom=OUT_OF_MEMORY]",
]
_SOUND = ["faulty", "faulty[symptom=SLOWDOWN]"]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Result]:
    folder = tmp_path_factory.mktemp("compared")
    with registered(faulty=ENTRY), pytest.MonkeyPatch.context() as patched:
        patched.setenv("DELTANN_CACHE", str(folder / "cache"))
        model = MODELS["two_outputs"]().save(folder)
        yield deltann.compare(
            model.path,
            backends=["reference", *_SOUND, *_WRONG, *_FAILED],
            inputs="random:6",
            batch_size=2,
            reference="reference",
            out=folder / "run",
        )


def _pair(result: Result, spec: str) -> Pair:
    spec = str(deltann.Environment.parse(spec))
    (pair,) = (p for p in result.compared if {p.candidate.environment, p.reference.environment} == {spec, "reference"})
    return pair


@pytest.mark.parametrize("spec", _SOUND)
def test_a_sound_environment_agrees(spec: str, result: Result) -> None:
    assert _pair(result, spec).judgement.verdict is Verdict.AGREE


@pytest.mark.parametrize("spec", _WRONG)
def test_a_wrong_one_differs(spec: str, result: Result) -> None:
    assert _pair(result, spec).judgement.verdict is Verdict.DIFFER


@pytest.mark.parametrize("spec", _FAILED)
def test_a_failed_one_is_not_compared(spec: str, result: Result) -> None:
    assert _pair(result, spec).judgement.verdict is Verdict.NOT_COMPARED
    outcomes = {str(record.cell): record.outcome for record in result.records}
    outcome = outcomes[spec]
    assert outcome.status is Status.FAILED
    assert outcome.symptom == Symptom(dict(deltann.Environment.parse(spec).options)["symptom"])


def test_the_whole_differs(result: Result) -> None:
    assert (result.verdict, result.exit_code) == (Verdict.DIFFER, 1)
