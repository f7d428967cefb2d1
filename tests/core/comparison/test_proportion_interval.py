import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann.comparison.statistics import proportion_interval


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_equals_wilsons_formula(kn):
    k, n = kn
    z = 1.959963984540054
    p = k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = proportion_interval(k, n)
    assert low == pytest.approx(max(0, centre - half), abs=1e-9)
    assert high == pytest.approx(min(1, centre + half), abs=1e-9)
    assert low <= p + 1e-12
    assert high >= p - 1e-12


def test_no_disagreement_in_few_samples_proves_little():
    assert proportion_interval(0, 10)[1] > 0.25
    assert proportion_interval(0, 10_000)[1] < 0.001


def test_no_trials_are_refused():
    with pytest.raises(ValueError):
        proportion_interval(0, 0)


def test_importing_the_comparison_does_not_import_scipy():
    modules = "numeric tolerance ranking flips classification output statistics verdict vacuity"
    modules += " triage attribution power rates significance"
    code = "import sys, " + ", ".join(f"deltann.comparison.{m}" for m in modules.split())
    code += "; print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
