"""Faults to order: what `FaultyBackend` does wrong, and when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from deltann.errors import Unavailable, Unsupported
from deltann.outcome import Stage, Status, Symptom

Arrays = dict[str, npt.NDArray[Any]]
STAGES = (Stage.CONVERT, Stage.COMPILE, Stage.LOAD, Stage.RUN)


@dataclass(frozen=True)
class Fault:
    """One fault: `symptom` (or the refusal `status`) at `stage`; at RUN from run number `at` on, the first being 1."""

    stage: Stage
    symptom: Symptom | None
    status: Status | None
    mismatch: str
    signal: str
    exit_code: int | None
    at: int
    milliseconds: int
    amount: float

    def strike(self, stage: Stage, run: int = 1) -> None:
        """Do what this fault does on entering `stage`.

        Raises:
            Unsupported, Unavailable, RuntimeError, MemoryError: as ordered.
        """
        if stage is not self.stage or run < (self.at if stage is Stage.RUN else 1):
            return
        if self.status is Status.UNSUPPORTED:
            raise Unsupported(f"injected: unsupported, noticed while {stage}")
        if self.status is Status.UNAVAILABLE:
            raise Unavailable(f"injected: unavailable, noticed while {stage}")
        if self.symptom is Symptom.EXCEPTION:
            raise RuntimeError(f"injected while {stage}")
        if self.symptom is Symptom.OUT_OF_MEMORY:
            # Allocating for real would have the kernel choose the victim, which may be the test runner.
            raise MemoryError(f"injected while {stage}")
        if self.symptom is Symptom.CRASH:
            self._crash()
        if self.symptom is Symptom.TIMEOUT:
            _hang()
        if self.symptom is Symptom.SLOWDOWN:
            time.sleep(self.milliseconds / 1000)

    def alter(self, model: onnx.ModelProto, stage: Stage) -> None:
        """Spoil the model as a wrong lowering would: each float output is a little too large."""
        if stage is not self.stage or self.symptom not in (Symptom.MISMATCH, Symptom.NONDETERMINISM):
            return
        noise = np.random.default_rng().uniform(0.5, 1.5) if self.symptom is Symptom.NONDETERMINISM else 1.0
        for output in model.graph.output:
            dtype = helper.tensor_dtype_to_np_dtype(output.type.tensor_type.elem_type)
            if np.issubdtype(dtype, np.floating):
                _scale(model.graph, output.name, np.asarray(1 + self.amount * noise, dtype))

    def spoil(self, outputs: Arrays, inputs: Arrays, previous: Arrays | None, run: int) -> Arrays:
        """The outputs that a faulty executable returns in place of `outputs`; `previous` are those of the last run."""
        if self.stage is not Stage.RUN or run < self.at:
            return outputs
        if self.symptom is Symptom.NONDETERMINISM:
            return {name: _noisy(array, self.amount, None) for name, array in outputs.items()}
        if self.symptom is not Symptom.MISMATCH:
            return outputs
        if self.mismatch == "values":
            return {name: _noisy(array, self.amount, 0) for name, array in outputs.items()}
        if self.mismatch == "stale":
            return outputs if previous is None else previous
        if self.mismatch == "reused":
            return _reused(outputs, previous)
        if self.mismatch == "overwritten":
            for array in inputs.values():
                array[...] = 0
            return outputs
        return MISMATCHES[self.mismatch](outputs)

    def _crash(self) -> None:
        if self.exit_code is not None:
            os._exit(self.exit_code)
        os.kill(os.getpid(), signal.Signals[self.signal])
        signal.pause()


def _hang() -> None:
    """Hang as compilers do: waiting for a child process, whose number the log tells."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"]) as child:
        sys.stderr.write(f"waiting for process {child.pid}\n")
        sys.stderr.flush()
        child.wait()


def _scale(graph: onnx.GraphProto, name: str, factor: npt.NDArray[Any]) -> None:
    hidden = f"{name}/before the fault"
    for node in graph.node:
        node.output[:] = [hidden if output == name else output for output in node.output]
        node.input[:] = [hidden if value == name else value for value in node.input]
    graph.initializer.append(numpy_helper.from_array(factor, f"{name}/fault"))
    graph.node.append(helper.make_node("Mul", [hidden, f"{name}/fault"], [name]))


def _noisy(array: npt.NDArray[Any], amount: float, seed: int | None) -> npt.NDArray[Any]:
    rng = np.random.default_rng(seed)
    if array.dtype == np.bool_:
        return np.asarray(np.logical_xor(array, rng.uniform(size=array.shape) < 0.5))
    if np.issubdtype(array.dtype, np.floating):
        return np.asarray(array + amount * (float(array.std()) or 1.0) * rng.standard_normal(array.shape), array.dtype)
    return np.asarray(array + rng.integers(1, 3, array.shape), array.dtype)


def _reused(outputs: Arrays, previous: Arrays | None) -> Arrays:
    if previous is None:
        return outputs
    for name, array in previous.items():
        array[...] = outputs[name]
    return previous


def _swapped(outputs: Arrays) -> Arrays:
    return dict(zip(outputs, [*list(outputs.values())[1:], next(iter(outputs.values()))], strict=True))


def _missing(outputs: Arrays) -> Arrays:
    return dict(list(outputs.items())[:-1])


def _extra(outputs: Arrays) -> Arrays:
    return {**outputs, "extra": next(iter(outputs.values()))}


def _renamed(outputs: Arrays) -> Arrays:
    return {f"{name}_renamed": array for name, array in outputs.items()}


def _retyped(outputs: Arrays) -> Arrays:
    return {
        name: array.astype(np.float64 if array.dtype == np.float32 else np.float32) for name, array in outputs.items()
    }


def _nan(outputs: Arrays) -> Arrays:
    spoilt = {name: array.copy() for name, array in outputs.items()}
    for array in spoilt.values():
        if np.issubdtype(array.dtype, np.floating) and array.size:
            array.flat[array.size // 2] = np.nan
    return spoilt


def _fewer_rows(outputs: Arrays) -> Arrays:
    return {name: array[:-1] for name, array in outputs.items()}


def _by_data(outputs: Arrays) -> Arrays:
    return {
        name: array.ravel()[: 1 + np.count_nonzero(array > np.median(array[:1]))] for name, array in outputs.items()
    }


MISMATCHES: dict[str, Callable[[Arrays], Arrays]] = {
    "swapped": _swapped,
    "missing": _missing,
    "extra": _extra,
    "renamed": _renamed,
    "dtype": _retyped,
    "nan": _nan,
    "rows": _fewer_rows,
    "shape": _by_data,
}
MISMATCH_NAMES = ("values", "stale", "reused", "overwritten", *MISMATCHES)
