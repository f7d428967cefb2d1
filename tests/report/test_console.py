"""The screen: everything on it, inside 80 columns, and nothing in it that a stranger's name can command."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from rich.console import Console

import deltann
from deltann.comparison.statistics import proportion_interval
from deltann.criteria import Criteria
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.report.console import print_result
from deltann.testing.stored import write_run

RNG = np.random.default_rng(9)
SCORES = RNG.standard_normal((40, 10)).astype(np.float32)
CRASH = Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, "SIGSEGV while RUN")


def noisy(amount, scores=SCORES):
    """Scores with relative noise."""
    return (scores + amount * RNG.standard_normal(scores.shape)).astype(scores.dtype)


@pytest.fixture
def show(tmp_path):
    """What is printed of a run made of `cells`, into a pipe of 80 columns."""

    def text(cells, width=80, terminal=False, **settings):
        run = write_run(tmp_path / "run", cells, **settings)
        file = io.StringIO()
        print_result(deltann.load(run), Console(file=file, width=width, force_terminal=terminal, highlight=False))
        return file.getvalue()

    return text


def too_wide(text):
    """Lines of more than 80 columns."""
    return [line for line in text.splitlines() if len(line) > 80]


LONG = "faulty[amount=0.5,disabled_optimizers=ConvBNFusion+GeluFusion+MatMulAddFusion,stage=RUN,symptom=MISMATCH]"


@pytest.mark.parametrize("count", [2, 3, 7, 15, 30])
@pytest.mark.parametrize("amount", [1e-6, 0.5])
def test_any_number_of_cells_fits(show, count, amount):
    cells = {f"ort[threads={number + 1}]": {"y": noisy(amount, SCORES[:4])} for number in range(count)}
    text = show(cells)
    assert not too_wide(text)
    for name in cells:
        assert name in text
    assert "…" not in text.split("pair ")[0].replace("\n… and", ""), "no number of the matrix is cut short"


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("count", [2, 15])
def test_long_names_fit(show, count, outputs):
    def made():
        return {
            f"StatefulPartitionedCall/model/head_{number}/logits:0/and/more": noisy(0.5, SCORES[:4])
            for number in range(outputs)
        }

    names = [LONG.replace("0.5", f"0.{number}") for number in range(1, count + 1)]
    text = show({name: made() for name in names}, model="a" * 200 + ".onnx", source="/" + "deep/" * 60,
                names=[f"{'n' * 120}{number}.jpg" for number in range(4)])  # fmt: skip
    assert not too_wide(text)
    table, _, rest = text.partition("Top-1")
    assert "…" not in table, "folded, not cut"
    if outputs > 1:
        shown = "".join(rest.split())
        assert any(f"output{name}:" in shown for name in made())


def test_outputs_that_begin_alike_can_be_told_apart(show):
    names = [f"StatefulPartitionedCall:{number}" for number in range(3)]
    text = show({env: {name: noisy(1e-6) for name in names} for env in ("ort", "torch")})
    for name in names:
        assert f"\noutput {name}:\n" in text


def test_every_pair_is_in_the_matrix(show):
    base = np.eye(4, 10, dtype=np.float32).repeat(10, axis=0)
    flipped = base.copy()
    flipped[:3] = np.roll(base[:3], 1, axis=1)
    text = show({"ort": {"y": base}, "torch": {"y": flipped}, "tvm": {"y": base}})
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("Top-1 disagreements"))
    matrix = [line.split() for line in lines[start + 2 : start + 5]]
    assert matrix == [
        ["A", "·", "3", "7.5%", "0", "0.0%"],
        ["B", "3", "7.5%", "·", "3", "7.5%"],
        ["C", "0", "0.0%", "3", "7.5%", "·"],
    ]


def test_a_pipe_gets_no_escapes_and_a_terminal_gets_colours(show, tmp_path):
    cells = {"ort": {"y": SCORES}, "torch": {"y": noisy(0.5)}, "tvm": CRASH}
    piped = show(cells)
    assert "\x1b" not in piped
    file = io.StringIO()
    print_result(
        deltann.load(tmp_path / "run"), Console(file=file, width=80, force_terminal=True, color_system="standard")
    )
    assert "\x1b[1;31mDIFFER\x1b[0m" in file.getvalue()


HOSTILE = "[red]a[/red] [link=https://example.org]b\x1b[2J\x1b]0;title\x07\n\rERROR: \x9b31m ‮ \udcff :boom:"
SHOWN = r"[red]a[/red] [link=https://example.org]b\x1b[2J\x1b]0;title\x07\n\rERROR: \x9b31m \u202e \udcff :boom:"


@pytest.mark.parametrize("terminal", [False, True])
def test_hostile_names_are_shown_and_not_obeyed(show, terminal):
    flipped = np.roll(SCORES, 1, axis=1)
    outputs = [HOSTILE.replace("\udcff", ""), "plain"]
    cells = {
        "ort": dict.fromkeys(outputs, SCORES),
        "torch": dict.fromkeys(outputs, flipped),
        "tvm": Outcome(Status.FAILED, Stage.LOAD, Symptom.EXCEPTION, HOSTILE, HOSTILE),
        "tract": {f"{HOSTILE[:20]}other": SCORES},
    }
    text = show(cells, width=300, terminal=terminal, names=[f"{number}{HOSTILE}" for number in range(40)],
                model=HOSTILE, source=HOSTILE, facts={"ort": {"version": HOSTILE}})  # fmt: skip
    visible = re.sub(r"\x1b\[[0-9;]*m", "", text) if terminal else text
    assert not [char for char in visible if not char.isprintable() and char != "\n"]
    assert not any(line.startswith("ERROR") for line in visible.splitlines())
    assert f"deltann 0: {SHOWN}\n" in visible
    assert re.search(rf"B:A  \d+{re.escape(SHOWN)} ", visible), "the sample of a flip"
    assert f"C tvm: {SHOWN}" in visible


def test_more_than_26_cells_have_letters_of_their_own(show):
    text = show({f"ort[threads={number + 1}]": {"y": SCORES[:1]} for number in range(29)})
    letters = [line.split()[0] for line in text.splitlines() if " ort[threads=" in line]
    assert letters[:2] == ["A", "B"]
    assert letters[25:29] == ["Z", "AA", "AB", "AC"]


def test_a_cell_that_failed_says_why_and_how_many_there_are(show):
    text = show({"ort": {"y": SCORES}, "torch": {"y": noisy(1e-6)}, "tvm": CRASH})
    assert "C tvm: SIGSEGV while RUN\n" in text
    assert "FAILED CRASH" in text
    assert "AGREE: no pair differs beyond what is accepted; 1 of 3 cells gave no outputs" in text


def test_nothing_to_compare(show):
    text = show({"ort": {"y": SCORES}, "tvm": CRASH})
    assert "NOT_COMPARED: " in text
    assert "pair" not in text.split("NOT_COMPARED")[0]


def test_no_cell_has_outputs(show):
    assert "NOT_COMPARED: " in show({"ort": CRASH, "tvm": CRASH})


def test_a_nan_is_called_so(show):
    broken = SCORES.copy()
    broken[3, 4] = np.nan
    text = show({"ort": {"y": SCORES}, "torch": {"y": broken}})
    assert "random[3] NaN / " in text
    assert "1 elements are NaN or infinite on one side only" in " ".join(text.split())


def test_other_names_are_shown_as_unlike(show):
    text = show({"ort": {"y": SCORES}, "torch": {"z": SCORES}, "tvm": {"y": SCORES}})
    assert "≠: outputs of other names or shapes" in " ".join(text.split())
    assert "output 'y' is in ort only" in text


def test_the_numbers_of_labels_and_tensors_are_not_mixed(show):
    counts = np.arange(40).reshape(40, 1)
    text = show({"ort": {"n": counts}, "torch": {"n": counts + 1}})
    assert "Elements outside the tolerance of each pair" in text
    assert "40 100.0%" in text


def test_identical_artifacts_of_one_backend_are_told(show):
    facts = {name: {"artifact": "1234"} for name in ("ort", "ort-O0", "torch")}
    text = show({"ort": {"y": SCORES}, "ort-O0": {"y": SCORES}, "torch": {"y": SCORES}}, facts=facts)
    assert "A, B: lowered to identical artifacts" in text


def test_one_file_run_by_two_backends_is_not_one_artifact(show):
    facts = {name: {"artifact": "1234"} for name in ("ort", "torch")}
    assert "identical" not in show({"ort": {"y": SCORES}, "torch": {"y": SCORES}}, facts=facts)


def test_accuracy_is_shown_where_labels_are_known(show):
    text = show({"ort": {"y": SCORES}, "torch": {"y": -SCORES}}, labels=SCORES.argmax(axis=1).tolist())
    assert "accuracy" in text
    assert "1.000" in text


def test_without_labels_there_is_no_accuracy(show):
    assert "accuracy" not in show({"ort": {"y": SCORES}, "torch": {"y": SCORES}})


def test_pairs_that_are_not_judged_stand_in_brackets(show):
    cells = {"ort": {"y": SCORES}, "torch": {"y": noisy(0.5)}, "tvm": {"y": SCORES}}
    text = show(cells, criteria=Criteria(reference="ort"))
    assert "\nB:A " in text
    assert "\n(C:B) " in text
    assert "(C:B): not judged, since --reference names another" in text
    assert "\nC:A " in text


def test_what_is_cut_is_counted(show):
    cells = {f"ort[threads={number + 1}]": {"y": noisy(1.0)} for number in range(8)}
    text = show(cells)
    assert "… and 18 rows more" in text
    assert "flips more" in text
    assert "reasons; --json has all" in text


def test_the_worst_pair_comes_first(show):
    cells = {"ort": {"y": SCORES}, "torch": {"y": noisy(0.01)}, "tvm": {"y": noisy(2.0)}}
    numbers = show(cells).partition("max|Δ|")[2]
    rows = [line.split()[:2] for line in numbers.splitlines() if line[1:2] == ":" and line[3:4] == " "]
    assert rows[0][1] == rows[1][1] == "DIFFER"
    assert {rows[0][0], rows[1][0]} == {"C:A", "C:B"}


def test_each_pair_that_is_not_judged_has_its_own_cause(show):
    cells = {"ort": {"y": SCORES}, "ort-O0": {"y": SCORES}, "torch": {"y": noisy(1e-6)}}
    facts = {name: {"artifact": "1234"} for name in ("ort", "ort-O0")}
    text = show(cells, facts=facts, criteria=Criteria(reference="ort"))
    assert "(B:A): not judged, since both ran the very same thing" in text
    assert "(C:B): not judged, since --reference names another" in text
    assert "AGREE: no pair differs" in text


def test_only_the_same_thing_was_compared(show):
    facts = {name: {"artifact": "1234"} for name in ("ort", "ort-O0")}
    text = show({"ort": {"y": SCORES}, "ort-O0": {"y": SCORES}}, facts=facts)
    assert "INCONCLUSIVE: only environments that ran the very same thing were compared" in text
    assert "could not have told" not in text


def test_nothing_beside_the_reference_was_compared(show):
    cells = {"ort": CRASH, "torch": {"y": SCORES}, "tvm": {"y": SCORES}}
    text = show(cells, criteria=Criteria(reference="ort"))
    assert "INCONCLUSIVE: nothing could be compared with the reference; 1 of 3 cells" in text


def test_what_an_engine_did_unasked_is_told(show):
    told = {"precision": "bfloat16", "threads": "2", "ignored": "threads: \x1b[2Jnot followed"}
    text = show({"ort": {"y": SCORES}, "openvino": {"y": SCORES}}, facts={"openvino": {"actual": told}})
    assert "B openvino: computed in bfloat16; ignored threads:" in text
    assert "not followed" in text
    assert "\x1b[2J" not in text


def test_what_all_expect_is_not_told(show):
    facts = {"ort": {"actual": {"precision": "float32", "threads": "2", "device": "CPU"}}}
    assert "A ort: " not in show({"ort": {"y": SCORES}, "torch": {"y": SCORES}}, facts=facts)


def test_a_rate_comes_with_its_interval(show):
    flipped = SCORES.copy()
    flipped[0] = np.roll(SCORES[0], 1)
    text = show({"ort": {"y": SCORES}, "torch": {"y": flipped}, "tvm": {"y": SCORES}})
    (line,) = [line for line in text.splitlines() if line.startswith("B:A ") and " of " in line]
    low, high = proportion_interval(1, len(SCORES))
    assert line.split() == ["B:A", "1", "of", "40", "2.5%", f"{low:.1%}", "to", f"{high:.1%}"]


def test_agreement_needs_no_interval(show):
    assert "95% interval" not in show({"ort": {"y": SCORES}, "torch": {"y": SCORES}})
