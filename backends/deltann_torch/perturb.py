"""Random rounding: every intermediate value moved by one unit in its last place, up or down with equal chance.

x (1 + u ξ), with ξ = ±1 and u the unit roundoff of x's type (2^-24 for float32), rounded to nearest, is one of the two
neighbours of x. Over a few runs the spread of the outputs shows how far rounding can move them (Parker, Monte Carlo
Arithmetic, UCLA CSD-970002, 1997; Vignes, CESTAC, doi:10.1016/0378-4754(93)90003-D). Zeros, infinities and NaNs stay.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch

from deltann.backend import Tensors
from deltann_torch.dtypes import FLOATS
from deltann_torch.table import Fn

_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}

# Operators that only move values or choose among them, and those whose bodies are operators themselves: they round
# nothing, and what is equal before them is equal behind them. Cast and Range too: what they make of integers is exact,
# and is compared with constants or used as an index; where Cast narrows, it has rounded already.
# fmt: off
_EXACT = frozenset((
    "Abs", "BitCast", "Cast", "CastLike", "Ceil", "CenterCropPad", "Clip", "Compress", "Concat", "ConcatFromSequence",
    "Constant", "ConstantOfShape", "DepthToSpace", "Dropout", "Expand", "EyeLike", "Flatten", "Floor", "Gather",
    "GatherElements", "GatherND", "GlobalMaxPool", "Hardmax", "Identity", "If", "Loop", "Max", "MaxPool", "MaxUnpool",
    "Min", "Neg", "OneHot", "OptionalGetElement", "Pad", "Range", "ReduceMax", "ReduceMin", "Relu", "Reshape",
    "ReverseSequence", "Round", "Scan", "Scatter", "ScatterElements", "ScatterND", "SequenceAt", "SequenceConstruct",
    "SequenceEmpty", "SequenceErase", "SequenceInsert", "Sign", "Slice", "SpaceToDepth", "Split", "SplitToSequence",
    "Squeeze", "TensorScatter", "ThresholdedRelu", "Tile", "TopK", "Transpose", "Trilu", "Unique", "Unsqueeze",
    "Where",
))
# fmt: on


class RandomRounding:
    """Wraps the callables of operators; what is drawn depends on the seed and on the inputs of the run alone.

    So the same inputs give the same outputs whatever ran before, and other inputs are rounded independently of them.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._generator = torch.Generator(device)

    def begin(self, inputs: Tensors) -> None:
        """Start a run on `inputs`."""
        digest = hashlib.sha256(str(self._seed).encode())
        for name in sorted(inputs):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(inputs[name]).view(np.uint8).data)
        self._generator.manual_seed(int.from_bytes(digest.digest()[:8], "little", signed=True))

    def after(self, fn: Fn, op: str) -> Fn:
        """`fn`, the callable of an operator `op` of the default domain, with what it computes rounded at random."""
        return fn if op in _EXACT else lambda *args: self._each(fn(*args))

    def _each(self, value: Any) -> Any:
        if isinstance(value, tuple | list):
            return type(value)(self._each(item) for item in value)
        if not isinstance(value, torch.Tensor) or value.dtype not in FLOATS:
            return value
        bits = value.view(_BITS[value.element_size()])
        steps = torch.randint(0, 2, value.shape, generator=self._generator, dtype=bits.dtype, device=value.device)
        # The next pattern of bits is the next number away from zero, the one before it the next towards zero.
        moved = (bits + (2 * steps - 1)).view(value.dtype)
        # The difference is finite where both are.
        return torch.where((value != 0) & (moved - value).isfinite(), moved, value)
