"""What every backend must do. A third party's whole test file:

    from deltann.testing.conformance import BackendConformance

    class TestMine(BackendConformance):
        spec = "mine"

Each test carries a marker named after the backend, so `pytest -m mine` selects it. A failure that is known stands in
`known`, under the name of the check or of the tiny model that fails:

    known = {"float16": notyet(Unsupported, "mine 2.1 has no half precision"), "threads": notimpl(Unsupported, "…")}

Marks are strict: one whose failure has gone, or that names nothing, fails the suite.

Every assertion has a message: pytest rewrites those of a test file alone, and this is none.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from deltann import registry
from deltann.backend import ACTUAL, Tensors, calibration_samples, settings
from deltann.environment import Environment
from deltann.errors import Unavailable, Unsupported
from deltann.testing.job import Job
from deltann.testing.marks import never, notimpl, notyet
from deltann.testing.models import MODELS, refused
from deltann.testing.tiny import TinyModel
from deltann.testing.workbench import CellFailed, Lowered, Workbench

_SAMPLES = 5
_EQUAL_WHERE_TOLERANT = 0.75
_IMPORT = """
import json, sys
from deltann import backend, model, registry
before = set(sys.modules)
adapter = registry.get(sys.argv[1])
adapter.version(), adapter.devices()
sys.stderr.write(json.dumps(sorted(set(sys.modules) - before)))
"""
_FRAMEWORKS = {
    "torch",
    "tensorflow",
    "keras",
    "ai_edge_litert",
    "tvm",
    "onnxruntime",
    "jax",
    "openvino",
    "nncf",
    "iree",
}
_FRAMEWORKS |= {"tract", "tinygrad"}


class BackendConformance:
    """Derive a class named `Test…` and state `spec`.

    `quick`: names of the checks and tiny models that every run tries; all others carry the marker `long`. None: all
    are quick.

    `tolerance`: for environments that are inexact by intent, such as int8: |actual − expected| ≤ tolerance ·
    (1 + |expected|) for float outputs, where a tiny model does not allow more itself; three quarters of the elements of
    any other output must be right. None: each tiny model's own tolerance, and all elements.
    """

    spec: ClassVar[str]
    known: ClassVar[Mapping[str, pytest.MarkDecorator]] = {}
    quick: ClassVar[tuple[str, ...] | None] = None
    tolerance: ClassVar[float | None] = None

    @classmethod
    def pytest_generate_tests(cls, metafunc: pytest.Metafunc) -> None:
        """Give every test its markers; a test of `tiny` runs once a tiny model."""
        backend = Environment.parse(cls.spec).backend
        metafunc.config.addinivalue_line("markers", f"{backend}: tests of the backend '{backend}'")
        if cls.quick is not None and not any(line.startswith("long") for line in metafunc.config.getini("markers")):
            metafunc.config.addinivalue_line("markers", "long: what `quick` leaves out (leave it out: -m 'not long')")
        marks = [getattr(pytest.mark, backend)]
        if "tiny" in metafunc.fixturenames:
            cases = [pytest.param(name, marks=[*marks, *cls._marks(name)], id=name) for name in MODELS]
            metafunc.parametrize("tiny", cases, indirect=True)
        elif "check" in metafunc.fixturenames:
            check = metafunc.function.__name__.removeprefix("test_")
            metafunc.parametrize("check", [pytest.param(check, marks=[*marks, *cls._marks(check)], id=cls.spec)])

    @classmethod
    def _marks(cls, name: str) -> list[pytest.MarkDecorator]:
        marks = [cls.known[name]] if name in cls.known else []
        return marks if cls.quick is None or name in (*cls.quick, "known") else [*marks, pytest.mark.long]

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        name = Environment.parse(self.spec).backend
        if name not in registry.names():
            pytest.fail(f"no backend '{name}' is installed: pip install the package that brings it (--editable .)")
        found = registry.availability(name)
        if found.state == "broken":
            pytest.fail(found.note)
        if found.state == "unavailable":
            pytest.skip(found.note)

    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
        """The environment's two worker processes, shared by the tests of this class."""
        try:
            bench = _Bench(cls.spec, tmp_path_factory.mktemp("bench"))
        except Unavailable as error:
            pytest.skip(str(error))
        with bench:
            yield bench

    @pytest.fixture
    def tiny(self, request: pytest.FixtureRequest) -> TinyModel:
        """One of the tiny models."""
        return MODELS[request.param]()

    def test_known(self, check: str) -> None:
        """Every name in `known` and `quick` is that of a check or of a tiny model."""
        del check
        checks = {name.removeprefix("test_") for name in dir(self) if name.startswith("test_")}
        for name in (*self.known, *(self.quick or ())):
            assert name in checks | set(MODELS), f"'{name}' is neither a check ({checks}) nor a tiny model"

    def test_contract(self, check: str) -> None:
        """The adapter's tables are whole, and every variant, value and device it names can be asked for."""
        del check
        environment = Environment.parse(self.spec)
        backend = registry.get(environment.backend)
        assert backend.name == environment.backend, f"the class's name is '{backend.name}'"
        texts = {"summary": backend.summary, "install": backend.install, "distribution": backend.distribution}
        for what, text in {**texts, "version()": backend.version()}.items():
            assert isinstance(text, str), f"{what} is no str: {text!r}"
            assert text.strip() == text != "", f"{what} is empty, or has spaces around it: {text!r}"
        assert backend.devices(), "devices() is empty: name one at least, the default first"
        specs = [backend.name, *(f"{backend.name}-{variant}" for variant in backend.variants)]
        specs += [f"{backend.name}:{device}" for device in backend.devices()]
        specs += [f"{backend.name}[{key}={value}]" for key, o in backend.options.items() for value in o.choices]
        for spec in specs:
            parsed = Environment.parse(spec)
            assert str(parsed) == spec, f"{spec} is spelt {parsed}"
            settings(backend, parsed)
        helpless = [name for name, option in backend.options.items() if not option.help]
        helpless += [name for name, variant in backend.variants.items() if not variant.help]
        assert not helpless, f"no help is given for {helpless}"

    def test_imports_no_framework(self, check: str) -> None:
        """Importing the adapter and asking for its version and devices is quick: the framework stays out."""
        del check
        name = Environment.parse(self.spec).backend
        distribution = registry.get(name).distribution
        done = subprocess.run([sys.executable, "-c", _IMPORT, name], capture_output=True, text=True, check=True)
        imported = {module.partition(".")[0] for module in json.loads(done.stderr)}
        own = {top for top, sources in packages_distributions().items() if distribution in sources}
        early = imported & (_FRAMEWORKS | own)
        assert not early, f"importing the adapter imports {early}: do so inside `lower` and `load`"

    def test_unsupported_never_raises(self, check: str, tmp_path: Path) -> None:
        """`unsupported` answers for every model, in one line or with None."""
        del check
        environment = Environment.parse(self.spec)
        backend = registry.get(environment.backend)
        for tiny in [*(make() for make in MODELS.values()), refused.unknown_operator(), refused.too_new_opset()]:
            reason = backend.unsupported(tiny.save(tmp_path), environment)
            assert reason is None or (reason.strip() and "\n" not in reason), f"{tiny.name}: not one line: {reason!r}"

    def test_outputs(self, tiny: TinyModel, bench: Workbench, tmp_path: Path) -> None:
        """Every tiny model gives what numpy says: the right names, types, shapes and values, for one run after another.

        Lowered in one process, moved, run in another one; inputs are read-only memory maps; the last batch is short.
        """
        job = Job.save(tiny, tmp_path, _SAMPLES, seed=7)
        expected = job.expected
        actual = bench.run(bench.lower(job), job).outputs
        assert actual.keys() == expected.keys(), f"the outputs are {sorted(actual)}, expected {sorted(expected)}"
        for name, wanted in expected.items():
            _assert_close(name, actual[name], wanted, tiny.tolerance, self.tolerance)

    def test_deterministic_artifact(self, check: str, bench: Workbench, tmp_path: Path) -> None:
        """Two processes lower the same model into the same bytes, all of them in files of the artifact's folder."""
        del check
        job = _job("conv_bn_relu", tmp_path)
        one, other = bench.lower(job), bench.lower(job, process="running")
        assert not one.facts["artifact_cached"], "a new cache holds the artifact already"
        assert not other.facts["artifact_cached"], "a new cache holds the artifact already"
        assert one.artifact.digest == other.artifact.digest == one.facts["artifact"], "each process made other bytes"
        assert one.artifact.files, "the artifact has no file"
        for file in one.artifact.files:
            path = (one.artifact.folder / file).resolve()
            assert path.is_relative_to(one.artifact.folder.resolve()), f"{file} lies outside the artifact's folder"
            assert not (one.artifact.folder / file).is_symlink(), f"{file} is a link: what it leads to may not move"

    def test_calibration(self, check: str, bench: Workbench, tmp_path: Path) -> None:
        """A calibrated environment takes as many samples as asked, looks at the last too, and refuses to do without."""
        del check
        environment = Environment.parse(self.spec)
        backend = registry.get(environment.backend)
        count = calibration_samples(backend, environment)
        if not count:
            pytest.skip(f"{self.spec} is not calibrated")
        if "samples" in backend.options:
            asked = calibration_samples(backend, _with(environment, "samples", "3"))
            assert asked == 3, f"samples=3 asks for {asked} samples"
        job = _job("conv_bn_relu", tmp_path)
        plain, larger = bench.lower(job), bench.lower(job, last=100)
        assert plain.artifact.digest != larger.artifact.digest, f"the last of {count} samples changes nothing"
        with pytest.raises(CellFailed, match=r"(?i)sample|calibrat"):
            bench.probe(job, job.samples, job.samples, calibrated=False)

    def test_actual(self, check: str, bench: Workbench, tmp_path: Path) -> None:
        """What an executable tells of itself after running: `ACTUAL`'s keys, a non-empty line each."""
        del check
        job = _job("conv_bn_relu", tmp_path)
        actual = bench.run(bench.lower(job), job).actual
        if not actual:
            pytest.skip(f"{self.spec} tells nothing of itself")
        assert actual.keys() <= ACTUAL.keys(), f"unknown keys {sorted(actual.keys() - ACTUAL.keys())}: see ACTUAL"
        for key, value in actual.items():
            one_line = isinstance(value, str) and value.strip() == value != "" and "\n" not in value
            assert one_line, f"{key} is no line of text: {value!r}"

    def test_arrays(self, check: str, bench: Workbench, tmp_path: Path, record_property: Any) -> None:
        """Runs leave inputs alone, give fresh outputs and let held ones be; whether they repeat exactly is reported."""
        del check
        job = _job("conv_bn_relu", tmp_path)
        first, second = (job.tiny.samples(job.model, job.tiny.rows or 1, seed) for seed in (1, 2))
        found = bench.probe(job, first, second)
        assert not found["inputs_changed"], f"a run wrote to the inputs {found['inputs_changed']}"
        assert not found["outputs_changed"], "a second run overwrote the first one's outputs"
        assert not found["outputs_stale"], "other inputs gave the same outputs"
        record_property("deterministic", not found["differs_on_repetition"])
        if found["differs_on_repetition"]:
            warnings.warn(f"{self.spec} does not repeat itself bit for bit", stacklevel=1)

    def test_unknown_operator(self, check: str, bench: Workbench, tmp_path: Path) -> None:
        """An operator that nobody knows is UNSUPPORTED, by name."""
        del check
        with pytest.raises(Unsupported, match="Frobnicate"):
            bench.lower(Job.save(refused.unknown_operator(), tmp_path, 1, seed=1))

    def test_too_new_opset(self, check: str, bench: Workbench, tmp_path: Path) -> None:
        """An opset that does not exist yet is UNSUPPORTED, by number: nobody knows what its operators will mean."""
        del check
        job = Job.save(refused.too_new_opset(), tmp_path, 1, seed=1)
        with pytest.raises(Unsupported, match=rf"(?i)opset.*\b{job.model.opset}\b"):
            bench.lower(job)

    def test_threads(self, check: str, bench: Workbench, tmp_path: Path) -> None:
        """The option `threads`, where there is one, is accepted, and followed as far as the executable tells."""
        del check
        environment = Environment.parse(self.spec)
        if "threads" not in registry.get(environment.backend).options:
            pytest.skip(f"{environment.backend} has no option 'threads'")
        job = _job("classifier", tmp_path)
        actual = bench.run(bench.lower(job, str(_with(environment, "threads", "1"))), job).actual
        followed = actual.get("threads", "1") == "1" or "threads" in actual.get("ignored", "")
        assert followed, f"threads=1 gives {actual['threads']} threads, and `ignored` does not say so"


class _Bench(Workbench):
    """Skips the test where the environment's device is not on this machine."""

    def lower(self, job: Job, spec: str | None = None, process: str = "lowering", last: float = 1) -> Lowered:
        try:
            return super().lower(job, spec, process, last)
        except Unavailable as error:
            pytest.skip(str(error))

    def probe(self, job: Job, first: Tensors, second: Tensors, calibrated: bool = True) -> dict[str, list[str]]:
        try:
            return super().probe(job, first, second, calibrated)
        except Unavailable as error:
            pytest.skip(str(error))


def _job(name: str, folder: Path) -> Job:
    tiny = MODELS[name]()
    return Job.save(tiny, folder, tiny.rows or 1, seed=3)


def _with(environment: Environment, key: str, value: str) -> Environment:
    return replace(environment, options=tuple(sorted({**dict(environment.options), key: value}.items())))


def _assert_close(
    name: str, actual: npt.NDArray[Any], expected: npt.NDArray[Any], own: float, tolerance: float | None
) -> None:
    assert actual.dtype == expected.dtype, f"{name} is {actual.dtype}, the model declares {expected.dtype}"
    assert actual.shape == expected.shape, f"{name} is {actual.shape}, expected {expected.shape}"
    if not np.issubdtype(expected.dtype, np.floating):
        differ = np.count_nonzero(actual != expected)
        allowed = 0 if tolerance is None else int((1 - _EQUAL_WHERE_TOLERANT) * expected.size)
        assert differ <= allowed, f"{name}: {differ} values of {expected.size} differ"
        return
    wide = expected.astype(np.float64)
    error = np.abs(actual.astype(np.float64) - wide) / (1 + np.abs(wide))
    limit = max(own, tolerance or 0)
    # A NaN is no number at most the tolerance.
    assert np.all(error <= limit), f"{name}: the error is up to {np.max(error):.3g}, allowed is {limit}"


__all__ = ["BackendConformance", "CellFailed", "Unsupported", "never", "notimpl", "notyet"]
