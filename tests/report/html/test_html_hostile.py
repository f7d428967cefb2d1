"""A run may be a stranger's: no text of it becomes markup, script, a formula or a link."""

from __future__ import annotations

import json

import numpy as np
import pytest

from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.report.text import printable
from deltann.store import write_json

RNG = np.random.default_rng(3)
SCORES = RNG.standard_normal((6, 5)).astype(np.float32)
OTHER = np.roll(SCORES, 1, axis=1)
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "</style><img src=x onerror=alert(3)>",
    "\"' onmouseover=alert(4) x='",
    "{{ 7 * 7 }}{% raw %}",
    "$\\frac{1}{x}$ $x$ \\N{DIGIT ONE}",
    "a\x00b\x1b[31mc\n\r\u202ed\ud800e\uffff",
    "]]>--><!--<![CDATA[",
    "&lt;b&gt;&#x3c;i&#x3e;",
    "javascript:alert(5)",
    "長い名前🐘é",
)
LONG = "<b>" + "x" * 100_000


def strangers(text):
    """A change to a run: everywhere where a stranger's text may stand, it stands."""

    def change(run):
        document = json.loads(json.dumps(dict(run.document)))
        document["models"]["model"]["name"] = text
        document["models"]["model"]["sha256"] = text
        document["inputs"]["source"] = text
        document["inputs"]["names"] = [f"{text}{number}" for number in range(len(SCORES))]
        document["inputs"]["digest"]["model"] = text
        document["inputs"]["pipeline"]["model"] = {"name": text}
        document["inputs"]["skipped"] = [[text, text]]
        document["inputs"]["notes"] = [text]
        document["class_names"] = [f"{text}{number}" for number in range(5)]
        document["host"] = {text: text}
        document["git"] = text
        document["deltann"] = text
        document["created"] = text
        write_json(run.folder / "run.json", document)

    return change


def facts(text):
    """What the engine of `torch` told."""
    actual = {"precision": text, "device": text, "ignored": text, "note": text, "threads": text}
    return {"torch": {"actual": actual, "version": text, "artifact": text}}


def cells(text):
    """Environments whose options, outputs and words are a stranger's."""
    failed = Outcome(Status.FAILED, Stage.RUN, Symptom.EXCEPTION, text, f"{text}\n{text}")
    return {"ort[k=<b>$x$&{{7*7}}]": {text: SCORES}, "torch": {text: OTHER}, "tvm": failed}


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_becomes_more_than_text(page, text):
    output = text.encode("utf-8", "replace").decode().replace("\x00", "")  # the name of a file's array
    found = page(cells(output), strangers(text), facts=facts(text))
    assert len(found.all("script")) == 1
    assert len(found.all("style")) == 1
    tags = {element.tag for element in found.elements}
    assert not tags & {"b>", "iframe", "i>", "object", "title>"}
    images = found.all("img")
    assert not [image for image in images if not image.attributes["src"].startswith("data:image/jpeg;base64,")]
    for element in found.elements:
        assert not [name for name in element.attributes if name.startswith("on")]
        assert element.attributes.get("href", "#").startswith("#")
    found.source.encode("utf-8")
    shown = printable(text)
    for part in ("environments", "provenance", "disputes"):
        assert shown in found.one(part).text, f"it is shown as it is in {part}"
    assert shown in found.all("p", "models")[0].text
    assert "49" not in found.all("p", "models")[0].text


def test_control_characters_are_shown_and_not_obeyed(page):
    text = "a\x1b[31m\u202eb\nc"
    found = page(cells("y"), strangers(text), facts=facts(text))
    assert "\x1b" not in found.source
    assert "\u202e" not in found.source
    assert "a\\x1b[31m\\u202eb\\nc" in found.one("provenance").text


def test_a_text_of_any_length_is_cut_and_stays_small(page):
    found = page(cells("y"), strangers(LONG), facts=facts(LONG))
    assert len(found.source) < 1_000_000
    assert "x…x" in found.one("provenance").text


def test_a_picture_that_is_none_is_not_shown(page, keep):
    bad = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
    found = page({"ort": {"y": SCORES}, "torch": {"y": OTHER}}, lambda run: keep(run, range(6), data=bad))
    assert not found.all("img")


def test_a_picture_that_is_one_is(page, keep):
    found = page({"ort": {"y": SCORES}, "torch": {"y": OTHER}}, lambda run: keep(run, range(6)))
    assert len(found.all("img", inside="cards")) == 6
