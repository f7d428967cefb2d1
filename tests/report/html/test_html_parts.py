"""What each part of the page says is what the run holds; each with its opposite."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import deltann
from deltann.baseline.drift import drift, update
from deltann.comparison.evidence import Arbitration, Sabotage, Sabotaged
from deltann.criteria import Criteria
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.report.contents import Contents, load_contents
from deltann.report.html import to_html
from deltann.store import write_json
from deltann.testing.stored import write_arbitration, write_run, write_sabotage
from deltann.testing.times import write_times
from deltann.timing.against import against

RNG = np.random.default_rng(11)
SCORES = RNG.standard_normal((40, 10)).astype(np.float32)
WRONG = SCORES + RNG.standard_normal(SCORES.shape).astype(np.float32)
FLIPS = int(np.count_nonzero(SCORES.argmax(1) != WRONG.argmax(1)))
SAME = {"torch": {"y": SCORES}, "ort": {"y": SCORES * np.float32(1 + 1e-6)}}
APART = {"torch": {"y": SCORES}, "ort": {"y": SCORES * np.float32(1 + 1e-6)}, "tvm-O3": {"y": WRONG}}


def text(page, part):
    """What a part says, white space folded."""
    return " ".join(page.one(part).text.split())


def test_agreement_and_difference(page):
    agreeing = page(SAME)
    assert agreeing.all("h1")[0].text.split() == ["=", "AGREE"]
    assert "1 of 1 pairs agree" in text(agreeing, "overview")
    assert "DIFFER" not in text(agreeing, "overview").replace("≠ differ", "")


def test_a_difference_names_who_is_wrong(page):
    found = page(APART)
    assert found.all("h1")[0].text.split() == ["≠", "DIFFER"]
    sentence = found.all("p", "sentence")[0].text
    assert "2 of 3 pairs differ beyond what is accepted" in sentence
    assert "Wrong: tvm-O3, by majority alone." in sentence
    assert "wrong, by majority alone" in text(found, "why")


def test_the_matrix_has_every_pair_with_its_count(page):
    found = page(APART)
    squares = [square.text.split() for square in found.all("td", "square")]
    differ = ["≠", str(FLIPS), f"{FLIPS / 40:.1%}"]
    assert squares == [[], ["0", "0.0%"], differ, ["0", "0.0%"], [], differ, differ, differ, []]
    told = [link.attributes["aria-label"] for link in found.all("a") if "aria-label" in link.attributes]
    assert f"tvm-O3 against torch: DIFFER; {FLIPS} of 40 labels differ ({FLIPS / 40:.1%})" in told


def test_the_shade_tells_more_from_less(page):
    rare = SCORES.copy()
    rare[0] = np.roll(rare[0], 1)
    found = page({"torch": {"y": SCORES}, "ort": {"y": rare}, "tract": {"y": WRONG}})
    levels = {
        next(name for name in square.attributes["class"].split() if name.startswith("level")): int(
            square.text.split()[1]
        )
        for square in found.all("td", "square")
        if square.text.strip()
    }
    ordered = sorted(levels, key=levels.__getitem__)
    assert ordered == sorted(levels)
    assert len(levels) > 1


def test_pairs_that_are_not_judged_are_marked(page):
    found = page(APART, criteria=Criteria(reference="torch"))
    assert len(found.all("td", "unjudged")) == 2
    assert "not judged" in text(found, "pair-rows")


def test_pairs_that_are_judged_are_not(page):
    found = page(APART)
    assert not found.all("td", "unjudged")
    assert "not judged" not in text(found, "pair-rows")


def test_tensors_have_no_labels(page):
    boxes = RNG.standard_normal((8, 4, 5)).astype(np.float32)
    found = page({"torch": {"boxes": boxes}, "ort": {"boxes": boxes + 1}})
    assert "Elements outside the tolerance" in found.source
    assert "labels differ" not in text(found, "pairs")
    assert "get different labels" not in text(found, "overview")
    assert "classes" not in {element.attributes.get("id") for element in found.elements}
    assert len([row for row in found.all("tr", inside="disputes") if "random[" in row.text]) == 3, "the worst samples"


def test_labels_have_a_table_by_class(page):
    labels = [int(label) for label in SCORES.argmax(1)]
    found = page(APART, labels=labels)
    assert "by its true class" in text(found, "classes")
    rows = [row.text.split() for row in found.all("tr", inside="classes")][1:]
    assert rows, "some class goes wrong"
    assert sum(int(row[-1]) for row in rows if row[-1] != "·") == FLIPS
    assert all(row[-2] == row[-3] == "·" for row in rows)
    assert "accuracy" in text(found, "environments")


def test_without_labels_classes_are_those_of_the_majority(page):
    assert "by the class that most environments give it" in text(page(APART), "classes")


def two_models(run):
    """Makes the run one of two models that give the same."""
    document = json.loads(json.dumps(dict(run.document)))
    document["models"]["against"] = {**document["models"]["model"], "name": "after.onnx"}
    document["rows"]["against"] = 1
    document["inputs"]["digest"]["against"] = "0"
    document["inputs"]["pipeline"]["against"] = None
    document["cells"] = [
        {"environment": name, "role": role} for name in ("torch", "ort") for role in document["models"]
    ]
    write_json(run.folder / "run.json", document)
    for part in ("outputs", "cells"):
        shutil.copytree(run.folder / part / "model", run.folder / part / "against")


def test_of_two_models_the_rows_are_the_second_s_and_the_columns_the_first_s(page):
    found = page(SAME, two_models)
    assert " ".join(found.all("p", "models")[0].text.split()) == "model.onnx against after.onnx"
    assert found.all("p", "sentence")[0].text.startswith("The two models do not differ beyond what is accepted")
    table = found.all("table")[0]
    assert table.text.split()[:2] == ["A", "C"]
    rows = [" ".join(head.text.split()) for head in found.all("th") if table in head.parents]
    assert {"B against:torch", "D against:ort"} <= set(rows)
    assert len([square for square in found.all("td", "square") if square.text.strip()]) == 2


def test_times_are_ratios_with_intervals(page):
    found = page(SAME | {"tvm-O3": {"y": SCORES}}, lambda run: write_times(run, {"torch": 0, "ort": 0.3, "tvm-O3": 0}))
    rows = [" ".join(row.text.split()) for row in found.all("tr") if row.parents[-2].tag == "table"]
    times = next(row for row in rows if row.startswith("B ort ▲ REGRESSION 1.3"))
    assert "+3" in times
    assert "Slower than the reference: ort." in found.all("p", "sentence")[0].text
    strips = [span.attributes["style"] for span in found.all("span", "interval")]
    assert len(strips) == 2
    one = float(found.all("span", "one")[0].attributes["style"].removeprefix("left:").removesuffix("%"))
    low = [float(style.split("%")[0].removeprefix("left:")) for style in strips]
    assert low[0] > one + 20
    assert abs(low[1] - one) < 10
    ticks = [tick.text for tick in found.all("span", "tick")]
    assert "1×" in ticks


def test_without_times_only_a_hint_is_shown(page):
    found = page(SAME)
    assert "not measured side by side" in text(found, "overview")
    assert not found.all("span", "interval")
    assert "Times" not in [heading.text for heading in found.all("h2")]


def test_times_of_another_run_are_beside(tmp_path):
    contents = []
    for place in ("then", "now"):
        run = write_run(tmp_path / place, SAME)
        write_times(run, {"torch": 0, "ort": 0.2})
        contents.append(load_contents(run.folder))
    beside = against(contents[1].timing, contents[0].result.run)
    assert "Beside another run" in to_html(replace(contents[1], against=beside))
    assert "Beside another run" not in to_html(contents[1])


def test_failed_cells_say_why(page):
    crash = Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, "SIGSEGV while RUN", "first line\nlast line")
    found = page(SAME | {"tvm-O3": crash})
    failed = " ".join(found.all("div", "failed")[0].text.split())
    assert failed == "Without outputs C tvm-O3 ✕ FAILED CRASH SIGSEGV while RUN"
    assert "first line\nlast line" in found.all("pre")[0].text
    assert "1 environment of 3 gave no outputs" in found.all("p", "sentence")[0].text


def test_where_none_failed_nothing_is_said_of_it(page):
    found = page(SAME)
    assert not found.all("div", "failed")
    assert not found.all("pre")


def test_what_is_missing_is_said_first_and_loudly(page):
    def lose(run):
        (next((run.folder / "outputs").rglob("*.npy"))).write_bytes(b"")

    found = page(APART, lose)
    (banner,) = found.all("div", "missing")
    assert banner.attributes["role"] == "alert"
    assert "missing or damaged" in banner.text
    places = [element for element in found.elements if element is banner or element.tag == "h1"]
    assert places[0] is banner
    assert "AGREE" not in found.all("h1")[0].text


def test_a_whole_run_has_no_such_banner(page):
    assert not page(APART).all("div", "missing")


def test_evidence_is_shown_where_there_is_any(page):
    exact = SCORES.astype(np.float64)

    def gather(run):
        write_arbitration(run, Arbitration("torch[precision=float64]", np.arange(40), 16, {"y": exact}, {"y": SCORES}))
        copies = tuple(Sabotaged(f"c{n}", "weights and biases", f"fault {n}", {"y": WRONG[:16]}) for n in range(3))
        missed = Sabotaged("c3", "layout", "the one that is missed", {"y": SCORES[:16]})
        write_sabotage(run, Sabotage("torch", {"y": SCORES[:16]}, (*copies, missed)))

    found = page(APART, gather)
    evidence = text(found, "evidence")
    assert "16 samples chosen before any output was seen and 24 contested ones" in evidence
    assert "≠ unsound" in evidence
    assert evidence.count("= sound") == 2
    assert "Of 4 copies with a fault each" in evidence
    assert "the one that is missed" in evidence
    assert "3 of 4 seeded faults noticed" in text(found, "overview")
    assert len(found.all("svg", inside="evidence")) == 1
    assert "Wrong: tvm-O3, by arbiter and majority." in found.all("p", "sentence")[0].text


def test_what_was_not_gathered_is_said(page):
    evidence = text(page(APART), "evidence")
    assert "Not gathered: the graph in float64" in evidence
    assert "sabotaged copies" in evidence


def test_the_baseline_is_shown_where_there_is_one(tmp_path):
    baseline = tmp_path / "baseline.jsonl"
    accepted = load_contents(write_run(tmp_path / "a", SAME).folder)
    update(accepted, baseline)
    worse = load_contents(write_run(tmp_path / "b", {"torch": SAME["torch"], "ort": {"y": WRONG}}).folder)
    html = to_html(replace(worse, drift=drift(worse, baseline)))
    assert 'id="baseline"' in html
    assert "WORSE" in html
    assert 'id="baseline"' not in to_html(worse)
    assert "WORSE" not in to_html(replace(accepted, drift=drift(accepted, baseline)))


def test_cards_group_who_says_the_same(page):
    found = page(APART)
    cards = found.all("article", "card")
    assert len(cards) == FLIPS
    rows = [row.text.split() for row in found.all("tr", inside="dispute-1")][1:]
    assert rows[0][:2] == ["A", "B"]
    assert rows[1][0] == "C"
    assert [row.text.split()[0] for row in found.all("tr", "odd", inside="dispute-1")] == ["C"]
    sample = int(cards[0].attributes["data-text"].split()[0].removeprefix("random[").removesuffix("]"))
    assert rows[0][2] == str(SCORES[sample].argmax())
    assert rows[1][1] == str(WRONG[sample].argmax())


def test_numbers_of_pairs_are_the_results(tmp_path):
    run = write_run(tmp_path / "run", APART)
    result = deltann.load(run.folder)
    html = to_html(Contents(result))
    for pair in result.compared:
        numeric = pair.comparison.outputs[0].numeric
        assert f'data-v="{numeric.max_abs}"' in html
        assert f'data-v="{numeric.rms}"' in html


def test_no_template_is_left_unused():
    from deltann.report import html

    folder = Path(html.__file__).parent / "templates"
    written = "".join(path.read_text() for path in (*folder.iterdir(), folder.parent / "page.py"))
    unused = [path.name for path in folder.iterdir() if f'"{path.name}"' not in written]
    assert not unused


@pytest.mark.parametrize("value", [0.0, -0.5, 12345.0, 1e-7, float("inf"), float("nan"), None])
def test_numbers_are_written_as_on_the_console(value):
    from deltann.report.console import _number
    from deltann.report.words import number

    if value is None or not np.isfinite(value):
        assert number(value) in ("–", "∞", "NaN")
    else:
        assert number(value) == _number(value)
