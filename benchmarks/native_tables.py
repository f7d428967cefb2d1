"""ResNet-50 through our operator tables beside the same network written natively in the framework.

`python benchmarks/native_tables.py RESNET50.onnx [--only torch|tf]`, the file made by `experiments/models/resnet50.py`.
Both sides run one image at a time in one process, in turns; printed is the median of the ratios of neighbours.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from deltann import registry
from deltann.binding import bind
from deltann.environment import Environment
from deltann.model import load_model

WARM_UP, ROUNDS = 5, 60
sys.path.insert(0, str(Path(__file__).parent.parent / "experiments" / "models"))


@contextmanager
def through_our_table(spec: str, model: Path) -> Iterator[Callable[[Any], Any]]:
    """The ONNX file, lowered and loaded by the backend."""
    env = Environment.parse(spec)
    backend = registry.get(env.backend)
    bound = bind(load_model(model), {}, 1).model
    name = bound.inputs[0].name
    with (
        tempfile.TemporaryDirectory() as folder,
        backend.load(backend.lower(bound, env, Path(folder)), env) as executable,
    ):
        yield lambda image: executable.run({name: image})


def native_torch() -> Callable[[Any], Any]:
    """torch.nn modules, eager, under inference_mode; numpy in and out."""
    import torch
    from resnet50 import ResNet50

    module = ResNet50().eval()

    def run(image: Any) -> Any:
        with torch.inference_mode():
            return module(torch.from_numpy(image)).numpy()

    return run


def native_tf() -> Callable[[Any], Any]:
    """Keras layers, channels last as TensorFlow has them, in a tf.function; numpy in and out."""
    import keras
    import tensorflow as tf
    from resnet50 import BLOCKS, EXPANSION, WIDTHS

    layers = keras.layers

    def convolve(x: Any, width: int, size: int, stride: int = 1, relu: bool = True) -> Any:
        if size > 1:
            x = layers.ZeroPadding2D(size // 2)(x)
        x = layers.Conv2D(width, size, stride, use_bias=False)(x)
        x = layers.BatchNormalization(epsilon=1e-5)(x)
        return layers.ReLU()(x) if relu else x

    x = start = keras.Input((224, 224, 3), batch_size=1)
    x = convolve(x, 64, 7, 2)
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    for stage, (count, width) in enumerate(zip(BLOCKS, WIDTHS, strict=True)):
        for index in range(count):
            stride = 2 if index == 0 and stage else 1
            y = convolve(convolve(x, width, 1), width, 3, stride)
            y = convolve(y, width * EXPANSION, 1, relu=False)
            shortcut = x if index else convolve(x, width * EXPANSION, 1, stride, relu=False)
            x = layers.ReLU()(layers.Add()([y, shortcut]))
    model = keras.Model(start, layers.Dense(1000)(layers.GlobalAveragePooling2D()(x)))
    function = tf.function(lambda image: model(image, training=False))
    return lambda image: function(tf.constant(np.moveaxis(image, 1, -1))).numpy()


def measure(spec: str, model: Path, native: Callable[[Any], Any]) -> str:
    """One line: median time of each and of the ratios of neighbours."""
    images = np.random.default_rng(0).standard_normal((8, 1, 3, 224, 224), np.float32)
    order = random.Random(0)
    times: dict[str, list[float]] = {"ours": [], "native": []}
    with through_our_table(spec, model) as ours:
        sides = {"ours": ours, "native": native}
        for number in range(WARM_UP + ROUNDS):
            for name in order.sample(list(sides), 2):
                started = time.perf_counter()
                sides[name](images[number % len(images)])
                if number >= WARM_UP:
                    times[name].append(time.perf_counter() - started)
    ratios = [one / other for one, other in zip(times["ours"], times["native"], strict=True)]
    low, mid, high = statistics.quantiles(ratios, n=4)
    ours_ms, native_ms = (1e3 * statistics.median(values) for values in times.values())
    return f"{spec}: {ours_ms:.1f} ms, native {native_ms:.1f} ms, ratio {mid:.3f} (quartiles {low:.3f} to {high:.3f})"


def main() -> None:
    """Measure each framework in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="RESNET50.onnx")
    parser.add_argument("--only", choices=("torch", "tf"))
    arguments = parser.parse_args()
    if arguments.only is None:
        for name in ("torch", "tf"):
            subprocess.run([sys.executable, __file__, str(arguments.model), "--only", name], check=True)
        return
    native = {"torch": native_torch, "tf": native_tf}[arguments.only]()
    print(measure(arguments.only, arguments.model, native), flush=True)


if __name__ == "__main__":
    main()
