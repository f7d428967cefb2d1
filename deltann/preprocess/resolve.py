"""Turning a pipeline's "as the model's input is" into numbers, so that a run records what was really done."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from deltann.errors import UsageError
from deltann.model import TensorSpec
from deltann.preprocess.pipeline import Pipeline
from deltann.preprocess.steps import DTYPES, RELATIVE, Colour, Crop, Decode, Dtype, Layout, Normalise, Resize, Step


def resolve(pipeline: Pipeline, spec: TensorSpec) -> Pipeline:
    """`pipeline` for an image input `spec` (static, rank 4, 1 or 3 channels): every step written out, sizes in pixels.

    Raises:
        UsageError: the input is not an image's; it needs a single side but is not square; its layout, channels or
            element type contradict what the pipeline declares.
    """
    order = _layout(pipeline, spec)
    colour = pipeline.find(Colour, Colour())
    shape = spec.static_shape[1:]
    channels, height, width = shape if order == "NCHW" else (shape[2], *shape[:2])
    if channels != len(colour.order):
        raise UsageError(
            f"the pipeline '{pipeline.name}' makes {len(colour.order)} channels, the input is {spec}: "
            f"declare a colour step with order = {'L' if channels == 1 else 'RGB or BGR'}"
        )
    decode, normalise = pipeline.find(Decode, Decode()), pipeline.find(Normalise, Normalise())
    _refuse_lossy(pipeline, normalise, spec)
    steps: list[Step] = [decode]
    for step in pipeline.steps:
        if isinstance(step, Resize | Crop):
            steps.append(_sized(pipeline, step, spec, height, width))
        elif isinstance(step, Colour):
            steps.append(step)
    steps += [] if colour in steps else [colour]
    steps += [] if normalise == Normalise() else [normalise]
    return replace(pipeline, steps=(*steps, Layout(order), Dtype(spec.dtype)))


def _layout(pipeline: Pipeline, spec: TensorSpec) -> str:
    declared = pipeline.find(Layout, Layout()).order
    shape = spec.shape or ()
    fits = {"NCHW": len(shape) == 4 and shape[1] in (1, 3), "NHWC": len(shape) == 4 and shape[3] in (1, 3)}
    for order, is_so in fits.items():
        if is_so and declared in ("input", order):
            return order
    wanted = (
        "an image has 4 dimensions, with 1 or 3 channels" if declared == "input" else f"its layout is not {declared}"
    )
    raise UsageError(f"images cannot be fed to the input {spec}: {wanted}; give the inputs as .npz, .npy or random:N")


def _refuse_lossy(pipeline: Pipeline, normalise: Normalise, spec: TensorSpec) -> None:
    declared = pipeline.find(Dtype, Dtype()).dtype
    made = "uint8" if normalise == Normalise() else "float32"
    # float16 is what a half-precision model asks for, and its users know what it rounds.
    fits = spec.dtype in DTYPES and (np.can_cast(made, spec.dtype) or spec.dtype == "float16")
    if not fits or declared not in ("input", spec.dtype):
        made = declared if declared != "input" else made
        raise UsageError(
            f"the pipeline '{pipeline.name}' makes {made}, which does not convert to the input {spec}: "
            "declare other normalise and dtype steps, or give the inputs as .npz or .npy"
        )


def _sized(pipeline: Pipeline, step: Resize | Crop, spec: TensorSpec, height: int, width: int) -> Resize | Crop:
    match = RELATIVE.fullmatch(step.size) if isinstance(step.size, str) else None
    if match is None:
        return step
    fraction = float(match["fraction"] or 1)
    # The small term keeps 224 / 0.875 at 256 where the division falls a rounding short.
    tall, wide = (math.floor(side / fraction + 1e-9) for side in (height, width))
    if isinstance(step, Crop) or step.mode in ("exact", "letterbox"):
        return replace(step, size=(tall, wide))
    if height != width:
        raise UsageError(
            f"the pipeline '{pipeline.name}' resizes one side to '{step.size}', but {spec} is not square: write a "
            "number of pixels, or mode = 'exact', in a .toml file of your own"
        )
    return replace(step, size=tall)
