"""Export ResNet-50 with seeded He-normal weights and BatchNorm statistics of real photographs to one ONNX file.

    python experiments/models/resnet50.py OUT.onnx [--seed 0]

It is not trained: its labels mean nothing, but they depend on the picture, and every parameter matters to them.
Input `input` float32 batch×3×224×224, RGB, ImageNet mean and deviation; output `logits` float32 batch×1000.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from exporting import export
from photographs import CROPS, PHOTOGRAPHS, batch
from PIL import Image
from torch import Tensor, nn

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]  # ImageNet's, of pixels 0–255
BLOCKS, WIDTHS = (3, 4, 6, 3), (64, 128, 256, 512)
EXPANSION = 4
RESIDUAL_SCALE = 0.2


class Bottleneck(nn.Module):
    """1×1, 3×3 (carrying the stride, the "v1.5" layout), 1×1 ×4, each with BatchNorm; then the shortcut and ReLU."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * EXPANSION, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * EXPANSION)
        self.relu = nn.ReLU()
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels != width * EXPANSION:
            projection = nn.Conv2d(channels, width * EXPANSION, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(width * EXPANSION))

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet50(nn.Module):
    """ResNet-50 (He et al., 2016, table 1), float32 N×3×H×W → N×1000 logits; parameters named as in torchvision."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        channels = 64
        for stage, (count, width) in enumerate(zip(BLOCKS, WIDTHS, strict=True), start=1):
            blocks = []
            for index in range(count):
                blocks.append(Bottleneck(channels, width, stride=2 if index == 0 and stage > 1 else 1))
                channels = width * EXPANSION
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, classes)

    def features(self, x: Tensor) -> Tensor:
        """What the classifier sees: float32 N×2048."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in range(1, len(BLOCKS) + 1):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.avgpool(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x))


def seeded(seed: int, images: Tensor) -> ResNet50:
    """ResNet-50 in eval mode: weights from `seed`, BatchNorm statistics from `images` (float32 N×3×224×224).

    Convolutions and classifier are He-normal (He et al., 2015), BatchNorm scale is uniform in 0.5–1.5 and shift
    normal with deviation 0.1, so that a backend that drops one of them is seen. The statistics come from a single
    batch in train mode with momentum=None, so those of every layer belong to inputs normalised by the layers before.
    The last scale of each block is five times smaller, about what training arrives at: with full-size residuals a
    random network is chaotic and multiplies float32 rounding sixteenfold.
    """
    generator = torch.Generator().manual_seed(seed)
    model = ResNet50()
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
                module.weight *= RESIDUAL_SCALE if name.endswith("bn3") else 1.0
                nn.init.normal_(module.bias, std=0.1, generator=generator)
                module.momentum = None
        nn.init.kaiming_normal_(model.fc.weight, nonlinearity="relu", generator=generator)
        features = model.train().features(images)
        # Pooled ReLU features share a large positive mean, which would decide every label: the bias removes it.
        model.fc.bias.copy_(-model.fc.weight @ features.mean(0))
    return model.eval()


def check_tells_apart(logits: npt.NDArray[np.float32]) -> str:
    """One line on N×1000 logits of N samples. Raises RuntimeError where they hardly depend on the photograph."""
    labels = len(set(logits.argmax(1).tolist()))
    spread = float(logits.std(0).mean())  # of each logit between samples: 0 where the output is constant
    line = f"{labels} distinct labels in {len(logits)} samples, each logit's std {spread:.2f} between them"
    if not (labels >= len(PHOTOGRAPHS) and 0.05 < spread < 20):
        raise RuntimeError(f"outputs do not depend enough on the photograph: {line}")
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT.onnx")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    images = batch(Image.Resampling.BILINEAR, MEAN, STD)
    model = seeded(arguments.seed, torch.from_numpy(images))
    with torch.inference_mode():
        line = check_tells_apart(model(torch.from_numpy(images)).numpy())
    error = export(model, images[:: len(CROPS)], arguments.out)
    size = arguments.out.stat().st_size / 1e6
    print(f"{arguments.out}: {size:.1f} MB, {error:.1g} standard deviations from eager torch at most; {line}")


if __name__ == "__main__":
    main()
