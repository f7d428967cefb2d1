"""Markdown: what it shows, that it is never too long, and that no name in it is more than a name."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltann.baseline.drift import Drift, Row, Standing
from deltann.baseline.entries import Agreement, Entry, Key
from deltann.comparison.verdict import Verdict
from deltann.criteria import Criteria
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.report.contents import load_contents
from deltann.report.markdown import LIMIT, SHORT_LIMIT, to_markdown
from deltann.report.markdown_blocks import LEAST, Block, code, page, table
from deltann.testing.stored import write_against, write_run
from deltann.testing.times import write_times

RNG = np.random.default_rng(11)
SCORES = RNG.standard_normal((40, 10)).astype(np.float32)
WRONG = np.roll(SCORES, 1, axis=1)
CRASH = Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, "SIGSEGV")


@pytest.fixture
def shown(tmp_path):
    """The page of a run made of `cells`."""

    def make(cells, times=None, drift=None, short=False, limit=LIMIT, **settings):
        run = write_run(tmp_path / "run", cells, **settings)
        if times:
            write_times(run, times)
        contents = load_contents(run.folder)
        return to_markdown(replace(contents, drift=drift) if drift else contents, limit, short)

    return make


def section(text, title):
    """What follows a heading, up to the next one."""
    return text.partition(f"### {title}\n")[2].partition("\n### ")[0]


def rows(text):
    """The cells of the tables in `text`, without their heads."""
    found = [line for line in text.splitlines() if line.startswith("| ")]
    start = next(number for number, line in enumerate(found) if set(line) <= set("| -"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[start + 1 :]]


def test_agreement_is_said_in_a_sentence(shown):
    text = shown({"ort": {"y": SCORES}, "torch": {"y": SCORES}})
    assert text.startswith("## deltann: `model.onnx`\n\n**AGREE**: no pair differs beyond what is accepted.\n")
    assert "### Findings" not in text
    assert "### Label flips" not in text
    assert "### Without outputs" not in text
    assert text.endswith("/run --html report.html`\n")


def test_a_difference_is_told_with_all_that_is_known(shown):
    cells = {"ort": {"y": SCORES}, "tvm": {"y": WRONG}, "torch": {"y": SCORES}, "tract": CRASH}
    text = shown(cells)
    assert "**DIFFER**: at least one pair differs beyond what is accepted; 1 of 4 environments gave no outputs." in text
    assert "- **error** `tvm differs from ort, torch`<br>`tvm: wrong, by majority alone: " in text
    assert "- `tvm: wrong, by majority alone: ort, torch agree" in section(text, "Who is wrong")
    assert rows(section(text, "Without outputs")) == [["`tract`", "FAILED", "RUN", "CRASH", "`SIGSEGV`"]]
    assert rows(section(text, "Samples whose top-1 label differs")) == [
        ["**A** `ort`", "·", "**40 100.0%**", "0 0.0%"],
        ["**B** `tvm`", "**40 100.0%**", "·", "**40 100.0%**"],
        ["**C** `torch`", "0 0.0%", "**40 100.0%**", "·"],
    ]
    assert len(rows(section(text, "Label flips"))) == 80
    pairs = rows(section(text, "Pairs"))
    assert [row[3] for row in pairs] == ["DIFFER", "DIFFER", "AGREE"]


def test_the_short_form_has_the_matrix_and_the_findings_only(shown):
    text = shown({"ort": {"y": SCORES}, "torch": {"y": WRONG}, "tract": CRASH}, short=True)
    assert re.findall("^### (.*)", text, re.MULTILINE) == ["Samples whose top-1 label differs", "Findings"]
    assert "**error** `torch differs from ort`" in text
    assert "**error** `tract: FAILED CRASH while RUN`" in text


def test_a_pair_that_is_not_judged_stands_in_brackets(shown):
    cells = {"ort": {"y": SCORES}, "tvm": {"y": WRONG}, "torch": {"y": SCORES}}
    text = shown(cells, criteria=Criteria(reference="ort"))
    assert rows(section(text, "Samples whose top-1 label differs"))[1][3] == "(**40 100.0%**)"
    assert rows(section(text, "Pairs"))[-1][3] == "(DIFFER)"


def test_a_pair_that_could_not_be_judged_has_a_question_mark(shown):
    same = np.ones_like(SCORES)
    text = shown({"ort": {"y": same}, "torch": {"y": same}})
    assert "**INCONCLUSIVE**: " in text
    assert rows(section(text, "Samples whose top-1 label differs"))[0][2] == "0 0.0% ?"


def test_times_come_with_intervals(shown):
    cells = {name: {"y": SCORES} for name in ("ort", "torch", "tvm")}
    text = shown(cells, times={"ort": 0.0, "torch": 0.5, "tvm": -0.5})
    assert "; at least one environment is slower than its reference." in text
    first, second, third = rows(section(text, "Times"))
    assert (first[0], *first[2:4]) == ("`ort`", "reference", "")
    assert re.fullmatch(r"\+\d+\.\d%", second[2])
    assert re.fullmatch(r"\+\d+\.\d% to \+\d+\.\d%", second[3])
    assert [second[4], third[4]] == ["**REGRESSION**", "IMPROVED"]


def test_of_two_models_each_has_its_side(tmp_path):
    run = write_run(tmp_path / "run", {"ort": {"y": SCORES}, "torch": {"y": SCORES}})
    run = write_against(run, {"ort": {"y": WRONG}, "torch": {"y": SCORES}})
    text = to_markdown(load_contents(run.folder))
    assert text.startswith("## deltann: `model.onnx` against `other.onnx`\n")
    assert "A `ort` · B `torch`\n" in text, "columns that are no rows are named"
    matrix = rows(section(text, "Samples whose top-1 label differs"))
    assert [row[0] for row in matrix] == ["**C** `against:ort`", "**D** `against:torch`"]


def test_drift_is_a_table_from_old_to_new(shown):
    value = Agreement(Verdict.DIFFER, 40)
    keys = [Key("model.onnx", "0", "0", "h", name, "ort", "y") for name in ("torch", "gone")]
    changed = Row(Entry(keys[0], value), Entry(keys[0], value), Standing.WORSE, (("labels", "0 | 1", "40"),))
    drift = Drift(Path("base`line"), (changed,), (Entry(keys[1], value),), False)
    text = shown({"ort": {"y": SCORES}, "torch": {"y": WRONG}}, drift=drift)
    assert "; the baseline does not accept all of it." in text
    assert rows(section(text, "Beside the baseline")) == [
        ["WORSE", "`torch : ort, y`", "`labels`", r"`0 \x7c 1`", "`40`"],
        ["OBSOLETE", "`gone : ort, y`", "", f"`{value}`", "–"],
    ]


def test_what_is_missing_is_told_before_all_else(tmp_path):
    run = write_run(tmp_path / "run", {name: {"y": SCORES} for name in ("ort", "torch", "tvm")})
    for file in run.outputs_folder(run.cells[2]).iterdir():
        file.write_bytes(file.read_bytes()[:10])
    for short in (True, False):
        text = to_markdown(load_contents(run.folder), short=short)
        assert text.index("**INCOMPLETE**: `") < text.index("### ")


def test_classes_go_by_their_names(shown):
    text = shown({"ort": {"y": SCORES}, "torch": {"y": WRONG}}, class_names=[f"kind @{n}" for n in range(10)])
    assert re.search(r"\| \d `kind @\d` \|", section(text, "Label flips"))


# What follows reads the page as GitHub does, as far as names are concerned: code spans are opaque, all else is ours.
_SPAN = re.compile(r"`[^`\n]*`")
NASTY = (
    "@someone #1 GH-1 a/b#2 https://evil.example www.evil.example a@b.c [x](javascript:1) ![x](y) <img src=x "
    "onerror=1> <!-- --> `code` ``two`` $x$ $`x`$ \\| | ** __ ~~ \r\n# head\n- item\n> quote\n:boom: &amp; \x1b[2J 😀"
)


def outside(text):
    """The page without its code spans and our own `<br>`."""
    return _SPAN.sub("", text).replace("<br>", "")


@pytest.mark.parametrize("short", [True, False])
def test_names_of_strangers_are_code_and_nothing_else(shown, short):
    cells = {
        "ort": {NASTY: SCORES, "plain": SCORES},
        "torch": {NASTY: WRONG, "plain": SCORES},
        "tvm": Outcome(Status.FAILED, Stage.LOAD, Symptom.EXCEPTION, NASTY, NASTY),
    }
    facts = {"ort": {"version": NASTY, "actual": {"precision": NASTY, "ignored": NASTY}}}
    text = shown(cells, short=short, model=NASTY, source=NASTY, facts=facts,
                 names=[f"{n}{NASTY}" for n in range(40)], class_names=[NASTY] * 10)  # fmt: skip
    assert "@someone" in text
    rest = outside(text)
    for danger in ("@", "#1", "GH-", "http", "www", "evil", "<", "[", "$", "&", "boom", "`", "\\", "~", "__"):
        assert danger not in rest, danger
    assert not [char for char in text if not char.isprintable() and char != "\n"]
    for line in text.splitlines():
        assert line.count("`") % 2 == 0
        assert re.match(
            r"(## deltann: |### |\*\*|- \*\*|- `|- …|\||More: |\d+ samples|[A-Z] `|slowdown|The |A |$)", line
        ), line
    heads = [line for line in text.splitlines() if re.fullmatch(r"\| --- .*", line)]
    assert heads
    width = None
    for line in text.splitlines():
        if line.startswith("| "):
            width = line.count("|") if width is None else width
            assert line.count("|") == width, "no name makes a cell"
        else:
            width = None


@pytest.mark.parametrize("short", [True, False])
def test_a_reader_of_markdown_finds_nothing_but_our_own_marks(shown, short):
    reader = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
    cells = {
        "ort": {NASTY: SCORES},
        "torch": {NASTY: WRONG},
        "tvm": Outcome(Status.FAILED, Stage.LOAD, Symptom.EXCEPTION, NASTY, NASTY),
    }
    text = shown(cells, short=short, model=NASTY, source=NASTY, names=[f"{n}{NASTY}" for n in range(40)])
    tokens = reader.parse(text)
    inside = [child for token in tokens for child in token.children or ()]
    assert {token.type.removesuffix("_open").removesuffix("_close") for token in tokens} <= {
        "heading", "paragraph", "inline", "bullet_list", "list_item", "table", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    assert {child.type for child in inside} <= {"text", "code_inline", "strong_open", "strong_close", "html_inline",
                                                "softbreak"}  # fmt: skip
    assert {child.content for child in inside if child.type == "html_inline"} <= {"<br>"}
    assert any("@someone" in child.content for child in inside if child.type == "code_inline")
    assert not any("@" in child.content for child in inside if child.type == "text")


@given(st.text(st.characters(exclude_categories=()), max_size=400))
def test_a_span_holds_any_text(name):
    text = code(name)
    assert text == "–" or (text[0] == text[-1] == "`" and "`" not in text[1:-1] and text[1] != " " and text[-2] != " ")
    assert "|" not in text
    assert text.isprintable()
    assert len(text) <= 10 * 300


def test_a_span_says_what_the_name_is():
    assert code("logits:0") == "`logits:0`"
    assert code(" ") == code("") == "–"
    assert code("a`b|c\nd") == r"`a\x60b\x7cc\nd`"
    assert code("x" * 1000) == f"`{'x' * 299}…`"


def many(count, outputs=1):
    """Environments that all differ."""
    return {
        f"ort[threads={number + 1}]": {
            f"y{o}": RNG.standard_normal((40, 10)).astype(np.float32) for o in range(outputs)
        }
        for number in range(count)
    }


def test_a_run_of_any_size_keeps_the_limits(shown, tmp_path):
    cells = many(26, outputs=2)
    text = shown(cells, names=[f"{'é' * 100}{number}" for number in range(40)])
    assert LIMIT * 0.9 < len(text.encode()) <= LIMIT
    assert "**Cut here**, at 1,000,000 bytes. Left out: " in text
    assert " lines of “Label flips”" in text
    assert text.endswith("--html report.html`\n")
    short = to_markdown(load_contents(tmp_path / "run"), short=True)
    assert len(short.encode()) <= SHORT_LIMIT < 64_000
    assert "### Findings" in short


def test_forty_environments_of_long_names_fit_the_short_form(shown):
    cells = {
        f"faulty[amount=0.{number},disabled={'é' * 60}]": {"y": RNG.standard_normal((4, 5)).astype(np.float32)}
        for number in range(45)
    }
    text = shown(cells, short=True)
    assert len(text.encode()) <= SHORT_LIMIT
    assert "5 environments more did not fit." in text
    assert "**DIFFER**" in text


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """The contents of a run with long tables, and its whole page."""
    cells = {**many(6), "tvm": CRASH}
    run = write_run(tmp_path_factory.mktemp("large") / "run", cells, names=[f"sample {n} é" for n in range(40)])
    contents = load_contents(run.folder)
    whole = to_markdown(contents)
    return lambda: (contents, whole)  # whose own repr is short


@settings(max_examples=80, deadline=None)
@given(limit=st.integers(LEAST, 120_000), short=st.booleans())
def test_no_page_is_longer_than_its_limit_and_it_says_what_is_cut(large, limit, short):
    contents, whole = large()
    text = to_markdown(contents, limit, short)
    assert len(text.encode()) <= limit
    lines = text.splitlines()
    assert lines[-1].startswith("More: `deltann report ")
    if short:
        return
    if len(whole.encode()) <= limit:
        assert text == whole
        return
    (cut,) = [number for number, line in enumerate(lines) if line.startswith("**Cut here**")]
    kept = "\n".join(lines[:cut]).rstrip().splitlines()
    assert kept == whole.splitlines()[: len(kept)], "cut at a whole row, and nothing else left out"
    titles = re.findall("^### (.*)$", whole, re.MULTILINE)
    shown_titles = re.findall("^### (.*)$", text, re.MULTILINE)
    for title in titles[len(shown_titles) :]:
        assert title in lines[cut]


@given(
    st.lists(st.lists(st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=200), max_size=30),
             max_size=8),
    st.integers(LEAST, 20_000),
)  # fmt: skip
def test_any_blocks_keep_the_limit(texts, limit):
    blocks = [Block(f"block {number}", ("head", ""), tuple(rows)) for number, rows in enumerate(texts)]
    text = page(blocks, "foot", limit)
    assert len(text.encode()) <= limit
    assert text.endswith("foot\n")
    whole = "".join(row for rows in texts for row in rows)
    assert ("Cut here" in text) or all(row in text for rows in texts for row in rows), whole


def test_a_table_without_rows_is_no_table():
    assert page([table("t", ("a", "b"), [])], "foot", LEAST) == "foot\n"


def test_too_small_a_limit_is_refused(large):
    with pytest.raises(ValueError, match="give 8000 at least"):
        to_markdown(large()[0], LEAST - 1)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_run_can_be_shown(any_contents, data):
    contents = any_contents(data)
    verdict = contents.result.verdict.value.replace("_", " ")
    for short in (True, False):
        text = to_markdown(contents, short=short)
        assert f"\n**{verdict}**: " in text
        for record in contents.result.records:
            assert code(str(record.cell)) in text or short
