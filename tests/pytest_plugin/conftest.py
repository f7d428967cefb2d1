"""Projects whose tests use the plugin, run inside this process (quick) or in one of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest

# Before pytester looks which modules are loaded: it unloads the others after each run, which numpy does not survive.
import deltann.pytest_plugin.ending
import deltann.pytest_plugin.summary
import deltann.report.html.page  # noqa: F401
from deltann.testing.faulty import ENTRY
from deltann.testing.models import MODELS
from deltann.testing.registration import registered

Project = Callable[..., pytest.RunResult]


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny classifier as a file."""
    path = tmp_path_factory.mktemp("models") / "classifier.onnx"
    onnx.save_model(MODELS["classifier"]().proto, path)
    return path


@pytest.fixture(scope="module", autouse=True)
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """`faulty` is known here and in every process started, and nothing goes to the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DELTANN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        with registered(faulty=ENTRY):
            yield


@pytest.fixture
def project(pytester: pytest.Pytester, saved_model: Path) -> Project:
    """`project(source, "--deltann-strict")` runs pytest on a file of tests, in which MODEL is a path."""

    def run(source: str, *args: str, process: bool = False) -> pytest.RunResult:
        head = f"import pytest\nfrom deltann import known_failure\nMODEL = {str(saved_model)!r}\n"
        pytester.makepyfile(test_models=head + source)
        run = pytester.runpytest_subprocess if process else pytester.runpytest_inprocess
        return run("-p", "no:cacheprovider", "-ra", *args)

    return run
