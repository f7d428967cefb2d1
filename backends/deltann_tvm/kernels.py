"""What a compiled module's kernels are made of: element types, and whether several threads share one."""

from __future__ import annotations

from collections import Counter
from typing import Any


def survey(module: Any) -> dict[str, Any]:
    """Of a module ready for `tvm.compile`: `types`, how many kernels compute in each float type (one that touches
    several counts for what it writes), and `parallel`, how many have a loop that threads share."""
    from tvm import tirx

    types: Counter[str] = Counter()
    parallel = 0
    for function in module.functions.values():
        if not isinstance(function, tirx.PrimFunc):
            continue
        # The output comes last.
        floats = [str(buffer.dtype) for buffer in reversed(function.params) if "float" in str(buffer.dtype)]
        types.update(floats[:1])
        # TVM 0.27 has no walk over statements in Python; its printed form has one spelling for such a loop.
        parallel += "T.parallel(" in function.script()
    return {"types": dict(types), "parallel": parallel}


def precision(types: dict[str, int]) -> str:
    """`float32`, or `float32 (9 of 12 kernels; float16: 3)`; empty where no kernel has floats."""
    if len(types) < 2:
        return "".join(types)
    (first, number), *others = sorted(types.items(), key=lambda item: (-item[1], item[0]))
    rest = ", ".join(f"{name}: {count}" for name, count in others)
    return f"{first} ({number} of {sum(types.values())} kernels; {rest})"
