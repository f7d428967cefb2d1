"""A run that is not whole: shown as far as it goes, each missing part named, and never agreement."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import deltann
from deltann.comparison.evidence import Arbitration, Sabotage, Sabotaged
from deltann.errors import UsageError
from deltann.evidence.request import Request
from deltann.frames import cell_table, sample_tables
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.report.console import print_result
from deltann.report.contents import Contents, load_contents
from deltann.report.json import document
from deltann.report.timing import timing_parts
from deltann.result import load
from deltann.store import TABLES, Run, RunStatus, open_run, write_json, write_table
from deltann.testing.stored import write_arbitration, write_repeats, write_run, write_sabotage
from deltann.testing.times import write_times
from deltann.timing.stored import timing

RNG = np.random.default_rng(21)
EXACT = RNG.standard_normal((12, 6))
SCORES = EXACT.astype(np.float32)
ROWS = np.arange(12)
CRASH = Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, "SIGSEGV while RUN")
EXAMPLES = 80
HARMLESS = ("times.npy", ".log", ".lock")
"""Files that no report is made of, below `evidence/` or anywhere."""


def write_all(folder: Path) -> Run:
    """A complete run of three environments that agree, with every kind of part that a run has."""
    facts = {name: {"repeated": 4, "repeat_failed": None, "artifact": name} for name in ("ort", "torch", "tvm")}
    run = write_run(folder, {name: {"y": SCORES} for name in facts}, facts=facts, source="photographs")
    write_arbitration(run, Arbitration("torch[precision=float64]", ROWS, 12, {"y": EXACT}, {"y": SCORES}))
    noise = RNG.standard_normal((12, 6)).astype(np.float32)
    copies = tuple(Sabotaged(f"copy {n}", "graph", "a fault", {"y": SCORES + noise}) for n in range(12))
    write_sabotage(run, Sabotage("ort", {"y": SCORES}, copies))
    for name in facts:
        write_repeats(run, name, [{"y": SCORES[:4]}, {"y": SCORES[:4]}])
    run = Run(run.folder, {**run.document, "evidence": Request().to_json()})
    result = load(run)
    write_table(run.folder / TABLES[0], [cell_table(result)])
    write_table(run.folder / TABLES[1], sample_tables(run, result.records))
    run = run.with_status(RunStatus.COMPLETE, TABLES)
    write_times(run, dict.fromkeys(facts, 0.0))
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing is missing of."""
    return write_all(tmp_path_factory.mktemp("whole") / "run").folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return shutil.copytree(whole, tmp_path / "run")


def shown(contents: Contents) -> str:
    """What the console says, in one line; the JSON is made too."""
    document(contents)
    console = Console(file=io.StringIO(), width=80, highlight=False, markup=False, emoji=False)
    print_result(contents.result, console)
    for part in timing_parts(contents.timing) if contents.timing else ():
        console.print(part)
    return " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]  # a StringIO


def changed(folder: Path, **parts: object) -> None:
    """Write other parts into `run.json`."""
    write_json(folder / "run.json", {**json.loads((folder / "run.json").read_text()), **parts})


def test_of_a_whole_run_nothing_is_missing(whole: Path) -> None:
    contents = load_contents(whole)
    assert contents.result.missing == ()
    assert (contents.result.verdict, contents.result.exit_code) == ("AGREE", 0)
    assert contents.timing is not None
    assert "INCOMPLETE" not in shown(contents)
    assert load(whole).compared == contents.result.compared


def _named(file: Path) -> str:
    """What has to be said where `file` is damaged: a part of a line."""
    if file.parts[0] == "cells":
        return f"{file.parts[2]}: its record"
    if file.parts[0] == "outputs":
        return f"{file.parts[2]}: its outputs"
    if file.parts[:2] == ("evidence", "repeats"):
        return f"noise of {file.parts[3]}"
    if file.parts[0] == "evidence":
        part = "arbiter" if file.parts[2].startswith(("float", "perturbed", "evidence")) else "power"
        return f"{part} of model"
    return "the times: " if file.parts[0] == "timing" else file.name


def linked(whole: Path, factory: pytest.TempPathFactory) -> Path:
    """A copy whose files are those of `whole` until one is replaced, which is quick."""
    return shutil.copytree(whole, factory.mktemp("linked") / "run", copy_function=os.link)


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_any_file_may_be_damaged(whole: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    file = data.draw(st.sampled_from(files), "file")
    share = data.draw(st.none() | st.floats(0, 1, exclude_max=True), "what is left")
    folder = linked(whole, tmp_path_factory)
    (folder / file).unlink()
    if share is not None:
        content = (whole / file).read_bytes()
        (folder / file).write_bytes(content[: int(share * len(content))])
    try:
        if file == Path("run.json"):
            with pytest.raises(UsageError, match=r"run\.json"):
                load_contents(folder)
            return
        contents = load_contents(folder)
        text = shown(contents)
        if file.name.endswith(HARMLESS) and file.parts[0] != "outputs":
            assert contents.result.missing == ()
            assert contents.result.verdict == "AGREE"
            return
        assert _named(file) in " | ".join(contents.result.missing)
        assert contents.result.verdict == "INCONCLUSIVE"
        assert contents.exit_code == 4
        assert text.startswith("INCOMPLETE: ")
        assert "INCONCLUSIVE: nothing is known to differ, but parts of the run are missing" in text
    finally:
        shutil.rmtree(folder)


@settings(max_examples=EXAMPLES // 2, deadline=None)
@given(data=st.data())
def test_bytes_may_be_changed_anywhere(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A changed number is another number, which only a digest could tell; but nothing may end in a traceback."""
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    file = data.draw(st.sampled_from(files), "file")
    folder = linked(whole, tmp_path_factory)
    content = bytearray((folder / file).read_bytes())
    (folder / file).unlink()
    for _ in range(data.draw(st.integers(1, 4), "changes")):
        content[data.draw(st.integers(0, len(content) - 1), "where")] = data.draw(st.integers(0, 255), "byte")
    (folder / file).write_bytes(bytes(content))
    try:
        with contextlib.suppress(UsageError):
            shown(load_contents(folder))
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("status", [RunStatus.RUNNING, RunStatus.INTERRUPTED])
def test_a_run_that_did_not_end_is_shown_as_far_as_it_came(run: Path, status: RunStatus) -> None:
    changed(run, status=status.value)
    shutil.rmtree(run / "cells" / "model" / "tvm")
    shutil.rmtree(run / "evidence")
    shutil.rmtree(run / "timing")
    result = load_contents(run).result
    assert result.missing[0].startswith(f"the run is {status}, not complete")
    assert "tvm: the run ended before it" in result.missing
    assert any("arbiter of model" in line for line in result.missing)
    assert {pair.judgement.verdict for pair in result.compared} == {"INCONCLUSIVE", "NOT_COMPARED"}
    assert (result.verdict, result.exit_code) == ("INCONCLUSIVE", 4)
    with pytest.raises(UsageError, match=f"the run is {status}"):
        load(run)


def test_a_newer_run_is_shown_as_far_as_it_is_known(run: Path) -> None:
    criteria = json.loads((run / "run.json").read_text())["criteria"]
    changed(run, schema=99, criteria={**criteria, "unheard_of": 1}, more="parts")
    contents = load_contents(run)
    assert contents.result.missing == ("schema 99 is newer than this deltann reads (1); upgrade deltann",)
    assert (contents.result.verdict, contents.exit_code) == ("INCONCLUSIVE", 4)
    assert {pair.judgement.verdict for pair in contents.result.compared} == {"INCONCLUSIVE"}
    assert "A ort" in shown(contents)
    with pytest.raises(UsageError, match="schema 99 is newer"):
        load(run)


def test_a_newer_run_of_other_parts_cannot_be_shown(run: Path) -> None:
    changed(run, schema=99, inputs="elsewhere")
    with pytest.raises(UsageError, match="schema 99 is newer than this deltann reads"):
        load_contents(run)


def test_a_difference_is_told_all_the_same(tmp_path: Path) -> None:
    cells = {"ort": {"y": SCORES}, "torch": {"y": -SCORES}, "tvm": {"y": SCORES}}
    folder = write_run(tmp_path / "run", cells).folder
    (folder / "outputs" / "model" / "tvm" / "0.npy").unlink()
    contents = load_contents(folder)
    assert (contents.result.verdict, contents.exit_code) == ("DIFFER", 1)
    assert contents.result.missing
    assert "INCOMPLETE: tvm: its outputs" in shown(contents)


def test_a_failure_is_told_all_the_same(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {"ort": {"y": SCORES}, "torch": {"y": SCORES}, "tvm": CRASH}).folder
    assert load_contents(folder).exit_code == 3
    shutil.rmtree(folder / "outputs" / "model" / "torch")
    contents = load_contents(folder)
    assert (contents.result.verdict, contents.exit_code) == ("NOT_COMPARED", 3)
    assert [record.outcome.status for record in contents.result.records] == ["OK", "NOT_RUN", "FAILED"]


def test_lost_evidence_is_doubt_where_it_would_have_counted(run: Path) -> None:
    shutil.rmtree(run / "evidence" / "repeats" / "model" / "tvm")
    verdicts = {(str(p.candidate), str(p.reference)): p.judgement for p in load_contents(run).result.compared}
    assert verdicts["torch", "ort"].verdict == "AGREE"
    assert verdicts["tvm", "ort"].verdict == verdicts["tvm", "torch"].verdict == "INCONCLUSIVE"
    assert verdicts["tvm", "ort"].reasons[0].startswith("noise of tvm: missing or damaged")


def test_a_difference_says_what_might_have_explained_it(run: Path) -> None:
    np.save(run / "outputs/model/tvm/0.npy", -SCORES)
    shutil.rmtree(run / "evidence")
    judgements = {(str(p.candidate), str(p.reference)): p.judgement for p in load_contents(run).result.compared}
    assert judgements["tvm", "ort"].verdict == "DIFFER"
    assert any(reason.startswith("arbiter of model: missing") for reason in judgements["tvm", "ort"].reasons[1:])
    assert judgements["torch", "ort"].verdict == "INCONCLUSIVE"


@pytest.mark.parametrize(
    "file", ["run.json", "cells/model/ort/cell.json", "evidence/model/evidence.json", "timing/timing.json"]
)
def test_json_nested_without_end_is_damage(run: Path, file: str) -> None:
    (run / file).write_text("[" * 200_000)
    if file == "run.json":
        with pytest.raises(UsageError, match="damaged"):
            load_contents(run)
    else:
        assert load_contents(run).result.missing


@pytest.mark.parametrize("part", ["evidence/model", "evidence/repeats/model/ort/1", "timing/rounds/000/round.json"])
def test_what_was_asked_for_and_is_gone_is_damage_where_all_is_needed(run: Path, part: str) -> None:
    place = run / part
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    with pytest.raises(UsageError, match=r"missing or damaged|damaged \("):
        timing(open_run(run))


def test_tables_matter_to_no_verdict_of_a_pair(run: Path) -> None:
    for name in TABLES:
        (run / name).unlink()
    result = load_contents(run).result
    assert [line.partition(":")[0] for line in result.missing] == list(TABLES)
    assert {pair.judgement.verdict for pair in result.compared} == {"AGREE"}
    assert result.verdict == "INCONCLUSIVE"
    assert load(run).verdict == "AGREE", "thresholds are tried on outputs"


def test_a_run_without_tables_from_the_beginning_lacks_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {"ort": {"y": SCORES}, "torch": {"y": SCORES}})
    assert load_contents(run.folder).result.missing == ()


def test_times_without_their_document_are_missed(run: Path) -> None:
    (run / "timing" / "timing.json").unlink()
    contents = load_contents(run)
    assert contents.timing is None
    assert "timing.json is missing" in contents.result.missing[-1]
    # Of a run of old, which does not say that it was timed, the rounds do.
    changed(run, timed=False)
    assert load_contents(run).result.missing == contents.result.missing


def test_times_that_are_gone_are_missed(run: Path) -> None:
    shutil.rmtree(run / "timing")
    contents = load_contents(run)
    assert "timing.json is missing; measure again" in contents.result.missing[-1]
    assert contents.exit_code == 4
    changed(run, timed=False)
    assert load_contents(run).exit_code == 0


def test_times_that_did_not_end_are_missed(run: Path) -> None:
    path = run / "timing" / "timing.json"
    write_json(path, {**json.loads(path.read_text()), "complete": False})
    contents = load_contents(run)
    assert contents.timing is not None
    assert "the times: measuring did not end; to go on: deltann bench --out" in contents.result.missing[-1]
    assert (contents.exit_code, contents.timing.exit_code) == (4, 4)
    text = shown(contents)
    assert text.startswith("INCOMPLETE: the times: measuring did not end")
    assert "Measuring was interrupted; to go on" in text


@settings(max_examples=EXAMPLES // 2, deadline=None)
@given(data=st.data())
def test_any_folder_may_be_gone(whole: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folders = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_dir())
    gone = data.draw(st.lists(st.sampled_from(folders), min_size=1, max_size=3), "gone")
    folder = linked(whole, tmp_path_factory)
    try:
        for part in gone:
            shutil.rmtree(folder / part, ignore_errors=True)
        contents = load_contents(folder)
        assert contents.result.missing
        assert contents.exit_code == 4
        document(contents)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "part",
    [
        "cells",
        "cells/model/ort",
        "cells/model/ort/cell.json",
        "outputs",
        "outputs/model",
        "outputs/model/ort",
        "outputs/model/ort/0.npy",
        "outputs/model/ort/outputs.json",
        "outputs/model/ort/times.npy",
        "evidence",
        "timing",
        "samples.parquet",
    ],
)
@pytest.mark.parametrize("where", ["outside", "inside", "itself"])
def test_links_are_followed_within_the_run_alone(run: Path, tmp_path: Path, part: str, where: str) -> None:
    place = run / part
    kept = run / "kept" if where == "inside" else tmp_path / "kept"
    shutil.move(place, kept)
    place.symlink_to(place if where == "itself" else kept)
    missing = " ".join(load_contents(run).result.missing)
    if where == "inside":
        assert missing == ""
    else:
        assert ("leads out of the run" if where == "outside" else "leads nowhere") in missing


def test_the_folder_of_a_run_may_be_a_link(run: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(run)
    assert load_contents(tmp_path / "link").result.missing == ()


@pytest.mark.parametrize("where", ["neighbour", "itself"])
def test_a_document_that_is_a_link_out_of_the_run_is_refused(run: Path, tmp_path: Path, where: str) -> None:
    kept = tmp_path / "neighbour.json"
    shutil.move(run / "run.json", kept)
    (run / "run.json").symlink_to(kept if where == "neighbour" else run / "run.json")
    for partial in (False, True):
        with pytest.raises(UsageError, match=r"run\.json (leads out of the run|is a link that leads nowhere)"):
            open_run(run, partial)


def test_a_link_out_of_the_run_is_not_followed(run: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.npy").write_bytes((run / "evidence/model/float64/0.npy").read_bytes())
    (run / "evidence/model/float64/0.npy").unlink()
    (run / "evidence/model/float64/0.npy").symlink_to(tmp_path / "secret.npy")
    assert "leads out of the run" in " ".join(load_contents(run).result.missing)


@pytest.mark.parametrize("dtype", ["S4", "datetime64[s]", "U3"])
def test_outputs_that_are_no_numbers_are_damage(run: Path, dtype: str) -> None:
    np.save(run / "outputs/model/ort/0.npy", np.zeros((12, 6), dtype))
    assert "ort: its outputs are missing or damaged" in load_contents(run).result.missing[0]


@pytest.mark.parametrize(
    "facts", [{"version": 5}, {"lower_s": "long"}, {"actual": {"precision": 1}}, {"options": []}, {"artifact": {}}]
)
def test_facts_of_another_kind_are_damage(run: Path, facts: dict[str, object]) -> None:
    path = run / "cells/model/ort/cell.json"
    record = json.loads(path.read_text())
    write_json(path, {**record, "facts": {**record["facts"], **facts}})
    assert "ort: its record is damaged (facts." in load_contents(run).result.missing[0]
    write_json(path, {**record, "facts": {**record["facts"], "unheard_of": []}})
    assert load_contents(run).result.missing == ()


def test_missing_parts_outweigh_agreement_only(whole: Path) -> None:
    result = deltann.load(whole)
    assert replace(result, missing=("a part",)).verdict == "INCONCLUSIVE"
    assert replace(result, missing=("a part",)).exit_code == 4
    assert replace(result, missing=()).verdict == "AGREE"


def test_many_missing_parts_are_counted(run: Path) -> None:
    result = replace(deltann.load(run), missing=tuple(f"part {number} \x1b[2J" for number in range(9)))
    text = shown(Contents(result))
    assert "INCOMPLETE: part 5" in text
    assert "… and 3 more parts missing; --json has all" in text
    assert "\x1b" not in text
