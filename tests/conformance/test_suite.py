"""The conformance suite itself: a sound backend passes, and every fault fails the check that is there for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deltann.testing.faulty import ENTRY
from deltann.testing.registration import registered

_HEAD = """
import pytest
from deltann.errors import Unsupported
from deltann.testing.conformance import BackendConformance, CellFailed, never, notimpl, notyet
"""

_SLOPPY = """
import jax
from deltann.testing.faulty import FaultyBackend

class Sloppy(FaultyBackend):
    name = "sloppy"
    summary = " "

    def unsupported(self, model, env):
        raise ValueError("no answer")

class Blind(FaultyBackend):
    name = "blind"

    def unsupported(self, model, env):
        return None
"""

_MISSING = """
from importlib.metadata import PackageNotFoundError
from deltann.testing.faulty import FaultyBackend

class Missing(FaultyBackend):
    name = "missing"
    install = "deltann[missing]"

    def version(self):
        raise PackageNotFoundError("missing")
"""

_OUTPUTS = "test_outputs[two_outputs]"
_FAULTS = {
    "faulty[symptom=MISMATCH]": [_OUTPUTS],
    "faulty[mismatch=swapped,symptom=MISMATCH]": [_OUTPUTS],
    "faulty[mismatch=missing,symptom=MISMATCH]": [_OUTPUTS],
    "faulty[mismatch=extra,symptom=MISMATCH]": [_OUTPUTS],
    "faulty[mismatch=renamed,symptom=MISMATCH]": [_OUTPUTS],
    "faulty[mismatch=dtype,symptom=MISMATCH]": [_OUTPUTS],
    "faulty[mismatch=nan,symptom=MISMATCH]": [_OUTPUTS],
    "faulty[mismatch=rows,symptom=MISMATCH]": [_OUTPUTS],
    "faulty[mismatch=shape,symptom=MISMATCH]": [_OUTPUTS],
    "faulty[mismatch=stale,symptom=MISMATCH]": [_OUTPUTS, "test_arrays[{}]"],
    "faulty[mismatch=reused,symptom=MISMATCH]": ["test_arrays[{}]"],
    "faulty[mismatch=overwritten,symptom=MISMATCH]": ["test_arrays[{}]"],
    "faulty[stage=COMPILE,symptom=MISMATCH]": [_OUTPUTS],
    "faulty[stage=LOAD,symptom=MISMATCH]": [_OUTPUTS],
    "faulty[stage=COMPILE,symptom=NONDETERMINISM]": ["test_deterministic_artifact[{}]"],
    "faulty[symptom=NONDETERMINISM]": [_OUTPUTS],
    "faulty[stage=COMPILE,symptom=CRASH]": [_OUTPUTS],
    "faulty[symptom=EXCEPTION]": [_OUTPUTS],
    "faulty[status=UNSUPPORTED]": [_OUTPUTS, "test_threads[{}]"],
}


@pytest.fixture
def outcomes(pytester: pytest.Pytester) -> Iterator[Outcomes]:
    pytester.makepyfile(sloppy=_SLOPPY, missing=_MISSING, jax="")
    pytester.syspathinsert()
    entries = {"sloppy": "sloppy:Sloppy", "blind": "sloppy:Blind", "missing": "missing:Missing", "broken": "nowhere:B"}
    with registered(faulty=ENTRY, **entries):
        yield Outcomes(pytester)


class Outcomes:
    """Runs suites under the strictest of pytest's settings; how each test ended, by `Class::test`."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester

    def __call__(self, suites: str, *arguments: str) -> dict[str, str]:
        self._pytester.makepyfile(test_suites=_HEAD + suites)
        options = ("--strict-markers", "--strict-config", "-p", "no:cacheprovider", "-p", "no:randomly")
        record = self._pytester.inline_run(*options, *(arguments or ["test_suites.py"]))
        found = {}
        for report in record.getreports("pytest_runtest_logreport"):
            name = report.nodeid.partition("::")[2]
            if report.when == "call" or report.outcome != "passed":
                known = hasattr(report, "wasxfail")
                found[name] = "xfailed" if known and report.skipped else report.outcome
        return found


def test_a_sound_backend_passes(outcomes: Outcomes) -> None:
    found = outcomes("""
class TestSound(BackendConformance):
    spec = "faulty[prints=yes]"
    known = {"opset7": notyet(CellFailed, "onnx 1.23: BatchNormalization before opset 9 returns a tuple in a tuple")}
""")
    assert found.pop("TestSound::test_outputs[opset7]") == "xfailed"
    assert len(found) > 20
    assert set(found.values()) == {"passed"}


def test_every_fault_fails_its_check(outcomes: Outcomes) -> None:
    suites, wanted = "", []
    for number, (spec, tests) in enumerate(_FAULTS.items()):
        suites += f"\nclass TestFault{number}(BackendConformance):\n    spec = {spec!r}\n"
        wanted += [f"TestFault{number}::{test.format(spec)}" for test in tests]
    found = outcomes(suites, *(f"test_suites.py::{test}" for test in wanted))
    assert found == dict.fromkeys(wanted, "failed")


def test_a_sloppy_adapter_fails(outcomes: Outcomes) -> None:
    wanted = {
        "TestSloppy::test_contract[sloppy]": "failed",
        "TestSloppy::test_imports_no_framework[sloppy]": "failed",
        "TestSloppy::test_unsupported_never_raises[sloppy]": "failed",
        "TestBlind::test_unknown_operator[blind]": "failed",
        "TestBlind::test_too_new_opset[blind]": "failed",
        "TestBlind::test_contract[blind]": "passed",
    }
    suites = """
class TestSloppy(BackendConformance):
    spec = "sloppy"

class TestBlind(BackendConformance):
    spec = "blind"
"""
    assert outcomes(suites, *(f"test_suites.py::{test}" for test in wanted)) == wanted


def test_noise_between_runs_is_reported(outcomes: Outcomes) -> None:
    suite = """
class TestNoisy(BackendConformance):
    spec = "faulty[symptom=NONDETERMINISM]"
"""
    with pytest.warns(UserWarning, match="does not repeat itself"):
        found = outcomes(suite, "-p", "no:warnings", "test_suites.py::TestNoisy::test_arrays")
    assert set(found.values()) == {"passed"}


def test_marks_are_strict(outcomes: Outcomes) -> None:
    suites = """
class TestGone(BackendConformance):
    spec = "faulty"
    known = {"pools": notyet(Unsupported, "a failure that is gone")}

class TestNamesNothing(BackendConformance):
    spec = "faulty"
    known = {"poools": never(Unsupported, "a name that nothing has")}

class TestOtherwise(BackendConformance):
    spec = "faulty[status=UNSUPPORTED]"
    known = {"pools": notimpl(CellFailed, "it fails in another way than stated")}

class TestKnown(BackendConformance):
    spec = "faulty[status=UNSUPPORTED]"
    known = {"pools": notimpl(Unsupported, "as stated"), "threads": never(Unsupported, "as stated")}
"""
    wanted = {
        "TestGone::test_outputs[pools]": "failed",
        "TestNamesNothing::test_known[faulty]": "failed",
        "TestOtherwise::test_outputs[pools]": "failed",
        "TestKnown::test_outputs[pools]": "xfailed",
        "TestKnown::test_threads[faulty[status=UNSUPPORTED]]": "xfailed",
        "TestKnown::test_known[faulty[status=UNSUPPORTED]]": "passed",
    }
    assert outcomes(suites, *(f"test_suites.py::{test}" for test in wanted)) == wanted


def test_what_is_not_there_is_skipped_and_what_is_broken_fails(outcomes: Outcomes) -> None:
    suites = """
class TestMissing(BackendConformance):
    spec = "missing"

class TestBroken(BackendConformance):
    spec = "broken"

class TestNoDevice(BackendConformance):
    spec = "faulty[status=UNAVAILABLE]"
"""
    wanted = {
        "TestMissing::test_contract[missing]": "skipped",
        "TestBroken::test_contract[broken]": "failed",
        "TestNoDevice::test_outputs[whole]": "skipped",
        "TestNoDevice::test_arrays[faulty[status=UNAVAILABLE]]": "skipped",
    }
    assert outcomes(suites, *(f"test_suites.py::{test}" for test in wanted)) == wanted


def test_a_marker_selects_a_backend_and_long_models_are_marked(outcomes: Outcomes, pytester: pytest.Pytester) -> None:
    suites = """
class TestMine(BackendConformance):
    spec = "faulty"
    quick = ("whole", "contract")

class TestTheirs(BackendConformance):
    spec = "reference"
"""
    ini = pytester.makeini("[pytest]\nmarkers = long: slow ones")
    found = outcomes(suites, "-c", str(ini), "-m", "faulty and not long", "-k", "outputs", "test_suites.py")
    assert found == {"TestMine::test_outputs[whole]": "passed"}
    found = outcomes(suites, "-c", str(ini), "-m", "faulty and not long", "-k", "not outputs", "test_suites.py")
    assert found == {"TestMine::test_contract[faulty]": "passed", "TestMine::test_known[faulty]": "passed"}
