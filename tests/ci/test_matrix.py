"""The matrix: its rows make sense, an absent device is UNAVAILABLE and never the CPU, the site shows what was found."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann import registry
from deltann.environment import parse_all
from deltann.outcome import Outcome, Stage, Status
from deltann.report.contents import load_contents
from deltann.report.json import document
from deltann.testing.models import MODELS
from deltann.testing.stored import write_run

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments" / "05_matrix"))
import plan
import publish
import records
import run as runner
from records import Record

RECORD = Record("2026-01-01", "row", False, "net", "torch:cuda", "cuda", "OK", verdict="AGREE", host="a host")


def test_every_environment_of_the_matrix_exists() -> None:
    matrix = plan.read()
    extras = {"html"} | set(registry.names())
    for row in matrix.rows:
        for environment in parse_all([matrix.reference, *row.environments]):
            registry.check(environment)
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


def has_gpu() -> bool:
    if find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())


def test_without_a_gpu_it_is_unavailable_and_never_the_cpu(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if has_gpu():
        pytest.skip("this machine has a GPU")
    for name in ("torch", "onnxruntime"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    rows = ROW.format(device="cuda", environment='torch:cuda", "ort:cuda')
    out = tmp_path / "out"
    assert runner.main(["--matrix", str(tiny_matrix(tmp_path, rows)), "--night", "2026-01-01", "--out", str(out)]) == 0
    found = records.read(out / "records.jsonl")
    assert [(r.environment, r.status, r.verdict, r.computed_on) for r in found] == [
        ("torch:cuda", "UNAVAILABLE", "NOT_COMPARED", None),
        ("ort:cuda", "UNAVAILABLE", "NOT_COMPARED", None),
    ]
    assert "sees no CUDA device" in found[0].reason
    assert "has no CUDAExecutionProvider" in found[1].reason
    assert "UNAVAILABLE" in (out / "a-tiny.html").read_text()
    assert "tiny  torch:cuda  UNAVAILABLE" in capfd.readouterr().out


def test_a_row_is_judged_by_what_was_accepted(tmp_path: Path) -> None:
    """A difference fails; accepted, it passes; what is new to an accepted row counts by itself."""
    row = '[[rows]]\nname = "a"\ndevice = "cpu"\nenvironments = ["faulty-wrong[amount=0.5]"]\n'
    matrix = tiny_matrix(tmp_path, row)
    given = ["--matrix", str(matrix), "--row", "a", "--out", str(tmp_path / "out")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DELTANN_BACKENDS", "faulty=deltann.testing.faulty:FaultyBackend")
        assert runner.main(given) == 1
        baselines = ["--baselines", str(tmp_path / "baselines")]
        assert runner.main([*given, *baselines]) == 0  # the first night: accepted
        assert runner._knows_this_host(tmp_path / "baselines" / "a.jsonl")
        assert not runner._knows_this_host(tmp_path / "baselines" / "b.jsonl")
        assert runner.main([*given, *baselines]) == 0
        matrix.write_text(matrix.read_text().replace("amount=0.5", "amount=0.4"))
        assert runner.main([*given, *baselines]) == 1
        patch.setattr(runner, "host_class", lambda: "another class of host")
        assert not runner._knows_this_host(tmp_path / "baselines" / "a.jsonl")
    (found,) = records.read(tmp_path / "out" / "records.jsonl")
    assert found.standing == "DIFFER"
    assert found.bad


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
        (None, "cuda", False),
        ("cpu (AVX512)", "cpu", False),
    ],
)
def test_a_cell_that_computed_elsewhere_does_not_pass(told: str | None, device: str, astray: bool) -> None:
    record = replace(RECORD, computed_on=told, device=device)
    assert record.astray == record.bad == astray
    assert record.standing == ("NOT ON CUDA" if astray else "AGREE")


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


def site(folder: Path, found: list[Record]) -> tuple[int, str]:
    """Publish `found` as the results of one row; the exit code and the page."""
    (folder / "results" / "row").mkdir(parents=True, exist_ok=True)
    records.write(folder / "results" / "row" / "records.jsonl", found)
    (folder / "results" / "row" / "net.html").write_text("a report")
    results, history, pages = (str(folder / name) for name in ("results", "history.jsonl", "site"))
    code = publish.main(["--results", results, "--history", history, "--site", pages])
    return code, (folder / "site" / "index.html").read_text()


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
    assert line.count("|") == 3
    for sign in ("<", "`", "*", "[", "@"):
        assert sign not in line
    assert len([one for one in table.splitlines() if one.strip()]) == 3


@given(st.text())
def test_a_name_breaks_no_table(text: str) -> None:
    plain = publish._plain(text)
    assert "|" not in plain
    assert "<" not in plain
    assert len(plain.splitlines()) < 2


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
