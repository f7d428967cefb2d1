"""`deltann compare --class-names`."""

from __future__ import annotations

import json


def test_names_are_kept_in_the_run(cli, models, tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(f"class {number}" for number in range(10)))
    done = cli("compare", "--model", models / "classifier.onnx", "--backends", "reference,faulty",
               "--inputs", "random:2", "--class-names", tmp_path / "names.txt", "--out", tmp_path / "run")  # fmt: skip
    assert done.code == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["class_names"][9] == "class 9"
    again = cli("compare", "--from", tmp_path / "run", "--class-names", tmp_path / "names.txt")
    assert "--from takes no --class-names" in again.error


def test_names_that_do_not_fit_are_refused_before_anything_runs(cli, models, tmp_path):
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    for file, says in ((tmp_path / "names.txt", "has 2 names"), (tmp_path / "none.txt", "no such file")):
        done = cli("compare", "--model", models / "classifier.onnx", "--backends", "reference,faulty",
                   "--class-names", file, "--out", tmp_path / "run")  # fmt: skip
        assert says in done.error
    assert not (tmp_path / "run").exists()
