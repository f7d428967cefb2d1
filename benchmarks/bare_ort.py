"""The yardstick of `compare_overhead.py`: one decoding pass and two plain ONNX Runtime loops, nothing else.

Prints the seconds of each part as JSON. `python bare_ort.py MODEL FOLDER PRESET`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from deltann.binding import bind
from deltann.model import load_model
from deltann.preprocess import apply, load_pipeline, resolve


def main(model: str, folder: str, preset: str) -> None:
    """Decode every image of `folder` in one thread, then run them one by one at two optimisation levels."""
    binding = bind(load_model(model), {}, 1)
    spec = binding.model.inputs[0]
    pipeline = resolve(load_pipeline(preset), spec)
    started = time.perf_counter()
    rows = []
    for file in sorted(Path(folder).iterdir()):
        with Image.open(file) as image:
            rows.append(apply(pipeline, image)[None])
    seconds = {"decode": time.perf_counter() - started}
    levels = onnxruntime.GraphOptimizationLevel
    for name, level in (("ort", levels.ORT_ENABLE_ALL), ("ort-O0", levels.ORT_DISABLE_ALL)):
        started = time.perf_counter()
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        outputs = [session.run(None, {spec.name: row})[0] for row in rows]
        np.concatenate(outputs)
        seconds[name] = time.perf_counter() - started
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
