"""A backend that works, until it is asked to fail: `faulty[stage=COMPILE,symptom=CRASH]`.

It is a real adapter over `onnx.reference`. Tests make it known with

    with registered(faulty="deltann.testing.faulty:FaultyBackend"): ...

(`deltann.testing.registration`), a shell with `DELTANN_BACKENDS=faulty=deltann.testing.faulty:FaultyBackend`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx

from deltann.artifact import Artifact
from deltann.backend import Executable, Option, Tensors, Variant, enter, settings
from deltann.environment import Environment
from deltann.errors import UsageError
from deltann.model import Model
from deltann.outcome import Stage, Status, Symptom
from deltann.testing.faults import MISMATCH_NAMES, STAGES, Arrays, Fault

ENTRY = "deltann.testing.faulty:FaultyBackend"
_FILE = "model.onnx"
_SIGNALS = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGKILL", "SIGTERM")


class FaultyBackend:
    """Injects one `Symptom`, or one refusal, at one `Stage`. MISMATCH before RUN is a wrong lowering."""

    name: ClassVar[str] = "faulty"
    summary: ClassVar[str] = "onnx.reference with faults to order, for tests"
    install: ClassVar[str] = "deltann"
    distribution: ClassVar[str] = "onnx"
    variants: ClassVar[Mapping[str, Variant]] = {
        "crash": Variant({"symptom": "CRASH"}, "dies of a signal"),
        "wrong": Variant({"symptom": "MISMATCH"}, "returns wrong outputs"),
    }
    options: ClassVar[Mapping[str, Option]] = {
        "symptom": Option("what goes wrong; nothing where absent", choices=tuple(Symptom), numerics=True),
        "status": Option(
            "refuse instead: UNSUPPORTED (asked before lowering where no stage is given) or UNAVAILABLE",
            choices=(Status.UNSUPPORTED, Status.UNAVAILABLE),
        ),
        "stage": Option("when; RUN for a symptom, LOAD for UNAVAILABLE where absent", choices=STAGES),
        "at": Option("at RUN: the first run to go wrong, counted from 1 in each process", "1", "count"),
        "mismatch": Option("what a MISMATCH at RUN does to the outputs", "values", choices=MISMATCH_NAMES),
        "amount": Option("relative size of the errors that MISMATCH and NONDETERMINISM make", "0.01"),
        "signal": Option("what a CRASH dies of", "SIGSEGV", choices=_SIGNALS),
        "exit_code": Option("a CRASH ends by itself with this code instead", kind="count"),
        "milliseconds": Option("how long a SLOWDOWN sleeps, at RUN in each run", "50", "count"),
        "prints": Option("write noise to stdout and stderr", choices=("yes",)),
        "threads": Option("accepted, and of no effect: numpy runs as it does", kind="count", at_load=True),
    }

    def version(self) -> str:
        """The version of `onnx`."""
        return version(self.distribution)

    def devices(self) -> Sequence[str]:
        """The CPU alone."""
        return ("cpu",)

    def unsupported(self, model: Model, env: Environment) -> str | None:
        """An injected refusal, operators outside the standard domain, and opsets newer than `onnx`."""
        values = settings(self, env)
        if values["status"] == Status.UNSUPPORTED and values["stage"] is None:
            return "injected: unsupported, known before lowering"
        if model.opset > onnx.defs.onnx_opset_version():
            return f"opset {model.opset} is newer than {onnx.defs.onnx_opset_version()}, the newest of this onnx"
        strange = sorted(
            {f"{n.domain}.{n.op_type}" for n in model.proto().graph.node if n.domain not in ("", "ai.onnx")}
        )
        return f"no operator {', '.join(strange)}" if strange else None

    def lower(self, model: Model, env: Environment, workdir: Path) -> Artifact:
        """Copy the model, or a spoilt one."""
        fault = self._fault(env)
        proto = model.proto()
        self._at(fault, Stage.CONVERT, env, proto)
        enter(Stage.COMPILE)
        # Half an artifact lies there when the fault strikes, as it does when a compiler dies.
        (workdir / _FILE).write_bytes(b"unfinished")
        self._at(fault, Stage.COMPILE, env, proto)
        onnx.save_model(proto, workdir / _FILE)
        return Artifact.of(workdir, [_FILE])

    @contextmanager
    def load(self, artifact: Artifact, env: Environment) -> Iterator[Executable]:
        """Build the evaluator."""
        from onnx.reference import ReferenceEvaluator

        fault = self._fault(env)
        proto = onnx.load(artifact.folder / _FILE)
        self._at(fault, Stage.LOAD, env, proto)
        yield _Executable(ReferenceEvaluator(proto), fault)

    def _fault(self, env: Environment) -> Fault:
        values = settings(self, env)
        status = None if values["status"] is None else Status(str(values["status"]))
        usual = Stage.LOAD if status is Status.UNAVAILABLE else Stage.RUN
        try:
            amount = float(str(values["amount"]))
        except ValueError as error:
            raise UsageError(f"'{env}': amount={values['amount']} is not a number") from error
        code = values["exit_code"]
        return Fault(
            stage=usual if values["stage"] is None else Stage(str(values["stage"])),
            symptom=None if values["symptom"] is None else Symptom(str(values["symptom"])),
            status=status,
            mismatch=str(values["mismatch"]),
            signal=str(values["signal"]),
            exit_code=code if isinstance(code, int) else None,
            at=int(str(values["at"])),
            milliseconds=int(str(values["milliseconds"])),
            amount=amount,
        )

    def _at(self, fault: Fault, stage: Stage, env: Environment, proto: onnx.ModelProto) -> None:
        if settings(self, env)["prints"]:
            _print_noise(stage)
        fault.strike(stage)
        fault.alter(proto, stage)


class _Executable:
    def __init__(self, evaluator: Any, fault: Fault) -> None:
        self._evaluator = evaluator
        self._fault = fault
        self._run = 0
        self._previous: Arrays | None = None

    def run(self, inputs: Tensors) -> Tensors:
        """Evaluate node by node, then spoil."""
        self._run += 1
        self._fault.strike(Stage.RUN, self._run)
        arrays = [np.asarray(array) for array in self._evaluator.run(None, dict(inputs))]
        outputs = dict(zip(self._evaluator.output_names, arrays, strict=True))
        self._previous = self._fault.spoil(outputs, dict(inputs), self._previous, self._run)
        return self._previous


def _print_noise(stage: Stage) -> None:
    """What chatty libraries print, some of it past Python's own streams and some of it much like our protocol."""
    lines = f'{{"event": "done"}}\nnoise while {stage} é\n{{"event": "stage", "stage": "RUN"}}\nno newline at the end'
    sys.stdout.write(lines)
    sys.stdout.flush()
    sys.stderr.write(lines)
    os.write(1, lines.encode())
    os.write(2, b"\xff\x00 not text")
