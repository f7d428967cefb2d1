"""Under pytest-xdist everything works but times, which are left out aloud."""

from __future__ import annotations

import pytest

pytest.importorskip("xdist")
SOURCE = """
@known_failure("faulty-wrong", reason="wrong by design")
@pytest.mark.deltann(model=MODEL, backends=["reference", "faulty", "faulty-wrong"], inputs="random:4")
def test_marked(deltann):
    deltann.assert_agree()

@known_failure("faulty", reason="slow")
def test_timed(deltann):
    deltann.assert_agree(MODEL, ["reference", "faulty"], inputs="random:4", margin="10%")

def test_differs(deltann):
    deltann.assert_agree(MODEL, ["reference", "faulty-wrong"], inputs="random:4")
"""
NO_PAGE = """
import deltann.report.html.page
deltann.report.html.page.find_spec = lambda _name: None  # pages take seconds, and are not what this is about
"""


def test_workers_compare_and_do_not_time(project, pytester):
    pytester.makeconftest(NO_PAGE)
    done = project(
        SOURCE, "-n2", "-v", "--deltann-report", "reports", "-W", "error::pytest.PytestWarning", process=True
    )
    # That a slowness did not show, where nothing was timed, is not held against its mark; nor does saying so fail it.
    done.assert_outcomes(passed=2, xfailed=1, failed=1)
    done.stdout.fnmatch_lines(
        [
            "*= deltann =*",
            "1 test not timed: pytest-xdist runs tests side by side*",
            "4 runs with reports in reports",
        ]
    )
    assert len(list((pytester.path / "reports").iterdir())) == 4
    assert not list((pytester.path / "reports").glob("*/run/timing"))


def test_workers_that_run_the_same_tests_do_not_share_a_folder(project, pytester):
    pytester.makeconftest(NO_PAGE)
    source = SOURCE[SOURCE.index("def test_differs") :].replace("faulty-wrong", "faulty")
    done = project(source, "--dist=each", "-n2", "--deltann-report", "reports", process=True)
    done.assert_outcomes(passed=2)
    done.stdout.fnmatch_lines(["2 runs with reports in reports"])
    first, second = sorted(path.name for path in (pytester.path / "reports").iterdir())
    assert (first[-4:], second[-4:]) == ("-gw0", "-gw1")
    assert first[:-1] == second[:-1]


def test_without_workers_times_are_taken(project):
    source = SOURCE[SOURCE.index('@known_failure("faulty"') : SOURCE.index("def test_differs")]
    done = project(source.replace('margin="10%"', "bench=True, budget=0.5"), "-n0", process=True)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["E *times of faulty and reference: INCONCLUSIVE*"])
    done.stdout.no_fnmatch_line("*not timed*")
