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


def test_workers_compare_and_do_not_time(project, pytester):
    done = project(SOURCE, "-n2", "-v", "--deltann-report", "reports", process=True)
    # That a slowness did not show, where nothing was timed, is not held against its mark.
    done.assert_outcomes(passed=2, xfailed=1, failed=1, warnings=1)
    done.stdout.fnmatch_lines(
        [
            "*PytestWarning: not timed: pytest-xdist runs tests side by side*",
            "*= deltann =*",
            "1 test not timed: pytest-xdist runs tests side by side*",
            "4 runs with reports in reports",
        ]
    )
    assert len(list((pytester.path / "reports").iterdir())) == 4
    assert not list((pytester.path / "reports").glob("*/run/timing"))


def test_without_workers_times_are_taken(project):
    source = SOURCE[SOURCE.index('@known_failure("faulty"') : SOURCE.index("def test_differs")]
    done = project(source.replace('margin="10%"', "bench=True, budget=0.5"), "-n0", process=True)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["E *times of faulty and reference: INCONCLUSIVE*"])
    done.stdout.no_fnmatch_line("*not timed*")
