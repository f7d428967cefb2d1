"""`report` and `compare --from`: everything from the store alone; of a run that is not whole, never a clean page."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import onnx
import pytest

from deltann.testing.models import MODELS


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of two agreeing environments and a wrong one, whose model is gone meanwhile."""
    import deltann

    folder = tmp_path_factory.mktemp("finished")
    onnx.save_model(MODELS["classifier"]().proto, folder / "gone.onnx")
    backends = ["reference", "faulty", "faulty-wrong[amount=0.5]"]
    deltann.compare(folder / "gone.onnx", backends, inputs="random:20", out=folder / "run")
    (folder / "gone.onnx").unlink()
    return folder / "run"


@pytest.fixture
def run(finished, tmp_path):
    """A copy to damage."""
    return shutil.copytree(finished, tmp_path / "copy")


def rejudge(cli, run, *more):
    """The exit code of `compare --from`."""
    return cli("compare", "--from", run, *more)


def test_a_report_shows_what_the_run_showed(cli, models, tmp_path):
    made = cli("compare", "--model", models / "classifier.onnx", "--backends", "reference,faulty-wrong",
               "--inputs", "random:4", "--out", tmp_path / "run", "--rtol", "0.1")  # fmt: skip
    again = cli("report", tmp_path / "run")
    assert (again.code, again.out, again.err) == (made.code, made.out, made.err)


def test_the_json_of_report_is_that_of_compare(cli, models, tmp_path):
    made = cli("compare", "--model", models / "classifier.onnx", "--backends", "reference,faulty-wrong",
               "--inputs", "random:4", "--out", tmp_path / "run", "--json", tmp_path / "made.json")  # fmt: skip
    again = cli("report", tmp_path / "run", "--json", "-")
    assert made.code == again.code
    assert json.loads((tmp_path / "made.json").read_text()) == again.json
    assert "DIFFER: " in made.out, "the screen is shown beside the file"


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ((), 1),
        (("--max-disagreement", "100%"), 0),
        (("--max-disagreement", "1"), 0),
        (("--max-disagreement", "0"), 1),
        (("--rtol", "0", "--atol", "0"), 1),
        (("--rtol", "0", "--atol", "0.2"), 0),
        (("--atol", "y=0.2"), 0),
        (("--atol", "y=0.01", "--max-disagreement", "100%"), 1),
        (("--rtol", "0", "--atol", "50"), 4),
        (("--reference", "faulty-wrong[amount=0.5]"), 1),
    ],
)
def test_a_run_is_judged_anew(cli, finished, limits, code):
    done = rejudge(cli, finished, *limits)
    assert done.code == code, done.out


def test_judging_anew_leaves_the_run_as_it_was(cli, finished):
    before = (finished / "run.json").read_bytes()
    assert rejudge(cli, finished, "--max-disagreement", "100%").code == 0
    assert (finished / "run.json").read_bytes() == before
    assert cli("report", finished).code == 1


def test_a_rate_counts_the_same_as_a_percentage(cli, finished):
    pairs = cli("report", finished, "--json", "-").json["pairs"]
    rate = max(o["classification"]["rate"] for pair in pairs for o in pair["comparison"]["outputs"])
    assert 0 < rate < 1, "the wrong environment flips some labels"
    for limit, code in ((rate, 4), (0.9, 0), (0.001, 1)):  # the rate itself is within what 20 samples leave open
        assert rejudge(cli, finished, "--max-disagreement", str(limit)).code == code
        assert rejudge(cli, finished, "--max-disagreement", f"{limit * 100}%").code == code


def test_a_reference_says_what_is_judged(cli, models, tmp_path):
    done = cli("compare", "--model", models / "classifier.onnx", "--inputs", "random:4", "--out", tmp_path / "run",
               "--backends", "faulty-wrong,reference,faulty", "--reference", "reference", "--json", "-")  # fmt: skip
    judged = {(pair["candidate"], pair["reference"]): pair["judged"] for pair in done.json["pairs"]}
    assert judged == {
        ("faulty-wrong", "reference"): True,
        ("faulty", "reference"): True,
        ("faulty", "faulty-wrong"): False,
    }
    assert done.code == 1


def test_what_is_not_judged_does_not_count(cli, models, tmp_path):
    """One is 1 % too large and one 1 % too small: both near the reference, too far from one another."""
    backends = "reference," + ",".join(f"faulty[amount={a},stage=LOAD,symptom=MISMATCH]" for a in ("0.01", "-0.01"))
    done = cli("compare", "--model", models / "classifier.onnx", "--inputs", "random:4", "--out", tmp_path / "run",
               "--backends", backends, "--rtol", "0.015", "--atol", "1e-6")  # fmt: skip
    assert done.code == 1
    judged = rejudge(cli, tmp_path / "run", "--reference", "reference")
    assert judged.code == 0
    assert "not judged, since --reference" in judged.out


def test_judging_anew_imports_no_framework_and_no_adapter(process, finished, monkeypatch):
    monkeypatch.setenv("DELTANN_BACKENDS", ",".join(f"{name}=nowhere:X" for name in ("reference", "faulty", "ort")))
    script = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('onnxruntime', 'torch', 'tvm', 'tensorflow'): raise RuntimeError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from deltann.cli import main\n"
        f"sys.argv = ['deltann', 'compare', '--from', {str(finished)!r}, '--max-disagreement', '100%']\n"
        "try: main()\n"
        "finally: assert not any(name.startswith('deltann_') for name in sys.modules), list(sys.modules)\n"
    )
    done = process(under=[sys.executable, "-c", script])
    assert (done.code, done.err) == (0, "")
    assert "\nAGREE: " in done.out


@pytest.mark.parametrize(
    "flags", [("--model", "x.onnx"), ("--backends", "ort"), ("--limit", "3"), ("--out", "x"), ("--skip-bad-inputs",)]
)
def test_from_takes_thresholds_only(cli, finished, flags):
    assert f"--from takes no {flags[0]}" in rejudge(cli, finished, *flags).error


def test_an_unknown_output_in_a_tolerance_lists_what_exists(cli, finished):
    assert "the outputs: y" in rejudge(cli, finished, "--atol", "logits=1").error


# What is not whole


def test_no_run_there(cli, tmp_path):
    for folder in (tmp_path / "none", tmp_path):
        assert "no run there" in cli("report", folder).error


@pytest.mark.parametrize(
    "text", ["", '{"schema": 1, "st', "[]", "null", '{"schema": "x"}', "{}", '{"schema": 1}', '"run"']
)
def test_a_damaged_document(cli, run, text):
    (run / "run.json").write_text(text)
    assert "run.json: damaged" in cli("report", run).error


def test_a_document_of_bytes(cli, run):
    (run / "run.json").write_bytes(b"\xff\x00\xfe")
    assert "run.json: damaged" in cli("report", run).error


def partial(cli, run, missing):
    """What `report` shows of a run that is not whole: it says what is missing, and never that all agree."""
    shown = cli("report", run)
    assert shown.code in (1, 4), (shown.out, shown.err)
    first = shown.out.splitlines()[0]
    assert first.startswith("INCOMPLETE: "), shown.out
    assert missing in " ".join(shown.out.split()), shown.out
    assert "\nAGREE: " not in shown.out
    told = cli("report", run, "--json", "-").json
    assert told["missing"]
    assert told["verdict"] != "AGREE"
    return told


def test_a_newer_schema(cli, run):
    document = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**document, "schema": 99}))
    assert "upgrade deltann" in rejudge(cli, run).error
    partial(cli, run, "schema 99")


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_an_unfinished_run(cli, run, status):
    document = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**document, "status": status}))
    refused = rejudge(cli, run).error
    assert f"the run is {status}" in refused
    assert f"--out {run}" in refused
    partial(cli, run, status)


def test_a_folder_of_outputs_that_is_gone(cli, run):
    shutil.rmtree(run / "outputs" / "model" / "reference")
    assert "missing or damaged" in rejudge(cli, run).error
    partial(cli, run, "reference")


def test_an_output_that_is_gone(cli, run):
    (run / "outputs" / "model" / "reference" / "0.npy").unlink()
    assert "missing or damaged" in rejudge(cli, run).error
    told = partial(cli, run, "reference")
    compared = [pair for pair in told["pairs"] if pair["comparison"]]
    assert [(pair["candidate"], pair["reference"]) for pair in compared] == [("faulty-wrong[amount=0.5]", "faulty")]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("name", ["0.npy", "times.npy", "outputs.json"])
def test_a_truncated_file_of_outputs(cli, run, name, share):
    file = run / "outputs" / "model" / "reference" / name
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    assert "missing or damaged" in rejudge(cli, run).error
    partial(cli, run, "reference")


def test_an_output_of_objects_is_never_unpickled(cli, run):
    np.save(run / "outputs" / "model" / "reference" / "0.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "missing or damaged" in rejudge(cli, run).error
    partial(cli, run, "reference")


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"outcome": {"status": "FINE"}}'])
def test_a_damaged_record_of_a_cell(cli, run, text):
    (run / "cells" / "model" / "reference" / "cell.json").write_text(text)
    assert "damaged" in rejudge(cli, run).error
    partial(cli, run, "reference")


def test_a_record_of_a_cell_that_is_gone(cli, run):
    (run / "cells" / "model" / "reference" / "cell.json").unlink()
    assert "the record of reference is missing" in rejudge(cli, run).error
    partial(cli, run, "reference")


def test_a_task_says_how_an_output_is_judged(cli, finished):
    assert rejudge(cli, finished, "--max-disagreement", "100%").code == 0
    assert rejudge(cli, finished, "--max-disagreement", "100%", "--task", "y=tensor").code == 1
    assert "the outputs: y" in rejudge(cli, finished, "--task", "boxes=tensor").error
