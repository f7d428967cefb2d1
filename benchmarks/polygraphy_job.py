"""The same job through Polygraphy: two ONNX Runtime sessions, the same images, outputs compared.

`python polygraphy_job.py MODEL FOLDER PRESET` prints Polygraphy's answer. It has no image preprocessing, so the
images go through the same function, in the data loader.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import onnxruntime
from PIL import Image
from polygraphy.backend.onnxrt import OnnxrtRunner
from polygraphy.comparator import Comparator, CompareFunc
from polygraphy.logger import G_LOGGER

from deltann.binding import bind
from deltann.model import load_model
from deltann.preprocess import apply, load_pipeline, resolve


def session(model: str, level: onnxruntime.GraphOptimizationLevel) -> onnxruntime.InferenceSession:
    """A session at one optimisation level."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def main(model: str, folder: str, preset: str) -> None:
    """Run and compare."""
    G_LOGGER.module_severity = G_LOGGER.ERROR
    spec = bind(load_model(model), {}, 1).model.inputs[0]
    pipeline = resolve(load_pipeline(preset), spec)

    class Images:
        def __iter__(self) -> Iterator[dict[str, object]]:
            for file in sorted(Path(folder).iterdir()):
                with Image.open(file) as image:
                    yield {spec.name: apply(pipeline, image)[None]}

    levels = onnxruntime.GraphOptimizationLevel
    runners = [
        OnnxrtRunner(session(model, levels.ORT_ENABLE_ALL), name="ort"),
        OnnxrtRunner(session(model, levels.ORT_DISABLE_ALL), name="ort-O0"),
    ]
    results = Comparator.run(runners, data_loader=Images())
    accuracy = Comparator.compare_accuracy(results, compare_func=CompareFunc.simple(rtol=1e-3, atol=1e-3))
    print("agree" if bool(accuracy) else "differ")


if __name__ == "__main__":
    main(*sys.argv[1:])
