"""The page in a real browser: it opens from disk in silence, sorts, filters, prints; nothing in it runs but its own."""

from __future__ import annotations

import json

import numpy as np
import pytest

from deltann.comparison.evidence import Arbitration
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.report.contents import load_contents
from deltann.report.html import to_html
from deltann.store import write_json
from deltann.testing.stored import write_arbitration, write_repeats, write_run
from deltann.testing.times import write_times

HOSTILE = "<img src=x onerror=window.hacked=1>\"'</script><script>window.hacked=1</script>.png"
PICTURES = 12


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    """The page of a run that has everything: wrong labels, ties, a crash, labels, names, pictures, times, float64."""
    from PIL import Image

    rng = np.random.default_rng(7)
    exact = 3 * rng.standard_normal((60, 12))
    exact[5, :2] = exact[5].max() + 1
    exact[6, :2] = exact[6].max() + 1, exact[6].max() + 0.99
    float32 = exact.astype(np.float32)
    close = float32 + 1e-6 * rng.standard_normal(float32.shape).astype(np.float32)
    wrong = float32.copy()
    wrong[::7] = np.roll(wrong[::7], 1, axis=1)
    coarse = (float32 + 0.05 * rng.standard_normal(float32.shape)).astype(np.float32)
    coarse[5] = float32[5]
    close[5, 1] = np.nextafter(close[5, :2].max(), np.float32(100))  # a tie
    coarse[6, :2] = coarse[6, 1], coarse[6, 1] + 0.02  # what bfloat16 explains
    crash = Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, "SIGSEGV while RUN", "Traceback\n  <b>here</b>")
    lacking = Outcome(Status.UNAVAILABLE, reason="pip install 'deltann[iree]'")
    cells = {"torch": float32, "ort": close, "tvm-O3": wrong, "openvino": coarse}
    names = [HOSTILE if number == 0 else f"photograph_{number:02d}.jpg" for number in range(60)]
    run = write_run(
        tmp_path_factory.mktemp("rich") / "run",
        {**{name: {"logits": array} for name, array in cells.items()}, "tract": crash, "iree": lacking},
        names=names,
        labels=[int(label) for label in exact.argmax(1)],
        source="photographs",
        facts={"openvino": {"actual": {"precision": "bfloat16", "device": "a processor", "threads": "2"}}},
    )
    everything = np.arange(60)
    write_arbitration(
        run, Arbitration("torch[precision=float64]", everything, 16, {"logits": exact}, {"logits": float32})
    )
    for name, array in cells.items():
        write_repeats(run, name, [{"logits": array[:4]}] * 2)
    write_times(run, {"torch": 0.0, "ort": -0.4, "tvm-O3": 0.3, "openvino": 0.01})
    (run.folder / "pictures").mkdir()
    for sample in range(60):
        shade = Image.linear_gradient("L").resize((160, 120)).rotate(6 * sample)
        Image.merge("RGB", (shade, shade.transpose(0), shade.transpose(1))).save(
            run.folder / "pictures" / f"{sample}.jpg", quality=80
        )
    document = json.loads((run.folder / "run.json").read_text())
    document["class_names"] = [f"class of {number}" for number in range(12)]
    write_json(run.folder / "run.json", document)
    return to_html(load_contents(run.folder))


def column(page, table, number):
    """The texts of a column of a table body, of its visible rows."""
    return page.eval_on_selector_all(
        f"{table} > tr", f"rows => rows.filter(r => !r.hidden).map(r => r.cells[{number}].textContent.trim())"
    )


def button(page, table, label):
    """The button in the head of a column of the table that holds the body `table`."""
    head = page.locator(f"table:has({table}) thead button.sort", has_text=label)
    return head.first


def test_it_opens_in_silence(opened, rich):
    found = opened(rich)
    assert found.page.title().startswith("DIFFER: model.onnx")
    assert "tvm-O3" in found.page.locator(".sentence").inner_text()
    found.screenshot("desktop")
    found.screenshot("desktop-whole", full=True)


def test_what_is_blocked_is_heard(opened, rich):
    """The opposite: what a stranger would add does not run, and the tests above would notice it."""
    found = opened(rich.replace("</body>", "<script>window.hacked = 1</script><img src='http://localhost:9/'></body>"))
    assert found.page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in complaint for complaint in found.complaints)
    assert len(found.complaints) >= 2
    found.complaints.clear()


def test_a_hostile_name_does_not_run(opened, rich):
    found = opened(rich)
    assert found.page.evaluate("window.hacked") is None
    assert found.page.evaluate("document.scripts.length") == 1
    assert HOSTILE in found.page.locator("#disputes").inner_text()


def test_pictures_are_seen(opened, rich):
    found = opened(rich)
    widths = found.page.eval_on_selector_all("img", "all => all.map(i => i.naturalWidth)")
    assert len(widths) >= PICTURES // 2
    assert all(width == 160 for width in widths)
    broken = found.page.evaluate(
        "() => { const i = new Image(); i.src = 'data:image/jpeg;base64,AAAA'; return i.naturalWidth }"
    )
    assert broken == 0


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_tables_sort_by_number(opened, rich, by):
    found = opened(rich)
    head = button(found.page, "#pair-rows", "rate")

    def press():
        if by == "mouse":
            head.click()
        else:
            head.focus()
            found.page.keyboard.press("Enter")

    def rates():
        texts = found.page.eval_on_selector_all(
            "#pair-rows > tr", "rows => rows.map(r => [...r.cells].map(c => c.textContent.trim()))"
        )
        return [next((cell for cell in row if cell.endswith("%") and "to" not in cell), None) for row in texts]

    press()
    down = rates()
    known = [float(rate[:-1]) for rate in down if rate]
    assert known == sorted(known, reverse=True)
    assert len(set(known)) > 2
    assert None not in down[: len(known)], "unknown ones come last"
    assert found.page.locator("th[aria-sort='descending']").count() == 1
    press()
    up = rates()
    known = [float(rate[:-1]) for rate in up if rate]
    assert known == sorted(known)
    assert None not in up[: len(known)], "whichever way it is sorted"
    assert found.page.locator("th[aria-sort='ascending']").count() == 1


def test_tables_sort_by_text(opened, rich):
    found = opened(rich)
    button(found.page, "#pair-rows", "pair").click()
    pairs = column(found.page, "#pair-rows", 0)
    assert pairs == sorted(pairs)
    button(found.page, "#pair-rows", "pair").click()
    assert column(found.page, "#pair-rows", 0) == pairs[::-1]


def test_cards_are_filtered_by_text_and_by_kind(opened, rich):
    found = opened(rich)
    cards, form = found.page.locator("#cards > article"), found.page.locator("form[data-for='cards']")
    every = cards.count()
    kinds = found.page.eval_on_selector_all("#cards > article", "all => all.map(c => c.dataset.kind)")
    assert {"fault", "tie", "precision"} == set(kinds)
    form.locator("input").fill("PHOTOGRAPH_07")
    assert cards.filter(visible=True).count() == 1
    assert form.locator("output").inner_text() == f"1 of {every} shown"
    form.locator("input").fill("nothing is called so")
    assert cards.filter(visible=True).count() == 0
    form.locator("input").fill("")
    assert cards.filter(visible=True).count() == every
    fault = form.locator("button[value='fault']")
    fault.focus()
    found.page.keyboard.press("Space")
    assert fault.get_attribute("aria-pressed") == "true"
    assert cards.filter(visible=True).count() == kinds.count("fault") < every
    fault.click()
    assert cards.filter(visible=True).count() == every


def test_a_square_leads_to_its_pair_though_a_filter_hides_it(opened, rich):
    found = opened(rich)
    found.page.locator("form[data-for='pair-rows'] input").fill("nothing is called so")
    square = found.page.locator(".square a").first
    target = square.get_attribute("href")
    assert found.page.locator(target).is_hidden()
    square.click()
    assert found.page.locator(target).is_visible()
    box = found.page.locator(target).bounding_box()
    assert 0 < box["y"] < 800


def test_a_column_head_leads_to_its_definition(opened, rich):
    found = opened(rich)
    found.page.locator("#pairs a.def[href='#def-interval']").first.click()
    assert found.page.locator("#def-interval + dd").is_visible()
    assert 0 < found.page.locator("#def-interval").bounding_box()["y"] < 800


def background(page):
    """The colour behind everything."""
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_light_and_dark(opened, rich):
    light, dark = opened(rich), opened(rich, scheme="dark")
    colours = background(light.page), background(dark.page)
    assert colours[0] == "rgb(255, 255, 255)"
    assert colours[1] != colours[0]
    dark.screenshot("dark")
    dark.screenshot("dark-whole", full=True)
    toggle = dark.page.locator("#theme")
    toggle.click()
    assert background(dark.page) == colours[0]
    assert toggle.inner_text() == "Theme: light"
    toggle.click()
    assert background(dark.page) == colours[1]
    toggle.click()
    assert toggle.inner_text() == "Theme: automatic"


def test_a_phone_scrolls_one_way(opened, rich):
    found = opened(rich, width=390, height=844)
    assert found.page.evaluate("document.documentElement.scrollWidth") == 390
    found.screenshot("phone")
    found.screenshot("phone-whole", full=True)


def test_a_phone_scrolls_one_way_whatever_names_there_are(opened, page):
    rng = np.random.default_rng(4)
    long = "x" * 200
    cells = {f"ort[disabled_optimizers={long}{number}]": {"y" * 90: rng.random((4, 6))} for number in range(24)}
    found = opened(page(cells, names=["n" * 250 + str(number) for number in range(4)]).source, width=390, height=844)
    assert found.page.evaluate("document.documentElement.scrollWidth") == 390


def test_on_paper_nothing_is_folded_away(opened, rich):
    found = opened(rich, scheme="dark")
    folded = found.page.locator("details:not([open])").count()
    assert folded > 3
    found.page.locator("form[data-for='cards'] input").fill("nothing is called so")
    found.page.emulate_media(media="print")
    found.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert found.page.locator("details:not([open])").count() == 0
    assert found.page.locator("#theme").is_hidden()
    assert found.page.locator("form.filter").first.is_hidden()
    assert found.page.locator("#cards > article").first.is_visible(), "a filter hides nothing on paper"
    assert background(found.page) == "rgb(255, 255, 255)"
    found.screenshot("print-whole", full=True)
    found.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert found.page.locator("details:not([open])").count() == folded


def test_without_its_script_all_is_there(chromium, rich, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(rich, "utf-8")
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator("#cards > article").first.is_visible()
    assert page.locator("#theme").is_hidden()
    assert page.locator("form.filter").first.is_hidden()
    context.close()


def test_everything_has_a_name_for_who_cannot_see_it(opened, rich):
    found = opened(rich)
    nameless = found.page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, img, svg.figure, [role=region]")].filter(e =>
        !(e.getAttribute("aria-label") || e.textContent.trim() || e.getAttribute("alt"))).map(e => e.outerHTML)"""
    )
    assert nameless == []
    assert found.page.evaluate("document.querySelectorAll('th:not([scope])').length") == 0
    levels = found.page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(h => Number(h.tagName[1]))")
    assert levels.count(1) == 1
    found.page.keyboard.press("Tab")
    assert found.page.evaluate("document.activeElement.textContent") == "Skip to the verdict"
