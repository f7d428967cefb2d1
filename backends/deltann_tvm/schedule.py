"""Schedules for every PrimFunc of a module: parallel outer loops, vectorised inner loops, sums kept in registers."""

from __future__ import annotations

from math import prod
from typing import Any

from deltann_tvm.tile import Tile, choose, loop_order, vector_length

# TVM ships no types, hence `Any` for its objects.
_PARALLEL_FROM = 1 << 14
"""Loop steps from which waking another thread (some microseconds) pays."""
_UNROLL_WINDOW = 32
"""Reduction steps (a 5×5 window) up to which the loops over the window are unrolled."""


def schedule_module(module: Any, target: Any) -> tuple[Any, list[str]]:
    """Schedule every PrimFunc of `module` for `target`.

    Returns:
        The new module, and the names of the functions left as they were since TVM's schedule primitives refuse them
        (sorting, for one).
    """
    import tvm
    from tvm import s_tir, tirx

    scheduled = tvm.IRModule(module.functions, attrs=module.attrs)
    left: list[str] = []
    for variable, function in module.functions_items():
        if not isinstance(function, tirx.PrimFunc):
            continue
        try:
            result = _schedule(function, target)
        except s_tir.ScheduleError:
            result = None
        if result is None:
            left.append(str(variable.name_hint))
        else:
            scheduled[variable] = result
    return scheduled, sorted(left)


def _schedule(function: Any, target: Any) -> Any | None:
    from tvm import s_tir
    from tvm.s_tir.dlight.analysis import normalize_prim_func
    from tvm.target.codegen import llvm_get_vector_width

    schedule = s_tir.Schedule(function)
    _inline(schedule)
    blocks = normalize_prim_func(schedule)
    if blocks is None or not all(isinstance(axis.dom, int) for block in blocks for axis in block.iters):
        return None
    vector_bits = int(llvm_get_vector_width(target))
    sums = [block for block in blocks if _reduces(schedule, block.block_rv)]
    tiled: list[Any] = []
    if len(sums) == 1:
        tiled = _tile_sum(schedule, sums[0], vector_bits)
    for block in blocks:
        if not any(schedule.get(block.block_rv).same_as(schedule.get(done)) for done in tiled):
            _plain(schedule, block, vector_bits)
    return schedule.mod["main"]


def _reduces(schedule: Any, block: Any) -> bool:
    from tvm.tirx import IterVar

    return any(axis.iter_type == IterVar.CommReduce for axis in schedule.get(block).iter_vars)


def _inline(schedule: Any) -> None:
    """Fold element-wise blocks into their only reader; a sum takes in plain copies only, for it reads repeatedly."""
    from tvm.ir import TensorLoad

    for block in schedule.get_child_blocks(schedule.get_sblock("root")):
        readers = list(schedule.get_consumers(block))
        if len(readers) != 1 or _reduces(schedule, block):
            continue
        value = getattr(schedule.get(block).body, "value", None)
        if not _reduces(schedule, readers[0]) or isinstance(value, TensorLoad):
            schedule.compute_inline(block)


def _strides(region: Any, axes: list[Any]) -> list[int] | None:
    """Elements that one step along each axis moves in `region`'s buffer; None where that is not linear."""
    from tvm.sym import detect_linear_equation
    from tvm.tirx import IntImm

    offsets = list(region.source.offset_of([place.min for place in region.region]))
    terms = list(detect_linear_equation(offsets[0], axes)) if len(offsets) == 1 else []
    if not terms or not all(isinstance(term, IntImm) for term in terms[:-1]):
        return None
    return [int(term) for term in terms[:-1]]


def _tile_sum(schedule: Any, block: Any, vector_bits: int) -> list[Any]:
    """Tile one reduction with what follows it; the blocks done, none where it does not lend itself to tiling."""
    rv = block.block_rv
    statement = schedule.get(rv)
    readers = list(schedule.get_consumers(rv))
    if len(statement.writes) != 1 or len(readers) > 1 or (readers and _reduces(schedule, readers[0])):
        return []
    out = statement.writes[0]
    inputs = [region for region in statement.reads if not region.source.same_as(out.source)]
    axes = [axis.var for axis in block.iters]
    strides = [_strides(region, axes) for region in (out, *inputs)]
    if any(row is None for row in strides):
        return []
    spatial = [place for place, axis in enumerate(block.iters) if axis.kind == "S"]
    extents = [int(block.iters[place].dom) for place in spatial]
    picked = [[row[place] for place in spatial] for row in strides if row is not None]
    lanes = max(1, vector_bits // int(out.source.dtype.bits))
    # 32 vector registers with AVX-512, 16 below; some hold what is loaded.
    tile = choose(extents, picked[0], picked[1:], lanes, 28 if vector_bits >= 512 else 12)
    if tile is None:
        return []
    sizes = [prod(int(dim) for dim in region.source.shape) for region in inputs]
    _apply(schedule, block, tile, extents, list(zip(sizes, picked[1:], strict=True)))
    return [rv, *schedule.get_consumers(rv)]


def _apply(schedule: Any, block: Any, tile: Tile, extents: list[int], reads: list[tuple[int, list[int]]]) -> None:
    rv = block.block_rv
    if not schedule.get_consumers(rv):
        schedule.cache_write(rv, 0, "local")
    else:
        schedule.set_scope(rv, 0, "local")
    (after,) = schedule.get_consumers(rv)
    loops = list(zip(schedule.get_loops(rv), block.iters, strict=True))
    sums = [loop for loop, axis in loops if axis.kind != "S"]
    steps = {len(extents) - 1: tile.width}
    if tile.axis is not None and tile.repeat > 1:
        steps[tile.axis] = tile.repeat
    if tile.rows > 1:
        steps[len(extents) - 2] = tile.rows
    outer, inner = [], {}
    for place, loop in enumerate(loop for loop, axis in loops if axis.kind == "S"):
        if place in steps:
            block_loop, inner[place] = schedule.split(loop, [None, steps[place]])
            outer.append(block_loop)
        else:
            outer.append(loop)
    order = loop_order([extent // steps.get(place, 1) for place, extent in enumerate(extents)], reads)
    # The repeated axis first: its steps are the ones unrolled around the vectors.
    vectors = [inner[p] for p in sorted(inner) if tile.rows > 1 or p != tile.axis]
    repeats = [inner[p] for p in inner if inner[p] not in vectors]
    schedule.reorder(*(outer[place] for place in order), *sums, *repeats, *vectors)
    whole = schedule.fuse(*(outer[place] for place in order))
    schedule.reverse_compute_at(after, whole)
    for loop in repeats:
        schedule.unroll(loop)
    _vectorise(schedule, vectors, tile.lanes)
    tail = schedule.get_loops(after)[1:]
    wide = [loop for loop in tail if int(schedule.get(loop).extent) > 1]
    kept = 2 if tile.rows > 1 else 1
    for loop in wide[:-kept]:
        schedule.unroll(loop)
    _vectorise(schedule, wide[-kept:], tile.lanes)
    if prod(extents) * prod(int(schedule.get(loop).extent) for loop in sums) >= _PARALLEL_FROM:
        schedule.parallel(whole)
    if sums:
        schedule.decompose_reduction(rv, sums[0])
    window = [loop for loop in sums if int(schedule.get(loop).extent) <= 5]
    if not tile.gathers and prod(int(schedule.get(loop).extent) for loop in window) <= _UNROLL_WINDOW:
        for loop in window:
            schedule.unroll(loop)


def _vectorise(schedule: Any, loops: list[Any], lanes: int) -> None:
    """Fuse `loops` and run them as vectors of `lanes` elements, unrolled."""
    if not loops:
        return
    loop = schedule.fuse(*loops)
    if int(schedule.get(loop).extent) > lanes:
        unrolled, loop = schedule.split(loop, [None, lanes])
        schedule.unroll(unrolled)
    schedule.vectorize(loop)


def _plain(schedule: Any, block: Any, vector_bits: int) -> None:
    """Element-wise blocks and sums that cannot be tiled: parallel outside, vectors inside."""
    rv = block.block_rv
    loops = schedule.get_loops(rv)
    kinds = [axis.kind for axis in block.iters]
    if any(kind == "O" for kind in kinds) or not any(kind == "S" for kind in kinds):
        return
    work = prod(int(axis.dom) for axis in block.iters)
    spatial = [loop for loop, kind in zip(loops, kinds, strict=True) if kind == "S"]
    if _reduces(schedule, rv):
        schedule.reorder(*spatial, *(loop for loop, kind in zip(loops, kinds, strict=True) if kind != "S"))
    else:
        if len(loops) > 1 and schedule.can_decompose_padding(rv, loops[1]):
            schedule.decompose_padding(rv, loops[1])
            spatial = spatial[:1]
        else:
            *spatial, last = spatial
            dtype = schedule.get(rv).writes[0].source.dtype
            lanes = vector_length(int(schedule.get(last).extent), max(1, vector_bits // int(dtype.bits)))
            if lanes >= 4:
                rest, last = schedule.split(last, [None, lanes])
                schedule.vectorize(last)
                spatial.append(rest)
    if spatial and work >= _PARALLEL_FROM:
        schedule.parallel(schedule.fuse(*spatial))
