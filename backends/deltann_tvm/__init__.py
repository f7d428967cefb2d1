"""Apache TVM on CPU and GPU, at five levels that are pass lists of our own: TVM 0.27's `opt_level` changes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from onnx import defs

from deltann.artifact import Artifact
from deltann.backend import Executable, Option, Tensors, Variant, enter, settings
from deltann.environment import Environment
from deltann.errors import Unavailable, Unsupported, UsageError
from deltann.model import Model
from deltann.outcome import Stage
from deltann_tvm import cuda
from deltann_tvm.frontend import DTYPES, fold, import_tvm, missing_operators, to_relax
from deltann_tvm.kernels import precision, survey
from deltann_tvm.ladder import LEVELS, optimise, target

_LIBRARY = "lib.so"
_LOWERING = "lowering.json"
_TUNED = "tuned"
_FAST_MATH = "{by} compiled with --use_fast_math: exp, tanh, division and roots are approximations"
_NO_TUNING = (
    "tuning needs MetaSchedule, which apache-tvm 0.27.0.post1 cannot run: with apache-tvm-ffi 0.1.15.post2 it dies of "
    "SIGSEGV in ToJSONGraph, with 0.1.14.post1 every candidate's build times out; use tvm-O3 or tvm-O4"
)


class TvmBackend:
    """The artifact is a shared library and what is needed to call it; it runs on processors of the kind it is for."""

    name: ClassVar[str] = "tvm"
    summary: ClassVar[str] = "Apache TVM (Relax; LLVM or CUDA)"
    install: ClassVar[str] = "deltann[tvm]"
    distribution: ClassVar[str] = "apache-tvm"
    lowers_with: ClassVar[Sequence[str]] = ("onnxscript",)
    variants: ClassVar[Mapping[str, Variant]] = {
        **{f"O{level}": Variant({"level": level}, text) for level, text in LEVELS.items()},
        _TUNED: Variant({"level": _TUNED}, "MetaSchedule searches for schedules; see the option trials"),
    }
    options: ClassVar[Mapping[str, Option]] = {
        "level": Option("the pass ladder's step; set by the variants", "3", choices=(*LEVELS, _TUNED), numerics=True),
        "threads": Option(
            "runtime threads, at most one for each core; as many where absent", kind="count", at_load=True
        ),
        "trials": Option("schedules that tvm-tuned measures", "64", kind="count", numerics=True),
    }

    def version(self) -> str:
        """The version of `apache-tvm`."""
        return version(self.distribution)

    def devices(self) -> Sequence[str]:
        """CPU and CUDA."""
        return "cpu", "cuda"

    def import_framework(self, env: Environment) -> None:
        """See `deltann.backend.Importing`."""
        del env
        import_tvm()

    def unsupported(self, model: Model, env: Environment) -> str | None:
        """Tuning, trials without it, an opset yet unknown, and element types and operators that TVM lacks, by name."""
        if settings(self, env)["level"] == _TUNED:
            return _NO_TUNING
        if "trials" in dict(env.options):
            return "trials is for tvm-tuned, and nothing is tuned at the other levels: leave it out"
        if model.opset > defs.onnx_opset_version():
            return f"opset {model.opset} is newer than the newest that onnx knows, {defs.onnx_opset_version()}"
        for spec in (*model.inputs, *model.outputs):
            if spec.dtype not in DTYPES:
                return f"TVM has no element type {spec.dtype} ('{spec.name}')"
        try:
            missing = missing_operators(model.proto())
        except Unavailable:
            return None  # said, with the pip line, when lowering
        return f"TVM's ONNX frontend lacks {', '.join(missing)}" if missing else None

    def lower(self, model: Model, env: Environment, workdir: Path) -> Artifact:
        """Fold, import, optimise as the level says, compile and link.

        Raises:
            Unsupported: see `unsupported`.
            Unavailable: TVM or a C++ compiler (TVM links with one) is not installed; for CUDA, no GPU is there, or
                none of the compilers of its code.
        """
        tvm = import_tvm()
        from tvm.support.cc import get_cc

        if reason := self.unsupported(model, env):
            raise Unsupported(reason)
        if get_cc() is None:
            raise Unavailable("TVM links with a C++ compiler and finds none: install g++ or set CXX")
        level = int(str(settings(self, env)["level"]))
        description: dict[str, Any] = target(level)
        if on_gpu := env.device == "cuda":
            description = cuda.target(cuda.gpu(tvm).compute_version, description)
        module, inputs = to_relax(fold(model), model)
        enter(Stage.COMPILE)
        machine = tvm.target.Target(description)
        module, unscheduled = optimise(module, level, machine)
        compiler: AbstractContextManager[dict[str, Any]] = cuda.compiler(level) if on_gpu else nullcontext({})
        with compiler as compiled:
            tvm.compile(module, target=machine).export_library(str(workdir / _LIBRARY))
        shapes = {spec.name: [spec.dtype, list(spec.static_shape)] for spec in model.inputs}
        lowering = {
            "target": description,
            "inputs": [[name, *shapes[name]] for name in inputs],
            "outputs": [spec.name for spec in model.outputs],
            "unscheduled": unscheduled,
            "kernels": survey(module),
            **({"compiled": compiled} if on_gpu else {}),
        }
        (workdir / _LOWERING).write_text(json.dumps(lowering, indent=1, sort_keys=True))
        return Artifact.of(workdir, [_LIBRARY, _LOWERING])

    @contextmanager
    def load(self, artifact: Artifact, env: Environment) -> Iterator[Executable]:
        """Load the library into TVM's virtual machine.

        Raises:
            Unavailable: TVM is not installed, there is no GPU where one is asked for, or the library was compiled for
                another processor than this one.
        """
        tvm = import_tvm()
        from tvm.target.codegen import llvm_get_system_cpu

        lowering = json.loads((artifact.folder / _LOWERING).read_text())
        made_for = lowering["target"]
        cpu = made_for.get("host", made_for).get("mcpu")
        if cpu is not None and cpu != llvm_get_system_cpu():
            raise Unavailable(f"compiled for the CPU {cpu}; this one is {llvm_get_system_cpu()}: compile it here")
        threads = settings(self, env)["threads"]
        asked = threads if isinstance(threads, int) else None
        on_gpu = env.device == "cuda"
        device = cuda.gpu(tvm) if on_gpu else tvm.cpu()
        if on_gpu and made_for["arch"] != (here := cuda.target(device.compute_version, {})["arch"]):
            raise Unavailable(f"compiled for {made_for['arch']}; this GPU is {here}: compile it here")
        _set_threads(tvm, None if on_gpu else asked)
        library = tvm.runtime.load_module(str(artifact.folder / _LIBRARY))
        if on_gpu:
            cuda.check_placed(library)
        yield _Program(tvm, tvm.relax.VirtualMachine(library, device), device, lowering, asked)


def _set_threads(tvm: Any, wanted: int | None) -> None:
    cores = len(os.sched_getaffinity(0))
    count = wanted or cores
    if count > cores:  # a pool that is made now would take any number
        raise UsageError(f"threads={count}: TVM runs at most one for each core, and there are {cores}; ask for fewer")
    # The pool reads the variable; TVM's own choice is half the CPUs on x86, so one thread where there are two.
    os.environ["TVM_NUM_THREADS"] = str(count)
    tvm.get_global_func("runtime.config_threadpool")(1, count)
    if wanted and tvm.runtime.num_threads() != wanted:
        raise UsageError(
            f"threads={wanted}: TVM runs {tvm.runtime.num_threads()} threads in this process; ask for them in another"
        )


class _Program:
    def __init__(self, tvm: Any, machine: Any, device: Any, lowering: Mapping[str, Any], asked: int | None) -> None:
        self._tensor = tvm.runtime.tensor
        self._main = machine["main"]
        self._device = device
        self._inputs = [(name, np.dtype(dtype), tuple(shape)) for name, dtype, shape in lowering["inputs"]]
        self._outputs: list[str] = lowering["outputs"]
        self._lowering = lowering
        self._asked = asked
        self._threads = int(tvm.runtime.num_threads())

    def run(self, inputs: Tensors) -> Tensors:
        for name, dtype, shape in self._inputs:
            if inputs[name].dtype != dtype or inputs[name].shape != shape:
                got = f"{inputs[name].dtype}{list(inputs[name].shape)}"
                raise UsageError(f"'{name}' is {got}, but was compiled as {dtype}{list(shape)}: compile it anew")
        arrays = (np.ascontiguousarray(inputs[name]) for name, _, _ in self._inputs)
        result = self._main(*(self._tensor(array, self._device) for array in arrays))
        self._device.sync()  # a GPU's kernels are only queued by then
        results = [result] if hasattr(result, "numpy") else list(result)
        # `.copy()`: what `numpy()` gives may share the memory that the next run writes to.
        return {name: value.numpy().copy() for name, value in zip(self._outputs, results, strict=True)}

    def actual(self) -> dict[str, str]:
        """See `deltann.backend.Telling`. One thread computes where no kernel has a parallel loop."""
        kernels, unscheduled = self._lowering["kernels"], self._lowering["unscheduled"]
        if self._lowering["target"]["kind"] == "cuda":
            facts = {
                "precision": precision(kernels["types"]),
                "device": f"{self._device.device_name} (CUDA code for {self._lowering['target']['arch']})",
                "ignored": "" if self._asked is None else f"threads={self._asked}: cuda computes",
                "note": _FAST_MATH.format(**self._lowering["compiled"])
                if self._lowering["compiled"]["fast_math"]
                else "",
            }
            return {key: value for key, value in facts.items() if value}
        facts = {
            "precision": precision(kernels["types"]),
            "threads": str(self._threads if kernels["parallel"] else 1),
            "device": f"cpu (LLVM code for {self._lowering['target'].get('mcpu', 'any CPU of its kind')})",
            "note": f"not scheduled, so slow: {', '.join(unscheduled)}" if unscheduled else "",
        }
        if self._asked is not None and facts["threads"] != str(self._asked):
            facts["ignored"] = f"threads={self._asked}: no loop of this model is parallel at this level"
        return {key: value for key, value in facts.items() if value}
