"""The ONNX model as a file of an artifact."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import ModelProto

from deltann.model import fits_one_file

MODEL, WEIGHTS = "model.onnx", "weights.bin"


def write_model(proto: ModelProto, folder: Path) -> list[str]:
    """Write the model, external data inside, as one file, or where protobuf cannot hold it with its weights beside it.

    `proto` is written and not its file copied: tensors of subgraphs and attributes may lie outside that file too.
    """
    if fits_one_file(proto):
        onnx.save(proto, folder / MODEL)
        return [MODEL]
    onnx.save(proto, folder / MODEL, save_as_external_data=True, location=WEIGHTS)
    return [MODEL, WEIGHTS]
