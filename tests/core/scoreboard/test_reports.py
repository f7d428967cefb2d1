"""The reports are functions of the record, say every count, and obey no text of a stranger's."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from deltann.errors import UsageError
from deltann.scoreboard.cases import Case
from deltann.scoreboard.record import Record, create_record
from deltann.scoreboard.report.console import print_board
from deltann.scoreboard.report.html import to_html
from deltann.scoreboard.report.json import to_json
from deltann.scoreboard.report.markdown import to_markdown
from deltann.scoreboard.report.words import passed_share, share
from deltann.scoreboard.report.write import write_reports
from deltann.scoreboard.row import Result, Row
from deltann.scoreboard.table import Scoreboard

HOSTILE = "</td><script>alert(1)</script> | `x` [a](b) **b** @@ \x1b[31m \u202e & 'q' \"r\""
LONG = "x" * 500
KEPT = (Result.WRONG, Result.CRASHED, Result.TIMED_OUT, Result.ERROR)
OUTCOMES = [
    (Result.PASSED, ""),
    (Result.WRONG, "'y': 3 of 4 elements differ"),
    (Result.UNSUPPORTED, HOSTILE),
    (Result.CRASHED, "SIGSEGV while RUN"),
    (Result.TIMED_OUT, "no end within 60 s; it was in RUN"),
    (Result.ERROR, LONG),
    (Result.UNTESTED, "no such device"),
]


def record(folder: Path, specs: dict[str, str], operators: int = 4, suites: tuple[str, ...] = ("node",)) -> Record:
    """Every outcome for each operator and environment, and a case that nobody is given."""
    cases = [
        Case(f"test_{suite}_{operator}_{number}", suite, f"Op{operator}" if suite == "node" else "")
        for suite in suites
        for operator in range(operators)
        for number in range(len(OUTCOMES))
    ]
    untested = Case("test_strings", "node", "Op0", "values of STRING type, which .npy files cannot hold")
    asked = {
        "deltann": "0.1.0", "onnx": "1.23.2", "selection": {"globs": [], "operators": [], "sample": None},
        "environments": [{"spec": spec, "version": version} for spec, version in specs.items()],
        "timeout_s": 60.0, "memory_limit": 1 << 30,
    }  # fmt: skip
    left_out = [["gone", "unavailable: pip install 'deltann[gone]'"], ["ill", f"broken: {HOSTILE}"]]
    more = {"created": "2026-01-01T00:00:00+00:00", "git": None, "host": {"node": "secret"}, "left_out": left_out}
    made = create_record(folder, asked, [*cases, untested], more)
    for spec in specs:
        for case in cases:
            result, reason = OUTCOMES[int(case.name.rpartition("_")[2])]
            made.append(
                spec, Row(case.name, result, "RUN", reason, f"detail of {case.name}", {"precision": "bfloat16"})
            )
    return made


@pytest.fixture
def board(tmp_path: Path) -> Scoreboard:
    suites = ("node", "simple", "light")
    return Scoreboard.of(record(tmp_path / "board", {"ort": "1.2.3", "tvm-O3[threads=1]": "0.27|x"}, suites=suites))


def shown(board: Scoreboard, width: int) -> str:
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        print_board(board, console)
    return captured.get()


def test_the_table_counts_every_row_once(board: Scoreboard) -> None:
    for spec in board.environments:
        counts = board.counts(spec)
        assert counts == Counter({**dict.fromkeys(Result, 12), Result.UNTESTED: 13})
        assert sum((Counter(part) for part in board.by_suite(spec).values()), Counter()) == counts
        operators = board.by_operator(spec)
        assert set(operators) == {"Op0", "Op1", "Op2", "Op3"}
        assert operators["Op1"] == Counter(dict.fromkeys(Result, 1))
        assert operators["Op0"][Result.UNTESTED] == 2
        assert Counter(row.result for row in board.findings(spec)) == dict.fromkeys(KEPT, 12)
    assert board.untested() == {"values of STRING type, which .npy files cannot hold": 1}
    assert board.precisions("ort") == ["bfloat16"]


def test_what_is_not_tested_never_counts_as_passed() -> None:
    assert passed_share({Result.UNTESTED: 5}) == share({Result.UNTESTED: 5}) == "–"
    assert passed_share({Result.PASSED: 3, Result.UNTESTED: 100, Result.UNSUPPORTED: 1}) == "75.0 %"
    assert share({Result.PASSED: 3, Result.UNTESTED: 100, Result.UNSUPPORTED: 1}) == "3/4 1u"
    assert passed_share({Result.PASSED: 99999, Result.WRONG: 1}) == "99.9 %"
    assert passed_share({Result.PASSED: 7}) == "100.0 %"


def test_a_record_that_lacks_a_row_has_no_table(tmp_path: Path) -> None:
    made = record(tmp_path / "board", {"ort": "1"})
    path = tmp_path / "board" / "results" / "ort.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    with pytest.raises(UsageError, match="not complete"):
        Scoreboard.of(made)


@pytest.mark.parametrize("width", [80, 72, 71, 40, 24])
def test_the_screen_fits(board: Scoreboard, width: int) -> None:
    text = shown(board, width)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "…\n" not in text.replace("more\n", ""), "nothing is cut within a cell"


def test_the_screen_tells_every_count(board: Scoreboard) -> None:
    lines = shown(board, 80).splitlines()
    (row,) = [line for line in lines if line.startswith("A ort ")]
    assert row.split()[2:] == ["1.2.3", "12", "12", "12", "12", "12", "12", "13"]
    assert "12 crashed, 12 timed out" in " ".join(shown(board, 40).split())
    text = " ".join(shown(board, 80).split())
    assert "constant weights: they check importing alone" in text
    assert "left out: gone unavailable: pip install" in text
    assert "ort: 16.6 %" in text


@pytest.mark.parametrize("width", [80, 40])
def test_many_environments_and_operators_fit(tmp_path: Path, width: int) -> None:
    specs = {f"backend{number}-O3[precision=float16,threads={number}]": f"1.{number}" for number in range(1, 31)}
    text = shown(Scoreboard.of(record(tmp_path / "board", specs, operators=40)), width)
    assert max(map(len, text.splitlines())) <= width
    assert "more operators" in text
    assert "more environments" in text
    for number in range(1, 31):
        assert f"threads={number}]" in "".join(text.split())


def test_json_holds_everything(board: Scoreboard) -> None:
    document = json.loads(to_json(board))
    assert [one["spec"] for one in document["environments"]] == list(board.environments)
    assert document["environments"][0]["counts"]["wrong answer"] == 12
    assert document["environments"][0]["operators"]["Op0"]["not tested"] == 2
    assert document["environments"][0]["suites"]["light"]["crashed"] == 4
    assert len(document["results"]) == 2 * len(board.record.cases)
    kept = {row["result"] for row in document["results"] if row["finding"]}
    assert kept == {"wrong answer", "crashed", "timed out", "error"}
    assert document["results"][3]["finding"] == "findings/ort/test_node_0_3"
    assert [one["backend"] for one in document["left_out"]] == ["gone", "ill"]


def test_markdown_is_a_page_of_whole_tables(board: Scoreboard) -> None:
    text = to_markdown(board)
    width: dict[int, int] = {}
    for number, line in enumerate(text.splitlines()):
        if line.startswith("|"):
            width[number] = len(re.findall(r"(?<!\\)\|", line))
            assert width[number] == width.get(number - 1, width[number]), line
    assert "| `ort` | 1.2.3 | bfloat16 | 12 | 12 | 12 | 12 | 12 | 12 | 13 | 16.6 % |" in text
    assert "| Op1 | 1/6 1w 1c 1t 1e 1u |" in text
    assert "constant weights" in text
    assert "secret" not in text
    assert str(board.record.folder) not in text
    assert "@@" not in text
    assert "\x1b" not in text
    assert "\n- left out: gone" in text


def test_markdown_takes_no_stranger_for_markup(board: Scoreboard) -> None:
    text = to_markdown(board)
    assert "<script" not in re.sub(r"\\.", "", text)
    assert not re.search(r"(?<!\\)\]\(", text)
    assert r"\<script\>alert(1)" in text


def test_the_same_results_make_the_same_page(tmp_path: Path) -> None:
    pages = {to_markdown(Scoreboard.of(record(tmp_path / name, {"ort": "1"}))) for name in ("one", "other")}
    assert len(pages) == 1


class _Tags(HTMLParser):
    """The tags and attributes of a page, and which tags were left open."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()
        self.links: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_needs_nothing_else_and_obeys_nobody(board: Scoreboard) -> None:
    tags = _Tags()
    tags.feed(to_html(board))
    assert not tags.open
    assert not {"script", "link", "img", "iframe"} & set(tags.seen)
    assert not [link for link in tags.links if ":" in link or link.startswith("/")]
    assert "<script>alert(1)</script>" in tags.text, "as text"
    assert "\x1b" not in tags.text
    assert "findings/ort/test_node_0_3/" in tags.links
    assert "secret" not in tags.text


def test_html_tells_every_count(board: Scoreboard) -> None:
    tags = _Tags()
    tags.feed(to_html(board))
    text = " ".join(tags.text.split())
    assert "1.2.3 bfloat16 12 12 12 12 12 12 13 16.6 %" in text
    assert "1/6 1w 1c 1t 1e 1u" in text
    assert "light (import check)" in text
    assert text.count("12 × crashed: SIGSEGV while RUN") == 2
    assert "1: values of STRING type" in text


def test_files_are_written_and_copied(board: Scoreboard, tmp_path: Path) -> None:
    write_reports(board, {"markdown": tmp_path / "page.md"})
    folder = board.record.folder
    assert {"scoreboard.json", "scoreboard.md", "scoreboard.html"} <= {item.name for item in folder.iterdir()}
    assert (tmp_path / "page.md").read_text() == (folder / "scoreboard.md").read_text()
    with pytest.raises(UsageError, match="cannot write"):
        write_reports(board, {"html": tmp_path / "missing" / "page.html"})


def test_all_passed_is_told(tmp_path: Path) -> None:
    made = record(tmp_path / "board", {"ort": "1"})
    rows: dict[str, Any] = made.rows("ort")
    (tmp_path / "board" / "results" / "ort.jsonl").unlink()
    for case in rows:
        made.append("ort", Row(case, Result.PASSED))
    board = Scoreboard.of(made)
    assert "All that was tested passed." in to_markdown(board)
    assert "All that was tested passed." in to_html(board)
    assert "Findings" not in shown(board, 80)
