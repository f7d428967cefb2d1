"""The timed loop of a worker: what it times, and what it notices of the outputs."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from deltann.runner import timed
from deltann.runner.batches import Batches
from deltann.runner.outputs import OutputWriter
from deltann.runner.timed import FEWEST_RUNS, Timed

Arrays = dict[str, npt.NDArray[Any]]
WEIGHTS = np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32)


class Executable:
    """A product with seeded weights, and a fault that may spoil what it returns."""

    def __init__(self, fault: Callable[[Arrays, Arrays | None], Arrays] = lambda new, _: new) -> None:
        self.fault, self.previous = fault, None
        self.seen: list[npt.NDArray[Any]] = []

    def run(self, inputs: Arrays) -> Arrays:
        self.seen.append(inputs["x"])
        self.previous = self.fault({"y": inputs["x"] @ WEIGHTS}, self.previous)
        return self.previous


@pytest.fixture(autouse=True)
def thaw() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Timed]:
    """A timed loop over `samples` rows, `rows` a run, whose stored outputs are those of a sound executable."""

    def of(executable: Executable, samples: int = 4, rows: int = 1, batched: bool = True, same: bool = False) -> Timed:
        rng = np.random.default_rng(7)
        x = rng.standard_normal((samples, 4) if batched else (samples, 2, 4)).astype(np.float32)
        if same:
            x[:] = x[:1]
        np.save(tmp_path / "x.npy", x)
        batches = Batches({"x": tmp_path / "x.npy"}, samples, rows, batched)
        writer = OutputWriter(tmp_path / "outputs", samples, rows, batched)
        for run, feeds in enumerate(batches):
            writer.write(run, Executable().run(dict(feeds)), 0.001)
        request = {"samples": samples, "rows": rows, "batched": batched, "expected": str(tmp_path / "outputs")}
        return Timed(executable, batches, request, lambda: None)

    return of


def checked(loop: Timed) -> dict[str, Any]:
    loop.warm_up()
    return dict(loop.slice()["checks"])


@pytest.mark.parametrize(("samples", "rows", "batched"), [(4, 1, True), (5, 2, True), (4, 2, True), (3, 1, False)])
def test_a_sound_executable_is_found_sound(make, samples, rows, batched):
    loop = make(Executable(), samples, rows, batched)
    warm = loop.warm_up()
    assert warm["tells"]
    assert warm["first_ns"] > 0
    found = loop.slice()
    assert len(found["ns"]) >= FEWEST_RUNS
    assert all(ns > 0 for ns in found["ns"])
    assert found["checks"] == {
        "runs": found["checks"]["runs"], "changed": 0, "wrong": 0, "stale": 0, "problem": ""
    }  # fmt: skip
    assert found["checks"]["runs"] > len(found["ns"]), "the runs that lead in are looked at too"


def test_a_slice_lasts_as_long_as_it_should(make):
    def slow(new: Arrays, _: Arrays | None) -> Arrays:
        time.sleep(0.002)
        return new

    loop = make(Executable(slow))
    loop.warm_up()
    assert sum(loop.slice()["ns"]) >= timed.SLICE_S * 0.7e9


def test_a_long_run_is_a_slice_of_its_own(make, monkeypatch):
    monkeypatch.setattr(timed, "LONG_S", 0.0)
    executable = Executable()
    loop = make(executable)
    loop.warm_up()
    before = len(executable.seen)
    assert len(loop.slice()["ns"]) == 1
    assert len(executable.seen) == before + 1


def test_no_run_gets_the_sample_of_the_run_before(make):
    executable = Executable()
    loop = make(executable)
    loop.warm_up()
    loop.slice()
    loop.slice()
    assert all(a is not b for a, b in zip(executable.seen, executable.seen[1:], strict=False))


def stale(new: Arrays, previous: Arrays | None) -> Arrays:
    return previous or new


def reused(new: Arrays, previous: Arrays | None) -> Arrays:
    if previous is None:
        return new
    previous["y"][...] = new["y"]
    return previous


def test_stale_outputs_are_noticed(make):
    found = checked(make(Executable(stale)))
    assert found["stale"] > 0
    assert "the run before" in found["problem"]


def test_a_buffer_used_again_is_noticed(make):
    """Whoever keeps two results finds both overwritten."""
    assert checked(make(Executable(reused)))["stale"] > 0


def test_stale_outputs_cannot_be_noticed_where_all_are_the_same(make):
    loop = make(Executable(stale), same=True)
    warm = loop.warm_up()
    assert not warm["tells"]
    assert loop.slice()["checks"]["stale"] == 0


def test_one_batch_cannot_tell(make):
    assert not make(Executable(), samples=2, rows=2).warm_up()["tells"]


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (lambda new, _: {"y": new["y"] * np.float32(1.1)}, "beyond the tolerance"),
        (lambda new, _: {"y": new["y"].astype(np.float64)}, "float64"),
        (lambda new, _: {"z": new["y"]}, "['z']"),
        (lambda new, _: {"y": np.where(new["y"] == new["y"].max(), np.float32(np.nan), new["y"])}, "tolerance"),
        (lambda new, _: {"y": new["y"][:, :2]}, "[1, 2]"),
    ],
    ids=["values", "dtype", "names", "nan", "shape"],
)
def test_wrong_outputs_are_noticed(make, fault, word):
    found = checked(make(Executable(fault)))
    assert found["wrong"] == found["runs"]
    assert word in found["problem"]


def test_other_bits_inside_the_tolerance_are_counted_and_no_fault(make):
    found = checked(make(Executable(lambda new, _: {"y": new["y"] * np.float32(1 + 1e-6)})))
    assert (found["wrong"], found["stale"], found["problem"]) == (0, 0, "")
    assert found["changed"] > 0


def test_whoever_writes_to_its_inputs_is_found_out(make):
    class Writing(Executable):
        def run(self, inputs: Arrays) -> Arrays:
            inputs["x"][...] = 0
            return super().run(inputs)

    with pytest.raises(ValueError, match="read-only"):
        make(Writing()).warm_up()


def test_signs_of_life_come_between_long_runs(make, monkeypatch):
    monkeypatch.setattr(timed, "_TELL_EVERY_S", 0.0)
    told = []
    loop = make(Executable())
    loop._tell = lambda: told.append(1)
    loop.warm_up()
    assert told


def test_peak_memory_is_without_what_is_kept_here(make, monkeypatch):
    """The batches that slices go through, and the outputs that wait for being compared, are not the environment's."""
    loop = make(Executable())
    seen = []
    monkeypatch.setattr(timed, "peak_memory", lambda: seen.append(len(loop._pool)) or 7)
    assert loop.warm_up()["peak_memory"] == 7
    assert "peak_memory" not in loop.slice()
    assert seen == [1]
    assert len(loop._pool) == 4


def test_peak_memory_is_that_of_this_process():
    before = timed.peak_memory()
    block = np.ones(64 << 20, np.uint8)
    assert timed.peak_memory() >= before
    assert timed.peak_memory() > len(block)
