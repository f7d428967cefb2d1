"""Post-training quantisation through NNCF, which draws nothing at random: the order of the samples is all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from deltann.backend import Tensors
from deltann.errors import Unsupported, one_line
from deltann_openvino.importing import without_torch
from deltann_openvino.ir import refused


class _Source:
    """Batches as NNCF reads them; `batch_size` makes it look at each sample of a batch and not at the whole."""

    def __init__(self, batches: Sequence[Tensors], batch_size: int) -> None:
        self._batches, self.batch_size = batches, batch_size

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number in range(len(self._batches)):
            yield dict(self._batches[number])


def quantise(nncf: Any, network: Any, batches: Sequence[Tensors], samples: int) -> Any:
    """`network` with FakeQuantize operations where NNCF puts them by default, calibrated on all of `batches`.

    Raises:
        Unsupported: NNCF refuses the model, or finds nothing to quantise.
    """
    rows = -(-samples // len(batches))
    try:
        with without_torch(), refused():
            result = nncf.quantize(network, nncf.Dataset(_Source(batches, rows)), subset_size=rows * len(batches))
    except nncf.UnsupportedModelError as error:
        raise Unsupported(f"NNCF: {one_line(str(error))}") from error
    if not any(operation.get_type_name() == "FakeQuantize" for operation in result.get_ops()):
        raise Unsupported("NNCF finds nothing to quantise in this model")
    return result
