from __future__ import annotations

import json

from deltann.outcome import Stage, Status, Symptom


def test_names_are_what_a_stored_run_holds() -> None:
    """Runs on disk hold these words; renaming one makes every stored run unreadable."""
    assert [*Status] == ["OK", "FAILED", "UNSUPPORTED", "UNAVAILABLE", "NOT_RUN"]
    assert [*Stage] == ["CONVERT", "COMPILE", "LOAD", "RUN", "COMPARE"]
    assert [*Symptom] == [
        "EXCEPTION", "CRASH", "TIMEOUT", "OUT_OF_MEMORY", "MISMATCH", "NONDETERMINISM", "SLOWDOWN",
    ]  # fmt: skip
    for word in (*Status, *Stage, *Symptom):
        assert type(word)(json.loads(json.dumps(word))) is word
        assert f"{word}" == word.value
