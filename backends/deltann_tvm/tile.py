"""The choice of a register tile for one reduction (a convolution, a matrix product, a pooling): arithmetic, no TVM.

A reduction writes `out[s0, …, sn]` while it sums over further axes. Its memory accesses are linear in the axes, so each
buffer is described by one stride (in elements) an axis. A tile is a small block of outputs that stays in registers
over the whole sum: some vectors along the last axis, times some steps along an axis that reuses the loaded vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from math import prod

Strides = Sequence[int]


@dataclass(frozen=True)
class Tile:
    """`width` elements of the last axis and `rows` of the one before it make `width * rows / lanes` vectors.

    They are repeated `repeat` times along the axis `axis` (None: no such axis). `rows` exceeds 1 only where whole rows
    are contiguous in every buffer, and `gathers` says that some vector load is not contiguous.
    """

    lanes: int
    width: int
    rows: int
    axis: int | None
    repeat: int
    gathers: bool


def divisors(number: int) -> list[int]:
    """All divisors, ascending."""
    return [d for d in range(1, number + 1) if number % d == 0]


def vector_length(elements: int, lanes: int) -> int:
    """The longest vector of at most `lanes` elements that divides `elements`, a power of two if one is near that long.

    LLVM assembles a vector of, say, 15 elements from four loads; 8 elements are one.
    """
    fitting = [d for d in divisors(elements) if d <= lanes]
    return max(fitting, key=lambda d: d if d & (d - 1) == 0 else d * 0.6)


def choose(extents: Sequence[int], write: Strides, reads: Sequence[Strides], lanes: int, registers: int) -> Tile | None:
    """The best tile, or None where the last axis of the output is not contiguous.

    Args:
        extents: sizes of the output's axes; all above 1.
        write: the output's stride for each axis.
        reads: the same for each buffer read.
        lanes: elements in one vector register.
        registers: vectors that may be accumulated at a time.
    """
    last = len(extents) - 1
    if last < 0 or write[last] != 1:
        return None
    moving = [read for read in reads if read[last] != 0]
    gathers = any(read[last] > 1 for read in moving)
    if gathers:
        registers = min(registers, 4)  # each gathered vector is `lanes` loads: unrolling many only bloats the code
    shapes = [(width, 1) for width in divisors(extents[last])]
    if last and all(buffer[last - 1] == buffer[last] * extents[last] for buffer in (*reads, write)):
        shapes += [(extents[last], rows) for rows in divisors(extents[last - 1])[1:]]
    reusing = [a for a in range(last) if moving and all(read[a] == 0 for read in moving)]
    axis = reusing[-1] if reusing else (last - 1 if last else None)
    best: tuple[float, int, Tile] | None = None
    for width, rows in shapes:
        vector = vector_length(width * rows, lanes)
        vectors = width * rows // vector
        if vector * 4 <= lanes < width * rows and not gathers:
            # No divisor is near: one long vector, which LLVM cuts into registers and a rest.
            vector = width * rows
            vectors = -(-vector // lanes)
        repeats = [1] if axis is None or (rows > 1 and axis == last - 1) else divisors(extents[axis])
        for repeat in repeats:
            count = vectors * repeat
            if count > registers:
                break
            # Loads for each multiply-add matter only where vectors are reused; ten sums in flight hide the latency.
            per_load = count / (vectors + repeat) if reusing else 1.0
            full = width * rows / (vectors * lanes) * (1.0 if vector & (vector - 1) == 0 else 0.75)
            score = full * min(1.0, count / 10) * per_load
            if best is None or (score, -count) > best[:2]:
                best = (score, -count, Tile(vector, width, rows, axis, repeat, gathers))
    return best[2] if best else None


def loop_order(counts: Sequence[int], reads: Sequence[tuple[int, Strides]]) -> tuple[int, ...]:
    """The order of the tile loops, outermost first, that reads the least memory.

    A buffer is read again for each step of an axis that it does not depend on and that lies outside one it does.

    Args:
        counts: tiles along each axis.
        reads: for each buffer its size in elements and its strides.
    """

    def traffic(order: tuple[int, ...]) -> int:
        total = 0
        for size, strides in reads:
            inner = max((place for place, axis in enumerate(order) if strides[axis]), default=-1)
            total += size * prod(counts[axis] for axis in order[: max(inner, 0)] if not strides[axis])
        return total

    return min(permutations(range(len(counts))), key=traffic)
