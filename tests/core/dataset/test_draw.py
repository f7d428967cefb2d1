from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper

from deltann.binding import bind
from deltann.dataset import materialise, parse_source
from deltann.dataset.draw import table_lengths
from deltann.model import load_model


def embedder(folder: Path, axis: int = 0, chain: tuple[str, ...] = ("Cast", "Identity")) -> Path:
    """Selects from a table of 7 rows and 5 columns by `ids`; `mask`, `pixels`, `flag` and `scale` only pass through."""
    nodes, last = [], "ids"
    for number, kind in enumerate(chain):
        attributes = {"to": T.INT64} if kind == "Cast" else {}
        nodes.append(helper.make_node(kind, [last], [f"ids{number}"], **attributes))
        last = f"ids{number}"
    nodes.append(helper.make_node("Gather", ["table", last], ["y"], axis=axis))
    inputs = [("ids", T.INT32), ("mask", T.INT64), ("pixels", T.UINT8), ("flag", T.BOOL), ("scale", T.FLOAT16)]
    nodes += [helper.make_node("Identity", [name], [f"{name}_out"]) for name, _ in inputs[1:]]
    table = np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, ["N", 6]) for name, kind in inputs],
        [
            helper.make_tensor_value_info("y", T.FLOAT, ["a", "b", "c"]),
            *(helper.make_tensor_value_info(f"{name}_out", kind, ["N", 6]) for name, kind in inputs[1:]),
        ],
        [onnx.numpy_helper.from_array(table, "table")],
    )
    path = folder / "embed.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(("axis", "length"), [(0, 7), (1, 5), (-1, 5)])
@pytest.mark.parametrize("chain", [(), ("Cast",), ("Cast", "Identity")])
def test_the_length_of_the_table_is_found_behind_casts(
    tmp_path: Path, axis: int, length: int, chain: tuple[str, ...]
) -> None:
    assert table_lengths(load_model(embedder(tmp_path, axis, chain))) == {"ids": length}


def test_every_type_gets_its_range(tmp_path: Path) -> None:
    binding = bind(load_model(embedder(tmp_path)), {}, 4)
    made = materialise(parse_source("random:400,seed=3"), binding, None, tmp_path)
    arrays = {name: np.load(path, allow_pickle=False) for name, path in made.arrays.items()}
    assert {name: array.dtype.name for name, array in arrays.items()} == {
        "ids": "int32", "mask": "int64", "pixels": "uint8", "flag": "bool", "scale": "float16",
    }  # fmt: skip
    assert np.unique(arrays["ids"]).tolist() == list(range(7))
    assert np.unique(arrays["mask"]).tolist() == list(range(10))
    assert (arrays["pixels"].min(), arrays["pixels"].max()) == (0, 255)
    assert 0.4 < arrays["flag"].mean() < 0.6
    assert abs(float(arrays["scale"].astype(np.float64).std()) - 1) < 0.1
    assert made.names[:2] == ("random[0]", "random[1]")


def test_the_same_seed_gives_the_same_bytes_and_fewer_samples_the_first_of_more(tmp_path: Path) -> None:
    binding = bind(load_model(embedder(tmp_path)), {}, 4)

    def arrays(text: str, cache: str, limit: int | None = None) -> dict[str, np.ndarray]:
        made = materialise(parse_source(text), binding, None, tmp_path / cache, limit=limit)
        return {name: np.load(path, allow_pickle=False) for name, path in made.arrays.items()}

    many, again = arrays("random:64,seed=5", "a"), arrays("random:64,seed=5", "b")
    few, cut = arrays("random:9,seed=5", "a"), arrays("random:64,seed=5", "a", limit=9)
    other = arrays("random:64,seed=6", "a")
    for name, array in many.items():
        np.testing.assert_array_equal(array, again[name])
        np.testing.assert_array_equal(array[:9], few[name])
        np.testing.assert_array_equal(few[name], cut[name])
        assert not np.array_equal(array, other[name])


def test_inputs_of_one_type_differ(tmp_path: Path) -> None:
    binding = bind(load_model(embedder(tmp_path)), {}, 4)
    made = materialise(parse_source("random:32,dist=uniform"), binding, None, tmp_path)
    scale = np.load(made.arrays["scale"])
    assert 0 <= scale.min() < 0.1
    assert 0.9 < scale.max() <= 1
    assert len({path.read_bytes() for path in made.arrays.values()}) == len(made.arrays)
