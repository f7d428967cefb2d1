"""Reading and writing by index: Slice, Gather, Scatter, TopK, OneHot, NonZero, Unique and their kin."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from deltann.lowering.shapes import axis_of
from deltann_tensorflow.call import Call
from deltann_tensorflow.sizes import sizes
from deltann_tensorflow.table import Fn, op


def shape_of(call: Call, x: Any) -> list[int]:
    """The sizes of `x`.

    Raises:
        Unsupported: one of them is not known before the graph runs.
    """
    if not x.shape.is_fully_defined():
        raise call.unsupported("an input whose shape only the data tells")
    return [int(size) for size in x.shape]


def number(value: Any) -> Any:
    """A number, which may come as a tensor or a list of one item."""
    if tf.is_tensor(value):
        return tf.reshape(value, [])
    return value[0] if isinstance(value, list) else value


@op("Slice", layout="either")
def _slice_attributes(call: Call) -> Fn:
    starts, ends, axes = call.get("starts"), call.get("ends"), call.get("axes")
    return lambda x: _slice(call, x, starts, ends, axes)


@op("Slice", 10, host=(1, 2, 3, 4), soft=(1, 2), layout="either")
def _slice_inputs(call: Call) -> Fn:
    return lambda x, starts, ends, axes=None, steps=None: _slice(call, x, starts, ends, axes, steps)


def _slice(call: Call, x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    rank, count = x.shape.rank, _length(starts) or _length(ends)
    if rank is None or count is None:
        raise call.unsupported("axes that only the data tells")
    index = [slice(None)] * rank
    for i, axis in enumerate(range(count) if axes is None else axes):
        index[call.axis(axis, rank)] = slice(_bound(starts[i]), _bound(ends[i]), 1 if steps is None else steps[i])
    return x[tuple(index)] if rank else x


def _length(bounds: Any) -> int | None:
    return len(bounds) if isinstance(bounds, list) else bounds.shape[0]


def _bound(value: Any) -> Any:
    # A strided slice clamps to the tensor's sizes as ONNX does; its numbers have 32 bits.
    limits = np.iinfo(np.int32)
    if tf.is_tensor(value):
        return tf.cast(tf.clip_by_value(value, limits.min, limits.max), tf.int32)
    return min(max(value, limits.min), limits.max)


def _positive(indices: Any, size: Any) -> Any:
    """Indices counted from the beginning; those below zero count from the end of an axis of `size`."""
    if indices.dtype not in (tf.int32, tf.int64):
        indices = tf.cast(indices, tf.int64)
    return tf.where(indices < 0, indices + tf.cast(size, indices.dtype), indices)


def _size(x: Any, axis: int) -> Any:
    known = x.shape[axis]
    return tf.shape(x, tf.int64)[axis] if known is None else known


@op("Gather")
def _gather(call: Call) -> Fn:
    axis = call.get("axis", 0)
    known = call.constant(1)
    shape = call.shape(0)
    if known is not None and shape is not None:
        at = np.where(known < 0, known + shape[axis], known)
        return lambda x, _: tf.gather(x, at, axis=axis)
    return lambda x, indices: tf.gather(x, _positive(indices, _size(x, axis)), axis=axis)


def _flat(x: Any, indices: Any, axis: int) -> Any:
    """Where in the flattened `x` each place of `indices` points: its own, but for that along `axis`."""
    shape, spread = _numbers(x), _numbers(indices)
    where = axis_of(axis, len(shape))
    at = tf.cast(_positive(indices, shape[where]), tf.int64)
    places: Any = 0
    stride: Any = 1
    for d in reversed(range(len(shape))):
        if d == where:
            at = at * stride
        else:
            view = [1] * len(shape)
            view[d] = -1
            steps = np.arange(spread[d]) if isinstance(spread[d], int) else tf.range(spread[d])
            along = steps * stride
            places = places + (along.reshape(view) if isinstance(along, np.ndarray) else tf.reshape(along, view))
        stride = stride * shape[d]
    return at + places


def _numbers(x: Any) -> list[Any]:
    return [tf.cast(size, tf.int64) if tf.is_tensor(size) else size for size in sizes(x)]


@op("GatherElements")
def _gather_elements(call: Call) -> Fn:
    axis = call.get("axis", 0)
    return lambda x, indices: tf.gather(tf.reshape(x, [-1]), _flat(x, indices, axis))


@op("GatherND")
def _gather_nd(call: Call) -> Fn:
    batch = call.get("batch_dims", 0)

    def run(x: Any, indices: Any) -> Any:
        depth = indices.shape[-1]
        if depth is None:
            raise call.unsupported("indices whose shape only the data tells")
        return tf.gather_nd(x, _positive(indices, tf.shape(x)[batch : batch + depth]), batch_dims=batch)

    return run


def _product(x: Any, indices: Any, updates: Any) -> Any:
    # TensorFlow scatters no products: those of all that goes to one place, and 1 where nothing goes.
    leading = tf.shape(x, indices.dtype)[: indices.shape[-1]]
    strides = tf.math.cumprod(leading, exclusive=True, reverse=True)
    products = tf.math.unsorted_segment_prod(updates, tf.reduce_sum(indices * strides, -1), tf.reduce_prod(leading))
    return x * tf.reshape(products, tf.shape(x))


_SCATTER = {
    "none": tf.tensor_scatter_nd_update,
    "add": tf.tensor_scatter_nd_add,
    "mul": _product,
    "max": tf.tensor_scatter_nd_max,
    "min": tf.tensor_scatter_nd_min,
}


@op("Scatter")
@op("ScatterElements")
def _scatter_elements(call: Call) -> Fn:
    axis, scatter = call.get("axis", 0), _SCATTER[call.get("reduction", "none")]

    def run(x: Any, indices: Any, updates: Any) -> Any:
        at = tf.reshape(_flat(x, indices, axis), [-1, 1])
        return tf.reshape(scatter(tf.reshape(x, [-1]), at, tf.reshape(updates, [-1])), sizes(x))

    return run


@op("ScatterND")
def _scatter_nd(call: Call) -> Fn:
    scatter = _SCATTER[call.get("reduction", "none")]

    def run(x: Any, indices: Any, updates: Any) -> Any:
        if indices.shape[-1] is None:
            raise call.unsupported("indices whose shape only the data tells")
        return scatter(x, _positive(indices, tf.shape(x)[: indices.shape[-1]]), updates)

    return run


@op("TensorScatter")
def _tensor_scatter(call: Call) -> Fn:
    axis, circular = call.get("axis", -2), call.get("mode", "linear") == "circular"

    def run(past: Any, update: Any, start: Any = None) -> Any:
        shape, spread = shape_of(call, past), shape_of(call, update)
        where = axis_of(axis, len(shape))
        first = tf.zeros([shape[0]], tf.int64) if start is None else tf.cast(start, tf.int64)
        at = first[:, None] + tf.range(spread[where], dtype=tf.int64)
        at = at % shape[where] if circular else at
        view = [1] * len(shape)
        view[0], view[where] = shape[0], spread[where]
        places = tf.broadcast_to(tf.reshape(at, view), spread)
        flat = tf.reshape(_flat(past, places, where), [-1, 1])
        return tf.reshape(tf.tensor_scatter_nd_update(tf.reshape(past, [-1]), flat, tf.reshape(update, [-1])), shape)

    return run


@op("TopK", 1)
def _top_k_attribute(call: Call) -> Fn:
    k, axis = call.get("k"), call.get("axis", -1)
    return lambda x: _top_k(x, k, axis, True)


@op("TopK", 10, host=(1,), soft=(1,))
def _top_k_input(call: Call) -> Fn:
    axis, largest = call.get("axis", -1), bool(call.get("largest", 1))
    return lambda x, k: _top_k(x, number(k), axis, largest)


def _top_k(x: Any, k: int, axis: int, largest: bool) -> tuple[Any, Any]:
    rank = x.shape.rank
    order = list(range(rank))
    order[axis], order[-1] = order[-1], order[axis]
    last = tf.transpose(x, order)
    # TensorFlow finds the greatest alone, of equals the one that comes first, as ONNX has it; turning the order of
    # all values round finds the smallest: the complement of an integer cannot overflow, as its negative could.
    turned = last if largest else (tf.bitwise.invert(last) if last.dtype.is_integer else -last)
    _, indices = tf.math.top_k(turned, k)
    values = tf.gather(last, indices, batch_dims=rank - 1)
    return tf.transpose(values, order), tf.transpose(tf.cast(indices, tf.int64), order)


@op("OneHot", host=(1,), soft=(1,))
def _one_hot(call: Call) -> Fn:
    axis = call.get("axis", -1)

    def run(indices: Any, depth: Any, values: Any) -> Any:
        classes = number(depth)
        classes = tf.cast(classes, tf.int32) if tf.is_tensor(classes) else int(classes)
        where = axis + indices.shape.rank + 1 if axis < 0 else axis
        at = _positive(tf.cast(indices, tf.int64), classes)
        return tf.one_hot(at, classes, values[1], values[0], where, values.dtype)

    return run


@op("NonZero")
def _non_zero(_call: Call) -> Fn:
    return lambda x: tf.transpose(tf.where(_is_true(x if x.shape.rank else tf.reshape(x, [1]))))


def _is_true(x: Any) -> Any:
    return x if x.dtype == tf.bool else tf.not_equal(x, tf.zeros((), x.dtype))


@op("Compress")
def _compress(call: Call) -> Fn:
    axis = call.get("axis")

    def run(x: Any, condition: Any) -> Any:
        at = tf.where(condition)[:, 0]
        return tf.gather(tf.reshape(x, [-1]), at) if axis is None else tf.gather(x, at, axis=axis)

    return run


@op("Unique")
def _unique(call: Call) -> Fn:
    axis, ordered = call.get("axis"), bool(call.get("sorted", 1))

    def run(x: Any) -> tuple[Any, ...]:
        flat = tf.reshape(x, [-1]) if axis is None else x
        along = 0 if axis is None else axis_of(axis, x.shape.rank)
        found = tf.raw_ops.UniqueWithCountsV2(x=flat, axis=[along], out_idx=tf.int64)
        values, inverse, counts = found.y, found.idx, found.count
        number = tf.shape(counts, tf.int64)[0]
        first = tf.math.unsorted_segment_min(tf.range(tf.shape(inverse, tf.int64)[0]), inverse, number)
        if ordered:
            order = _lexicographic(_rows(values, along))
            rank = tf.argsort(order)
            values = tf.gather(values, order, axis=along)
            counts, first = tf.gather(counts, order), tf.gather(first, order)
            inverse = tf.cast(tf.gather(rank, inverse), tf.int64)
        return values, first, inverse, counts

    return run


def _rows(values: Any, axis: int) -> Any:
    """One row for each place of `axis`."""
    order = [axis, *(d for d in range(values.shape.rank) if d != axis)]
    return tf.reshape(tf.transpose(values, order), [tf.shape(values)[axis], -1])


def _lexicographic(rows: Any) -> Any:
    """The order that sorts `rows` by their first items, equals by their second, and so on."""

    def by_column(column: Any, order: Any) -> tuple[Any, Any]:
        keys = tf.gather(tf.gather(rows, column, axis=1), order)
        return column - 1, tf.gather(order, tf.argsort(keys, stable=True))

    last = tf.shape(rows)[1] - 1
    start = (last, tf.range(tf.shape(rows)[0]))
    return tf.while_loop(lambda column, _: column >= 0, by_column, start)[1]


@op("ReverseSequence")
def _reverse_sequence(call: Call) -> Fn:
    time, batch = call.get("time_axis", 0), call.get("batch_axis", 1)
    return lambda x, lengths: tf.reverse_sequence(x, lengths, time, batch)
