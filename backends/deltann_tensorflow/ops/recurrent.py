"""RNN, GRU and LSTM, step by step as the specification writes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from deltann.lowering.recurrent import Activation, activations, reversals
from deltann_tensorflow.call import Call
from deltann_tensorflow.table import Fn, op

Step = Callable[..., Any]


def _activation(call: Call, activation: Activation) -> Fn:
    parameters = activation.parameters
    match activation.name:
        case "tanh":
            return tf.tanh
        case "sigmoid":
            return tf.sigmoid
        case "relu":
            return tf.nn.relu
        case "softsign":
            return tf.nn.softsign
        case "softplus":
            return tf.nn.softplus
        case "leakyrelu":
            return lambda x: tf.where(x < 0, x * parameters[0], x)
        case "elu":
            return lambda x: tf.where(x < 0, parameters[0] * tf.math.expm1(x), x)
        case "thresholdedrelu":
            return lambda x: tf.where(x > parameters[0], x, tf.zeros((), x.dtype))
        case "hardsigmoid":
            return lambda x: tf.clip_by_value(x * parameters[0] + parameters[1], 0.0, 1.0)
        case "affine":
            return lambda x: x * parameters[0] + parameters[1]
        case "scaledtanh":
            return lambda x: parameters[0] * tf.tanh(parameters[1] * x)
    raise call.unsupported(f"activation {activation.name}")


def _linear(x: Any, w: Any, b: Any = None) -> Any:
    y = tf.matmul(x, w, transpose_b=True)
    return y if b is None else y + b


def _over_time(step: Step, inputs: Any, lengths: Any, h: Any, c: Any, backwards: bool) -> tuple[Any, Any, Any]:
    """All outputs and the last states of `step`, which maps (input, h, c) at one time to (h, c)."""
    time = tf.shape(inputs)[0]
    outputs = tf.TensorArray(h.dtype, time, element_shape=h.shape)

    def advance(i: Any, h: Any, c: Any, outputs: Any) -> tuple[Any, ...]:
        t = time - 1 - i if backwards else i
        new_h, new_c = step(inputs[t], h, c)
        if lengths is None:
            return i + 1, new_h, new_c, outputs.write(t, new_h)
        # Beyond its own length a sequence keeps its state, and its output is zero.
        alive = (tf.cast(lengths, tf.int32) > t)[:, None]
        y = tf.where(alive, new_h, tf.zeros_like(new_h))
        return i + 1, tf.where(alive, new_h, h), tf.where(alive, new_c, c), outputs.write(t, y)

    start = (tf.constant(0), h, c, outputs)
    _, h, c, outputs = tf.while_loop(lambda i, *_: i < time, advance, start, maximum_iterations=time)
    y = outputs.stack()
    return tf.ensure_shape(y, [inputs.shape[0], *h.shape]), h, c


def _recurrent(call: Call, default: Sequence[str], gates: int, make: Callable[[Call, list[Fn]], Step]) -> Fn:
    """Runs `make`'s step over time, for each direction; a step maps (x, h, c, r, bias half, peepholes) to (h, c)."""
    hidden, layout = call.get("hidden_size"), call.get("layout", 0)
    reverse = reversals(call.node.attributes)
    chosen = activations(call.node.attributes, default)
    steps = [make(call, [_activation(call, activation) for activation in own]) for own in chosen]
    has_cell = gates == 4

    def run(
        x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None, h0: Any = None, c0: Any = None, p: Any = None
    ) -> tuple[Any, ...]:
        if layout:
            x = tf.transpose(x, [1, 0, 2])
            h0, c0 = (None if s is None else tf.transpose(s, [1, 0, 2]) for s in (h0, c0))
        batch, size = x.shape[1], hidden or r.shape[-1]
        if batch is None or size is None:
            raise call.unsupported("a batch or a state whose size only the data tells")
        zeros = tf.zeros([batch, size], x.dtype)
        outputs, finals, cells = [], [], []
        for d, backwards in enumerate(reverse):
            half = gates * size
            wb, rb = (None, None) if b is None else (b[d, :half], b[d, half:])
            rest = (r[d], rb, None if p is None else p[d])
            # The input's part of every gate, for all times at once.
            flat = _linear(tf.reshape(x, [-1, x.shape[2]]), w[d], wb)
            inputs = tf.reshape(flat, [-1 if x.shape[0] is None else x.shape[0], batch, half])
            y, h, c = _over_time(
                lambda xt, h, c, step=steps[d], rest=rest: step(xt, h, c, *rest),
                inputs,
                lengths,
                zeros if h0 is None else h0[d],
                zeros if c0 is None else c0[d],
                backwards,
            )
            outputs.append(y)
            finals.append(h)
            cells.append(c)
        y, y_h, y_c = tf.stack(outputs, 1), tf.stack(finals), tf.stack(cells)
        if layout:
            y = tf.transpose(y, [2, 0, 1, 3])
            y_h, y_c = (tf.transpose(s, [1, 0, 2]) for s in (y_h, y_c))
        return (y, y_h, y_c) if has_cell else (y, y_h)

    return run


def _clipper(call: Call) -> Fn:
    clip = call.get("clip")
    return (lambda x: x) if clip is None else lambda x: tf.clip_by_value(x, -clip, clip)


@op("RNN", 7)
def _rnn(call: Call) -> Fn:
    def make(call: Call, fns: list[Fn]) -> Step:
        f, bound = fns[0], _clipper(call)
        return lambda x, h, c, r, rb, _p: (f(bound(x + _linear(h, r, rb))), c)

    return _recurrent(call, ["Tanh"], 1, make)


@op("GRU", 7)
def _gru(call: Call) -> Fn:
    before = call.get("linear_before_reset", 0)

    def make(call: Call, fns: list[Fn]) -> Step:
        f, g = fns
        bound = _clipper(call)

        def step(x: Any, h: Any, c: Any, r: Any, rb: Any, _p: Any) -> Any:
            xz, xr, xh = tf.split(x, 3, -1)
            rz, rr, rh = tf.split(r, 3)
            bz, br, bh = (None, None, None) if rb is None else tf.split(rb, 3)
            z = f(bound(xz + _linear(h, rz, bz)))
            reset = f(bound(xr + _linear(h, rr, br)))
            mixed = reset * _linear(h, rh, bh) if before else _linear(reset * h, rh, bh)
            return (1 - z) * g(bound(xh + mixed)) + z * h, c

        return step

    return _recurrent(call, ["Sigmoid", "Tanh"], 3, make)


@op("LSTM", 7)
def _lstm(call: Call) -> Fn:
    coupled = call.get("input_forget", 0)

    def make(call: Call, fns: list[Fn]) -> Step:
        f, g, k = fns
        bound = _clipper(call)

        def step(x: Any, h: Any, c: Any, r: Any, rb: Any, p: Any) -> Any:
            i, o, forget, cell = tf.split(x + _linear(h, r, rb), 4, -1)
            pi, po, pf = (None, None, None) if p is None else tf.split(p, 3, -1)
            i = f(bound(i if p is None else i + pi * c))
            forget = 1 - i if coupled else f(bound(forget if p is None else forget + pf * c))
            new = forget * c + i * g(bound(cell))
            o = f(bound(o if p is None else o + po * new))
            return o * k(new), new

        return step

    return _recurrent(call, ["Sigmoid", "Tanh", "Tanh"], 4, make)
