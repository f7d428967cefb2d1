from __future__ import annotations

from deltann.host import cpu_facts, host


def test_the_processor_is_named_and_counted() -> None:
    told = host()
    assert told["cpu"]
    assert told["cores"] >= 1
    if name := cpu_facts().get("model name"):
        assert told["cpu"] == name
