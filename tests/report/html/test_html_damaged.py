"""Of a damaged run the page shows what there is and says what is missing: never a clean page, never an error."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from deltann.comparison.evidence import Arbitration, Sabotage, Sabotaged
from deltann.report.contents import load_contents
from deltann.report.html import to_html
from deltann.testing.stored import write_arbitration, write_repeats, write_run, write_sabotage
from deltann.testing.times import write_times

RNG = np.random.default_rng(13)
SCORES = RNG.standard_normal((12, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run with everything in it, whose environments agree."""
    run = write_run(
        tmp_path_factory.mktemp("whole") / "run",
        {"torch": {"y": SCORES}, "ort": {"y": SCORES}},
        labels=[int(label) for label in SCORES.argmax(1)],
    )
    exact = SCORES.astype(np.float64)
    write_arbitration(run, Arbitration("torch[precision=float64]", np.arange(12), 8, {"y": exact}, {"y": SCORES}))
    copies = (Sabotaged("a", "layout", "a fault", {"y": SCORES[:8] + 1}),)
    write_sabotage(run, Sabotage("torch", {"y": SCORES[:8]}, copies))
    write_repeats(run, "ort", [{"y": SCORES[:4]}] * 2)
    write_times(run, {"torch": 0.0, "ort": 0.0})
    return run.folder


def of_each_kind(folder):
    """A file of each kind that the run holds, `run.json` excepted."""
    kinds = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in ("run.json", ".lock"):
            inside = path.relative_to(folder)
            kinds[inside.parts[0], inside.name if inside.suffix != ".npy" else ".npy", len(inside.parts)] = inside
    return list(kinds.values())


def test_the_whole_run_makes_a_clean_page(whole):
    html = to_html(load_contents(whole))
    assert 'class="missing"' not in html
    assert "AGREE</h1>" in html


@pytest.mark.parametrize("damage", ["gone", "cut", "nonsense"])
def test_damage_is_never_an_error_and_never_hidden(whole, tmp_path, damage):
    kinds = of_each_kind(whole)
    assert len(kinds) >= 8
    for number, inside in enumerate(kinds):
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        file = folder / inside
        if damage == "gone":
            file.unlink()
        else:
            data = file.read_bytes()
            file.write_bytes(data[: len(data) // 2] if damage == "cut" else b"nonsense")
        contents = load_contents(folder)
        html = to_html(contents)
        assert ('class="missing"' in html) is bool(contents.result.missing), inside
        assert not (contents.result.missing and "AGREE</h1>" in html), inside


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_an_unfinished_run_is_said_to_be_so(whole, tmp_path, status):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    document = (folder / "run.json").read_text()
    assert '"status": "complete"' in document
    (folder / "run.json").write_text(document.replace('"status": "complete"', f'"status": "{status}"'))
    html = to_html(load_contents(folder))
    assert 'class="missing"' in html
    assert "AGREE</h1>" not in html
