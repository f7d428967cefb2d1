"""IREE's runtime: a module on the task system, called by the model's own names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deltann.backend import Tensors

_INTEGERS = (f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
DTYPES = ("bool", *_INTEGERS, "float16", "float32", "float64")
_DRIVER = "local-task"
_THREADS = Path("/proc/self/task")


class Program:
    """A loaded module; `cpu` is the one it was compiled for, `threads` how many workers were asked for."""

    def __init__(self, module: Path, lowering: Mapping[str, Any], threads: int | None) -> None:
        from iree import runtime
        from iree.runtime._binding import create_hal_driver  # the public way keeps one driver for the whole process

        self._cpu, self._asked, self._others = lowering["cpu"][0], threads, _workers()
        self._inputs: Sequence[str] = lowering["inputs"]
        self._outputs = [(name, np.dtype(dtype)) for name, dtype in lowering["outputs"]]
        # A flag of the process, read when a driver is made; 0 stands for IREE's own choice.
        runtime.flags.parse_flags(f"--task_topology_group_count={threads or 0}")
        config = runtime.Config(device=create_hal_driver(_DRIVER).create_default_device())
        context = runtime.SystemContext(config=config)
        context.add_vm_module(runtime.VmModule.mmap(config.vm_instance, str(module)))
        self._main = context.modules.module[lowering["entry"]]

    def run(self, inputs: Tensors) -> Tensors:
        """Run once; it returns when the outputs, copied, are on the host."""
        result = self._main(*(np.asarray(inputs[name]) for name in self._inputs))
        results = result if isinstance(result, tuple) else (result,)
        pairs = zip(self._outputs, results, strict=True)
        return {name: _typed(np.array(value.to_host()), dtype) for (name, dtype), value in pairs}

    def actual(self) -> Mapping[str, str]:
        """The CPU compiled for, and how many workers the task system has, where the kernel tells."""
        told = {"device": self._cpu}
        if _THREADS.is_dir():
            workers = len(_workers() - self._others)
            told["threads"] = str(workers)
            if self._asked not in (None, workers):
                told["ignored"] = f"threads={self._asked}: IREE's task system has {workers} workers"
        return told


def _workers() -> set[str]:
    """The threads of this process that are workers of an IREE task system."""
    found = set()
    for thread in _THREADS.glob("*"):
        with suppress(OSError):  # it has ended
            if (thread / "comm").read_text().startswith("iree-worker"):
                found.add(thread.name)
    return found


def _typed(array: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """IREE's integers have no sign and its truth values are bytes; all else is a difference, and stays one."""
    if array.dtype == dtype or array.dtype.kind not in "iu" or array.dtype.itemsize != dtype.itemsize:
        return array
    return array.view(dtype) if dtype.kind in "iub" else array
