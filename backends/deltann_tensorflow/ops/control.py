"""If, Loop and Scan: their bodies are programs of their own, which take captured values after their own inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from deltann.lowering.scan import walk
from deltann_tensorflow.call import Call
from deltann_tensorflow.program import Program, Weight
from deltann_tensorflow.table import Fn, op

_UNROLLED = 32
"""A Loop of up to so many known steps is written out: each step is then folded and has shapes of its own."""

_NUMBER = tf.TensorSpec([], tf.int64)


@op("If")
def _if(call: Call) -> Fn:
    then, otherwise = (call.subgraph(call.get(name), {}) for name in ("then_branch", "else_branch"))
    if _lengths(then) != _lengths(otherwise):
        raise call.unsupported("sequences of a length that only the data tells")

    def run(condition: Any, *captured: Any) -> Any:
        return tuple(tf.cond(tf.reshape(condition, []), lambda: then(*captured), lambda: otherwise(*captured)))

    return run


def _lengths(program: Program) -> list[int | None]:
    return [len(spec) if isinstance(spec, list) else None for spec in program.specs]


@op("Loop")
def _loop(call: Call) -> Fn:
    states = list(call.specs[2:])
    steps = _written_out(call, states)
    if steps is None and any(not isinstance(spec, tf.TensorSpec) for spec in states):
        raise call.unsupported("a sequence carried over steps whose number only the data tells")
    return _repeated(call, states) if steps is None else _in_a_row(call, steps)


def _body(call: Call, states: Sequence[Any], step: int | None = None) -> Program:
    """The body for states of those specs, and the step of that number, or any step."""
    body = call.get("body")
    number, going, *names = body.inputs
    # It runs while the condition holds, so it is told so.
    constants = {**body.constants, going: np.array(True)}
    specs = dict(zip(names, states, strict=True))
    if step is None:
        graph, specs = replace(body, inputs=(number, *names), constants=constants), {number: _NUMBER, **specs}
    else:
        graph = replace(body, inputs=tuple(names), constants={**constants, number: np.array(step, np.int64)})
    program: Program = call.subgraph(graph, specs)
    return program


def _written_out(call: Call, states: Sequence[Any]) -> list[Program] | None:
    """The body of each step; None where their number is not known, or too great."""
    if not call.has(0) or call.constant(0) is None or (call.has(1) and call.constant(1) is None):
        return None
    trips, steps = int(call.constant(0)), list[Program]()
    going = not call.has(1) or bool(call.constant(1))
    if going and trips > _UNROLLED and all(isinstance(spec, tf.TensorSpec) for spec in states):
        return None
    while going and len(steps) < trips:
        program = _body(call, states, len(steps))
        more = _goes_on(program)
        if more is None:
            return None
        going = more
        states = program.specs[1 : 1 + len(states)]
        steps.append(program)
    return steps


def _goes_on(body: Program) -> bool | None:
    """The condition that the body gives, where it is known."""
    more = body.outputs[0]
    return bool(body.constants[more.index]) if isinstance(more, Weight) else None


def _in_a_row(call: Call, steps: Sequence[Program]) -> Fn:
    carried, inputs = call.n_inputs - 2, call.n_inputs
    empty = [] if steps else _body(call, call.specs[2:]).specs[1 + carried :]

    def run(*args: Any) -> tuple[Any, ...]:
        state, captured = args[2:inputs], args[inputs:]
        collected = []
        for step in steps:
            results = step(*state, *captured)
            state = results[1 : 1 + carried]
            collected.append(results[1 + carried :])
        if not collected:
            return (*state, *(tf.zeros([0, *(size or 0 for size in spec.shape)], spec.dtype) for spec in empty))
        return (*state, *(tf.stack(values) for values in zip(*collected, strict=True)))

    return run


def _repeated(call: Call, states: Sequence[Any]) -> Fn:
    """A loop of TensorFlow's, its state of shapes so general that every step keeps to them."""
    while True:
        body = _body(call, states)
        shapes = [
            old.shape.most_specific_compatible_shape(new.shape)
            for old, new in zip(states, body.specs[1:], strict=False)
        ]
        if shapes == [spec.shape for spec in states]:
            break
        states = [tf.TensorSpec(shape, spec.dtype) for shape, spec in zip(shapes, states, strict=True)]
    carried, inputs = len(states), call.n_inputs
    scans = body.specs[1 + carried :]
    scalar = tf.TensorShape([])
    # XLA needs to know how many values are collected; that is so where nothing ends the loop early.
    begins = not call.has(1) or (call.constant(1) is not None and bool(call.constant(1)))
    trips = int(call.constant(0)) if begins and _goes_on(body) and call.constant(0) is not None else None

    def run(*args: Any) -> tuple[Any, ...]:
        limit, condition, *state = args[:inputs]
        captured = args[inputs:]
        last = tf.constant(tf.int64.max) if limit is None else tf.cast(tf.reshape(limit, []), tf.int64)
        first = tf.constant(True) if condition is None else tf.reshape(condition, [])
        arrays = [
            tf.TensorArray(s.dtype, trips or 0, trips is None, element_shape=s.shape, infer_shape=False) for s in scans
        ]

        def advance(i: Any, _going: Any, state: Any, arrays: Any) -> tuple[Any, ...]:
            more, *results = body(i, *state, *captured)
            at = tf.cast(i, tf.int32)
            written = [array.write(at, value) for array, value in zip(arrays, results[carried:], strict=True)]
            return i + 1, tf.reshape(more, []), results[:carried], written

        _, _, state, arrays = tf.while_loop(
            lambda i, going, *_: going & (i < last),
            advance,
            (tf.constant(0, tf.int64), first, state, arrays),
            (scalar, scalar, shapes, [scalar] * len(arrays)),
        )
        return (*state, *(array.stack() for array in arrays))

    return run


@op("Scan", 8)
def _scan_batched(call: Call) -> Fn:
    if any(call.get("directions") or []):
        raise call.unsupported("directions in Scan before opset 9")
    if call.has(0):
        raise call.unsupported("sequence_lens in Scan before opset 9")
    batch, inputs = (call.shape(1) or (None,))[0], call.n_inputs
    if batch is None:
        raise call.unsupported("a batch whose size only the data tells")
    scan = _scanned(call, [tf.TensorSpec(spec.shape[1:], spec.dtype) for spec in call.specs[1:]])

    def run(_lengths: Any, *args: Any) -> tuple[Any, ...]:
        own, captured = args[: inputs - 1], args[inputs - 1 :]
        items = [scan(*(value[b] for value in own), *captured) for b in range(batch)]
        return tuple(tf.stack(values) for values in zip(*items, strict=True))

    return run


@op("Scan", 9)
def _scan(call: Call) -> Fn:
    return _scanned(call, call.specs)


def _scanned(call: Call, specs: Sequence[Any]) -> Fn:
    """A callable of values of `specs` and of what is captured."""
    way = walk(call.node.attributes)
    states, number = way.states, len(way.inputs)
    ranks = [spec.shape.rank for spec in specs[states:]]
    if None in ranks:
        raise call.unsupported("an input whose rank only the data tells")
    axes = [axis % rank for (axis, _), rank in zip(way.inputs, ranks, strict=True)]
    items = [
        tf.TensorSpec(spec.shape[:axis].concatenate(spec.shape[axis + 1 :]), spec.dtype)
        for spec, axis in zip(specs[states:], axes, strict=True)
    ]
    body = call.subgraph(way.body, dict(zip(way.body.inputs, [*specs[:states], *items], strict=True)))
    outputs = body.specs[states:]

    def run(*args: Any) -> tuple[Any, ...]:
        state, scanned, captured = list(args[:states]), args[states : states + number], args[states + number :]
        # What is walked comes first, and turned round where it is walked from its end.
        turned = [
            _moved(value, axis, 0, back) for value, axis, (_, back) in zip(scanned, axes, way.inputs, strict=True)
        ]
        known = turned[0].shape[0]
        length = tf.shape(turned[0])[0] if known is None else known
        arrays = [tf.TensorArray(spec.dtype, length, element_shape=spec.shape) for spec in outputs]

        def advance(t: Any, state: Any, arrays: Any) -> tuple[Any, ...]:
            results = body(*state, *(value[t] for value in turned), *captured)
            written = [array.write(t, value) for array, value in zip(arrays, results[states:], strict=True)]
            return t + 1, list(results[:states]), written

        start = (tf.constant(0), state, arrays)
        _, state, arrays = tf.while_loop(lambda t, *_: t < length, advance, start, maximum_iterations=length)
        stacked = [
            _moved(tf.ensure_shape(array.stack(), [known, *spec.shape]), 0, axis % (spec.shape.rank + 1), back)
            for array, spec, (axis, back) in zip(arrays, outputs, way.outputs, strict=True)
        ]
        return (*state, *stacked)

    return run


def _moved(x: Any, source: int, target: int, backwards: bool) -> Any:
    """`x` with an axis at another place, turned round along it where `backwards`."""
    order = [d for d in range(x.shape.rank) if d != source]
    order.insert(target, source)
    y = x if order == sorted(order) else tf.transpose(x, order)
    return tf.reverse(y, [target]) if backwards else y
