"""The worker process: one environment, told over stdin what to do, answering over stdout in JSON lines.

Requests, one JSON object a line:
    {"op": "expect", "environment"}                      import its framework; nothing is answered
    {"op": "prepare", "environment", "model", "cache", "calibration": {"inputs", "samples", "rows", "batched"}}
                                                         lower (or find the artifact in the cache) and load
    {"op": "run", "inputs": {name: file}, "out", "samples", "rows", "batched", "backwards": false}
                                                         backwards: from the last batch to the first
    {"op": "time", the same and "expected", or nothing}  see `deltann.runner.timed`
Answers: {"event": "stage", "stage"}, {"event": "samples", "done"} and, last, one of
    {"event": "done", …}, {"event": "raised", "kind", "reason", "detail"}.
It imports numpy, onnx and its own framework alone, so that it can run under another interpreter.
"""

from __future__ import annotations

import ctypes
import errno
import faulthandler
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO

from deltann import registry
from deltann.backend import Executable, Importing, Telling, enter, listen, settings
from deltann.environment import Environment
from deltann.errors import Unavailable, Unsupported, one_line
from deltann.model import Model
from deltann.outcome import Stage
from deltann.runner.artifacts import lower_or_reuse
from deltann.runner.batches import Batches
from deltann.runner.outputs import OutputWriter
from deltann.runner.timed import Timed, peak_memory

_PROGRESS_EVERY_S = 0.1


class Worker:
    """Answers requests for one environment; the executable stays loaded between them."""

    def __init__(self, answers: TextIO) -> None:
        self._answers = answers
        self._loaded = ExitStack()
        self._executable: Executable | None = None
        self._timed: Timed | None = None

    def answer(self, event: str, **fields: Any) -> None:
        """Write one answer."""
        self._answers.write(json.dumps({"event": event, **fields}) + "\n")
        self._answers.flush()

    def expect(self, environment: Environment) -> None:
        """Import the framework of the environment that `prepare` will most likely name; that meets again what fails."""
        with suppress(Exception):
            backend = registry.get(environment.backend)
            if isinstance(backend, Importing):
                backend.import_framework(environment)

    def prepare(self, request: dict[str, Any]) -> dict[str, Any]:
        """Lower and load; returns the facts worth recording."""
        environment = Environment.parse(request["environment"])
        model = Model.from_json(request["model"])
        enter(Stage.CONVERT)
        backend = registry.get(environment.backend)
        if reason := backend.unsupported(model, environment):
            raise Unsupported(reason)
        values = settings(backend, environment)
        started = time.perf_counter()
        calibration = _batches(request["calibration"]) if "calibration" in request else None
        artifact, cached = lower_or_reuse(backend, model, environment, Path(request["cache"]), calibration)
        lowered = time.perf_counter()
        enter(Stage.LOAD)
        # What an earlier request loaded would stay in memory.
        self._executable = None
        self._loaded.close()
        self._executable = self._loaded.enter_context(backend.load(artifact, environment))
        return {
            "version": backend.version(),
            "artifact": artifact.digest,
            "artifact_cached": cached,
            "artifact_bytes": sum((artifact.folder / file).stat().st_size for file in artifact.files),
            "options": values,
            "at_load": {key: values[key] for key, option in backend.options.items() if option.at_load},
            "lower_s": lowered - started,
            "load_s": time.perf_counter() - lowered,
        }

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Feed every sample, batch by batch, from the first that is not stored yet."""
        if self._executable is None:
            raise RuntimeError("'run' was asked for before 'prepare'")
        enter(Stage.RUN)
        samples, rows, batched = request["samples"], request["rows"], request["batched"]
        batches = _batches(request)
        writer = OutputWriter(Path(request["out"]), samples, rows, batched)
        told = time.monotonic()
        order = range(len(batches))[::-1] if request.get("backwards") else range(writer.next_run, len(batches))
        for run in order:
            feeds = batches[run]
            started = time.perf_counter()
            outputs = self._executable.run(feeds)
            writer.write(run, outputs, time.perf_counter() - started)
            if time.monotonic() - told > _PROGRESS_EVERY_S:
                told = time.monotonic()
                self.answer("samples", done=min((run + 1) * rows, samples))
        actual = dict(self._executable.actual()) if isinstance(self._executable, Telling) else {}
        return {"samples": samples, "actual": actual, "peak_memory": peak_memory()}

    def time(self, request: dict[str, Any]) -> dict[str, Any]:
        """Warm up, where the request brings inputs; else time one slice of runs (`deltann.runner.timed`)."""
        enter(Stage.RUN)
        if "inputs" in request and self._executable is not None:
            self._timed = Timed(self._executable, _batches(request), request, lambda: self.answer("samples", done=0))
            return self._timed.warm_up()
        if self._timed is None:
            raise RuntimeError("'time' was asked for before its inputs came, or before 'prepare'")
        return self._timed.slice()


def _batches(request: dict[str, Any]) -> Batches:
    files = {name: Path(file) for name, file in request["inputs"].items()}
    return Batches(files, request["samples"], request["rows"], request["batched"])


def _raised(error: BaseException) -> dict[str, str]:
    kinds = {Unsupported: "unsupported", Unavailable: "unavailable", MemoryError: "memory"}
    kind = next((name for cls, name in kinds.items() if isinstance(error, cls)), "exception")
    text = one_line(str(error)) or type(error).__name__
    if kind == "exception" and any(sign in str(error).lower() for sign in ("out of memory", "bad_alloc")):
        kind = "memory"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        kind = "storage"
    reason = text if kind in ("unsupported", "unavailable") else f"{type(error).__name__}: {text}"
    return {"kind": kind, "reason": reason, "detail": "".join(traceback.format_exception(error))}


def _claim_streams() -> tuple[TextIO, TextIO]:
    """Keep stdin and stdout for the protocol; what frameworks print goes to stderr, which is the cell's log."""
    requests = os.fdopen(os.dup(0), "r")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return requests, answers


def _die_with_parent() -> None:
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _requests(stream: TextIO) -> Iterator[dict[str, Any]]:
    """Requests as they come. The stream's end means that the parent is gone, whatever is running here just then."""
    queue: SimpleQueue[dict[str, Any]] = SimpleQueue()

    def read() -> None:
        for line in stream:
            queue.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield queue.get()


def main() -> None:
    """Serve until the parent closes stdin."""
    faulthandler.enable()
    _die_with_parent()
    requests, answers = _claim_streams()
    worker = Worker(answers)
    listen(lambda stage: worker.answer("stage", stage=stage.value))
    operations = {"prepare": worker.prepare, "run": worker.run, "time": worker.time}
    for request in _requests(requests):
        if request["op"] == "expect":
            worker.expect(Environment.parse(request["environment"]))
            continue
        try:
            facts = operations[request["op"]](request)
        except Exception as error:
            worker.answer("raised", **_raised(error))
        else:
            worker.answer("done", **facts)


if __name__ == "__main__":
    main()
