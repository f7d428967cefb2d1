"""What lowering noted of types and shapes is what loading goes by, and Dynamo is not imported for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from deltann.artifact import Artifact
from deltann.environment import Environment
from deltann.lowering.graph import read_graph
from deltann.model import load_model

torch = pytest.importorskip("torch", reason="the torch backend needs torch")

from deltann_torch import TorchBackend  # noqa: E402
from deltann_torch.build import build  # noqa: E402
from deltann_torch.inference import Inference  # noqa: E402

# Shapes computed, a branch, a loop whose body captures, a sequence, an omitted output, and what only the data tells.
_TEXT = """<ir_version: 8, opset_import: ["": 17]>
agraph (float[2,3,8,8] x, int64[2] i) => (float[2,M] y, int64[N] z) {
   c = Conv <pads = [1,1,1,1]> (x, w)
   d = Clip(c, low, high)
   s = Shape(d)
   n = Slice(s, zero, one)
   t = Concat <axis = 0> (n, minus)
   trips = Constant <value_int = 2> ()
   on = Constant <value = bool {1}> ()
   l = Loop (trips, on, d) <body = b (int64 k, bool g, float[2,4,8,8] v) => (bool h, float[2,4,8,8] u) {
      h = Identity(g) u = Add(v, c)
   }>
   values, where = TopK <axis = 1> (l, one)
   parts = SplitToSequence <axis = 2> (values, four)
   joined = ConcatFromSequence <axis = 2> (parts)
   r = Resize <mode = "linear"> (joined, , , sizes)
   f = Reshape(r, t)
   g = Gather <axis = 1> (f, i)
   y = Softmax(g)
   p = NonZero(where)
   q = Reshape(p, minus)
   z = Neg(q)
}
"""


def _proto() -> onnx.ModelProto:
    proto = parser.parse_model(_TEXT)
    values: dict[str, Any] = {
        "w": np.random.default_rng(3).standard_normal((4, 3, 3, 3)).astype(np.float32),
        "low": np.float32(-2),
        "high": np.float32(2),
        "zero": np.array([0]),
        "one": np.array([1]),
        "four": np.array(4),
        "minus": np.array([-1]),
        "sizes": np.array([2, 1, 5, 7]),
    }
    proto.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), name) for name, v in values.items())
    return proto


def _inputs() -> dict[str, Any]:
    x = np.random.default_rng(4).standard_normal((2, 3, 8, 8)).astype(np.float32)
    return {"x": x, "i": np.array([3, 1])}


def _metas(dtype: torch.dtype) -> dict[str, Any]:
    return {
        "x": torch.empty(2, 3, 8, 8, dtype=dtype, device="meta"),
        "i": torch.empty(2, dtype=torch.int64, device="meta"),
    }


@pytest.mark.parametrize("precision", [None, torch.float64])
def test_a_module_built_from_the_notes_is_the_same(precision: Any, tmp_path: Path) -> None:
    graph, metas = read_graph(_proto()), _metas(precision or torch.float32)
    asked = Inference()
    first = build(graph, metas, precision, torch.device("cpu"), inference=asked)
    asked.write(tmp_path / "notes")
    second = build(graph, metas, precision, torch.device("cpu"), inference=Inference.read(tmp_path / "notes"))
    assert first.code == second.code
    x, i = (torch.from_numpy(value) for value in _inputs().values())
    for one, other in zip(first(x.to(precision), i), second(x.to(precision), i), strict=True):
        assert torch.equal(one, other)


def test_notes_of_another_model_are_refused(tmp_path: Path) -> None:
    graph, metas = read_graph(_proto()), _metas(torch.float32)
    asked = Inference()
    build(graph, metas, None, torch.device("cpu"), inference=asked)
    asked.write(tmp_path / "notes")
    notes = json.loads((tmp_path / "notes").read_text())
    for wrong in (notes[:-1], notes[1:], []):
        with pytest.raises(ValueError, match="delete it"):
            build(graph, metas, None, torch.device("cpu"), inference=Inference(wrong))


def test_loading_and_running_eagerly_import_neither_dynamo_nor_sympy(tmp_path: Path) -> None:
    """They take longer to import than torch itself."""
    onnx.save(_proto(), tmp_path / "net.onnx")
    backend, env, folder = TorchBackend(), Environment.parse("torch"), tmp_path / "artifact"
    folder.mkdir()
    backend.lower(load_model(tmp_path / "net.onnx"), env, folder).save()
    np.savez(tmp_path / "inputs.npz", **_inputs())
    code = """if True:
        import sys
        from pathlib import Path
        import numpy as np
        from deltann.artifact import Artifact
        from deltann.environment import Environment
        from deltann_torch import TorchBackend
        folder, env = Path(sys.argv[1]), Environment.parse("torch")
        with TorchBackend().load(Artifact.read(folder / "artifact"), env) as executable:
            print(executable.run(dict(np.load(folder / "inputs.npz")))["y"].shape)
        print([name for name in ("torch._dynamo", "sympy", "torch._inductor") if name in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["(2, 2)", "[]"]
    assert Artifact.read(folder) is not None
