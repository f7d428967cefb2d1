"""The registry that every operator table is one of."""

from __future__ import annotations

from deltann.lowering.table import Table


def test_the_entry_in_force_is_the_newest_not_newer_than_the_operators_own_definition() -> None:
    table = Table()
    old, new = object(), object()
    table.plain("Softmax", new, 13, layout="either")
    table.plain("Softmax", old)
    for opset, fn in ((7, old), (12, old), (13, new), (21, new)):
        entry = table.find("Softmax", "", opset)
        assert entry is not None
        assert entry.factory(None) is fn
    newest = table.find("Softmax", "", 13)
    assert newest is not None
    assert newest.traits == {"layout": "either"}


def test_what_is_not_entered_is_not_found_and_tables_are_apart() -> None:
    table = Table()
    table.op("Pad", 11, host=(1, 2))(lambda call: call)
    assert table.find("Pad", "", 10) is None
    assert table.find("Pad", "ai.onnx.ml", 11) is None
    assert Table().find("Pad", "", 13) is None
    found = table.find("Pad", "", 13)
    assert found is not None
    assert (found.since, found.host) == (11, (1, 2))
