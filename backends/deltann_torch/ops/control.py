"""If, Loop and Scan: their bodies are modules of their own, which take captured values after their own inputs."""

from __future__ import annotations

from typing import Any

import torch

from deltann.lowering.scan import walk
from deltann_torch.call import Call
from deltann_torch.table import Fn, op


@op("If")
def _if(call: Call) -> Fn:
    then, otherwise = (call.subgraph(call.get(name), {}) for name in ("then_branch", "else_branch"))
    single = call.n_outputs == 1

    def run(condition: Any, *captured: Any) -> Any:
        result = (then if bool(condition) else otherwise)(*captured)
        return result[0] if single else result

    return run


@op("Loop")
def _loop(call: Call) -> Fn:
    body = call.get("body")
    module = call.subgraph(body, {})
    inputs = call.n_inputs
    carried = inputs - 2
    scans = len(body.outputs) - 1 - carried

    def run(*args: Any) -> Any:
        trips, condition, *state = args[:inputs]
        captured = args[inputs:]
        limit = None if trips is None else int(trips)
        going = True if condition is None else bool(condition)
        collected: list[list[Any]] = [[] for _ in range(scans)]
        device = next((value.device for value in args if isinstance(value, torch.Tensor)), None)
        i = 0
        while going and (limit is None or i < limit):
            results = module(torch.tensor(i, device=device), torch.tensor(going, device=device), *state, *captured)
            going, state = bool(results[0]), list(results[1 : 1 + carried])
            for scan, value in zip(collected, results[1 + carried :], strict=True):
                scan.append(value)
            i += 1
        outputs = (*state, *(torch.stack(scan) if scan else torch.empty(0, device=device) for scan in collected))
        return outputs if len(outputs) > 1 else outputs[0]

    return run


@op("Scan", 8)
def _scan_batched(call: Call) -> Fn:
    if any(call.get("directions") or []):
        raise call.unsupported("directions in Scan before opset 9")
    scan, inputs = _scanner(call), call.n_inputs

    def run(lengths: Any, *args: Any) -> Any:
        if lengths is not None:
            raise call.unsupported("sequence_lens in Scan before opset 9")
        own, captured = args[: inputs - 1], args[inputs - 1 :]
        items = [scan(*(value[b] for value in own), *captured) for b in range(own[0].shape[0])]
        return tuple(torch.stack(values) for values in zip(*items, strict=True))

    return run


@op("Scan", 9)
def _scanner(call: Call) -> Fn:
    way = walk(call.node.attributes)
    module, states, number = call.subgraph(way.body, {}), way.states, len(way.inputs)

    def run(*args: Any) -> tuple[Any, ...]:
        state = list(args[:states])
        scanned, captured = args[states : states + number], args[states + number :]
        length = scanned[0].shape[way.inputs[0][0]]
        collected: list[list[Any]] = [[] for _ in way.outputs]
        for t in range(length):
            items = [
                value.select(axis, length - 1 - t if backwards else t)
                for value, (axis, backwards) in zip(scanned, way.inputs, strict=True)
            ]
            results = module(*state, *items, *captured)
            state = list(results[:states])
            for scan, value in zip(collected, results[states:], strict=True):
                scan.append(value)
        stacked = (
            torch.stack(list(reversed(scan)) if backwards else scan, axis)
            for scan, (axis, backwards) in zip(collected, way.outputs, strict=True)
        )
        return (*state, *stacked)

    return run
