"""A framework's own model in place of a file: its own framework is an environment beside those named."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

needs_torch = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("onnxscript") is None, reason="pip install 'deltann[torch]'"
)
SOURCE = """
torch = pytest.importorskip("torch")

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.linear = torch.nn.Linear(6, 5)

    def forward(self, x):
        # What an export does not see: it keeps the branch that it was made in.
        return self.linear(x) * (2 if WRONG and torch.onnx.is_in_onnx_export() else 1)

OF = {"shape": {"x": (1, 6)}, "inputs": "random:4"}

@pytest.mark.parametrize("model", [Net()])
def test_called(deltann, model):
    result = deltann.assert_agree(model, ["reference"], **OF)
    assert [str(record.cell) for record in result.records] == ["native", "reference"]

@known_failure("native", reason="the export keeps one branch")
def test_known(deltann):
    deltann.assert_agree(Net(), ["reference", "faulty"], **OF)

@pytest.mark.deltann(model=Net(), backends=["reference", "faulty"], **OF)
def test_marked(deltann):
    deltann.assert_agree()

@pytest.mark.deltann(model=Net(), backends=["reference"], reference="native", **OF)
def test_held_against_native(deltann):
    deltann.assert_agree()
"""


@needs_torch
@pytest.mark.parametrize("wrong", [False, True])
def test_a_module_is_compared_with_its_export(project, wrong):
    # Not in this process: torch does not survive being unloaded.
    done = project(f"WRONG = {wrong}\n" + SOURCE, "-v", process=True)
    if not wrong:
        done.assert_outcomes(passed=4, failed=1)
        done.stdout.fnmatch_lines(["*known failure of native: *did not happen*"])
        return
    done.assert_outcomes(failed=4, xfailed=1)
    done.stdout.fnmatch_lines(["*::test_marked[[]reference] FAILED*", "*::test_marked[[]faulty] FAILED*"])
    done.stdout.fnmatch_lines(["E *reference and native DIFFER: *"])
