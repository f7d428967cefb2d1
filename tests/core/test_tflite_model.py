"""A `.tflite` file says what its inputs and outputs are; a damaged one is refused in a line."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltann.errors import UsageError
from deltann.model import Model, TensorSpec, load_model
from deltann.tflite_model import Port, interface, read

pytest.importorskip("tflite")

sys.path.insert(0, str(Path(__file__).parents[1] / "backends" / "tflite"))
from tflite_files import Tensor, quantize, tflite_file

MOBILENET = Path(__file__).parents[2].parent / "shared" / "data" / "models" / "mobilenet_v2_int8.tflite"


def write(folder: Path, content: bytes) -> Path:
    path = folder / "small.tflite"
    path.write_bytes(content)
    return path


def chain(**changes: object) -> bytes:
    """Two tensors and a TANH between them; `changes` are to the first."""
    first = Tensor(**{"name": "x", "dtype": "FLOAT32", "shape": (2, 3), **changes})  # type: ignore[arg-type]
    return tflite_file([first, Tensor("y", "FLOAT32", (2, 3))], [("TANH", [0], [1])], [0], [1])


def refusal(path: Path) -> str:
    """Why the file is not taken; empty if it is."""
    try:
        read(path)
    except UsageError as error:
        return str(error)
    return ""


def test_what_a_file_says_of_itself(tmp_path: Path) -> None:
    path = write(tmp_path, quantize("UINT8", 0.5, 7, 4))
    model = read(path)
    assert model == Model(
        name="small.tflite",
        path=path.resolve(),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        opset=0,
        inputs=(TensorSpec("real", "float32", (4,)),),
        outputs=(TensorSpec("integers", "float32", (4,)),),
        format="tflite",
    )
    assert load_model(path) == model
    assert interface(path)[1] == (Port("integers", 1, "uint8", (4,), 0.5, 7),)
    assert Model.from_json(model.to_json()) == model


def test_a_real_file() -> None:
    if not MOBILENET.is_file():
        pytest.skip(f"{MOBILENET} is not there")
    model = read(MOBILENET)
    assert model.inputs == (TensorSpec("input", "float32", (1, 224, 224, 3)),)
    assert model.outputs == (TensorSpec("Identity", "float32", (1, 1001)),)
    (port,), _ = interface(MOBILENET)
    assert (port.dtype, port.zero_point) == ("uint8", 127)
    assert port.scale == pytest.approx(1 / 127.5)


def test_integers_without_a_scale_stay_integers(tmp_path: Path) -> None:
    assert read(write(tmp_path, chain(dtype="INT8"))).inputs[0].dtype == "int8"
    assert read(write(tmp_path, chain(dtype="INT8", scale=[0.5], zero_point=[0]))).inputs[0].dtype == "float32"
    assert read(write(tmp_path, chain(dtype="INT64", scale=[0.0], zero_point=[0]))).inputs[0].dtype == "int64"


def test_dimensions_that_vary_are_open(tmp_path: Path) -> None:
    assert read(write(tmp_path, chain(varying=(-1, 3)))).inputs[0].shape == (None, 3)


def test_the_names_of_the_one_signature_come_first(tmp_path: Path) -> None:
    tensors = [Tensor("a", "FLOAT32", (2,)), Tensor("b", "FLOAT32", (2,)), Tensor("c", "FLOAT32", (2,))]
    operators = [("TANH", [0], [1]), ("TANH", [1], [2])]
    first, second = ({"in": 0}, {"last": 2, "middle": 1}), ({"other": 0}, {"u": 2, "v": 1})

    def names(*signatures: tuple[dict[str, int], dict[str, int]]) -> tuple[list[str], list[tuple[str, int]]]:
        given, made = interface(write(tmp_path, tflite_file(tensors, operators, [0], [1, 2], signatures)))
        return [port.name for port in given], [(port.name, port.tensor) for port in made]

    assert names() == (["a"], [("b", 1), ("c", 2)])
    assert names(first) == (["in"], [("last", 2), ("middle", 1)])
    assert names(first, second) == names(), "which of two signatures is meant, nobody said"
    assert names(({"in": 0}, {"middle": 1})) == names(), "a signature that leaves an output out is none of this graph"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "TFL3"),
        (b"ONNX is another format", "TFL3"),
        (b"\x08\0\0\0TFL3", "damaged"),
        (chain(dtype="STRING"), "'x' is of type string"),
        (chain(dtype="INT4"), "'x' is of type int4"),
        (chain(dtype="INT8", scale=[1, 2], zero_point=[0, 0]), "'x' is quantised by channel"),
        (chain(shape=(1,) * 40), "damaged"),
        (tflite_file([Tensor("x", "FLOAT32", (1,))], [], [0], []), "graph that has outputs"),
        (tflite_file([Tensor("x", "FLOAT32", (1,))], [], [0], [5]), "damaged"),
        (tflite_file([Tensor("x", "FLOAT32", (1,))] * 2, [("TANH", [0], [1])], [], [0, 1]), "bear one name"),
    ],
)
def test_what_cannot_be_used_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    path = write(tmp_path, content)
    with pytest.raises(UsageError, match=words) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read(tmp_path / "none.tflite")


def test_the_missing_schema_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, chain())
    monkeypatch.setitem(sys.modules, "tflite.Model", None)
    with pytest.raises(UsageError, match=r"pip install 'deltann\[tflite\]'"):
        read(path)


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    tensors = [Tensor("x", "FLOAT32", (64,), data=bytes(range(256))), Tensor("y", "FLOAT32", (64,))]
    content = tflite_file(tensors, [("TANH", [0], [1])], [], [1])
    read(write(tmp_path, content))
    for kept in range(len(content) - 4):  # the last bytes are padding
        with pytest.raises(UsageError):
            read(write(tmp_path, content[:kept]))


@settings(max_examples=300, deadline=2000)
@given(st.data())
def test_any_damage_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Never another exception, and never long: what the reader follows is bounded."""
    content = bytearray(
        tflite_file(
            [Tensor("x", "UINT8", (2, 3), [0.5], [3], data=b""), Tensor("y", "FLOAT32", (2, 3))],
            [("DEQUANTIZE", [0], [1])],
            [0],
            [1],
            [({"in": 0}, {"out": 1})],
        )
    )
    places = st.integers(8, len(content) - 1)
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=8)):
        content[place] = byte
    path = write(tmp_path_factory.mktemp("damage"), bytes(content))
    assert "\n" not in refusal(path)
