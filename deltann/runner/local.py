"""Worker processes on this machine, each under a deadline for every stage."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

from deltann.errors import UsageError
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.runner.memory import memory_of

_POLL_S = 0.2
_MEMORY_EVERY_S = 0.2
_LOG_TAIL_BYTES = 20_000


@dataclass(frozen=True)
class Reply:
    """How a request ended, and the facts that the worker told."""

    outcome: Outcome
    facts: Mapping[str, Any] = field(default_factory=dict)


class WorkerProcess:
    """One worker, what it prints in `log`. As a context manager: on leaving, it and all its children are gone."""

    def __init__(self, log: Path, command: list[str] | None = None, extra: Mapping[str, str] | None = None) -> None:
        self.log = log
        self._stage = Stage.CONVERT
        self._oom_kills = _oom_kills()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                [*(command or [sys.executable]), "-P", "-m", "deltann.runner.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                # A group of its own: Ctrl-C is the parent's to handle, and a kill reaches compilers it started.
                start_new_session=True,
                env={**os.environ, **(extra or {})},
            )
        self._buffer = b""
        self._killed = False
        self._reading = RLock()
        self._memory_limit: int | None = None

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End the worker and whatever it started."""
        if self._killed:  # its number may be another's by now
            return
        self._killed = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        with self._reading:  # once a thread that waits has found it dead: its files' numbers are soon others'
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()

    def limit_memory(self, limit: int) -> None:
        """Kill the worker where it and its children hold more than `limit` bytes of their own."""
        self._memory_limit = limit

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a request; `wait` has its end."""
        assert self._process.stdin is not None
        # A worker that died, or was killed at a deadline, is found out by `wait`.
        with suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def request(
        self,
        message: Mapping[str, Any],
        timeouts: Mapping[Stage, float],
        on_stage: Callable[[Stage], None] = lambda _: None,
        on_samples: Callable[[int], None] = lambda _: None,
    ) -> Reply:
        """Send one request and wait for its end, as `wait` does."""
        self.send(message)
        return self.wait(timeouts, on_stage, on_samples)

    def wait(
        self,
        timeouts: Mapping[Stage, float],
        on_stage: Callable[[Stage], None] = lambda _: None,
        on_samples: Callable[[int], None] = lambda _: None,
    ) -> Reply:
        """Wait for the end of the request that was sent.

        Args:
            timeouts: seconds for each stage; RUN's is for the time between two signs of progress.

        Raises:
            UsageError: the disk is full.
        """
        with self._reading:
            return self._wait(timeouts, on_stage, on_samples)

    def _wait(
        self, timeouts: Mapping[Stage, float], on_stage: Callable[[Stage], None], on_samples: Callable[[int], None]
    ) -> Reply:
        if self._process.stdout is None or self._process.stdout.closed:
            return Reply(self._died())
        since = looked = time.monotonic()
        while True:
            line = self._line()
            if time.monotonic() - looked > _MEMORY_EVERY_S:
                looked = time.monotonic()
                if outcome := self._too_much_memory():
                    return Reply(outcome)
            if line is None:
                if self._process.poll() is not None and not self._pending():
                    return Reply(self._died())
                if time.monotonic() - since > timeouts[self._stage]:
                    self.kill()
                    reason = (
                        f"no end within {timeouts[self._stage]:g} s while {self._stage}; raise --timeout to wait longer"
                    )
                    return Reply(self._failed(Symptom.TIMEOUT, reason))
                continue
            since = time.monotonic()
            answer = json.loads(line)
            event = answer.pop("event")
            if event == "stage":
                self._stage = Stage(answer["stage"])
                on_stage(self._stage)
            elif event == "samples":
                on_samples(answer["done"])
            elif event == "done":
                return Reply(Outcome(Status.OK, self._stage), answer)
            else:
                return Reply(self._raised(**answer))

    def _too_much_memory(self) -> Outcome | None:
        if self._memory_limit is None or (held := memory_of(self._process.pid)) <= self._memory_limit:
            return None
        self.kill()
        took, limit = held >> 20, self._memory_limit >> 20
        reason = f"it took {took} MiB while {self._stage}, more than --memory-limit allows ({limit} MiB)"
        return self._failed(Symptom.OUT_OF_MEMORY, reason)

    def _line(self) -> bytes | None:
        """The next line the worker wrote; None if none comes within a moment."""
        if b"\n" not in self._buffer and not self._read(_POLL_S):
            return None
        line, newline, rest = self._buffer.partition(b"\n")
        if not newline:
            return None
        self._buffer = rest
        return line

    def _read(self, seconds: float) -> bool:
        stdout = self._process.stdout
        assert stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                return False
        chunk = os.read(stdout.fileno(), 1 << 16)
        if not chunk:
            # The pipe is closed: the process is dead or about to be.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_POLL_S)
        self._buffer += chunk
        return bool(chunk)

    def _pending(self) -> bool:
        while self._read(0):
            pass
        return b"\n" in self._buffer

    def _raised(self, kind: str, reason: str, detail: str) -> Outcome:
        if kind == "storage":
            raise UsageError(
                f"no space to write to: {reason}; free some, or choose another --out, or another DELTANN_CACHE"
            )
        if kind == "unsupported":
            return Outcome(Status.UNSUPPORTED, self._stage, None, reason, detail)
        if kind == "unavailable":
            return Outcome(Status.UNAVAILABLE, self._stage, None, reason, detail)
        symptom = Symptom.OUT_OF_MEMORY if kind == "memory" else Symptom.EXCEPTION
        return Outcome(Status.FAILED, self._stage, symptom, reason, detail + self._log_tail())

    def _died(self) -> Outcome:
        code = self._process.wait()
        if code == -signal.SIGKILL and _oom_kills() > self._oom_kills:
            return self._failed(Symptom.OUT_OF_MEMORY, f"the kernel killed it for memory while {self._stage}")
        if code < 0:
            return self._failed(Symptom.CRASH, f"{signal.Signals(-code).name} while {self._stage}")
        return self._failed(Symptom.CRASH, f"it ended by itself with exit code {code} while {self._stage}")

    def _failed(self, symptom: Symptom, reason: str) -> Outcome:
        return Outcome(Status.FAILED, self._stage, symptom, reason, self._log_tail())

    def _log_tail(self) -> str:
        data = self.log.read_bytes()[-_LOG_TAIL_BYTES:]
        return f"\n--- end of the worker's log ---\n{data.decode(errors='replace')}" if data else ""


def _oom_kills() -> int:
    """How many processes the kernel killed for memory since boot; 0 where it does not tell."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
