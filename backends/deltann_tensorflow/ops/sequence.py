"""Sequences of tensors, held as lists, and optional values."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from deltann_tensorflow.call import Call
from deltann_tensorflow.ops.indexing import number
from deltann_tensorflow.table import Fn, op, plain

plain("SequenceConstruct", lambda *values: list(values))
plain("OptionalGetElement", lambda value: value)
plain("OptionalHasElement", lambda value=None: tf.constant(value is not None))
plain("SequenceLength", lambda sequence: tf.constant(len(sequence), tf.int64))


@op("SequenceEmpty")
def _empty(_call: Call) -> Fn:
    return list


@op("SequenceAt", host=(1,), soft=(1,))
def _at(_call: Call) -> Fn:
    def run(sequence: list[Any], at: Any) -> Any:
        if not tf.is_tensor(at):
            return sequence[number(at)]
        where = tf.cast(tf.where(at < 0, at + len(sequence), at), tf.int32)
        return tf.switch_case(tf.reshape(where, []), [lambda item=item: item for item in sequence])

    return run


@op("SequenceInsert", host=(2,), soft=(2,))
def _insert(call: Call) -> Fn:
    def run(sequence: list[Any], value: Any, at: Any = None) -> list[Any]:
        where = len(sequence) if at is None else _place(call, at)
        where = where + len(sequence) if where < 0 else where
        return [*sequence[:where], value, *sequence[where:]]

    return run


@op("SequenceErase", host=(1,), soft=(1,))
def _erase(call: Call) -> Fn:
    def run(sequence: list[Any], at: Any = None) -> list[Any]:
        where = (len(sequence) - 1 if at is None else _place(call, at)) % len(sequence)
        return [*sequence[:where], *sequence[where + 1 :]]

    return run


def _place(call: Call, value: Any) -> int:
    # A graph's lists are as long as its trace says: what decides that must be known then.
    if tf.is_tensor(value):
        raise call.unsupported("a place in a sequence that only the data tells")
    return int(number(value))


@op("SplitToSequence", host=(1,), soft=(1,))
def _split(call: Call) -> Fn:
    axis, keep = call.get("axis", 0), bool(call.get("keepdims", 1))

    def run(x: Any, parts: Any = None) -> list[Any]:
        size = x.shape[axis]
        if size is None:
            raise call.unsupported("an axis whose size only the data tells")
        if parts is None and not keep:
            return list(tf.unstack(x, axis=axis))
        if tf.is_tensor(parts) and parts.shape.rank == 1 and parts.shape[0] is not None:
            return list(tf.split(x, parts, axis, parts.shape[0]))
        if tf.is_tensor(parts):
            raise call.unsupported("a number of parts that only the data tells")
        # One number is the size of every part; the last may be smaller.
        step = 1 if parts is None else parts
        lengths = step if isinstance(step, list) else [min(step, size - at) for at in range(0, size, step)]
        return list(tf.split(x, lengths, axis))

    return run


@op("ConcatFromSequence")
def _concat(call: Call) -> Fn:
    axis, new = call.get("axis"), call.get("new_axis", 0)
    return lambda sequence: (tf.stack if new else tf.concat)(sequence, axis)
