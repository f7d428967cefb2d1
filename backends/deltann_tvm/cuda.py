"""NVIDIA GPUs: whether TVM can use one, what code for it is made for, and how every kernel gets its threads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deltann.errors import Unavailable

_MODE, _EXACT = "TVM_CUDA_COMPILE_MODE", "TVM_CUDA_NVCC_NO_FAST_MATH"


def gpu(tvm: Any) -> Any:
    """The first CUDA device.

    Raises:
        Unavailable: TVM sees none.
    """
    device = tvm.cuda(0)
    if not device.exist:
        raise Unavailable(
            "TVM sees no CUDA device: its CUDA runtime needs an NVIDIA GPU with its driver (libcuda.so.1) and the CUDA "
            "runtime library (libcudart) that this TVM was built with; or use tvm:cpu"
        )
    return device


@contextmanager
def compiler(level: int) -> Iterator[dict[str, Any]]:
    """Within, TVM compiles kernels by nvcc or, where only that is installed, NVRTC; yields which, and whether with
    `--use_fast_math`.

    TVM passes that flag to both: exp and tanh become approximations (tanh of some 11 bits), division and roots inexact,
    denormals zero. That is for level 4; below it TVM can be asked to call nvcc without. NVRTC it cannot, so there the
    flag stands at every level.

    Raises:
        Unavailable: neither is installed.
    """
    mode = os.environ.get(_MODE)
    if not mode:
        nvcc, nvrtc = shutil.which("nvcc") is not None, _nvrtc_loads()
        if not (nvcc or nvrtc):
            raise Unavailable(
                "TVM compiles CUDA code by nvcc or NVRTC and finds neither: install the CUDA toolkit, and put nvcc on "
                "the PATH"
            )
        mode = "nvcc" if nvcc else "nvrtc"
    exact = mode == "nvcc" and (level < 4 or bool(os.environ.get(_EXACT)))
    before = {name: os.environ.get(name) for name in (_MODE, _EXACT)}
    os.environ[_MODE] = mode
    if exact:
        os.environ[_EXACT] = "1"
    try:
        yield {"by": mode, "fast_math": not exact}
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _nvrtc_loads() -> bool:
    """Whether NVRTC is there with the toolkit's headers, which TVM gives it; it looks for them by CUDA_PATH."""
    headers = Path(os.environ.get("CUDA_PATH") or "/usr/local/cuda") / "include" / "cuda_runtime.h"
    if not headers.is_file() or find_spec("cuda") is None or find_spec("cuda.bindings") is None:
        return False
    try:
        import_module("cuda.bindings.nvrtc").nvrtcVersion()
    except RuntimeError:  # the package is there, the library is not
        return False
    return True


def target(compute_version: str, host: Mapping[str, Any]) -> dict[str, Any]:
    """TVM's description of a GPU of compute capability `compute_version` (such as `9.0`) beside its `host`.

    Limits are those that every GPU since Volta has, so that a kernel does not depend on which one it was made on.
    """
    return {
        "kind": "cuda",
        "arch": f"sm_{compute_version.replace('.', '')}",
        "max_threads_per_block": 1024,
        "max_shared_memory_per_block": 49152,
        "host": dict(host),
    }


def schedule_module(module: Any, level: int) -> tuple[Any, list[str]]:
    """Give every PrimFunc of `module` its threads, by TVM's own rules (DLight); within the scope of the target.

    Below level 3 by the plainest rule, one element a thread: on a GPU no kernel can do without. From 3 on by those for
    products, reductions and transposes too.

    Returns:
        The new module, and the functions that no rule fits, which TVM will refuse to compile.
    """
    from tvm import tirx
    from tvm.s_tir import dlight

    rules = dlight.gpu
    tuned = [rules.Matmul(), rules.GEMV(), rules.Reduction(), rules.GeneralReduction(), rules.Transpose()]
    scheduled = dlight.ApplyDefaultSchedule(*(tuned if level >= 3 else []), rules.Fallback())(module)
    left = [
        str(variable.name_hint)
        for variable, function in scheduled.functions_items()
        if isinstance(function, tirx.PrimFunc) and "tirx.is_scheduled" not in function.attrs
    ]
    return scheduled, sorted(left)


def check_placed(library: Any) -> None:
    """Raise RuntimeError where a loaded library holds no code for the GPU: all of it would run on the CPU."""
    modules = [library, *library.imports]
    kinds = {str(inner.kind) for module in modules for inner in (module, *module.imports)}
    if "cuda" not in kinds:
        raise RuntimeError(f"cuda was asked for, but the library holds code of the kinds {', '.join(sorted(kinds))}")
