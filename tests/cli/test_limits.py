"""`--memory-limit` and `--timeout`: an engine that takes too much costs its own cell."""

from __future__ import annotations

import time

SLOW = "faulty[milliseconds=400,symptom=SLOWDOWN]"


def _compare(cli, models, out, limit):
    return cli("compare", "--model", models / "classifier.onnx", "--backends", f"reference,faulty,{SLOW}",
               "--inputs", "random:4", "--memory-limit", limit, "--out", out, "--json", "-")  # fmt: skip


def test_too_much_is_out_of_memory_in_that_cell_alone(cli, models, tmp_path):
    # Any worker holds more than this, but only the slow one lives until somebody looks.
    done = _compare(cli, models, tmp_path / "run", "5MiB")
    cell = {cell["cell"]: cell for cell in done.json["cells"]}[SLOW]
    assert (cell["status"], cell["symptom"]) == ("FAILED", "OUT_OF_MEMORY")
    assert "more than --memory-limit allows (5 MiB)" in cell["reason"]
    assert done.code == 3


def test_enough_is_enough(cli, models, tmp_path):
    done = _compare(cli, models, tmp_path / "run", "90%")
    assert [cell["status"] for cell in done.json["cells"]] == ["OK"] * 3
    assert done.code == 0


def test_what_is_no_limit_is_refused(cli, models, tmp_path):
    assert "write a share of this machine's memory" in _compare(cli, models, tmp_path / "run", "lots").error


def test_two_that_hang_side_by_side_have_one_deadline(cli, models, tmp_path):
    hangs = [f"faulty[at={number},stage=COMPILE,symptom=TIMEOUT]" for number in (1, 2)]
    started = time.monotonic()
    done = cli("compare", "--model", models / "classifier.onnx", "--backends", f"{','.join(hangs)},reference",
               "--inputs", "random:2", "--timeout", "COMPILE=8", "--out", tmp_path / "run", "--json", "-")  # fmt: skip
    cells = {cell["cell"]: cell["symptom"] for cell in done.json["cells"]}
    assert cells == {**dict.fromkeys(hangs, "TIMEOUT"), "reference": None}
    assert time.monotonic() - started < 15, "one after the other they take more than twice 8 s"
