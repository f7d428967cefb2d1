"""The pytest plugin: hooks alone. Every run of pytest imports this module, so all else is imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from deltann.pytest_plugin.fixture import Agreement

STATE = pytest.StashKey["Agreement"]()
"""Of a test that takes the fixture, what it has compared."""
_MARKS = (
    "deltann(model, backends, ...): compare `model` under each of `backends` with the first, a test each; what else it "
    "takes is what deltann.assert_agree takes",
    "deltann_known_failure(backend, reason, until, raises): written deltann.known_failure(...), a failure of one "
    "environment that is known",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Three options."""
    group = parser.getgroup("deltann", "deltann: does a model behave the same in other environments?")
    group.addoption(
        "--deltann-backends", metavar="SPECS", help="Compare these environments (torch,ort-O1,…), not those tests name."
    )
    group.addoption(
        "--deltann-report", metavar="DIR", help="Keep each test's run there, with report.json and report.html."
    )
    group.addoption("--deltann-strict", action="store_true", help="Fail, not skip, where a backend is not installed.")


def pytest_configure(config: pytest.Config) -> None:
    """The marks; and an option that cannot be read is refused before anything runs."""
    for mark in _MARKS:
        config.addinivalue_line("markers", mark)
    if config.getoption("--deltann-backends") is not None:
        from deltann.errors import UsageError
        from deltann.pytest_plugin.request import chosen_backends

        try:
            chosen_backends(config)
        except UsageError as error:
            raise pytest.UsageError(f"--deltann-backends: {error}") from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test marked `deltann` is one test for each environment."""
    mark = metafunc.definition.get_closest_marker("deltann")
    if mark is None:
        return
    from deltann.errors import UsageError
    from deltann.pytest_plugin.request import chosen_backends, shares

    try:
        if "deltann" not in metafunc.fixturenames:
            raise UsageError("a test marked deltann takes the fixture of that name: def test_it_agrees(deltann)")
        if sum(own.name == "deltann" for own in metafunc.definition.own_markers) > 1:
            raise UsageError("a test has one mark `deltann`: of two, one would go unheeded")
        found = shares(mark, chosen_backends(metafunc.config))
    except UsageError as error:
        pytest.fail(f"{metafunc.definition.nodeid}: {error}", pytrace=False)
    metafunc.parametrize("deltann", found, ids=[share.candidate for share in found], indirect=True)


@pytest.fixture(name="deltann")
def deltann_fixture(request: pytest.FixtureRequest) -> Agreement:
    """Compares a model under several environments: deltann.assert_agree("resnet50.onnx", ["torch", "ort"])."""
    from deltann.pytest_plugin.fixture import Agreement

    return Agreement(request)


@pytest.hookimpl(trylast=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Hold a test to its marks, and to what it could not compare; one that has raised does not get here."""
    marked = item.get_closest_marker("deltann") or item.get_closest_marker("deltann_known_failure")
    if marked or STATE in item.stash:
        from deltann.pytest_plugin.ending import end

        end(item)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Of pytest-xdist: tell a worker whether others run the same tests, which it cannot know."""
    node.workerinput["deltann_each"] = node.config.getoption("dist") == "each"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was left out, and where the reports are."""
    # A set: each phase of a test reports the same. It came here from workers of pytest-xdist too.
    told = {
        (report.nodeid, *told)
        for reports in terminalreporter.stats.values()
        for report in reports
        for told in getattr(report, "user_properties", ())
        if str(told[0]).startswith("deltann_")
    }
    if told:
        from deltann.pytest_plugin.summary import lines

        folder = terminalreporter.config.getoption("--deltann-report")
        if found := lines(sorted(told), folder):
            terminalreporter.section("deltann")
            for line in found:
                terminalreporter.line(line)
