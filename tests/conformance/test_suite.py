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

_CALIBRATED = """
import json
from contextlib import contextmanager
from itertools import islice

import numpy as np

from deltann.artifact import Artifact
from deltann.backend import Option, settings
from deltann.errors import UsageError
from deltann.testing.faulty import FaultyBackend

TOLD = {
    "unknown": {"mood": "good"},
    "untyped": {"threads": 1},
    "empty": {"note": " "},
    "disobedient": {"threads": "8"},
    "frank": {"threads": "8", "ignored": "threads: not in this build"},
}

class Calibrated(FaultyBackend):
    name = "calibrated"
    options = {
        **FaultyBackend.options,
        "samples": Option("as many", "6", "count"),
        "fault": Option("what is wrong", choices=("deaf", "hasty", "lax", "greedy", *TOLD)),
    }

    def calibration_samples(self, env):
        values = settings(self, env)
        return 6 if values["fault"] == "greedy" else values["samples"]

    def lower(self, model, env, workdir):
        if settings(self, env)["fault"] != "lax":
            raise UsageError("give samples")
        return super().lower(model, env, workdir)

    def lower_calibrated(self, model, env, workdir, batches):
        artifact = super().lower(model, env, workdir)
        looked_at = {"deaf": 0, "hasty": 1}.get(settings(self, env)["fault"], len(batches))
        peaks = [float(np.abs(array).max()) for batch in islice(batches, looked_at) for array in batch.values()]
        (workdir / "peaks.json").write_text(json.dumps(peaks))
        return Artifact.of(workdir, [*artifact.files, "peaks.json"])

    @contextmanager
    def load(self, artifact, env):
        with super().load(artifact, env) as executable:
            executable.actual = lambda: TOLD.get(settings(self, env)["fault"], {"threads": "1", "note": "numpy"})
            yield executable
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
def outcomes(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outcomes]:
    pytester.makepyfile(sloppy=_SLOPPY, missing=_MISSING, calibrated=_CALIBRATED, jax="")
    pytester.syspathinsert()
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))  # for the workers
    entries = {"sloppy": "sloppy:Sloppy", "blind": "sloppy:Blind", "missing": "missing:Missing", "broken": "nowhere:B"}
    entries["calibrated"] = "calibrated:Calibrated"
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
    spec = "[faulty[prints=yes]]"
    assert found.pop(f"TestSound::test_calibration{spec}") == "skipped"
    assert found.pop(f"TestSound::test_actual{spec}") == "skipped"
    assert len(found) > 20
    assert set(found.values()) == {"passed"}


def test_a_sound_calibrated_backend_passes(outcomes: Outcomes) -> None:
    found = outcomes("""
class TestSound(BackendConformance):
    spec = "calibrated"
    known = {"opset7": notyet(CellFailed, "onnx 1.23: BatchNormalization before opset 9 returns a tuple in a tuple")}
""")
    assert found.pop("TestSound::test_outputs[opset7]") == "xfailed"
    assert len(found) > 20
    assert set(found.values()) == {"passed"}


def test_faults_of_calibration_and_of_telling_fail_their_checks(outcomes: Outcomes) -> None:
    calibration, actual, threads = ("test_calibration", "test_actual", "test_threads")
    faults = {"deaf": calibration, "hasty": calibration, "lax": calibration, "greedy": calibration}
    faults |= {"unknown": actual, "untyped": actual, "empty": actual, "disobedient": threads}
    suites, wanted = "", {}
    for number, (fault, test) in enumerate({**faults, "frank": threads}.items()):
        spec = f"calibrated[fault={fault}]"
        suites += f"\nclass TestFault{number}(BackendConformance):\n    spec = {spec!r}\n"
        wanted[f"TestFault{number}::{test}[{spec}]"] = "failed" if fault in faults else "passed"
    assert outcomes(suites, *(f"test_suites.py::{test}" for test in wanted)) == wanted


def test_a_tolerance_loosens_what_is_inexact_and_nothing_else(outcomes: Outcomes) -> None:
    wrong = "faulty[amount=0.03,symptom=MISMATCH]"
    suites = f"""
class TestStrict(BackendConformance):
    spec = {wrong!r}

class TestLoose(BackendConformance):
    spec = {wrong!r}
    tolerance = 0.2

class TestAmiss(BackendConformance):
    spec = "faulty[mismatch=renamed,symptom=MISMATCH]"
    tolerance = 0.2

class TestNan(BackendConformance):
    spec = "faulty[mismatch=nan,symptom=MISMATCH]"
    tolerance = 0.2
"""
    wanted = {
        f"TestStrict::{_OUTPUTS}": "failed",
        f"TestLoose::{_OUTPUTS}": "passed",
        "TestLoose::test_outputs[mixed_inputs]": "failed",
        f"TestAmiss::{_OUTPUTS}": "failed",
        f"TestNan::{_OUTPUTS}": "failed",
    }
    assert outcomes(suites, *(f"test_suites.py::{test}" for test in wanted)) == wanted


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

class TestUnheardOf(BackendConformance):
    spec = "unheard_of"
"""
    wanted = {
        "TestMissing::test_contract[missing]": "skipped",
        "TestBroken::test_contract[broken]": "failed",
        "TestUnheardOf::test_contract[unheard_of]": "failed",
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
    found = outcomes(suites, "-m", "faulty and not long", "-k", "outputs", "test_suites.py")
    assert found == {"TestMine::test_outputs[whole]": "passed"}, "a third party's settings know no 'long'"
    found = outcomes(suites, "-c", str(ini), "-m", "faulty and not long", "-k", "not outputs", "test_suites.py")
    assert found == {"TestMine::test_contract[faulty]": "passed", "TestMine::test_known[faulty]": "passed"}
