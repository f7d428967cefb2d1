"""Progress bars: on a terminal, and nowhere else."""

from __future__ import annotations

import io
import sys

from deltann.report.progress import progress


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self):
        return True


def drive():
    """Two things at work."""
    with progress() as listener:
        listener("inputs", "preprocess", 1, 2)
        listener("ort[threads=1]", "RUN", 3, 64)
        listener("ort[threads=1]", "OK", 64, 64)
        listener("torch", "COMPILE", 0, None)


def test_a_terminal_sees_what_is_at_work(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    drive()
    text = sys.stderr.getvalue()
    assert "ort[threads=1]" in text, "which is no markup"
    assert "64/64" in text


def test_a_pipe_gets_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    drive()
    assert sys.stderr.getvalue() == ""
