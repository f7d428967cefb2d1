"""The levels O0 to O4: which Relax passes and which LLVM settings each one adds. See docs/design/tvm-levels.md."""

from __future__ import annotations

from typing import Any

LEVELS = {
    "0": "operators legalised one by one, LLVM opt-level 0, generic CPU",
    "1": "O0 + LLVM opt-level 3, batch normalisation decomposed, common subexpressions, constants folded",
    "2": "O1 + batch normalisation folded into weights, parallel products combined, fusion",
    "3": "O2 + this CPU's own instructions, every loop nest scheduled: threads, vectors, sums in registers",
    "4": "O3 + convolutions in NHWC, fast approximations of exp, erf and tanh, LLVM may reassociate sums",
}

# What `fast-math` allows, less the two promises (no NaN, no infinity) that a masked attention breaks.
_FAST_MATH = ("reassoc", "contract", "arcp", "nsz")


def target(level: int) -> dict[str, str | int]:
    """TVM's description of the machine to compile for, as `tvm.target.Target` takes it."""
    from tvm.target.codegen import llvm_get_system_cpu

    settings: dict[str, str | int] = {"kind": "llvm", "opt-level": 3 if level >= 1 else 0}
    if level >= 3:
        # `mcpu=native` only logs an error and compiles for a generic CPU; LLVM itself knows the name.
        settings["mcpu"] = str(llvm_get_system_cpu())
    if level >= 4:
        settings |= {f"fast-math-{flag}": 1 for flag in _FAST_MATH}
    return settings


def passes(level: int) -> list[Any]:
    """The Relax passes of a level, in the order they run; a higher level's list contains a lower one's."""
    from tvm.relax import transform

    ordered = [
        (2, transform.FoldBatchnormToConv2D()),  # before batch normalisation is taken apart
        (1, transform.DecomposeOpsForInference()),
        (1, transform.CanonicalizeBindings()),
        (1, transform.EliminateCommonSubexpr()),
        (2, transform.CombineParallelMatmul()),
        (4, transform.FoldConstant()),  # TVM 0.27's ConvertLayout dies of SIGSEGV where weights are still an expression
        (4, transform.ConvertLayout({"relax.nn.conv2d": ["NHWC", "HWIO"]})),
        (4, transform.FastMathTransform()),
        (1, transform.FoldConstant()),
        (0, transform.LegalizeOps()),
        (2, transform.AnnotateTIROpPattern()),
        (2, transform.FuseOps()),
        (2, transform.FuseTIR()),
        (2, transform.DeadCodeElimination()),
    ]
    return [step for least, step in ordered if level >= least]


def optimise(module: Any, level: int, machine: Any) -> tuple[Any, list[str]]:
    """Run the level's passes and schedules.

    Returns:
        The module ready for `tvm.compile`, and the functions that O3 and up could not schedule.
    """
    import tvm

    from deltann_tvm import cuda
    from deltann_tvm.schedule import schedule_module

    with machine:
        module = tvm.transform.Sequential(passes(level))(module)
        if machine.kind.name == "cuda":
            return cuda.schedule_module(module, level)
        return schedule_module(module, machine) if level >= 3 else (module, [])
