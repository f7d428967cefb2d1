"""The reports that `compare` and `report` leave beside the screen."""

from __future__ import annotations

import json
import sys
from xml.etree import ElementTree

import onnx
import pytest

from deltann.testing.models import MODELS

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


class TestBaseline:
    """`--baseline` and `--update-baseline`."""

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
