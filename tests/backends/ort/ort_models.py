"""Small models with seeded random weights, and what runs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from deltann.artifact import Artifact
from deltann.environment import Environment
from deltann.model import Model, load_model
from deltann_ort import OrtBackend

Array = npt.NDArray[np.generic]
BACKEND = OrtBackend()
SHAPE = (2, 16, 8, 8)


def save(
    folder: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, Array],
    *,
    opset: int = 17,
    ir_version: int = 8,
    inputs: tuple[str, ...] = ("x",),
    external: bool = False,
) -> Model:
    """A model from `inputs` of `SHAPE` to `y`, with `weights` as they are; IR 3 lists them as inputs too."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in inputs]
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    if ir_version < 4:
        values += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in tensors]
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, list("abcd"))
    graph = helper.make_graph(nodes, "graph", values, [y], tensors)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.example", 1)]
    folder.mkdir(exist_ok=True)
    path = folder / "model.onnx"
    proto = helper.make_model(graph, opset_imports=imports, ir_version=ir_version)
    onnx.save_model(proto, path, save_as_external_data=external, size_threshold=0, location="model.bin")
    return load_model(path)


def network(folder: Path, *, opset: int = 17, ir_version: int = 8, external: bool = False) -> Model:
    """Conv, BatchNormalization, Relu and a 1×1 Conv: all that quantisation folds and fuses."""
    rng = np.random.default_rng(11)
    weights = {
        "w1": rng.standard_normal((32, 16, 3, 3)),
        "shift": rng.standard_normal(32),
        "mean": rng.standard_normal(32),
        "scale": 1 + rng.random(32),
        "variance": 0.5 + rng.random(32),
        "w2": rng.standard_normal((8, 32, 1, 1)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Conv", ["r", "w2"], ["y"]),
    ]
    floats = {name: array.astype(np.float32) for name, array in weights.items()}
    return save(folder, nodes, floats, opset=opset, ir_version=ir_version, external=external)


def batches(count: int = 4, seed: int = 5, scale: float = 1.0) -> list[dict[str, Array]]:
    """Normally distributed inputs `x`."""
    rng = np.random.default_rng(seed)
    return [{"x": (rng.standard_normal(SHAPE) * scale).astype(np.float32)} for _ in range(count)]


def lower(model: Model, spec: str, folder: Path, seed: int = 5) -> Artifact:
    """Lowered, on `batches()` where the environment is calibrated."""
    folder.mkdir()
    env = Environment.parse(spec)
    samples = batches(seed=seed) if BACKEND.calibration_samples(env) else []
    return BACKEND.lower_calibrated(model, env, folder, samples)


def run(artifact: Artifact, spec: str, x: Array) -> Array:
    """The output `y`."""
    with BACKEND.load(artifact, Environment.parse(spec)) as executable:
        return np.asarray(executable.run({"x": x})["y"])


def operators(artifact: Artifact) -> set[str]:
    """The operators of the optimised graph."""
    return {node.op_type for node in onnx.load(artifact.folder / "optimised.onnx").graph.node}
