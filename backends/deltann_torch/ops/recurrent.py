"""RNN, GRU and LSTM, step by step as the specification writes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from deltann.lowering.recurrent import Activation, activations, reversals
from deltann_torch.call import Call
from deltann_torch.table import Fn, op

Step = Callable[..., Any]


def _activation(call: Call, activation: Activation) -> Fn:
    parameters = activation.parameters
    match activation.name:
        case "tanh":
            return torch.tanh
        case "sigmoid":
            return torch.sigmoid
        case "relu":
            return torch.relu
        case "softsign":
            return F.softsign
        case "softplus":
            return F.softplus
        case "leakyrelu":
            return lambda x: F.leaky_relu(x, parameters[0])
        case "elu":
            return lambda x: F.elu(x, parameters[0])
        case "thresholdedrelu":
            return lambda x: torch.where(x > parameters[0], x, 0)
        case "hardsigmoid":
            return lambda x: torch.clamp(x * parameters[0] + parameters[1], 0.0, 1.0)
        case "affine":
            return lambda x: x * parameters[0] + parameters[1]
        case "scaledtanh":
            return lambda x: parameters[0] * torch.tanh(parameters[1] * x)
    raise call.unsupported(f"activation {activation.name}")


def _recurrent(call: Call, default: Sequence[str], gates: int, make: Callable[[Call, list[Fn]], Step]) -> Fn:
    """Unrolls `make`'s step over time, for each direction; a step maps (x, state, w, r, bias halves, peepholes)."""
    hidden, layout = call.get("hidden_size"), call.get("layout", 0)
    reverse = reversals(call.node.attributes)
    chosen = activations(call.node.attributes, default)
    steps = [make(call, [_activation(call, activation) for activation in own]) for own in chosen]
    has_cell = gates == 4

    def run(
        x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None, h0: Any = None, c0: Any = None, p: Any = None
    ) -> tuple[Any, ...]:
        if layout:
            x = x.transpose(0, 1)
            h0, c0 = (None if s is None else s.transpose(0, 1) for s in (h0, c0))
        time, batch = x.shape[:2]
        size = hidden or r.shape[-1]
        zeros = torch.zeros(batch, size, dtype=x.dtype, device=x.device)
        outputs, finals, cells = [], [], []
        for d, backwards in enumerate(reverse):
            h = zeros if h0 is None else h0[d]
            c = zeros if c0 is None else c0[d]
            half = gates * size
            wb, rb = (None, None) if b is None else (b[d, :half], b[d, half:])
            # The input's part of every gate, for all steps at once.
            inputs = F.linear(x, w[d], wb)
            ys: list[Any] = [None] * time
            for t in reversed(range(time)) if backwards else range(time):
                new_h, new_c = steps[d](inputs[t], h, c, r[d], rb, None if p is None else p[d])
                if lengths is None:
                    h, c, ys[t] = new_h, new_c, new_h
                else:
                    # Beyond its own length a sequence keeps its state, and its output is zero.
                    alive = (lengths > t).unsqueeze(1)
                    h, c = torch.where(alive, new_h, h), torch.where(alive, new_c, c)
                    ys[t] = torch.where(alive, new_h, 0)
            outputs.append(torch.stack(ys))
            finals.append(h)
            cells.append(c)
        y, y_h, y_c = torch.stack(outputs, 1), torch.stack(finals), torch.stack(cells)
        if layout:
            y, y_h, y_c = y.permute(2, 0, 1, 3), y_h.transpose(0, 1), y_c.transpose(0, 1)
        return (y, y_h, y_c) if has_cell else (y, y_h)

    return run


def _clipper(call: Call) -> Fn:
    clip = call.get("clip")
    return (lambda x: x) if clip is None else lambda x: x.clamp(-clip, clip)


@op("RNN", 7)
def _rnn(call: Call) -> Fn:
    def make(call: Call, fns: list[Fn]) -> Step:
        f, bound = fns[0], _clipper(call)
        return lambda x, h, c, r, rb, _p: (f(bound(x + F.linear(h, r, rb))), c)

    return _recurrent(call, ["Tanh"], 1, make)


@op("GRU", 7)
def _gru(call: Call) -> Fn:
    before = call.get("linear_before_reset", 0)

    def make(call: Call, fns: list[Fn]) -> Step:
        f, g = fns
        bound = _clipper(call)

        def step(x: Any, h: Any, c: Any, r: Any, rb: Any, _p: Any) -> Any:
            size = h.shape[-1]
            xz, xr, xh = x.split(size, -1)
            rz, rr, rh = r.split(size, 0)
            bz, br, bh = (None, None, None) if rb is None else rb.split(size, 0)
            z = f(bound(xz + F.linear(h, rz, bz)))
            reset = f(bound(xr + F.linear(h, rr, br)))
            mixed = reset * F.linear(h, rh, bh) if before else F.linear(reset * h, rh, bh)
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
            size = h.shape[-1]
            i, o, forget, cell = (x + F.linear(h, r, rb)).split(size, -1)
            pi, po, pf = (None, None, None) if p is None else p.split(size, -1)
            i = f(bound(i if p is None else i + pi * c))
            forget = 1 - i if coupled else f(bound(forget if p is None else forget + pf * c))
            new = forget * c + i * g(bound(cell))
            o = f(bound(o if p is None else o + po * new))
            return o * k(new), new

        return step

    return _recurrent(call, ["Sigmoid", "Tanh", "Tanh"], 4, make)
