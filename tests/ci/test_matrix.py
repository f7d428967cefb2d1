"""The matrix: its rows make sense, an absent device is UNAVAILABLE and never the CPU, the site shows what was found."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from deltann import registry
from deltann.baseline.file import read_baseline
from deltann.cli import main
from deltann.criteria import Criteria
from deltann.environment import parse_all
from deltann.host import accelerators, host_class
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.report.contents import load_contents
from deltann.report.json import document
from deltann.testing.models import MODELS
from deltann.testing.stored import write_run
from deltann_ort.actual import Placement

sys.path.insert(0, str(Path(__file__).parent))
from matrix_scripts import plan, publish, records
from matrix_scripts import run as runner

Record = records.Record
RECORD = Record(
    "2026-01-01", "row", False, "net", "torch:cuda", "cuda", "OK", verdict="AGREE", computed_on="a GPU", host="a host"
)


def test_the_scripts_take_nobodys_name() -> None:
    for name in ("plan", "records", "trend", "publish", "run"):
        assert "05_matrix" not in str(getattr(sys.modules.get(name), "__file__", "")), name


def test_every_environment_of_the_matrix_exists() -> None:
    matrix = plan.read()
    extras = {"html"} | set(registry.names())
    for row in matrix.rows:
        for environment in parse_all([matrix.reference, *row.environments]):
            registry.check(environment)
            assert str(environment) in (matrix.reference, *row.environments)  # as records call it
            # Its framework is installed by an extra or, as the GPU build of ONNX Runtime, by name.
            assert environment.backend in row.extras or environment.backend == "ort" or "tflite" in row.extras
        assert set(row.extras) <= extras
    devices = {environment for row in matrix.rows if row.device == "cuda" for environment in row.environments}
    assert {"torch:cuda", "torch-compile:cuda", "ort:cuda"} <= devices
    assert any("tvm" in environment for environment in devices)
    assert any("Tensorrt" in environment for environment in devices)


def test_the_jobs_are_each_row_and_its_pre_releases() -> None:
    matrix = plan.Matrix("ort", (), (plan.Row("a", "cpu", ("b",), newest=("x",)), plan.Row("c", "cuda", ("d:cuda",))))
    assert plan.jobs(matrix) == [
        {"row": "a", "device": "cpu", "newest": False},
        {"row": "c", "device": "cuda", "newest": False},
        {"row": "a", "device": "cpu", "newest": True},
    ]
    with pytest.raises(ValueError, match=r"no row 'z' .*its rows: a, c"):
        matrix.row("z")


ROW = '[[rows]]\nname = "a"\ndevice = "{device}"\nenvironments = ["{environment}"]\n'


@pytest.mark.parametrize(
    ("device", "environment", "fault"),
    [
        ("cpu", "ort", ""),
        ("cuda", "ort:cuda[threads=1]", ""),
        ("cpu", "ort:cuda", "runs on cuda, its row 'a' on cpu"),
        ("cuda", "ort[providers=CUDAExecutionProvider]", "runs on cpu, its row 'a' on cuda"),
        ("cpu", 'ort"]\nrunner = ["x', "unknown key runner"),
        ("cpu", 'ort"]\n' + ROW.format(device="cpu", environment="ort").rstrip('"]\n'), "a stands twice"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused(device: str, environment: str, fault: str, tmp_path: Path) -> None:
    file = tmp_path / "matrix.toml"
    file.write_text('reference = "ort"\nmodels = []\n' + ROW.format(device=device, environment=environment))
    if fault:
        with pytest.raises(ValueError, match=fault):
            plan.read(file)
    else:
        assert plan.read(file).rows[0].environments == (environment,)


def tiny_matrix(folder: Path, rows: str) -> Path:
    model = MODELS["classifier"]().save(folder)
    file = folder / "matrix.toml"
    file.write_text(
        f'reference = "reference"\n[[models]]\nname = "tiny"\nfile = "{model.path}"\ninputs = "random:3"\n{rows}'
    )
    return file


def test_without_a_gpu_it_is_unavailable_and_never_the_cpu(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Of ONNX Runtime, whose default on an absent device is the CPU; of the others beside their adapters' tests."""
    if accelerators():
        pytest.skip("this machine has a GPU")
    if find_spec("onnxruntime") is None:
        pytest.skip("onnxruntime is not installed")
    rows = ROW.format(device="cuda", environment="ort:cuda")
    out = tmp_path / "out"
    assert runner.main(["--matrix", str(tiny_matrix(tmp_path, rows)), "--night", "2026-01-01", "--out", str(out)]) == 0
    (found,) = records.read(out / "records.jsonl")
    assert (found.environment, found.status, found.verdict) == ("ort:cuda", "UNAVAILABLE", "NOT_COMPARED")
    assert found.computed_on is None
    assert not found.accelerated
    assert "has no CUDAExecutionProvider" in found.reason
    assert "UNAVAILABLE" in (out / "a-tiny.html").read_text()
    assert "tiny  ort:cuda  UNAVAILABLE" in capfd.readouterr().out


FAULTY = '[[rows]]\nname = "a"\ndevice = "cpu"\nenvironments = [{}]\n'


class Nights:
    """Runs of one row with baselines, on a machine of which nothing else is known."""

    def __init__(self, folder: Path, *environments: str) -> None:
        self.out, self.baselines, self.summary = folder / "out", folder / "baselines", folder / "summary"
        self.matrix = tiny_matrix(folder, FAULTY.format(json.dumps(list(environments)).strip("[]")))

    def run(self, *options: str, baselines: bool = True) -> int:
        given = ["--matrix", str(self.matrix), "--row", "a", "--out", str(self.out), *options]
        return int(runner.main([*given, *(["--baselines", str(self.baselines)] if baselines else [])]))

    @property
    def accepted(self) -> list[str]:
        """The candidates in the row's baseline."""
        file = self.baselines / "a.jsonl"
        return [entry.key.candidate for entry in read_baseline(file).entries] if file.exists() else []


def compared(command: list[str], **_: object) -> SimpleNamespace:
    """In place of `deltann compare`: a stored run of faults to order, which the real `report` judges and accepts."""
    given = dict(word.removeprefix("--").split("=", 1) for word in re.findall(r"--\S+=\S+", _joined(command)))
    logits = np.random.default_rng(5).standard_normal((20, 4)).astype(np.float32)
    cells: dict[str, Any] = {}
    for environment in given["backends"].split(","):
        kind, _, amount = environment.rstrip("]").partition("[amount=")
        if kind == "faulty-crash":
            cells[environment] = Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, "died of SIGSEGV")
        else:
            cells[environment] = {"y": logits * np.float32(1 + float(amount or 0))}
    criteria = Criteria(reference=given["reference"])
    folder = write_run(Path(given["out"]), cells, criteria=criteria).folder
    written = json.loads((folder / "run.json").read_text())
    written["host"] = {"class": host_class(), "accelerators": []}
    (folder / "run.json").write_text(json.dumps(written))
    options = [f"--{name}={given[name]}" for name in ("json", "baseline") if name in given]
    options += [word for word in command if word == "--update-baseline"]
    return SimpleNamespace(returncode=CliRunner().invoke(main, ["report", str(folder), *options]).exit_code)


def _joined(command: list[str]) -> str:
    """`--name value` as `--name=value`; none of these values begins with a dash."""
    return re.sub(r"(--[a-z-]+) (?!--)", r"\1=", " ".join(command))


@pytest.fixture
def on_github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As GitHub runs it, without the engines; the summary's file."""
    monkeypatch.setattr(runner, "subprocess", SimpleNamespace(run=compared))
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    return tmp_path / "summary"


WRONG, CRASH = "faulty-wrong[amount=0.5]", "faulty-crash"


def test_a_first_night_accepts_what_agrees_alone(
    on_github: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    nights = Nights(tmp_path, "faulty", WRONG, CRASH)
    assert nights.run() == 1
    assert nights.accepted == ["faulty"]
    (line,) = on_github.read_text().splitlines()
    assert f"accepted: first night on {host_class()}: 1 of 3" in line
    assert f"not accepted: {WRONG} (DIFFER), {CRASH} (FAILED)" in line
    assert "::warning title=No baselines::" in capfd.readouterr().err
    assert nights.run() == 1  # and so the second night
    assert nights.accepted == ["faulty"]
    assert "No baselines" not in capfd.readouterr().err
    assert nights.run("--accept") == 0  # until somebody accepts it
    assert sorted(nights.accepted) == sorted(["faulty", WRONG, CRASH])
    assert nights.run() == 0
    assert len(on_github.read_text().splitlines()) == 1


@pytest.mark.parametrize(("environment", "code", "accepted"), [(CRASH, 1, []), ("faulty", 0, ["faulty"])])
def test_a_first_night_fails_by_what_is_bad(
    environment: str, code: int, accepted: list[str], on_github: Path, tmp_path: Path
) -> None:
    nights = Nights(tmp_path, environment)
    assert nights.run() == code
    assert nights.accepted == accepted
    assert ("not accepted" in on_github.read_text()) == bool(code)
    assert records.read(nights.out / "records.jsonl")[0].bad == bool(code)


def test_what_becomes_worse_fails(on_github: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert on_github.parent == tmp_path
    nights = Nights(tmp_path, "faulty-wrong[amount=0.1]")
    assert nights.run("--accept") == 0
    text = nights.matrix.read_text()
    nights.matrix.write_text(text.replace("faulty-wrong[amount=0.1]", "faulty"))
    assert nights.run() == 1  # new to an accepted row, on GitHub
    monkeypatch.setenv("CI", "false")
    assert nights.run() == 0  # elsewhere it counts by itself
    nights.matrix.write_text(text.replace("faulty-wrong[amount=0.1]", CRASH))
    assert nights.run() == 1


def test_a_class_of_host_is_known_by_the_whole_of_its_name(
    on_github: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert on_github.parent == tmp_path
    nights = Nights(tmp_path, "faulty")
    assert nights.run() == 0
    file = nights.baselines / "a.jsonl"
    assert runner._knows_this_host(file)
    assert not runner._knows_this_host(nights.baselines / "b.jsonl")
    assert not runner._knows_this_host(None)
    monkeypatch.setattr(runner, "host_class", lambda: host_class()[:-1])
    assert not runner._knows_this_host(file)


def test_a_damaged_baseline_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nights = Nights(tmp_path, "faulty")
    nights.baselines.mkdir()
    (nights.baselines / "a.jsonl").write_text('{"deltann-baseline": 1}\n{"model": \n')
    assert nights.run() == 2
    assert f"error: {nights.baselines}/a.jsonl:2: not JSON" in capsys.readouterr().err
    assert not nights.out.exists()


def test_a_reference_that_gives_nothing_fails(on_github: Path, tmp_path: Path) -> None:
    assert not on_github.exists()
    nights = Nights(tmp_path, "faulty")
    text = nights.matrix.read_text()
    nights.matrix.write_text(text.replace('"reference"', '"faulty-crash"'))
    assert nights.run() == 2
    assert nights.accepted == []


def test_an_earlier_nights_report_is_none_of_tonights(
    on_github: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not on_github.exists()
    nights = Nights(tmp_path, "faulty")
    nights.out.mkdir()
    for name in ("tiny.json", "tiny.html"):
        (nights.out / name).write_text("{}")
    monkeypatch.setattr(runner, "subprocess", subprocess)
    monkeypatch.setattr(runner, "DELTANN", Path(shutil.which("true") or "true"))
    assert nights.run() == 2
    assert list(nights.out.glob("tiny.*")) == []


def test_a_wrong_request_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    matrix = tiny_matrix(tmp_path, ROW.format(device="cpu", environment="no_such"))
    with pytest.raises(SystemExit):
        runner.main(["--row", "none", "--out", str(tmp_path), "--matrix", str(matrix)])
    assert "no row 'none'" in capsys.readouterr().err
    assert runner.main(["--matrix", str(matrix), "--out", str(tmp_path / "out")]) == 2
    matrix.write_text(matrix.read_text().replace("random:3", "no/such/folder"))
    with pytest.raises(SystemExit):
        runner.main(["--matrix", str(matrix), "--out", str(tmp_path)])
    assert "no/such/folder" in capsys.readouterr().err


def test_records_are_what_the_report_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    logits = rng.standard_normal((20, 5)).astype(np.float32)
    flipped = logits.copy()
    flipped[:3] = -flipped[:3]
    cells: dict[str, Any] = {
        "ort": {"y": logits},
        "torch:cuda": {"y": logits},
        "tvm:cuda": {"y": flipped},
        "iree": Outcome(Status.UNAVAILABLE, Stage.LOAD, reason="not here"),
    }
    facts = {
        "torch:cuda": {"actual": {"device": "NVIDIA H100"}, "version": "2.13"},
        "tvm:cuda": {"actual": {"device": "cpu (x)"}},
    }
    stored = write_run(tmp_path / "run", cells, facts=facts)
    found = records.of_report(
        document(load_contents(stored.folder)),
        night="2026-01-01", row="r", newest=True, model="net", device="cuda", reference="ort",
    )  # fmt: skip
    torch_, tvm, iree = found
    assert (torch_.standing, torch_.disagreements, torch_.samples, torch_.rate) == ("AGREE", 0, 20, 0.0)
    assert (torch_.version, torch_.computed_on, torch_.newest, torch_.host) == ("2.13", "NVIDIA H100", True, "unknown")
    assert not torch_.bad
    assert (tvm.verdict, tvm.standing, tvm.bad) == ("DIFFER", "NOT ON CUDA", True)
    assert tvm.disagreements is not None
    assert tvm.disagreements >= 1
    assert tvm.max_abs == pytest.approx(2 * np.abs(logits[:3]).max())
    assert (iree.standing, iree.reason, iree.bad, iree.rate) == ("UNAVAILABLE", "not here", False, None)


@pytest.mark.parametrize(
    ("told", "device", "astray"),
    [
        ("CPUExecutionProvider (9 of 9 nodes)", "cuda", True),
        ("cpu (AVX512)", "cuda", True),
        ("CUDAExecutionProvider (8 of 9 nodes), CPUExecutionProvider (1 of 9 nodes)", "cuda", False),
        ("NVIDIA H100", "cuda", False),
        (str(Placement(("CUDAExecutionProvider", "CPUExecutionProvider"), None)), "cuda", True),
        (None, "cuda", True),
        ("", "cuda", True),
        (None, "cpu", False),
        ("cpu (AVX512)", "cpu", False),
    ],
)
def test_a_cell_that_computed_elsewhere_does_not_pass(told: str | None, device: str, astray: bool) -> None:
    record = replace(RECORD, computed_on=told, device=device)
    assert record.astray == record.bad == astray
    on_cpu = (told or "").lower().startswith("cpu")
    assert record.standing == (("NOT ON CUDA" if on_cpu else "NOT KNOWN TO BE ON CUDA") if astray else "AGREE")
    assert publish.words(record).startswith(record.standing)
    assert "None" not in publish.words(record)


@pytest.mark.parametrize(
    ("device", "accelerated", "bad"),
    [("cuda", True, True), ("cuda", False, False), ("cpu", True, False), ("cpu", False, False)],
)
def test_a_gpu_that_is_there_and_cannot_be_had_is_bad(device: str, accelerated: bool, bad: bool) -> None:
    record = replace(RECORD, device=device, status="UNAVAILABLE", verdict=None, computed_on=None)
    assert replace(record, accelerated=accelerated).bad == bad


@pytest.mark.parametrize("gpus", [[], ["NVIDIA H100"]])
def test_whether_there_is_one_is_what_the_host_says(gpus: list[str], tmp_path: Path) -> None:
    logits = np.random.default_rng(3).standard_normal((5, 4)).astype(np.float32)
    absent = Outcome(Status.UNAVAILABLE, Stage.LOAD, reason="no driver")
    stored = write_run(tmp_path / "run", {"ort": {"y": logits}, "torch:cuda": absent})
    found = document(load_contents(stored.folder))
    found["request"]["host"] = {"class": "linux x86_64 avx2, 4 cores", "accelerators": gpus}
    (record,) = records.of_report(
        found, night="2026-01-01", row="r", newest=False, model="net", device="cuda", reference="ort"
    )
    assert record.bad == record.accelerated == bool(gpus)
    assert record.host == ", ".join(["linux x86_64 avx2, 4 cores", *gpus])


def test_what_is_no_newer_than_what_is_pinned_says_so(tmp_path: Path) -> None:
    """Of packages that are installed for the tests themselves, in versions other than the oldest."""
    versions = {name: version(name) for name in ("numpy", "ruamel.yaml")}
    file = tmp_path / "constraints.txt"
    file.write_text("# 1\n" + "".join(f"{name}=={found}\n" for name, found in versions.items()))
    row = plan.Row("a", "cpu", ("b",), newest=("numpy", "ruamel.yaml"))
    assert plan.none_newer(row, plan.pinned(file))
    assert not plan.none_newer(row, plan.pinned(file) | {"ruamel-yaml": "0.0.1"})
    assert not plan.none_newer(plan.Row("a", "cpu", ("b",), newest=("no-such-package",)), plan.pinned(file))
    newest = replace(RECORD, newest=True)
    assert RECORD.title == "torch:cuda"
    assert newest.title == "torch:cuda (pre-releases)"
    assert replace(newest, none_newer=True).title == "torch:cuda (pre-releases: none newer)"


def test_a_night_run_again_counts_once(tmp_path: Path) -> None:
    again = replace(RECORD, verdict="DIFFER")
    other = replace(RECORD, night="2025-12-31")
    assert records.merged([RECORD], [again, other]) == [other, again]
    records.write(tmp_path / "h", [RECORD, other])
    assert records.read(tmp_path / "h") == [RECORD, other]
    assert records.read(tmp_path / "none") == []
    (tmp_path / "h").write_text(json.dumps({"night": 1}) + "\n")
    with pytest.raises(ValueError, match=r"h:1: not a record"):
        records.read(tmp_path / "h")


HOSTILE = "</script><script>alert(1)</script>|`*_[x](y)@you\n## {{ 7 * 7 }}"


def site(folder: Path, found: list[Any], rows: str = "rows = []\n", *options: str) -> tuple[int, str]:
    """Publish `found` as the results of one row; the exit code and the page."""
    (folder / "results" / "row").mkdir(parents=True, exist_ok=True)
    records.write(folder / "results" / "row" / "records.jsonl", found)
    (folder / "results" / "row" / "net.html").write_text("a report")
    (folder / "matrix.toml").write_text('reference = "ort"\n' + rows)
    if "[[models]]" not in rows:
        (folder / "matrix.toml").write_text(f'reference = "ort"\nmodels = []\n{rows}')
    results, history, pages, matrix = (
        str(folder / name) for name in ("results", "history.jsonl", "site", "matrix.toml")
    )
    given = ["--results", results, "--history", history, "--site", pages, "--matrix", matrix, *options]
    return publish.main(given), (folder / "site" / "index.html").read_text()


TWO_MODELS = "".join(f'[[models]]\nname = "{name}"\nfile = "x"\ninputs = "random:1"\n' for name in ("net", "big"))
ROWS = TWO_MODELS + (
    '[[rows]]\nname = "row"\ndevice = "cuda"\nenvironments = ["torch:cuda"]\nnewest = ["torch"]\n'
    '[[rows]]\nname = "other"\ndevice = "cpu"\nenvironments = ["ort", "tract"]\n'
)


def test_what_the_night_lacks_is_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row without records, a model that a row never came to, pre-releases; the reference is beside itself nowhere."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    code, page = site(tmp_path, [RECORD], ROWS)
    out, err = capsys.readouterr()
    assert code == 0
    table = [line for line in out.splitlines() if line.startswith("| `")]
    assert [line.count("NOT RUN") for line in table] == [1, 2, 2]
    assert [line.split("`")[1] for line in table] == ["torch:cuda", "tract", "torch:cuda (pre-releases)"]
    assert page.count('class="said bad">NOT RUN') == 5
    for row in ("row", "row (pre-releases)", "other"):
        assert f"::warning title=A row that did not run::{row} left cells" in err
    assert records.read(tmp_path / "history.jsonl") == [RECORD]  # what did not run is no value of a series


def test_a_night_that_has_all_shows_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [replace(RECORD, model=model) for model in ("net", "big")]
    found += [replace(one, row="other", environment="tract", device="cpu") for one in found]
    _, page = site(tmp_path, found, ROWS, "--pinned")
    assert "NOT RUN" not in page + capsys.readouterr().out
    _, page = site(tmp_path, found, ROWS)
    assert page.count("NOT RUN") == 2  # the pre-releases, on two models


def test_an_earlier_nights_reports_are_not_tonights(tmp_path: Path) -> None:
    old = tmp_path / "results" / "old"
    old.mkdir(parents=True)
    records.write(old / "records.jsonl", [replace(RECORD, night="2025-12-31", environment="tvm:cuda")])
    (old / "net.html").write_text("an old report")
    _, page = site(tmp_path, [RECORD])
    assert 'href="row/net.html"' in page
    assert "old/net.html" not in page
    assert not (tmp_path / "site" / "old").exists()
    assert len(records.read(tmp_path / "history.jsonl")) == 2
    records.write(old / "records.jsonl", [replace(RECORD, environment="tvm:cuda")])
    assert "old/net.html" in site(tmp_path, [RECORD])[1]


@pytest.mark.parametrize("there", [True, False])
def test_a_lost_history_is_told(
    there: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    if there:
        (tmp_path / "history.jsonl").touch()
    site(tmp_path, [RECORD])
    assert ("::warning title=No history::" in capsys.readouterr().err) != there


def test_the_site_has_every_cell_and_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    absent = replace(RECORD, environment="ort:cuda", status="UNAVAILABLE", verdict=None, reason="no such device")
    timed = replace(
        RECORD, samples=40, disagreements=1, max_abs=1e-5, slowdown=-0.5, slowdown_low=-0.6, slowdown_high=-0.4
    )
    code, page = site(tmp_path, [timed, absent])
    told = capsys.readouterr().out
    assert code == 0
    for text in (page, told):
        assert "UNAVAILABLE: no such device" in text
        assert "1 of 40 labels" in text
        assert "0.50× (0.40 to 0.60)" in text
    assert 'href="row/net.html"' in page
    assert (tmp_path / "site" / "row" / "net.html").read_text() == "a report"
    assert records.read(tmp_path / "history.jsonl") == [absent, timed]


def test_what_strangers_wrote_is_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, page = site(tmp_path, [replace(RECORD, status="FAILED", reason=HOSTILE)])
    table = capsys.readouterr().out
    assert "<script" not in page
    assert "{{ 7 * 7 }}" in page
    assert "49" not in page
    line = next(line for line in table.splitlines() if "alert" in line)
    assert re.fullmatch(r"\| `[^`|]+` \| `[^`|]+` \|", line)  # code alone, in which GitHub looks for nothing
    assert len([one for one in table.splitlines() if one.strip()]) == 3


def test_a_strangers_link_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site(tmp_path, [replace(RECORD, status="FAILED", reason="see https://example.org or www.example.org or @you #1")])
    outside = re.sub(r"`[^`]*`", "", capsys.readouterr().out)
    for sign in ("http", "www", "@", "#"):
        assert sign not in outside


@given(st.text())
def test_a_name_breaks_no_table(text: str) -> None:
    plain = publish._plain(text)
    assert plain == "–" or re.fullmatch(r"`[^`|\n]+`", plain)
    assert len(plain) <= publish.LONGEST + 2
    assert len(plain.splitlines()) == 1


def test_nothing_found_is_no_site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results").mkdir()
    arguments = [
        "--results",
        str(tmp_path / "results"),
        "--history",
        str(tmp_path / "h"),
        "--site",
        str(tmp_path / "s"),
    ]
    assert publish.main(arguments) == 2
    assert "run the matrix first" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
