"""OpenVINO on the CPU, in the precision that its plugin chooses or in one asked for; int8 through NNCF."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from onnx import defs

from deltann.artifact import Artifact
from deltann.backend import Executable, Option, Tensors, Variant, enter, settings
from deltann.environment import Environment
from deltann.errors import Unsupported
from deltann.model import Model
from deltann.outcome import Stage
from deltann_openvino.importing import import_nncf, import_openvino
from deltann_openvino.ir import DTYPES, name_by_place, read, refused
from deltann_openvino.telling import TYPES, actual

_IR = "model.xml"
_WEIGHTS = "model.bin"
_NAMES = "names.json"
_HINTS = ("f32", "bf16", "f16")


class OpenvinoBackend:
    """The artifact is OpenVINO's intermediate representation in the model's own precision, or as NNCF quantised it.

    The precision of floating-point arithmetic is a matter of loading: OpenVINO compiles for the CPU it finds.
    """

    name: ClassVar[str] = "openvino"
    summary: ClassVar[str] = "OpenVINO (CPU plugin)"
    install: ClassVar[str] = "deltann[openvino]"
    distribution: ClassVar[str] = "openvino"
    lowers_with: ClassVar[Sequence[str]] = ("nncf",)
    variants: ClassVar[Mapping[str, Variant]] = {
        "f32": Variant({"precision": "f32"}, "float32 arithmetic"),
        "bf16": Variant({"precision": "bf16"}, "bfloat16 arithmetic, where the CPU has it"),
        "f16": Variant({"precision": "f16"}, "float16 arithmetic, where the CPU has it"),
        "int8": Variant({"precision": "int8"}, "NNCF post-training quantisation, calibrated on the first samples"),
    }
    options: ClassVar[Mapping[str, Option]] = {
        "precision": Option(
            "arithmetic; the plugin's choice where absent: bf16 or f16 on CPUs that have it",
            choices=(*_HINTS, "int8"),
            numerics=True,
            at_load=True,
        ),
        "samples": Option("samples that int8 is calibrated on", "100", kind="count", numerics=True),
        "threads": Option(
            "inference threads; OpenVINO's own choice where absent", kind="count", numerics=True, at_load=True
        ),
        "hint": Option(
            "performance hint; OpenVINO's own choice where absent",
            choices=("latency", "throughput"),
            numerics=True,
            at_load=True,
        ),
    }

    def version(self) -> str:
        """The version of `openvino`."""
        return version(self.distribution)

    def devices(self) -> Sequence[str]:
        """The CPU only."""
        return ("cpu",)

    def unsupported(self, model: Model, env: Environment) -> str | None:
        """Samples without int8, an opset yet unknown, and element types that numpy lacks."""
        if settings(self, env)["precision"] != "int8" and "samples" in dict(env.options):
            return "samples is for openvino-int8, and nothing is calibrated in other precisions: leave it out"
        if model.opset > defs.onnx_opset_version():
            # OpenVINO would read it as the newest opset that it knows.
            return f"opset {model.opset} is newer than the newest that onnx knows, {defs.onnx_opset_version()}"
        for spec in (*model.inputs, *model.outputs):
            if spec.dtype not in DTYPES:
                return f"OpenVINO exchanges no numpy arrays of {spec.dtype} ('{spec.name}')"
        return None

    def calibration_samples(self, env: Environment) -> int:
        """The option `samples` for int8, else none."""
        values = settings(self, env)
        return int(str(values["samples"])) if values["precision"] == "int8" else 0

    def lower(self, model: Model, env: Environment, workdir: Path) -> Artifact:
        """Convert the model with its inputs' shapes made static.

        Raises:
            Unsupported: what OpenVINO's ONNX frontend refuses; see also `unsupported`.
            Unsupported: int8, which needs samples.
        """
        if self.calibration_samples(env):
            raise Unsupported(f"'{env}' is calibrated on samples of the inputs: give it some")
        if reason := self.unsupported(model, env):
            raise Unsupported(reason)
        network = read(model)
        enter(Stage.COMPILE)
        return _save(network, model, workdir)

    def lower_calibrated(self, model: Model, env: Environment, workdir: Path, batches: Sequence[Tensors]) -> Artifact:
        """Convert the model and quantise it to int8 after what its activations are on `batches`, taken in order.

        Raises:
            Unsupported: what OpenVINO's ONNX frontend or NNCF refuses; a model with nothing to quantise.
            Unavailable: NNCF is not installed.
        """
        from deltann_openvino.quantise import quantise

        if reason := self.unsupported(model, env):
            raise Unsupported(reason)
        nncf = import_nncf()
        network = read(model)
        enter(Stage.COMPILE)
        return _save(quantise(nncf, network, batches, self.calibration_samples(env)), model, workdir)

    @contextmanager
    def load(self, artifact: Artifact, env: Environment) -> Iterator[Executable]:
        """Compile the artifact for this CPU.

        Raises:
            Unsupported: what the CPU plugin refuses; a precision in which it does not compute on this CPU.
        """
        ov = import_openvino()
        values = settings(self, env)
        wanted = {
            "INFERENCE_PRECISION_HINT": values["precision"] if values["precision"] in _HINTS else None,
            "INFERENCE_NUM_THREADS": values["threads"],
            "PERFORMANCE_HINT": str(values["hint"]).upper() if values["hint"] else None,
        }
        core = ov.Core()
        with refused():
            compiled = core.compile_model(
                core.read_model(str(artifact.folder / _IR)),
                "CPU",
                {key: value for key, value in wanted.items() if value is not None},
            )
        given = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if wanted["INFERENCE_PRECISION_HINT"] not in (None, given):
            # It says nothing when it takes another one.
            cpu = core.get_property("CPU", "FULL_DEVICE_NAME").strip()
            raise Unsupported(
                f"on this CPU ({cpu}) OpenVINO computes in {TYPES.get(given, given)}: {env} is not to be had"
            )
        names = json.loads((artifact.folder / _NAMES).read_text())
        threads = values["threads"]
        yield _Program(core, compiled, names, threads if isinstance(threads, int) else None)


def _save(network: Any, model: Model, workdir: Path) -> Artifact:
    ov = import_openvino()
    names = {"inputs": [spec.name for spec in model.inputs], "outputs": [spec.name for spec in model.outputs]}
    for port, name in zip(network.outputs, names["outputs"], strict=True):
        if name not in port.get_names():
            raise RuntimeError(f"OpenVINO gives {sorted(port.get_names())} where the model's output is '{name}'")
    name_by_place(network)
    # Its default is to store float32 weights as float16.
    ov.save_model(network, str(workdir / _IR), compress_to_fp16=False)
    (workdir / _NAMES).write_text(json.dumps(names))
    return Artifact.of(workdir, [_IR, _WEIGHTS, _NAMES])


class _Program:
    def __init__(self, core: Any, compiled: Any, names: Mapping[str, Sequence[str]], threads: int | None) -> None:
        self._core, self._compiled, self._threads = core, compiled, threads
        self._request = compiled.create_infer_request()
        self._inputs, self._outputs = names["inputs"], names["outputs"]

    def run(self, inputs: Tensors) -> Tensors:
        """Infer; it returns when the outputs, copied, are on the host."""
        feeds = {index: np.asarray(inputs[name]) for index, name in enumerate(self._inputs)}
        with refused():
            results = self._request.infer(feeds, share_inputs=False, share_outputs=False)
        return {name: np.asarray(results[index]) for index, name in enumerate(self._outputs)}

    def actual(self) -> Mapping[str, str]:
        """Precision, threads and CPU, asked of the compiled model."""
        return actual(self._core, self._compiled, self._threads)
