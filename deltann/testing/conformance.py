"""What every backend must do. A third party's whole test file:

    from deltann.testing.conformance import BackendConformance

    class TestMine(BackendConformance):
        spec = "mine"

Each test carries a marker named after the backend, so `pytest -m mine` selects it. A failure that is known stands in
`known`, under the name of the check or of the tiny model that fails:

    known = {"float16": notyet(Unsupported, "mine 2.1 has no half precision"), "threads": notimpl(Unsupported, "…")}

Marks are strict: one whose failure has gone, or that names nothing, fails the suite.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx.helper import make_node

from deltann import registry
from deltann.backend import Tensors, settings
from deltann.environment import Environment
from deltann.errors import Unavailable, Unsupported
from deltann.model import Model
from deltann.testing.job import Job
from deltann.testing.models import MODELS
from deltann.testing.tiny import TinyModel, build, tensor
from deltann.testing.workbench import CellFailed, Lowered, Workbench

_SAMPLES = 5
_IMPORT = """
import json, sys
from deltann import backend, model, registry
before = set(sys.modules)
adapter = registry.get(sys.argv[1])
adapter.version(), adapter.devices()
sys.stderr.write(json.dumps(sorted(set(sys.modules) - before)))
"""
_FRAMEWORKS = {"torch", "tensorflow", "tvm", "onnxruntime", "jax", "openvino", "iree", "tinygrad"}


def notimpl(raises: type[Exception], reason: str) -> pytest.MarkDecorator:
    """A failure that is ours to mend: the adapter does not do this yet."""
    return _known("notimpl", raises, reason)


def notyet(raises: type[Exception], reason: str) -> pytest.MarkDecorator:
    """A failure that is the framework's to mend."""
    return _known("notyet", raises, reason)


def never(raises: type[Exception], reason: str) -> pytest.MarkDecorator:
    """A failure by design, which will stay."""
    return _known("never", raises, reason)


def _known(kind: str, raises: type[Exception], reason: str) -> pytest.MarkDecorator:
    return pytest.mark.xfail(raises=raises, reason=f"{kind}: {reason}", strict=True)


class BackendConformance:
    """Derive a class named `Test…` and state `spec`.

    `quick`: names of the checks and tiny models that every run tries; all others carry the marker `long`. None: all
    are quick.
    """

    spec: ClassVar[str]
    known: ClassVar[Mapping[str, pytest.MarkDecorator]] = {}
    quick: ClassVar[tuple[str, ...] | None] = None

    @classmethod
    def pytest_generate_tests(cls, metafunc: pytest.Metafunc) -> None:
        """Give every test its markers; a test of `tiny` runs once a tiny model."""
        backend = Environment.parse(cls.spec).backend
        metafunc.config.addinivalue_line("markers", f"{backend}: tests of the backend '{backend}'")
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
        found = registry.availability(Environment.parse(self.spec).backend)
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
        assert backend.name == environment.backend
        for text in (backend.summary, backend.install, backend.distribution, backend.version()):
            assert isinstance(text, str)
            assert text.strip() == text != ""
        assert backend.devices()
        specs = [backend.name, *(f"{backend.name}-{variant}" for variant in backend.variants)]
        specs += [f"{backend.name}:{device}" for device in backend.devices()]
        specs += [f"{backend.name}[{key}={value}]" for key, o in backend.options.items() for value in o.choices]
        for spec in specs:
            parsed = Environment.parse(spec)
            assert str(parsed) == spec
            settings(backend, parsed)
        assert all(option.help for option in backend.options.values())
        assert all(variant.help for variant in backend.variants.values())

    def test_imports_no_framework(self, check: str) -> None:
        """Importing the adapter and asking for its version and devices is quick: the framework stays out."""
        del check
        name = Environment.parse(self.spec).backend
        distribution = registry.get(name).distribution
        done = subprocess.run([sys.executable, "-c", _IMPORT, name], capture_output=True, text=True, check=True)
        imported = {module.partition(".")[0] for module in json.loads(done.stderr)}
        own = {top for top, sources in packages_distributions().items() if distribution in sources}
        assert not imported & (_FRAMEWORKS | own)

    def test_unsupported_never_raises(self, check: str, tmp_path: Path) -> None:
        """`unsupported` answers for every model, in one line or with None."""
        del check
        environment = Environment.parse(self.spec)
        backend = registry.get(environment.backend)
        for tiny in [*(make() for make in MODELS.values()), _unknown_operator(), _too_new()]:
            reason = backend.unsupported(tiny.save(tmp_path), environment)
            assert reason is None or (reason.strip() and "\n" not in reason), f"{tiny.name}: {reason!r}"

    def test_outputs(self, tiny: TinyModel, bench: Workbench, tmp_path: Path) -> None:
        """Every tiny model gives what numpy says: the right names, types, shapes and values, for one run after another.

        Lowered in one process, moved, run in another one; inputs are read-only memory maps; the last batch is short.
        """
        job = Job.save(tiny, tmp_path, _SAMPLES, seed=7)
        expected = job.expected
        actual = bench.run(bench.lower(job.model), job)
        assert actual.keys() == expected.keys()
        for name, wanted in expected.items():
            _assert_close(name, actual[name], wanted, tiny.tolerance)

    def test_deterministic_artifact(self, check: str, bench: Workbench, tmp_path: Path) -> None:
        """Two processes lower the same model into the same bytes, all of them in files of the artifact's folder."""
        del check
        model = MODELS["conv_bn_relu"]().save(tmp_path)
        one, other = bench.lower(model), bench.lower(model, process="running")
        assert not one.facts["artifact_cached"]
        assert not other.facts["artifact_cached"]
        assert one.artifact.digest == other.artifact.digest == one.facts["artifact"]
        assert one.artifact.files
        for file in one.artifact.files:
            path = (one.artifact.folder / file).resolve()
            assert path.is_relative_to(one.artifact.folder.resolve()), file
            assert not (one.artifact.folder / file).is_symlink(), file

    def test_arrays(self, check: str, bench: Workbench, tmp_path: Path, record_property: Any) -> None:
        """Runs leave inputs alone, give fresh outputs and let held ones be; whether they repeat exactly is reported."""
        del check
        tiny = MODELS["conv_bn_relu"]()
        model = tiny.save(tmp_path)
        first, second = (tiny.samples(model, tiny.rows or 1, seed) for seed in (1, 2))
        found = bench.probe(model, first, second)
        assert not found["inputs_changed"]
        assert not found["outputs_changed"], "a second run overwrote the first one's outputs"
        assert not found["outputs_stale"], "other inputs gave the same outputs"
        record_property("deterministic", not found["differs_on_repetition"])
        if found["differs_on_repetition"]:
            warnings.warn(f"{self.spec} does not repeat itself bit for bit", stacklevel=1)

    def test_unknown_operator(self, check: str, bench: Workbench, tmp_path: Path) -> None:
        """An operator that nobody knows is UNSUPPORTED, by name."""
        del check
        with pytest.raises(Unsupported, match="Frobnicate"):
            bench.lower(_unknown_operator().save(tmp_path))

    def test_too_new_opset(self, check: str, bench: Workbench, tmp_path: Path) -> None:
        """An opset that does not exist yet is UNSUPPORTED, by number: nobody knows what its operators will mean."""
        del check
        model = _too_new().save(tmp_path)
        with pytest.raises(Unsupported, match=rf"(?i)opset.*\b{model.opset}\b"):
            bench.lower(model)

    def test_threads(self, check: str, bench: Workbench, tmp_path: Path) -> None:
        """The option `threads`, where there is one, is accepted."""
        del check
        environment = Environment.parse(self.spec)
        if "threads" not in registry.get(environment.backend).options:
            pytest.skip(f"{environment.backend} has no option 'threads'")
        options = {**dict(environment.options), "threads": "1"}
        spec = str(environment).partition("[")[0] + "[" + ",".join(f"{k}={v}" for k, v in options.items()) + "]"
        bench.lower(MODELS["classifier"]().save(tmp_path), spec)


class _Bench(Workbench):
    """Skips the test where the environment's device is not on this machine."""

    def lower(self, model: Model, spec: str | None = None, process: str = "lowering") -> Lowered:
        try:
            return super().lower(model, spec, process)
        except Unavailable as error:
            pytest.skip(str(error))

    def probe(self, model: Model, first: Tensors, second: Tensors) -> dict[str, list[str]]:
        try:
            return super().probe(model, first, second)
        except Unavailable as error:
            pytest.skip(str(error))


def _assert_close(name: str, actual: npt.NDArray[Any], expected: npt.NDArray[Any], tolerance: float) -> None:
    assert actual.dtype == expected.dtype, f"{name} is {actual.dtype}, the model declares {expected.dtype}"
    assert actual.shape == expected.shape, f"{name} is {actual.shape}, expected {expected.shape}"
    if not np.issubdtype(expected.dtype, np.floating):
        assert np.array_equal(actual, expected), f"{name}: {np.count_nonzero(actual != expected)} values differ"
        return
    wide = expected.astype(np.float64)
    error = np.abs(actual.astype(np.float64) - wide) / (1 + np.abs(wide))
    # A NaN is no number at most the tolerance.
    assert np.all(error <= tolerance), f"{name}: the error is up to {np.max(error):.3g}, allowed is {tolerance}"


def _unknown_operator() -> TinyModel:
    proto = build([make_node("Relu", ["x"], ["y"])], [tensor("x", "batch", 3)], [tensor("y", "batch", 3)], {})
    proto.graph.node[0].op_type, proto.graph.node[0].domain = "Frobnicate", "com.example"
    proto.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    return TinyModel("unknown_operator", proto, lambda feed: {"y": feed["x"]})


def _too_new() -> TinyModel:
    proto = build([make_node("Relu", ["x"], ["y"])], [tensor("x", "batch", 3)], [tensor("y", "batch", 3)], {})
    proto.opset_import[0].version = onnx.defs.onnx_opset_version() + 1
    return TinyModel("too_new_opset", proto, lambda feed: {"y": feed["x"]})


__all__ = ["BackendConformance", "CellFailed", "Unsupported", "never", "notimpl", "notyet"]
