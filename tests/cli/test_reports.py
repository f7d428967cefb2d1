"""The reports that `compare` and `report` leave beside the screen."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest

from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.testing.models import MODELS
from deltann.testing.stored import write_run
from deltann.testing.times import write_times

AGREE = "reference,faulty"
DIFFER = "reference,faulty-wrong[amount=0.5]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model, and of it a run that agrees and one that differs."""
    import deltann

    folder = tmp_path_factory.mktemp("reports")
    onnx.save_model(MODELS["classifier"]().proto, folder / "classifier.onnx")
    for name, backends in (("agree", AGREE), ("differ", DIFFER)):
        deltann.compare(folder / "classifier.onnx", backends, inputs="random:20", out=folder / name)
    return folder


@pytest.mark.parametrize(("name", "code"), [("agree", 0), ("differ", 1)])
def test_each_report_is_written_beside_the_screen(cli, folder, tmp_path, name, code):
    files = {kind: tmp_path / f"report.{kind}" for kind in ("json", "html", "junit", "markdown", "markdown-short")}
    asked = [part for kind, file in files.items() for part in (f"--{kind}", file)]
    done = cli("report", folder / name, *asked)
    assert done.code == code, done.err
    assert done.out == cli("report", folder / name).out
    verdict = name.upper()
    assert json.loads(files["json"].read_text())["verdict"] == verdict
    failures = list(ElementTree.parse(files["junit"]).getroot().iter("failure"))
    assert bool(failures) == (code == 1)
    for kind in ("html", "markdown", "markdown-short"):
        assert verdict in files[kind].read_text(), kind
    assert files["html"].read_text().startswith("<!DOCTYPE html>")


def test_compare_writes_them_too(cli, folder, tmp_path):
    done = cli("compare", "--model", folder / "classifier.onnx", "--backends", DIFFER, "--inputs", "random:8",
               "--out", tmp_path / "run", "--html", tmp_path / "a.html", "--junit", tmp_path / "a.xml")  # fmt: skip
    assert done.code == 1
    assert (tmp_path / "a.html").stat().st_size > 1000
    assert (tmp_path / "a.xml").stat().st_size > 100


@pytest.mark.parametrize("option", ["--json", "--html", "--junit", "--markdown", "--markdown-short"])
def test_a_file_that_cannot_be_written_is_refused_before_anything_runs(cli, folder, tmp_path, option):
    out = tmp_path / "run"
    command = ("compare", "--model", folder / "classifier.onnx", "--backends", AGREE, "--out", out)
    assert f"choose another {option}" in cli(*command, option, tmp_path / "none" / "file").error
    assert "it is a folder" in cli(*command, option, tmp_path).error
    assert not out.exists()


def test_a_page_without_its_library_is_refused_before_anything_runs(cli, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = cli("compare", "--model", folder / "classifier.onnx", "--backends", AGREE, "--out", tmp_path / "run",
               "--html", tmp_path / "a.html")  # fmt: skip
    assert "deltann[html]" in done.error
    assert not (tmp_path / "run").exists()


def test_findings_are_annotated_where_github_runs_it(cli, folder, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    done = cli("report", folder / "differ", "--json", "-")
    assert done.json["verdict"] == "DIFFER", "standard output stays the document"
    assert "::error " in done.err
    assert "::error" not in cli("report", folder / "agree").err
    monkeypatch.delenv("GITHUB_ACTIONS")
    assert "::" not in cli("report", folder / "differ").err


def commands(text):
    """What a runner of GitHub Actions would obey of a step's output."""
    found, until = [], None
    for line in map(str.strip, text.splitlines()):
        if until is not None:
            until = None if line == f"::{until}::" else until
        elif line.startswith("::stop-commands::"):
            until = line.removeprefix("::stop-commands::")
        elif line.startswith("::") or "##[" in line:
            found.append(line)
    assert until is None, "commands are taken again"
    return found


def test_no_command_on_the_screen_is_obeyed(cli, tmp_path, monkeypatch):
    """Names and messages come from strangers, and lines are broken where they choose."""
    rng = np.random.default_rng(8)
    scores = rng.standard_normal((40, 6)).astype(np.float32)
    hostile = "y " * 30 + "::error::injected " * 5 + "##[error]injected " * 3 + "::stop-commands::known " * 5
    cells = {
        "ort": {"a": scores},
        "tvm": {"a": -scores},
        "torch": Outcome(Status.FAILED, Stage.RUN, Symptom.EXCEPTION, hostile),
    }
    names = [f"::error title=injected::{number} ::known:: ::stop-commands::known" for number in range(40)]
    run = write_run(tmp_path / "run", cells, names=names, model="::warning::injected.onnx").folder
    screen = cli("report", run).out
    assert any(line.strip().startswith("::") for line in screen.splitlines()), "or this proves nothing"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    done = cli("report", run)
    obeyed = commands(done.out)
    assert done.err == ""
    assert all(line.startswith(("::error title=", "::warning title=", "::notice title=")) for line in obeyed)
    assert obeyed, "our own findings are, after the screen"
    first, rest = done.out.split("\n", 1)
    token = first.removeprefix("::stop-commands::")
    assert len(token) == 32
    assert rest.startswith(screen.rstrip() + f"\n::{token}::\n::error title=")
    assert cli("report", run).out.split("\n", 1)[0] != first, "it cannot be guessed"


def test_no_command_of_a_bench_is_obeyed(cli, tmp_path, monkeypatch):
    outputs = {"a": np.random.default_rng(9).standard_normal((4, 6)).astype(np.float32)}
    run = write_run(tmp_path / "run", {"ort": outputs, "tvm": outputs}, source="::error::injected " * 9)
    write_times(run, {"ort": 0.0, "tvm": 0.0})
    assert commands(cli("bench", "--from", run.folder).out)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert commands(cli("bench", "--from", run.folder).out) == []


@pytest.mark.parametrize("command", ["report", "compare --from"])
def test_times_that_did_not_end_never_pass(cli, tmp_path, command):
    outputs = {"a": np.random.default_rng(9).standard_normal((4, 6)).astype(np.float32)}
    run = write_run(tmp_path / "run", {"ort": outputs, "tvm": outputs})
    write_times(run, {"ort": 0.0, "tvm": 0.0})
    assert cli(*command.split(), run.folder).code == 0
    file = tmp_path / "baseline.jsonl"
    assert cli(*command.split(), run.folder, "--baseline", file, "--update-baseline").code == 0
    write_times(run, {"ort": 0.0, "tvm": 0.0}, complete=False)
    done = cli(*command.split(), run.folder)
    assert done.code == 4
    assert done.out.startswith("INCOMPLETE: the times: measuring did not end")
    assert cli(*command.split(), run.folder, "--baseline", file).code == 4
    before = file.read_text()
    assert cli(*command.split(), run.folder, "--baseline", file, "--update-baseline").code == 2
    assert file.read_text() == before
    shutil.rmtree(run.folder / "timing")
    done = cli(*command.split(), run.folder)
    assert "is missing; measure again" in " ".join((done.out + done.err).split())
    assert done.code == (4 if command == "report" else 2)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--json", "a", "--html", "./a"], "--json and --html"),
        (["--markdown", "a", "--markdown-short", "link"], "--markdown and --markdown-short"),
        (["--junit", "a", "--baseline", "a", "--update-baseline"], "--junit and --baseline"),
    ],
)
def test_one_file_is_asked_for_once(cli, folder, tmp_path, monkeypatch, options, named):
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("a")
    out = tmp_path / "run"
    command = ("compare", "--model", folder / "classifier.onnx", "--backends", AGREE, "--out", out)
    assert cli(*command, *options).error.startswith(f"{named} name the same file, ")
    assert not out.exists()
    assert not Path("a").exists()


def test_two_files_of_one_kind_and_a_device_are_fine(cli, folder, tmp_path):
    for first, second in ((tmp_path / "a", tmp_path / "b"), ("/dev/null", "/dev/null"), ("-", tmp_path / "-")):
        assert cli("report", folder / "agree", "--json", first, "--junit", second).code == 0


class TestBaseline:
    """`--baseline` and `--update-baseline`."""

    @pytest.fixture
    def others(self, tmp_path):
        """A baseline of another model that is called `classifier.onnx` too, and the model that is meant."""
        import deltann

        proto = MODELS["classifier"]().proto
        proto.doc_string = "another one"
        (tmp_path / "other").mkdir()
        onnx.save_model(proto, tmp_path / "other" / "classifier.onnx")
        run = deltann.compare(tmp_path / "other" / "classifier.onnx", AGREE, inputs="random:20",
                              out=tmp_path / "other" / "run").run  # fmt: skip
        from deltann.baseline.drift import update
        from deltann.report.contents import load_contents

        update(load_contents(run.folder), tmp_path / "others.jsonl")
        return tmp_path / "others.jsonl"

    def test_a_baseline_of_another_model_is_refused_before_anything_runs(self, cli, folder, tmp_path, others):
        out = tmp_path / "run"
        command = ("compare", "--model", folder / "classifier.onnx", "--backends", AGREE, "--inputs", "random:8",
                   "--out", out, "--baseline", others)  # fmt: skip
        error = cli(*command).error
        assert error.startswith(f"{others}:")
        assert "accept the new model by --update-baseline" in error
        assert not out.exists()
        assert cli(*command, "--update-baseline").code == 0
        assert cli("report", out, "--baseline", others).code == 0

    def test_of_another_model_in_a_stored_run_all_else_is_shown(self, cli, folder, tmp_path, others, monkeypatch):
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        files = [tmp_path / name for name in ("a.json", "a.xml", "a.md")]
        done = cli("report", folder / "differ", "--baseline", others,
                   "--json", files[0], "--junit", files[1], "--markdown", files[2])  # fmt: skip
        assert done.code == 2
        assert "accept the new model by --update-baseline" in done.err
        assert "DIFFER: at least one pair" in done.out
        assert "::error title=" in done.out
        assert json.loads(files[0].read_text())["baseline"] is None
        assert all(file.stat().st_size > 100 for file in files)

    def test_a_baseline_is_written_last_and_not_where_a_report_could_not_be(self, cli, folder, tmp_path, monkeypatch):
        file, link = tmp_path / "baseline.jsonl", tmp_path / "link.jsonl"
        link.symlink_to(file)
        asked = ("report", folder / "differ", "--baseline", link, "--update-baseline", "--json", tmp_path / "a.json")
        written = Path.write_text

        def full(path, *args, **settings):
            assert not file.exists(), "the baseline comes last"
            if path.name == "a.json":
                raise OSError(28, "No space left on device")
            return written(path, *args, **settings)

        monkeypatch.setattr(Path, "write_text", full)
        assert "choose another --json" in cli(*asked).err
        assert {path.name for path in tmp_path.iterdir()} == {"link.jsonl"}
        monkeypatch.setattr(Path, "write_text", written)
        assert cli(*asked).code == 0
        assert link.is_symlink()
        assert file.is_file()
        assert json.loads((tmp_path / "a.json").read_text())["baseline"]["path"] == str(link)
        assert {path.name for path in tmp_path.iterdir()} == {"link.jsonl", "baseline.jsonl", "a.json"}

    def test_what_was_accepted_passes_and_what_is_worse_does_not(self, cli, folder, tmp_path):
        file = tmp_path / "baseline.jsonl"
        accepted = cli("report", folder / "differ", "--baseline", file, "--update-baseline")
        assert accepted.code == 0, accepted.out
        assert file.is_file()
        assert cli("report", folder / "differ").code == 1
        again = cli("report", folder / "differ", "--baseline", file, "--json", "-")
        assert again.code == 0
        assert {row["standing"] for row in again.json["baseline"]["rows"]} == {"SAME"}

    def test_new_entries_fail_in_ci_until_they_are_accepted(self, cli, folder, tmp_path, monkeypatch):
        monkeypatch.delenv("CI", raising=False)
        file = tmp_path / "baseline.jsonl"
        cli("report", folder / "differ", "--baseline", file, "--update-baseline")
        assert cli("report", folder / "agree", "--baseline", file).code == 0
        monkeypatch.setenv("CI", "true")
        assert cli("report", folder / "agree", "--baseline", file).code == 1
        assert cli("report", folder / "agree", "--baseline", file, "--update-baseline").code == 0
        assert cli("report", folder / "agree", "--baseline", file).code == 0

    def test_bad_requests(self, cli, folder, tmp_path):
        assert "add --baseline" in cli("report", folder / "agree", "--update-baseline").error
        assert "--update-baseline" in cli("report", folder / "agree", "--baseline", tmp_path / "none.jsonl").error
        file = tmp_path / "conflict.jsonl"
        file.write_text('{"deltann-baseline": 1}\n<<<<<<< HEAD\n')
        out = tmp_path / "run"
        done = cli("compare", "--model", folder / "classifier.onnx", "--backends", AGREE, "--out", out,
                   "--baseline", file)  # fmt: skip
        assert f"{file}:2" in done.error
        assert not out.exists(), "refused before anything runs"
