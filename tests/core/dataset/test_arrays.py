from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deltann.binding import Binding, bind
from deltann.dataset import Materialised, materialise, parse_source
from deltann.errors import UsageError
from deltann.model import Dim, Model, TensorSpec

RNG = np.random.default_rng(7)
X = RNG.standard_normal((5, 3, 4)).astype(np.float32)


def binding(*inputs: tuple[str, str, tuple[Dim, ...]], output: tuple[Dim, ...] = ("N", 2)) -> Binding:
    specs = tuple(TensorSpec(*item) for item in inputs)
    return bind(Model("m.onnx", Path("m.onnx"), "0", 17, specs, (TensorSpec("y", "float32", output),)), {}, 2)


LONE = binding(("x", "float32", ("N", 3, 4)))
PAIR = binding(("a", "float32", ("N", 3, 4)), ("b", "int64", ("N",)))


def make(given: Any, to: Binding, cache: Path, limit: int | None = None) -> Materialised:
    return materialise(parse_source(given), to, None, cache, limit=limit)


def read(made: Materialised, name: str = "x") -> np.ndarray[Any, Any]:
    return np.load(made.arrays[name], mmap_mode="r", allow_pickle=False)


def test_files_and_arrays_in_memory_give_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "x.npz", whatever=X)
    np.savez_compressed(tmp_path / "small.npz", x=X)
    np.save(tmp_path / "fortran.npy", np.asfortranarray(X))
    np.savez(tmp_path / "fortran.npz", x=np.asfortranarray(X))
    np.save(tmp_path / "big_endian.npy", X.astype(">f4"))
    sources = [
        tmp_path / name for name in ("x.npy", "x.npz", "small.npz", "fortran.npy", "fortran.npz", "big_endian.npy")
    ]
    for given in (X, {"x": X}, *sources):
        made = make(given, LONE, tmp_path / "c")
        np.testing.assert_array_equal(read(made), X)
        assert made.names == tuple(f"row[{i}]" for i in range(5))
        assert made.notes == ()


def test_several_inputs_are_matched_by_name(tmp_path: Path) -> None:
    b = np.arange(5)
    np.savez(tmp_path / "xs.npz", b=b, a=X)
    made = make(tmp_path / "xs.npz", PAIR, tmp_path / "c", limit=3)
    np.testing.assert_array_equal(read(made, "a"), X[:3])
    np.testing.assert_array_equal(read(made, "b"), b[:3])
    assert len(made.names) == 3


def test_a_whole_sample_needs_no_dimension_of_samples(tmp_path: Path) -> None:
    whole = binding(("x", "float32", (5, 3, 4)), output=())
    np.testing.assert_array_equal(read(make(X, whole, tmp_path)), X[None])
    np.testing.assert_array_equal(read(make(X[None], whole, tmp_path)), X[None])


@pytest.mark.parametrize(
    ("given", "to", "note"),
    [
        (X.astype(np.float64), "float32", "converted from float64 to float32"),
        (X, "float16", "converted from float32 to float16"),
        (X.astype(np.float16), "float32", ""),
        (np.arange(60, dtype=np.uint8).reshape(5, 3, 4), "float32", ""),
        (np.arange(60, dtype=np.int64).reshape(5, 3, 4), "int32", ""),
        (np.arange(60, dtype=np.int64).reshape(5, 3, 4), "uint8", ""),
    ],
)
def test_types_convert_where_nothing_is_lost_but_rounding(
    tmp_path: Path, given: np.ndarray[Any, Any], to: str, note: str
) -> None:
    made = make(given, binding(("x", to, ("N", 3, 4))), tmp_path)
    np.testing.assert_array_equal(read(made), given.astype(to))
    assert [note] * bool(note) == [text.split("was ")[1] for text in made.notes]


@pytest.mark.parametrize(
    ("given", "to", "message"),
    [
        (X, "int32", "does not convert safely to int32"),
        (X, "bool", "does not convert safely"),
        (np.full((1, 3, 4), "a"), "float32", "does not convert safely"),
        (np.full((1, 3, 4), 300), "uint8", r"integers that uint8 cannot hold \(sample 0\)"),
        (np.full((1, 3, 4), -1), "uint8", "cannot hold"),
        (np.full((1, 3, 4), 2**24 + 1), "float32", "cannot hold"),
        (np.full((1, 3, 4), 1e300), "float32", "too large for float32"),
    ],
)
def test_lossy_conversions_are_refused(tmp_path: Path, given: np.ndarray[Any, Any], to: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make(given, binding(("x", to, ("N", 3, 4))), tmp_path)
    assert not list(tmp_path.rglob("*.npy"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": X}, r"no array for 'b'; m.onnx takes a: float32\[Nx3x4\]; b: int64\[N\]"),
        ({"a": X, "b": np.arange(5), "c": X}, "no input for the array 'c'"),
        ({"a": X, "d": np.arange(5)}, "no array for 'b', no input for the array 'd'"),
        (X, "no array for 'a'"),
        ({"a": X[:, :2], "b": np.arange(5)}, r"'a' is float32\[5x2x4\]"),
        ({"a": X, "b": np.arange(4)}, "'a' 5, 'b' 4; every input needs as many"),
        ({"a": X[:0], "b": np.arange(0)}, "at least 1"),
        ({"a": X, "b": np.array(3)}, r"'b' is int64\[scalar\]"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_with_what_would(tmp_path: Path, given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make(given, PAIR, tmp_path)


class Trap:
    """Unpickling it would call `exit`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exit, ()


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_nothing_is_unpickled(tmp_path: Path, name: str) -> None:
    trap = np.array([Trap()], dtype=object)
    if name == "x.npy":
        np.save(tmp_path / name, trap, allow_pickle=True)
    else:
        np.savez(tmp_path / name, x=trap)
    with pytest.raises(UsageError, match="Python objects"):
        make(tmp_path / name, LONE, tmp_path / "c")
    (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UsageError, match="damaged, or not"):
        make(tmp_path / name, LONE, tmp_path / "c")


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.6])
def test_damaged_files_are_refused(tmp_path: Path, name: str, share: float) -> None:
    big = RNG.standard_normal((50, 3, 4)).astype(np.float32)
    if name == "x.npy":
        np.save(tmp_path / name, big)
    else:
        np.savez_compressed(tmp_path / name, x=big)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UsageError, match="damaged"):
        make(tmp_path / name, LONE, tmp_path / "c")
    assert not list((tmp_path / "c").rglob("*.npy"))


def test_a_member_that_was_changed_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=X)
    data = bytearray((tmp_path / "x.npz").read_bytes())
    data[200] ^= 255
    (tmp_path / "x.npz").write_bytes(bytes(data))
    with pytest.raises(UsageError, match="damaged"):
        make(tmp_path / "x.npz", LONE, tmp_path / "c")


def test_an_array_changed_in_memory_is_another_set(tmp_path: Path) -> None:
    first = make(X, LONE, tmp_path)
    changed = X.copy()
    changed[4, 2, 3] += 1
    assert make(changed, LONE, tmp_path).digest != first.digest
