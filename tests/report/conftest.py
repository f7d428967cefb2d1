"""Runs of every kind, for what must hold of any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import strategies as st

from deltann.baseline.drift import drift, update
from deltann.criteria import Criteria
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.report.contents import Contents, load_contents
from deltann.testing.stored import write_repeats, write_run
from deltann.testing.times import write_times

ENVIRONMENTS = ("ort", "torch", "tvm-O3", "tract", "ort[threads=1]")
OUTCOMES = {
    "crash": Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, "SIGSEGV while RUN", "a log\nof lines"),
    "timeout": Outcome(Status.FAILED, Stage.COMPILE, Symptom.TIMEOUT, "no sign of life"),
    "unsupported": Outcome(Status.UNSUPPORTED, Stage.CONVERT, None, "no operator Foo"),
    "unavailable": Outcome(Status.UNAVAILABLE, None, None, "pip install it"),
}
KINDS = ("same", "rounding", "rounding", "wrong", "flipped", "nan", "extra", "lacking", "noisy", *OUTCOMES)


def _outputs(kind: str, rng: np.random.Generator, scores: npt.NDArray[Any], boxes: npt.NDArray[Any]) -> Any:
    if kind in OUTCOMES:
        return OUTCOMES[kind]
    scores = scores.copy()
    if kind in ("rounding", "noisy"):
        scores *= 1 + 1e-6 * rng.standard_normal(scores.shape).astype(np.float32)
    if kind == "wrong":
        scores += rng.standard_normal(scores.shape).astype(np.float32)
    if kind == "flipped":
        scores[0] = np.roll(scores[0], 1)
    if kind == "nan":
        scores[1, 2] = np.nan
    found = {"scores": scores, "boxes": boxes}
    if kind == "extra":
        found["more"] = boxes
    if kind == "lacking":
        del found["boxes"]
    return found


Making = Callable[[st.DataObject], Contents]


@pytest.fixture(scope="session")
def any_contents(tmp_path_factory: pytest.TempPathFactory) -> Making:
    """Draws a run: environments that are right, wrong, noisy, failed; criteria; times or none; a baseline or none."""
    baselines = tmp_path_factory.mktemp("baselines")

    def make(data: st.DataObject) -> Contents:
        contents = draw(data)
        kind = data.draw(st.sampled_from(["none", "own", "another", "written"]))
        if kind == "none":
            return contents
        path = baselines / "baseline.jsonl"
        path.unlink(missing_ok=True)
        written = update(draw(data) if kind == "another" else contents, path)
        found = written if kind == "written" else drift(contents, path)
        return replace(contents, drift=replace(found, ci=data.draw(st.booleans())))

    def draw(data: st.DataObject) -> Contents:
        rng = np.random.default_rng(data.draw(st.integers(0, 99)))
        samples = data.draw(st.sampled_from([1, 6, 40]))
        scores = rng.standard_normal((samples, 8)).astype(np.float32)
        boxes = rng.standard_normal((samples, 3, 2)).astype(np.float32)
        scores[:, 3], boxes[:, 0] = 2, 1
        kinds = data.draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=len(ENVIRONMENTS)))
        if samples == 1:
            kinds = ["wrong" if kind == "nan" else kind for kind in kinds]  # there is no second row
        named = dict(zip(ENVIRONMENTS, kinds, strict=False))
        asked = data.draw(st.sampled_from([None, "0", "5%", "50%"]))
        reference = data.draw(st.sampled_from([None, *named]))
        same = data.draw(st.booleans())
        facts = {name: {"artifact": "1"} for name in ("ort", "ort[threads=1]") if same and name in named}
        cells = {name: _outputs(kind, rng, scores, boxes) for name, kind in named.items()}
        folder: Path = tmp_path_factory.mktemp("run") / "it"
        run = write_run(folder, cells, criteria=Criteria(reference, max_disagreement=asked), facts=facts)
        for name, kind in named.items():
            if kind == "noisy":
                write_repeats(run, name, [{"scores": cells[name]["scores"][:4] + 1, "boxes": boxes[:4]}] * 2)
        if data.draw(st.booleans()):
            slower = st.sampled_from([0.0, 0.0, 0.3])
            rounds = data.draw(st.sampled_from([2, 6]))
            write_times(
                run,
                {name: data.draw(slower) for name, kind in named.items() if kind not in OUTCOMES},
                rounds={"measure": rounds, "confirm": rounds},
            )
        return load_contents(run.folder)

    return make
