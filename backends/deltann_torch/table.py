"""The operator table of torch; `deltann.lowering.table` says what an entry is.

The trait `unsigned` of an entry says how unsigned integers, which torch computes hardly at all, are computed:
"modular": a wider or two's complement type gives the right bits; "ordered": the same after flipping the sign bit of
64-bit ones; "small": not those of 64 bits. `made`: what the callable returns is made on the CPU, no input being
a tensor that says where to.
"""

from __future__ import annotations

from typing import Any

import torch

from deltann.lowering.table import Fn as Fn
from deltann.lowering.table import Table

TABLE = Table()
op = TABLE.op
plain = TABLE.plain
find = TABLE.find

_WIDER = {torch.uint16: torch.int32, torch.uint32: torch.int64}
_SIGN = -(1 << 63)


def widened(fn: Fn, dtype: torch.dtype, same: tuple[bool, ...], outputs: tuple[bool, ...], ordered: bool) -> Fn:
    """`fn` on unsigned integers of 16, 32 or 64 bits, by way of a signed type.

    `same` and `outputs` tell which inputs and outputs have that unsigned type.
    """
    wide = _WIDER.get(dtype, torch.int64)
    flip = ordered and dtype == torch.uint64

    def enter(value: Any) -> Any:
        return (value.to(wide) ^ _SIGN) if flip else value.to(wide)

    def leave(value: Any) -> Any:
        return (value ^ _SIGN if flip else value).to(dtype)

    def run(*args: Any) -> Any:
        result = fn(*(enter(a) if s and a is not None else a for a, s in zip(args, same, strict=True)))
        if not isinstance(result, tuple):
            return leave(result) if outputs[0] else result
        return tuple(leave(r) if o else r for r, o in zip(result, outputs, strict=False))

    return run
