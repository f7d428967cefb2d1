"""Numbers that are all there but in another order: NHWC for NCHW, kernels turned, gates exchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto

from deltann.sabotage.dimensions import same_transposed
from deltann.sabotage.draft import Draft, Fault
from deltann.sabotage.network import Network, Value, title

Array = npt.NDArray[Any]
_BLOCK = 4


def faults(network: Network) -> Iterator[Fault]:
    """Every fault of this class that `network` can have."""
    for _, node in network.nodes("Conv", "ConvTranspose", "Gemm", "MatMul"):
        weight = network.weight(node, 1)
        if weight is not None:
            for name, what, reorder in _REORDERINGS:
                if reorder in (_turned, _flipped) and one_place(network.of(node.input[0])):
                    continue  # of the kernel, the middle alone is used
                changed = reorder(weight)
                if changed is not None and not np.array_equal(changed, weight):
                    yield Fault(name, partial(_reorder, node, what, reorder))
    for _, node in network.nodes("LSTM"):
        yield Fault("gates in another order", partial(_gates, node))
    for index, node in network.nodes("Flatten", "Reshape"):
        value, made = network.of(node.input[0]), network.of(node.output[0])
        channels, places = value.size(1), value.size(2) * value.size(3)
        if len(value.dims or ()) == 4 and len(made.dims or ()) == 2 and channels > 1 and places > 1:
            yield Fault("flattened in NHWC order", partial(_flatten, index, node))
    for index, node in network.nodes("Conv"):
        weight, value = network.weight(node, 1), network.of(node.input[0])
        if weight is None or weight.ndim != 4 or network.maker(node.input[0]) is None:
            continue
        if value.size(2) == value.size(3) > 1 and not same_transposed(weight):
            yield Fault("activation transposed", partial(_transpose, index, node))
        order = _blocked(weight.shape[1])
        if weight.shape[1] == value.size(1) and not np.array_equal(weight[:, order], weight):
            yield Fault("channels in blocks", partial(_blocks, index, node, order))
    for index, node in network.nodes("DepthToSpace"):
        yield Fault("depth to space in the other order", partial(_depth, index, node))


def one_place(value: Value) -> bool:
    """Whether it is known that a value [N, C, …] has but one place a channel."""
    return len(value.dims or ()) > 2 and all(dim == 1 for dim in (value.dims or ())[2:])


def _hwio(weight: Array) -> Array | None:
    """Bytes that lie as O, I, H, W read as if they lay as H, W, I, O."""
    if weight.ndim != 4:
        return None
    outputs, inputs, height, width = weight.shape
    return weight.reshape(height, width, inputs, outputs).transpose(3, 2, 0, 1)


def _turned(weight: Array) -> Array | None:
    """Height and width exchanged."""
    return weight.swapaxes(2, 3) if weight.ndim == 4 and weight.shape[2] == weight.shape[3] else None


def _flipped(weight: Array) -> Array | None:
    """Convolution for correlation: the kernel reversed along its spatial axes."""
    return np.flip(weight, tuple(range(2, weight.ndim))) if weight.ndim > 2 else None


def _exchanged(weight: Array) -> Array | None:
    """Outputs and inputs exchanged."""
    return weight.swapaxes(0, 1) if weight.ndim >= 2 and weight.shape[0] == weight.shape[1] else None


def _reread(weight: Array) -> Array | None:
    """Rows read as columns: the bytes of [inputs, outputs] taken for [outputs, inputs]."""
    if weight.ndim != 2 or weight.shape[0] == weight.shape[1]:  # of a square, that is the one above
        return None
    return weight.reshape(weight.shape[::-1]).T


_REORDERINGS: tuple[tuple[str, str, Callable[[Array], Array | None]], ...] = (
    ("weights read as HWIO", "has its bytes read in the order HWIO", _hwio),
    ("kernel transposed", "has height and width exchanged", _turned),
    ("kernel flipped", "is reversed along its spatial axes", _flipped),
    ("weights transposed", "has outputs and inputs exchanged", _exchanged),
    ("rows read as columns", "has its bytes read as the transposed matrix", _reread),
)


def _reorder(node: NodeProto, what: str, reorder: Callable[[Array], Array | None], draft: Draft) -> str | None:
    weight = draft.network.weight(node, 1)
    changed = None if weight is None else reorder(weight)
    if changed is None:
        return None
    draft.store(node.input[1], changed)
    return f"the weight of {title(node)} {what}"


def _gates(node: NodeProto, draft: Draft) -> str | None:
    """ONNX orders the gates i, o, f, c; Keras and PyTorch i, f, c, o."""
    told = False
    for position in (1, 2):
        weight = draft.network.weight(node, position)
        if weight is None:
            return None
        changed = np.concatenate([np.split(weight, 4, axis=1)[gate] for gate in (0, 2, 3, 1)], axis=1)
        told = told or not np.array_equal(changed, weight)
        draft.store(node.input[position], changed)
    return f"the weights of {title(node)} have the gates in the order i, f, c, o" if told else None


def _flatten(index: int, node: NodeProto, draft: Draft) -> str:
    draft.feed(index, 0, draft.add("Transpose", node.input[0], perm=[0, 2, 3, 1]))
    return f"{title(node)} flattens in the order NHWC"


def _transpose(index: int, node: NodeProto, draft: Draft) -> str:
    draft.feed(index, 0, draft.add("Transpose", node.input[0], perm=[0, 1, 3, 2]))
    return f"{title(node)} gets its input with height and width exchanged"


def _blocked(channels: int) -> npt.NDArray[np.int64]:
    """The order of channels kept in blocks, as vector units like them, and read as if they were not."""
    block = next((size for size in (_BLOCK, 3, 2) if channels % size == 0), 1)
    return np.arange(channels).reshape(-1, block).T.reshape(-1)


def _blocks(index: int, node: NodeProto, order: npt.NDArray[np.int64], draft: Draft) -> str:
    draft.feed(index, 0, draft.add("Gather", node.input[0], order, axis=1))
    return f"{title(node)} takes the blocked channels of its input for plain ones"


def _depth(index: int, node: NodeProto, draft: Draft) -> str | None:
    mode = draft.network.attributes(node).get("mode", "DCR")
    if draft.network.opset < 11 or draft.network.of(node.output[0]).size(1) == 1:
        return None
    other = "CRD" if mode == "DCR" else "DCR"
    draft.set(index, mode=other)
    return f"{title(node)} has the mode {other} instead of {mode}"
