"""A session that runs, and tells what it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx

from deltann.backend import Tensors, Value
from deltann.errors import Unsupported
from deltann_ort import actual
from deltann_ort.session import CPU, open_session, session_options


class OrtExecutable:
    """`file`, opened at `level` with the settings' threads.

    Raises as `open_session` does, and Unsupported where no node would run on any of `providers`.
    """

    def __init__(
        self,
        file: Path,
        level: str,
        values: Mapping[str, Value | None],
        providers: Sequence[str],
        disabled: Sequence[str] = (),
    ) -> None:
        options = session_options(level, values["threads"])
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        before = actual.os_threads()
        self._session = open_session(file, options, providers, disabled)
        after = actual.os_threads()
        self._providers = list(providers)
        self._placement = actual.Placement.of(self._session)
        if self._placement.unused(providers) == list(providers):
            raise Unsupported(f"{'+'.join(providers)} takes no node of this model: {self._placement} would compute it")
        # The caller's own thread computes beside those that the session started; other providers start drivers' too.
        self._threads = ""
        if list(providers) == [CPU] and before is not None and after is not None:
            self._threads = str(len(after - before) + 1)
        self._names = [output.name for output in self._session.get_outputs()]
        # The artifact's graph is as optimised for the CPU. Read here, since cells load side by side and run alone.
        self._precision = actual.Precision.of(onnx.load(file, load_external_data=False))
        self._values = values

    def run(self, inputs: Tensors) -> Tensors:
        """Run the session; it returns when the outputs are on the host."""
        outputs = self._session.run(self._names, dict(inputs))
        return dict(zip(self._names, outputs, strict=True))

    def actual(self) -> dict[str, str]:
        """See `deltann.backend.Telling`."""
        ignored = (self._precision.ignored(self._values), self._placement.ignored(self._providers))
        facts = {
            "precision": str(self._precision),
            "threads": self._threads,
            "device": str(self._placement),
            "ignored": "; ".join(filter(None, ignored)),
            "note": "; ".join(filter(None, (actual.tf32(self._session), actual.built_anew(self._session)))),
        }
        return {key: value for key, value in facts.items() if value}
