"""Matrix products."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from deltann_torch.call import Call
from deltann_torch.table import Fn, op


@op("MatMul", unsigned="modular")
def _matmul(_call: Call) -> Fn:
    return torch.matmul


@op("Gemm", unsigned="modular")
def _gemm(call: Call) -> Fn:
    alpha, beta = call.get("alpha"), call.get("beta")
    transpose_a, transpose_b = call.get("transA"), call.get("transB")
    bias = call.shape(2)
    if alpha == beta == 1.0 and transpose_b and not transpose_a and (not call.has(2) or (bias and len(bias) == 1)):
        return F.linear

    def run(a: Any, b: Any, c: Any = None) -> Any:
        a = a.t() if transpose_a else a
        b = b.t() if transpose_b else b
        y = a @ b
        # Integers stay integers: a factor of one is left out rather than multiplied in.
        y = y if alpha == 1.0 else (y * alpha).to(a.dtype)
        if c is None:
            return y
        return y + (c if beta == 1.0 else (c * beta).to(a.dtype))

    return run


@op("Einsum")
def _einsum(call: Call) -> Fn:
    equation = call.get("equation").replace(" ", "")
    return lambda *operands: torch.einsum(equation, *operands)
