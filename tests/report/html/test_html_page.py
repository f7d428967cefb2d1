"""The page as a whole: one file of its own, well-formed, small, the same each time, whatever the run holds."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deltann.errors import Unavailable
from deltann.outcome import Outcome, Status
from deltann.report.contents import load_contents
from deltann.report.html import check, policy, to_html
from deltann.testing.stored import write_run

RNG = np.random.default_rng(5)
SCORES = RNG.standard_normal((40, 10)).astype(np.float32)
WRONG = SCORES + RNG.standard_normal(SCORES.shape).astype(np.float32)
CELLS = {"torch": {"logits": SCORES}, "ort": {"logits": SCORES}, "tvm-O3": {"logits": WRONG}}


def ids(page):
    """Every id of the page."""
    return [element.attributes["id"] for element in page.elements if "id" in element.attributes]


def sound(page):
    """Assert what holds of every page: each id once, every link leads somewhere, nothing comes from elsewhere."""
    known = ids(page)
    assert len(set(known)) == len(known)
    for element in page.elements:
        if element.tag == "a" and "href" in element.attributes:
            target = element.attributes["href"]
            assert target.startswith("#")
            assert target[1:] in known, target
        source = element.attributes.get("src", "data:image/jpeg;base64,")
        assert source.startswith("data:image/jpeg;base64,")
        assert not [name for name in element.attributes if name.startswith("on")], "no handler in an attribute"
    assert {element.tag for element in page.elements}.isdisjoint({"link", "iframe", "object", "embed", "base"})
    assert not re.search(r"(@import|url\()", page.all("style")[0].text)


def test_it_is_whole(page):
    found = page(CELLS)
    sound(found)
    assert found.one("overview")
    for part in ("why", "disputes", "pairs", "errors", "classes", "environments", "evidence", "provenance"):
        assert found.one(part).tag == "section"
        assert found.all("a", inside="")
    assert [heading.text for heading in found.all("h2", inside="definitions")] == ["How every number is computed"]


def test_every_term_of_a_column_is_defined(page):
    found = page(CELLS)
    linked = {element.attributes["href"] for element in found.all("a", "def")}
    defined = {f"#{key}" for key in ids(found) if key.startswith("def-")}
    assert linked <= defined
    assert len(linked) > 15


def test_the_policy_allows_this_script_and_no_other(page):
    found = page(CELLS)
    (script,) = found.all("script")
    digest = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    (told,) = (m for m in found.all("meta") if m.attributes.get("http-equiv") == "Content-Security-Policy")
    assert told.attributes["content"] == policy()
    assert f"script-src 'sha256-{digest}'" in policy()
    assert "default-src 'none'" in policy()
    assert "http" not in policy()


def test_the_same_run_makes_the_same_page(contents):
    found = contents(CELLS)
    assert to_html(found) == to_html(found)


def test_another_run_makes_another_page(tmp_path):
    pages = []
    for place, other in enumerate((SCORES, WRONG)):
        run = write_run(tmp_path / str(place), {"torch": {"y": SCORES}, "ort": {"y": other}})
        pages.append(to_html(load_contents(run.folder)))
    assert "AGREE" in pages[0]
    assert pages[0] != pages[1]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_run_makes_a_page(any_contents, reader, data):
    contents = any_contents(data)
    found = reader(to_html(contents))
    sound(found)
    (verdict,) = found.all("h1")
    assert contents.result.verdict.value.replace("_", " ") in verdict.text
    names = found.one("environments").text
    for record in contents.result.records:
        assert str(record.cell) in names


def test_eight_environments_and_a_thousand_images_that_are_all_disputed_stay_below_5_mb(page, keep):
    found = page(*disputed(8, 1000, keep), names=[f"{'photograph' * 8}_{number:04d}.jpeg" for number in range(1000)])
    assert 2_000_000 < len(found.source.encode()) < 5_000_000
    sound(found)
    assert len(found.all("article", "card")) + left_out(found) > 990
    assert 100 < len(found.all("img", inside="cards")) <= 200


def disputed(environments, samples, keep):
    """Cells that agree on next to nothing, and what puts pictures of their samples into the run."""
    rng = np.random.default_rng(1)
    base = rng.standard_normal((samples, 100)).astype(np.float32)
    cells = {
        f"ort[threads={number + 1}]": {"logits": base + rng.standard_normal(base.shape).astype(np.float32)}
        for number in range(environments)
    }
    return cells, lambda run: keep(run, range(min(200, samples)), noise=True)


def left_out(page):
    """How many samples the page says are not on it."""
    found = re.search(r"([\d,]+) more samples?</b> of less serious kinds", page.source)
    return int(found[1].replace(",", "")) if found else 0


def test_what_does_not_fit_is_left_out_and_counted(page, keep, monkeypatch):
    monkeypatch.setattr("deltann.report.html.page.LARGEST", 400_000)
    found = page(*disputed(4, 100, keep))
    assert 300_000 < len(found.source.encode()) < 410_000
    sound(found)
    shown = [int(card.attributes["id"].removeprefix("dispute-")) for card in found.all("article", "card")]
    assert 5 < len(shown) < 90
    assert shown == list(range(1, len(shown) + 1)), "the most serious ones are kept"
    assert len(shown) + left_out(found) == 100


def test_nothing_is_said_to_be_left_out_where_all_fits(page):
    found = page(CELLS)
    assert not left_out(found)
    assert len(found.all("article", "card")) == np.count_nonzero(SCORES.argmax(1) != WRONG.argmax(1))


@pytest.mark.parametrize("count", [2, 27, 45])
def test_any_number_of_environments(page, count):
    rng = np.random.default_rng(2)
    cells = {
        f"ort[threads={number + 1}]": {"y": SCORES[:6] + 1e-6 * rng.standard_normal((6, 10)).astype(np.float32)}
        for number in range(count)
    }
    found = page(cells)
    sound(found)
    squares = [square for square in found.all("td", "square") if "self" not in square.attributes["class"]]
    shown = min(count, 40)
    assert len(squares) == shown * (shown - 1)
    assert (f"{count - 40} more environments" in found.source) is (count > 40)


def test_what_is_cut_from_the_pairs_is_counted_and_led_to_by_nothing(page, monkeypatch):
    monkeypatch.setattr("deltann.report.html.pairs.MOST_ROWS", 4)
    found = page({f"ort[threads={number + 1}]": {"y": SCORES, "z": WRONG} for number in range(4)})
    sound(found)
    assert len(found.all("tr", inside="pair-rows")) == 4
    assert "8 more rows" in " ".join(found.one("pairs").text.split())


def test_nothing_to_compare(page):
    nothing = Outcome(Status.UNAVAILABLE, reason="pip install 'deltann[tvm]'")
    found = page({"ort": {"y": SCORES}, "tvm-O3": nothing})
    sound(found)
    assert "NOT COMPARED" in found.all("h1")[0].text
    assert "pip install 'deltann[tvm]'" in found.all("div", "failed")[0].text


def test_without_matplotlib_one_line_says_how_to_get_it(contents, monkeypatch):
    found = contents(CELLS)
    check()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(Unavailable, match=r"^the HTML report needs matplotlib: pip install 'deltann\[html\]'$"):
        to_html(found)


def test_the_parts_are_in_the_wheel():
    from deltann.report import html

    folder = Path(html.__file__).parent
    kept = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert kept <= {".py", ".css", ".js", ".jinja", ".pyc"}, "what pyproject.toml puts in the wheel"
