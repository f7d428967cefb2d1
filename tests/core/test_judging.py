"""The verdict on each pair of a stored run by its evidence, and who is blamed: nothing is run for any of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import deltann
from deltann.comparison import triage
from deltann.comparison.attribution import Sure
from deltann.comparison.evidence import Arbitration, Sabotage, Sabotaged
from deltann.comparison.flips import Kind
from deltann.comparison.verdict import Verdict
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.pairing import LeftOut
from deltann.store import Cell
from deltann.testing.stored import write_arbitration, write_repeats, write_run, write_sabotage

N, CLASSES = 60, 8
RNG = np.random.default_rng(21)
EXACT = RNG.standard_normal((N, CLASSES))
CHOSEN = np.arange(0, N, 4)
CRASH = Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, "SIGSEGV while RUN")


def rounded(seed=0, by=2e-7, exact=EXACT):
    """What an engine makes of it in float32, each with errors of its own."""
    noise = np.random.default_rng(seed).uniform(-1, 1, exact.shape)
    return (exact * (1 + by * noise)).astype(np.float32)


def arbiter(exact=EXACT, samples=CHOSEN, chosen=None, engine="torch"):
    """Float64 and float32 on some samples."""
    environment = f"{engine}[outputs=computed,precision=float64]"
    parts = {"y": exact[samples]}, {"y": rounded(99, exact=exact)[samples]}
    return Arbitration(environment, samples, len(CHOSEN) if chosen is None else chosen, *parts)


def spoilt(fault):
    """A model's outputs and those of copies of it with a fault each."""
    sound = rounded(50)[CHOSEN]
    copies = [Sabotaged(str(number), "graph", f"fault {number}", {"y": fault(sound)}) for number in range(4)]
    return Sabotage("ort", {"y": sound}, tuple(copies))


@pytest.fixture
def judge(tmp_path):
    """`judge(cells, evidence…, limits)`: the result of a run with these cells."""
    made = []

    def load(cells, found=None, sabotage=None, repeats=None, limits=None, **how):
        outputs = {
            name: given if isinstance(given, Outcome) else given if isinstance(given, dict) else {"y": given}
            for name, given in cells.items()
        }
        made.append(None)
        run = write_run(tmp_path / f"run-{len(made)}", outputs, **how)
        if found is not None:
            write_arbitration(run, found)
        if sabotage is not None:
            write_sabotage(run, sabotage)
        for name, again in (repeats or {}).items():
            write_repeats(run, name, [{"y": array} for array in again])
        return deltann.load(run, **(limits or {}))

    return load


def blamed(result):
    return [(entry.names, entry.sure) for entry in result.blamed]


FOUR = ("ort", "torch", "tvm", "openvino")
FAITHFUL = {name: rounded(number) for number, name in enumerate(FOUR)}


def test_faithful_engines_agree_and_nobody_is_blamed(judge):
    result = judge(FAITHFUL, arbiter(), spoilt(lambda y: y[:, ::-1]), {"ort": [FAITHFUL["ort"][:8]] * 2})
    assert (result.verdict, result.exit_code, blamed(result)) == (Verdict.AGREE, 0, [])
    assert all(entry.sound for found in result.weighed.sound.values() for entry in found)


def test_the_odd_one_out_is_named_by_arbiter_and_majority(judge):
    cells = FAITHFUL | {"tvm": rounded(2, by=0.05)}
    result = judge(cells, arbiter())
    assert result.verdict is Verdict.DIFFER
    assert blamed(result) == [(("tvm",), Sure.BOTH)]
    wrong = {
        str(c) for p in result.compared if p.judgement.verdict is Verdict.DIFFER for c in (p.candidate, p.reference)
    }
    assert wrong == set(FOUR)
    others = [p for p in result.compared if "tvm" not in (str(p.candidate), str(p.reference))]
    assert {p.judgement.verdict for p in others} == {Verdict.AGREE}


def test_without_an_arbiter_the_majority_names_it(judge):
    assert blamed(judge(FAITHFUL | {"tvm": rounded(2, by=0.05)})) == [(("tvm",), Sure.MAJORITY)]


def test_of_two_the_arbiter_alone_tells(judge):
    cells = {"ort": rounded(1), "tvm": rounded(2, by=0.05)}
    assert blamed(judge(cells, arbiter())) == [(("tvm",), Sure.ARBITER)]
    assert blamed(judge(cells)) == [(("ort", "tvm"), Sure.UNKNOWN)]


def test_an_error_inside_the_default_tolerance_is_one_where_float64_is_known(judge):
    cells = FAITHFUL | {"tvm": rounded(2, by=4e-4)}
    assert judge(cells).verdict is Verdict.AGREE
    result = judge(cells, arbiter())
    assert result.verdict is Verdict.DIFFER
    assert blamed(result) == [(("tvm",), Sure.ARBITER)]


def test_where_only_the_arbiters_own_engine_is_sound_it_may_be_wrong_itself(judge):
    """One operator of torch is lowered wrongly, and so is that of the arbiter."""
    wrong = EXACT + 0.02 * np.roll(EXACT, 1, axis=1)
    result = judge(FAITHFUL | {"torch": rounded(1, exact=wrong)}, arbiter(wrong))
    assert result.verdict is Verdict.DIFFER
    assert Sure.BOTH not in [sure for _, sure in blamed(result)]
    assert any(sure is Sure.UNKNOWN and set(names) == {"ort", "tvm", "openvino"} for names, sure in blamed(result))
    assert "the arbiter itself may be wrong" in " ".join(entry.reason for entry in result.blamed)
    # One independent engine beside it that float64 finds sound, and the arbiter is a witness again.
    cells = {"ort": rounded(0), "torch": rounded(1, exact=wrong), "tract": rounded(2, exact=wrong)}
    assert (("ort",), Sure.BOTH) in blamed(judge(cells, arbiter(wrong)))


def test_a_reference_leaves_pairs_out_of_the_verdict_and_not_out_of_the_blame(judge):
    cells = FAITHFUL | {"tvm": rounded(2, by=0.05)}
    result = judge(cells, arbiter(), limits={"reference": "tvm"})
    assert [p.judged for p in result.compared].count(True) == 3
    assert {p.left_out for p in result.compared} == {None, LeftOut.OTHER_REFERENCE}
    assert blamed(result) == [(("tvm",), Sure.BOTH)]


def test_a_difference_that_nobody_asked_about_blames_nobody(judge):
    cells = {"ort": rounded(0), "torch": CRASH, "tvm": rounded(2, by=0.05)}
    assert blamed(judge(cells)) == [(("ort", "tvm"), Sure.UNKNOWN)]
    result = judge(cells, limits={"reference": "torch"})
    assert (result.verdict, blamed(result)) == (Verdict.INCONCLUSIVE, [])


def test_four_levels_of_one_engine_are_one_voice(judge):
    cells = {f"ort-O{level}": rounded(level) for level in range(3)} | {"tvm": rounded(5, by=0.05)}
    ((names, sure),) = blamed(judge(cells))
    assert sure is Sure.UNKNOWN
    assert "tvm" in names


def test_more_than_twenty_environments(judge):
    cells = {f"ort[threads={n}]": rounded(n) for n in range(1, 13)} | {
        f"tvm[threads={n}]": rounded(n) for n in range(13, 26)
    }
    cells["tract"] = rounded(40, by=0.05)
    result = judge(cells, arbiter(samples=CHOSEN[:2], chosen=2))
    assert len(result.compared) == 26 * 25 // 2
    assert blamed(result) == [(("tract",), Sure.BOTH)]


BF16 = {"openvino": {"actual": {"precision": "bfloat16"}}}


def test_a_declared_precision_explains_what_no_other_does(judge):
    bits = rounded(3).view(np.uint32)
    half = ((bits + 0x8000) & np.uint32(0xFFFF0000)).view(np.float32)
    cells = FAITHFUL | {"openvino": half}
    result = judge(cells, arbiter(), facts=BF16)
    assert (result.verdict, blamed(result)) == (Verdict.AGREE, [])
    reasons = [r for p in result.compared for r in p.judgement.reasons if "openvino" in (str(p.candidate))]
    assert any("bfloat16" in reason for reason in reasons)
    undeclared = judge(cells, arbiter())
    assert (undeclared.verdict, blamed(undeclared)) == (Verdict.DIFFER, [(("openvino",), Sure.BOTH)])
    # Nor does bfloat16 excuse everything.
    assert judge(FAITHFUL | {"openvino": half * np.float32(1.2)}, arbiter(), facts=BF16).verdict is Verdict.DIFFER


def near_tie(gap, sample=5):
    """Two best classes that are `gap` apart in float64, and the choice of the second by one side."""
    exact = EXACT.copy()
    second, first = np.argsort(exact[sample])[-2:]
    exact[sample, first] = exact[sample, second] + gap
    ours, theirs = rounded(1, exact=exact), rounded(2, exact=exact)
    ours[sample, [first, second]] = ours[sample, [second, first]]
    return exact, ours, theirs


@pytest.mark.parametrize(("gap", "kind", "verdict"), [(1e-7, Kind.TIE, "AGREE"), (1e-3, Kind.FAULT, "DIFFER")])
def test_a_flip_is_judged_by_what_float64_says_of_its_sample(judge, gap, kind, verdict):
    exact, ours, theirs = near_tie(gap)
    seen = np.append(CHOSEN, 5)
    result = judge({"ort": theirs, "tvm": ours}, arbiter(exact, seen))
    (flip,) = result.compared[0].comparison.outputs[0].classification.flips
    assert (flip.kind, result.verdict) == (kind, Verdict(verdict))
    assert flip.wrong == (None if kind is Kind.TIE else "a")


def test_a_flip_that_the_arbiter_did_not_see_is_judged_by_the_margin(judge):
    exact, ours, theirs = near_tie(1e-7)
    (flip,) = judge({"ort": theirs, "tvm": ours}, arbiter(exact)).compared[0].comparison.outputs[0].classification.flips
    assert (flip.kind, flip.truth) == (Kind.TIE, None)
    exact, ours, theirs = near_tie(1.0)
    result = judge({"ort": theirs, "tvm": ours}, arbiter(exact))
    (flip,) = result.compared[0].comparison.outputs[0].classification.flips
    assert (flip.kind, result.verdict) == (Kind.BEYOND_ROUNDING, Verdict.DIFFER)


def test_labels_that_float64_does_not_excuse_are_blamed_though_the_numbers_are_sound(judge):
    """Int8 may be off by so much in some places, but not just where it turns clear labels."""
    exact = EXACT * 0.05
    exact[:, 0], exact[:, 1] = exact[:, 0] + 3, exact[:, 1] + 1.5
    cells = {name: rounded(number, exact=exact) for number, name in enumerate(FOUR)}
    cells["openvino"] = cells["openvino"].copy()
    cells["openvino"][::12, [0, 1]] = cells["openvino"][::12, [1, 0]]
    seen = arbiter(exact, np.arange(N), N)
    result = judge(cells, seen, facts={"openvino": {"actual": {"precision": "int8"}}})
    assert all(entry.sound for entry in result.weighed.sound[Cell("openvino")])
    assert (result.verdict, blamed(result)) == (Verdict.DIFFER, [(("openvino",), Sure.BOTH)])


def test_stale_outputs_are_found_by_running_backwards(judge):
    """An engine that answers with its last outputs; both sides do, so that the first run shows nothing."""
    stale = rounded(1)
    forwards, backwards = stale[:8], np.roll(stale[:8], -1, axis=0)
    assert judge({"ort": stale, "tvm": stale}).verdict is Verdict.AGREE
    result = judge({"ort": stale, "tvm": stale}, arbiter(), repeats={"tvm": [forwards, backwards]})
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "NONDETERMINISM of tvm" in " ".join(result.compared[0].judgement.reasons)
    assert (
        judge({"ort": stale, "tvm": stale}, arbiter(), repeats={"tvm": [forwards, forwards]}).verdict is Verdict.AGREE
    )


def test_a_repeat_that_failed_is_a_doubt(judge):
    facts = {"tvm": {"repeat_failed": "run again, it failed: SIGSEGV", "repeated": 8}}
    result = judge({"ort": rounded(1), "tvm": rounded(2)}, facts=facts)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "SIGSEGV" in " ".join(result.compared[0].judgement.reasons)


def test_a_noisy_side_is_blamed_for_nothing(judge):
    cells = FAITHFUL | {"tvm": rounded(2, by=0.05)}
    again = [rounded(7, by=0.05)[:8], rounded(8, by=0.05)[:8]]
    result = judge(cells, arbiter(), repeats={"tvm": again})
    assert result.verdict is Verdict.INCONCLUSIVE
    assert all(sure is Sure.UNKNOWN for _, sure in blamed(result))


def test_inputs_that_notice_no_sabotage_prove_nothing(judge):
    blind = judge(FAITHFUL, arbiter(), spoilt(lambda y: y.copy()))
    assert (blind.verdict, blind.exit_code) == (Verdict.INCONCLUSIVE, 4)
    assert "of 4 copies of the model with a fault each, this comparison notices 0" in " ".join(
        blind.compared[0].judgement.reasons
    )
    assert judge(FAITHFUL, arbiter(), spoilt(lambda y: y * np.float32(1.01))).verdict is Verdict.AGREE
    wrong = FAITHFUL | {"tvm": rounded(2, by=0.05)}
    assert judge(wrong, arbiter(), spoilt(lambda y: y.copy())).verdict is Verdict.DIFFER


def test_a_fault_that_a_coarse_precision_would_excuse_is_not_noticed_in_it(judge):
    """Copies are off by 2 %: float32 explains none of that, bfloat16 all."""
    cells, copies = FAITHFUL | {"openvino": rounded(3, by=2e-3)}, spoilt(lambda y: y * np.float32(1.002))
    result = judge(cells, arbiter(), copies, facts=BF16)
    assert result.weighed.powers["model"].noticed == 4
    verdicts = {(str(p.candidate), str(p.reference)): p.judgement for p in result.compared}
    assert verdicts["tvm", "ort"].verdict is Verdict.AGREE
    coarse = verdicts["openvino", "ort"]
    assert coarse.verdict is Verdict.INCONCLUSIVE
    assert "this comparison notices 0 in bfloat16" in coarse.reasons[0]
    assert judge(cells, arbiter(), spoilt(lambda y: -y), facts=BF16).verdict is Verdict.AGREE


def test_copies_that_did_not_run_tell_nothing_of_the_inputs(judge):
    blind, dead = spoilt(lambda y: y.copy()), Sabotaged("dead", "graph", "died", None, "no such operator")
    result = judge(FAITHFUL, arbiter(), replace(blind, copies=(*blind.copies, *[dead] * 8)))
    assert (result.weighed.powers["model"].copies, result.verdict) == (4, Verdict.INCONCLUSIVE)
    none = judge(FAITHFUL, arbiter(), replace(blind, copies=(dead, dead)))
    assert none.weighed.powers["model"] == "none of 2 copies ran: no such operator"


def flipped(rows, seed=1):
    """The last so many labels are others."""
    array = rounded(seed)
    array[N - rows :] = -array[N - rows :]
    return array


def test_of_many_pairs_chance_alone_accuses_none(judge):
    """5 of 60 is above 2.5 % by its own interval, and not as one of 15 pairs."""
    two = judge({"ort": rounded(0), "torch": flipped(5)}, limits={"max_disagreement": "2.5%"})
    assert two.verdict is Verdict.DIFFER
    cells = {"ort": rounded(0), "torch": flipped(5)} | {f"tvm[threads={n}]": CRASH for n in range(3)}
    assert judge(cells, limits={"max_disagreement": "2.5%"}).verdict is Verdict.DIFFER, "none was compared"
    cells = {f"tvm[threads={n}]": rounded(n) for n in range(1, 6)} | {"torch": flipped(5)}
    many = judge(cells, limits={"max_disagreement": "2.5%"})
    assert many.verdict is Verdict.INCONCLUSIVE
    assert "by chance" in " ".join(reason for pair in many.compared for reason in pair.judgement.reasons)
    assert judge(cells, limits={"max_disagreement": "0.1%"}).verdict is Verdict.DIFFER
    fewer = judge(cells, limits={"max_disagreement": "2.5%", "reference": "torch"})
    assert fewer.verdict is Verdict.DIFFER, "pairs that nobody asked about are no more chances"


def test_too_few_samples_say_how_many_it_takes(judge):
    cells = {"ort": rounded(0), "torch": rounded(1)}
    result = judge(cells, limits={"max_disagreement": "0.5%"})
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "it takes about 765 at this rate" in " ".join(result.compared[0].judgement.reasons)
    assert judge(cells, limits={"max_disagreement": "7%"}).verdict is Verdict.AGREE
    assert judge(cells, limits={"max_disagreement": 0}).verdict is Verdict.AGREE, "of these samples"
    assert judge({"ort": rounded(0), "torch": flipped(1)}, limits={"max_disagreement": 0}).verdict is Verdict.DIFFER


@pytest.mark.parametrize("order", [1, -1])
def test_one_class_for_all_makes_a_rate_meaningless_whichever_side_says_so(judge, order):
    """One is stuck on a class; the other leaves it once in 60."""
    stuck = rounded(1)
    stuck[:, 3] += 10
    other = stuck.copy()
    other[0, 3] -= 20
    cells = dict([("ort", stuck), ("tvm", other)][::order])
    result = judge(cells, limits={"max_disagreement": "20%", "task": "classification"})
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "the same class, 3" in " ".join(result.compared[0].judgement.reasons)
    mixed = {name: array - np.where(np.arange(CLASSES) == 3, 10, 0).astype("f4") for name, array in cells.items()}
    assert judge(mixed, limits={"max_disagreement": "20%"}).verdict is Verdict.AGREE


def test_which_of_two_is_the_better_classifier(judge):
    truth = EXACT.argmax(axis=1).tolist()
    result = judge({"ort": rounded(0), "torch": flipped(12), "tvm": rounded(2)}, labels=[None, *truth[1:]])
    tests = {(str(p.candidate), str(p.reference)): p.mcnemar["y"] for p in result.compared}
    worse = tests["torch", "ort"]
    assert (worse.candidate_only, worse.reference_only) == (0, 12)
    assert worse.p_value == pytest.approx(2 / 2**12)
    assert worse.adjusted == pytest.approx(worse.p_value * 3 / 2), "two of three are as small"
    assert (tests["tvm", "torch"].candidate_only, tests["tvm", "ort"].p_value) == (12, 1)


def test_labels_that_fit_one_output_are_no_test_of_another(judge):
    truth = [*EXACT.argmax(axis=1).tolist()[1:], CLASSES - 1]
    cells = {name: {"boxes": FAITHFUL[name][:, :4], "y": FAITHFUL[name]} for name in ("ort", "torch")}
    assert set(judge(cells, labels=truth).compared[0].mcnemar) == {"y"}
    assert judge(cells).compared[0].mcnemar == {}


def test_the_same_code_twice_is_no_agreement_between_environments(judge):
    facts = {name: {"artifact": "1"} for name in ("ort", "ort-O0")}
    cells = {"ort": rounded(0), "ort-O0": rounded(0)}
    result = judge(cells, facts=facts)
    assert result.compared[0].left_out is LeftOut.SAME_CODE
    assert result.verdict is Verdict.INCONCLUSIVE
    assert judge(cells | {"ort-O0": rounded(0, by=0.05)}, facts=facts).verdict is Verdict.DIFFER


def test_why_there_is_no_arbiter_leaves_the_tolerance(judge, tmp_path):
    """As of a .tflite file, which none of its engines reads."""
    judge({"ort": rounded(0), "tvm": rounded(1, by=4e-4)})
    folder = tmp_path / "run-1" / "evidence" / "model"
    folder.mkdir(parents=True)
    why = {"arbiter": {"reason": "torch reads no .tflite files"}, "sabotage": {"reason": "nothing reads it"}}
    (folder / "evidence.json").write_text(json.dumps(why))
    result = deltann.load(tmp_path / "run-1")
    assert result.verdict is Verdict.AGREE
    assert result.weighed.arbiters["model"] == "torch reads no .tflite files"
    assert result.weighed.sound == {}


SCORES = rounded(11)
OTHER = rounded(12, exact=RNG.standard_normal((N, CLASSES)))


def put(value, array=SCORES, at=(7, 3)):
    other = array.copy()
    other[at] = value
    return other


BAD = {
    "NaN on one side": ({"y": SCORES}, {"y": put(np.nan)}),
    "Inf on one side": ({"y": SCORES}, {"y": put(np.inf)}),
    "other infinities": ({"y": put(np.inf)}, {"y": put(-np.inf)}),
    "NaN beside Inf": ({"y": put(np.nan)}, {"y": put(np.inf)}),
    "NaN on both sides": ({"y": put(np.nan)}, {"y": put(np.nan)}),
    "Inf on both sides": ({"y": put(np.inf)}, {"y": put(np.inf)}),
    "a row of NaN on both sides": ({"y": put(np.nan, at=7)}, {"y": put(np.nan, at=7)}),
    "nothing but NaN": ({"y": put(np.nan, at=...)}, {"y": put(np.nan, at=...)}),
    "one sample": ({"y": SCORES[:1]}, {"y": SCORES[:1]}),
    "fewer classes": ({"y": SCORES}, {"y": SCORES[:, :7]}),
    "another rank": ({"y": SCORES}, {"y": SCORES[:, :, None, None]}),
    "float64": ({"y": SCORES}, {"y": SCORES.astype("f8")}),
    "integers": ({"y": SCORES}, {"y": SCORES.astype("i4")}),
    "outputs swapped": ({"y": SCORES, "z": OTHER}, {"y": OTHER, "z": SCORES}),
    "an output missing": ({"y": SCORES, "z": OTHER}, {"y": SCORES}),
    "an output more": ({"y": SCORES}, {"y": SCORES, "z": OTHER}),
    "another name": ({"y": SCORES}, {"z": SCORES}),
    "samples in another order": ({"y": SCORES}, {"y": SCORES[::-1].copy()}),
    "the last sample's outputs": ({"y": SCORES}, {"y": np.roll(SCORES, 1, axis=0)}),
    "one class off": ({"y": SCORES}, {"y": np.roll(SCORES, 1, axis=1)}),
    "a constant": ({"y": np.full_like(SCORES, 0.25)}, {"y": np.full_like(SCORES, 0.25)}),
    "one row for all": ({"y": np.repeat(SCORES[:1], N, axis=0)}, {"y": np.repeat(SCORES[:1], N, axis=0)}),
    "zeros": ({"y": np.zeros_like(SCORES)}, {"y": np.zeros_like(SCORES)}),
    "zeros on one side": ({"y": SCORES}, {"y": np.zeros_like(SCORES)}),
}
ASKED = {"nothing": {}, "a limit": {"max_disagreement": "10%"}, "no disagreement": {"max_disagreement": 0}}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("bad", BAD)
def test_bad_outputs_never_agree(judge, bad, asked):
    first, second = BAD[bad]
    for cells in ({"ort": first, "tvm": second}, {"tvm": second, "ort": first}):
        result = judge(cells, limits=ASKED[asked])
        assert result.verdict in (Verdict.DIFFER, Verdict.INCONCLUSIVE)
        assert result.exit_code in (1, 4)
        assert result.compared[0].judgement.reasons
    both = {"y": first["y"], "z": OTHER} if "z" not in first else first
    if set(first) == set(second) == {"y"} and bad not in ("a constant", "one row for all", "zeros", "one sample"):
        # A good output beside it changes nothing; of vacuous ones, it is what lets a pair agree.
        result = judge({"ort": both, "tvm": {"y": second["y"], "z": OTHER}}, limits=ASKED[asked])
        assert result.verdict in (Verdict.DIFFER, Verdict.INCONCLUSIVE)


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("bad", [name for name, sides in BAD.items() if sides[0]["y"].shape == SCORES.shape])
def test_no_arbiter_that_knows_of_it_excuses_bad_outputs(judge, bad, asked):
    """Float64 has them as well, on the samples that it saw, and the engines give them again and again."""
    first, second = BAD[bad]
    truth = {name: array.astype("f8") for name, array in first.items()}
    found = Arbitration(
        "torch[outputs=computed,precision=float64]",
        CHOSEN,
        len(CHOSEN),
        {name: array[CHOSEN] for name, array in truth.items()},
        {name: array[CHOSEN] for name, array in first.items()},
    )
    result = judge({"ort": first, "tvm": second}, found, limits=ASKED[asked])
    assert result.verdict in (Verdict.DIFFER, Verdict.INCONCLUSIVE)


@pytest.mark.parametrize("asked", ASKED)
def test_good_outputs_agree_by_the_same_questions(judge, asked):
    assert (
        judge({"ort": {"y": SCORES, "z": OTHER}, "tvm": {"y": SCORES, "z": OTHER}}, limits=ASKED[asked]).exit_code == 0
    )


def declare(run, *names):
    """The run's model declares further outputs, shaped as the first."""
    path = run.folder / "run.json"
    document = json.loads(path.read_text())
    (_, dtype, shape), *_ = outputs = document["models"]["model"]["outputs"]
    outputs += [[name, dtype, shape] for name in names]
    path.write_text(json.dumps(document))
    return deltann.load(run.folder)


@pytest.mark.parametrize("found", [None, arbiter()])
def test_an_output_that_the_model_declares_and_neither_side_gives_is_a_difference(judge, found):
    cells = {"ort": rounded(0), "tvm": rounded(1)}
    whole = judge(cells, found)
    assert whole.verdict is Verdict.AGREE
    result = declare(whole.run, "z")
    assert (result.verdict, result.exit_code) == (Verdict.DIFFER, 1)
    assert "output 'z', which the model declares, is missing from both sides" in result.compared[0].judgement.reasons
    one = declare(judge({"ort": rounded(0), "tvm": {"y": rounded(1), "z": OTHER}}).run, "z")
    reasons = one.compared[0].judgement.reasons
    assert (one.verdict, sum("'z'" in reason for reason in reasons)) == (Verdict.DIFFER, 1), "told once"


def test_two_environments_with_one_defect_do_not_agree(judge):
    """Both give other classes than float64, and more of them than it has."""
    wide = np.concatenate([SCORES, SCORES + 9], axis=1)
    other = wide.copy()
    other[0] = -other[0]  # a flip between classes that the arbiter does not know
    for second in (wide.copy(), other):
        result = judge({"ort": wide, "tvm": second}, arbiter(SCORES.astype("f8"), np.arange(N)))
        assert result.verdict is Verdict.DIFFER
        assert "a sample has the shape [16], and float64's [8]" in " ".join(result.compared[0].judgement.reasons)
    result = judge({"ort": {"y": SCORES, "z": OTHER}, "tvm": {"y": SCORES, "z": OTHER}}, arbiter(SCORES.astype("f8")))
    assert result.verdict is Verdict.AGREE


def test_the_arbiters_scores_are_gone_through_once_whatever_the_cells(judge, monkeypatch):
    calls = []
    real = triage.moved
    monkeypatch.setattr(triage, "moved", lambda *asked: calls.append(asked) or real(*asked))
    assert judge(FAITHFUL, arbiter(), facts=BF16).verdict is Verdict.AGREE
    assert len(calls) == 1


def test_a_run_of_no_samples_is_none(judge, tmp_path):
    judge({"ort": SCORES, "tvm": SCORES})
    path = tmp_path / "run-1" / "run.json"
    document = json.loads(path.read_text())
    document["inputs"]["names"] = []
    path.write_text(json.dumps(document))
    with pytest.raises(deltann.errors.UsageError, match=r"damaged \(inputs\.names\)"):
        deltann.load(tmp_path / "run-1")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.integers(0, N - 1), st.integers(0, CLASSES - 1), st.floats(0.01, 1e4) | st.just(float("nan")), st.booleans())
def test_one_wrong_number_anywhere_differs_from_either_side(judge, sample, place, by, swap):
    wrong = put(SCORES[sample, place] + np.float32(by), at=(sample, place))
    cells = {"ort": wrong, "tvm": SCORES} if swap else {"ort": SCORES, "tvm": wrong}
    assert judge(cells).verdict is Verdict.DIFFER
    assert judge(cells, arbiter(SCORES.astype("f8"))).verdict is Verdict.DIFFER


OFFLINE = """
import json, subprocess, sys
def refuse(*_, **__): raise AssertionError("something was run")
subprocess.Popen.__init__ = refuse
import os; os.fork = os.posix_spawn = refuse
import deltann
run, asked = sys.argv[1], json.loads(sys.argv[2])
verdicts = [str(deltann.load(run, **limits).verdict) for limits in asked]
print(json.dumps([verdicts, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def test_other_thresholds_change_the_verdict_and_nothing_is_run(judge, tmp_path):
    judge({"ort": rounded(0), "tvm": rounded(1, by=4e-4)}, arbiter(), spoilt(lambda y: y[:, ::-1]))
    asked = [{}, {"atol": 0.1}, {"atol": 1e-9, "rtol": 0}, {"max_disagreement": "7%"}, {"max_disagreement": "1%"}]
    before = {path: path.read_bytes() for path in (tmp_path / "run-1").rglob("*") if path.is_file()}
    command = [sys.executable, "-c", OFFLINE, str(tmp_path / "run-1"), json.dumps(asked)]
    verdicts, modules = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert verdicts == ["DIFFER", "AGREE", "DIFFER", "AGREE", "INCONCLUSIVE"]
    frameworks = {"torch", "tensorflow", "tvm", "onnxruntime", "openvino", "tract", "iree", "ai_edge_litert", "ray"}
    assert not frameworks & set(modules)
    assert not {name for name in modules if name.startswith("deltann_")}, "no adapter either"
    assert before == {path: path.read_bytes() for path in (tmp_path / "run-1").rglob("*") if path.is_file()}


def test_cells_are_weighed_by_themselves(judge):
    result = judge(FAITHFUL | {"tvm": CRASH}, arbiter())
    assert Cell("tvm") not in result.weighed.sound
    assert result.exit_code == 3
