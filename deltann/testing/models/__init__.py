"""The tiny models by name, each made when called: `MODELS["conv_bn_relu"]()`."""

from __future__ import annotations

from collections.abc import Callable

from deltann.testing.models import images, interfaces, opsets, sequences
from deltann.testing.tiny import TinyModel

MODELS: dict[str, Callable[[], TinyModel]] = {
    make.__name__: make
    for make in (
        images.conv_bn_relu,
        images.grouped_conv,
        images.depthwise_conv,
        images.pools,
        images.resize,
        sequences.embedding,
        sequences.attention,
        sequences.composite,
        sequences.reshape_by_shape,
        interfaces.classifier,
        interfaces.two_outputs,
        interfaces.mixed_inputs,
        interfaces.float16,
        interfaces.fixed_batch,
        interfaces.whole,
        interfaces.odd_names,
        opsets.opset7,
        opsets.newest_opset,
    )
}
