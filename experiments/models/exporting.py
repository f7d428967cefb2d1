"""torch module → one self-contained ONNX file, checked against eager torch. Used by the scripts beside this file."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from onnx_ir.passes import common as passes
from onnxscript import optimizer, rewriter
from onnxscript.rewriter.rules import common as rules

OPSET = 18
MAX_ERROR = 1e-4  # of max |Δ| / std(eager logits): float32 sums in another order stay two orders of magnitude below

# torch.onnx's own clean-up without the rules that fold BatchNormalization into Conv: folding is an optimisation that
# the environments under comparison perform, so the file must leave it to them.
CLEAN_UP = (
    rules.normalize_pad_format_conv_rule,
    rules.fuse_pad_into_conv_rule,
    rules.materialize_reshape_shape_rule,
    rules.remove_optional_bias_from_conv_rule,
)


def export(model: torch.nn.Module, images: npt.NDArray[np.float32], out: Path) -> float:
    """Write `model` to `out` with input `input` batch×3×H×W and output `logits`, and compare ORT with eager torch.

    images: float32 N×3×H×W, N ≥ 2, what the two are compared on, in one batch of N and one of 1.
    Returns max |Δ| / std(logits). Raises RuntimeError where that exceeds `MAX_ERROR`; `out` is then left untouched.
    """
    model.eval()
    # The exporter logs that torchvision is absent and warns of its own deprecations: nothing a reader can act on.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            model,
            (torch.zeros(2, *images.shape[1:]),),  # a traced batch of 1 would be burnt into the graph
            input_names=["input"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            dynamo=True,
            optimize=False,
            verbose=False,
        )
    graph = program.model
    optimizer.fold_constants(graph)
    graph = rewriter.rewrite(graph, CLEAN_UP)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(graph)
    passes.DeduplicateInitializersPass()(graph)
    # Metadata holds stack traces with the paths of the machine that exported.
    passes.ClearMetadataAndDocStringPass()(graph)
    program.model = graph

    partial = out.with_name(out.name + ".part")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        program.save(partial, external_data=False)
        onnx.checker.check_model(onnx.load(partial), full_check=True)
        error = compare(model, partial, images)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return error


def compare(model: torch.nn.Module, path: Path, images: npt.NDArray[np.float32]) -> float:
    """Largest max |Δ| / std(eager logits) of ORT, unoptimised, against eager torch, over a batch of N and one of 1."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = model(torch.from_numpy(images)).numpy()
    error = 0.0
    for count in (len(images), 1):
        (actual,) = session.run(["logits"], {"input": images[:count]})
        if actual.shape != expected[:count].shape:
            raise RuntimeError(f"the exported model gives {actual.shape}, eager torch {expected[:count].shape}")
        error = max(error, float(np.abs(actual - expected[:count]).max() / expected.std()))
    # Written so that NaN fails as well.
    if not error <= MAX_ERROR:
        raise RuntimeError(f"the exported model is {error:.2g} standard deviations from eager torch, over {MAX_ERROR}")
    return error
