"""A framework's own model in place of a file: its own framework is an environment beside those named."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

SOURCE = """
import torch

class Net(torch.nn.Module):
    def __init__(self, wrong):
        super().__init__()
        torch.manual_seed(1)
        self.linear = torch.nn.Linear(6, 5)
        self.wrong = wrong

    def forward(self, x):
        # An export keeps the branch that it is made in.
        return self.linear(x) * (2 if self.wrong and torch.onnx.is_in_onnx_export() else 1)

OF = {"shape": {"x": (1, 6)}, "inputs": "random:4"}

def test_right(deltann):
    result = deltann.assert_agree(Net(False), ["reference"], reference="native", **OF)
    assert [str(record.cell) for record in result.records] == ["native", "reference"]

@known_failure("native", reason="the export keeps one branch")
def test_known(deltann):
    deltann.assert_agree(Net(True), ["reference"], **OF)

@pytest.mark.deltann(model=Net(True), backends=["reference"], **OF)
def test_marked(deltann):
    deltann.assert_agree()
"""


@pytest.mark.skipif(
    find_spec("torch") is None or find_spec("onnxscript") is None, reason="pip install 'deltann[torch]'"
)
def test_a_module_is_compared_with_its_export(project):
    # Not in this process: torch does not survive being unloaded.
    done = project(SOURCE, "-v", process=True)
    done.assert_outcomes(passed=1, failed=1, xfailed=1)
    done.stdout.fnmatch_lines(["*::test_marked[[]reference] FAILED*"])
    done.stdout.fnmatch_lines(["E *reference and native DIFFER: *"])
