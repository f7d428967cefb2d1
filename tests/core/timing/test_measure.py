"""Measuring for real: fresh processes, in turns, one at a time."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest

import deltann
from deltann.environment import Environment
from deltann.errors import UsageError
from deltann.host import host
from deltann.outcome import Status, Symptom
from deltann.result import Result
from deltann.runner.cell import Limits
from deltann.runner.deadlines import parse_deadlines
from deltann.store import Cell, Run, open_run, write_json
from deltann.testing.faulty import ENTRY
from deltann.testing.models import MODELS
from deltann.testing.registration import registered
from deltann.timing import machine, measure
from deltann.timing.inputs import stored_work
from deltann.timing.machine import calibrate_machine, material, stored_calibration
from deltann.timing.measure import bench
from deltann.timing.options import Options
from deltann.timing.protocol import Contender, measure_round
from deltann.timing.rounds import Checks, Measured, Round, load_rounds
from deltann.timing.stored import document_of, timing, timing_folder
from deltann.timing.verdict import TimeVerdict

LIMITS = Limits(parse_deadlines(["60"]), 8 << 30)
SOUND, TWIN = "faulty", "faulty[threads=1]"
CRASHES = "faulty[at=400,symptom=CRASH]"


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Result]:
    """A finished comparison, whose inputs are in a cache of their own."""
    folder = tmp_path_factory.mktemp("timed")
    onnx.save_model(MODELS["classifier"]().proto, folder / "model.onnx")
    with pytest.MonkeyPatch.context() as patch, registered(faulty=ENTRY):
        patch.setenv("DELTANN_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        yield deltann.compare(
            folder / "model.onnx", f"{SOUND},{TWIN},{CRASHES}", inputs="random:5", batch_size=2, evidence="none",
            out=folder / "run",
        )  # fmt: skip


def contenders(result: Result, *names: str) -> list[Contender]:
    work = stored_work(result.run, "model")
    return [
        Contender(name, Cell(name), work, result.run.outputs_folder(Cell(name)), result.run.folder / f"{i}.log")
        for i, name in enumerate(names)
    ]


def a_round(result: Result, *names: str, pin: tuple[int, ...] = (), seed: int = 0, notify=lambda _: None) -> Round:
    rng = np.random.default_rng(seed)
    return measure_round("measure", contenders(result, *names), LIMITS, pin, rng, 0.0, 1, notify)


def test_a_round_has_the_same_slices_of_all_in_random_order(compared):
    found = a_round(compared, SOUND, TWIN)
    first, second = found.measured
    assert first.seconds.shape[0] == second.seconds.shape[0] == len(found.order) >= 8
    assert {frozenset(turn) for turn in found.order} == {frozenset((SOUND, TWIN))}
    assert len(set(found.order)) == 2, "both orders come up"
    for one in found.measured:
        assert (one.seconds > 0).all()
        assert one.outcome is None
        assert one.load_s > 0
        assert one.first_s > 0
        assert one.peak_memory > 1 << 20
        assert one.artifact_bytes > 0
        assert one.checks.invalid is None
        assert one.checks.tells


def test_the_order_is_that_of_the_seed(compared):
    orders = [a_round(compared, SOUND, TWIN, seed=seed).order[:8] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_whoever_waits_is_stopped_and_pinned(compared):
    """An engine's threads spin while they wait, which would take the others' time."""
    cpu = min(os.sched_getaffinity(0))
    seen = []

    def look(doing: str) -> None:
        if "slice" in doing:
            seen.extend((child.status(), tuple(child.cpu_affinity())) for child in psutil.Process().children())

    a_round(compared, SOUND, TWIN, pin=(cpu,), notify=look)
    assert set(seen) == {(psutil.STATUS_STOPPED, (cpu,))}
    assert len(seen) >= 2 * 8
    assert os.sched_getaffinity(0) != {cpu} or os.cpu_count() == 1
    assert not psutil.Process().children()


def test_whoever_dies_costs_itself_alone(compared):
    found = a_round(compared, SOUND, CRASHES)
    sound, crashed = found.measured
    assert crashed.outcome.status is Status.FAILED
    assert crashed.outcome.symptom is Symptom.CRASH
    assert sound.outcome is None
    assert len(sound.seconds) >= 8


def test_inputs_that_are_gone_are_told(compared, monkeypatch, tmp_path):
    monkeypatch.setenv("DELTANN_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="no longer in the cache"):
        stored_work(compared.run, "model")


def test_a_model_that_changed_is_told(compared):
    path = Path(compared.run.models["model"].path)
    whole = path.read_bytes()
    proto = onnx.load(path)
    proto.doc_string = "another"
    try:
        onnx.save_model(proto, path)
        with pytest.raises(UsageError, match="no longer the model"):
            stored_work(compared.run, "model")
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("content", [b"root:x:0:0:secret words", b"", None])
def test_a_file_that_a_strangers_run_names_is_not_told_of(compared, tmp_path, monkeypatch, content):
    path = tmp_path / "anything"
    if content is not None:
        path.write_bytes(content)
    document = json.loads(json.dumps(compared.run.document))
    document["models"]["model"]["path"] = str(path)
    with pytest.raises(UsageError) as told:
        stored_work(Run(compared.run.folder, document), "model")
    assert str(told.value).startswith(f"{path} is no longer the model that")
    assert "secret" not in str(told.value)
    if content:
        document["models"]["model"]["sha256"] = hashlib.sha256(content).hexdigest()
        monkeypatch.setattr(onnx, "load", None)
        assert stored_work(Run(compared.run.folder, document), "model").samples == 5


def test_a_model_with_its_weights_beside_it_is_known_again(tmp_path, monkeypatch):
    monkeypatch.setenv("DELTANN_CACHE", str(tmp_path / "cache"))
    proto = MODELS["classifier"]().proto
    onnx.save_model(proto, tmp_path / "model.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    with registered(faulty=ENTRY):
        run = deltann.compare(tmp_path / "model.onnx", f"{SOUND},{TWIN}", inputs="random:2", out=tmp_path / "run").run
    assert stored_work(run, "model").samples == 2
    weights = bytearray((tmp_path / "weights").read_bytes())
    weights[0] ^= 1
    (tmp_path / "weights").write_bytes(weights)
    with pytest.raises(UsageError, match="no longer the model"):
        stored_work(run, "model")


@pytest.mark.parametrize("fact", ["version", "artifact"])
def test_what_is_no_longer_what_was_compared_is_not_timed(compared, fact):
    same = [replace(one, facts=compared.run.record(one.cell).facts) for one in contenders(compared, SOUND)]
    rng = np.random.default_rng(0)
    assert measure_round("measure", same, LIMITS, (), rng, 0.0, 1, lambda _: None).measured[0].outcome is None
    other = [replace(one, facts={**one.facts, fact: "another"}) for one in same]
    with pytest.raises(UsageError, match=rf"{SOUND} is .*{fact}.* compare again"):
        measure_round("measure", other, LIMITS, (), rng, 0.0, 1, lambda _: None)


def test_a_bench_of_an_upgraded_engine_is_refused_and_leaves_no_times(compared, tmp_path):
    shutil.copytree(compared.run.folder, tmp_path / "run", ignore=shutil.ignore_patterns("timing"))
    run = open_run(tmp_path / "run")
    record = run.record(Cell(TWIN))
    run.save_record(replace(record, facts={**record.facts, "version": "0.0.1"}))
    with pytest.raises(UsageError, match=r"and was 0\.0\.1 when it was compared"):
        bench(run, Options(), LIMITS, lambda *_: None)
    assert document_of(run) is None


class TestStopping:
    """When measuring ends, with rounds made up as fast as they are asked for."""

    @pytest.fixture
    def made(self, monkeypatch):
        """Rounds asked for: (kind, names); each takes 10 s of the budget."""
        asked = []
        self.slower, self.spread, self.seconds = 0.0, 0.001, 10.0
        rng = np.random.default_rng(5)

        def fake(kind, involved, *_):
            names = tuple(contender.name for contender in involved)
            asked.append((kind, names))
            measured = []
            for name in names:
                level = 1e-3 * (1 + (self.slower if name == TWIN else 0)) * np.exp(self.spread * rng.normal())
                times = level * np.exp(0.001 * rng.standard_normal((10, 4)))
                measured.append(Measured(name, times, checks=Checks(40)))
            return Round(kind, tuple(measured), (names,) * 10, self.seconds)

        monkeypatch.setattr(measure, "measure_round", fake)
        return asked

    @pytest.fixture
    def run(self, compared):
        """The comparison, not timed yet."""
        shutil.rmtree(timing_folder(compared.run), ignore_errors=True)
        return compared.run

    def bench(self, run, **options):
        bench(run, Options(**options), LIMITS, lambda *_: None)
        return timing(run)

    def test_equal_ones_stop_when_the_interval_is_narrow(self, made, run):
        found = self.bench(run, budget=1000.0)
        assert [kind for kind, _ in made] == ["measure"] * 5
        assert found.complete
        assert found.pairs[0].verdict is TimeVerdict.EQUIVALENT

    def test_wide_intervals_go_on_until_the_budget_is_spent(self, made, run):
        self.spread = 0.2
        found = self.bench(run, budget=100.0)
        assert [kind for kind, _ in made].count("measure") == 10
        assert found.pairs[0].verdict is TimeVerdict.INCONCLUSIVE

    def test_slower_ones_are_confirmed_apart_in_as_many_rounds(self, made, run):
        self.slower = 0.5
        found = self.bench(run, budget=1000.0)
        assert made == [("measure", (SOUND, TWIN, CRASHES))] * 5 + [("confirm", (SOUND, TWIN))] * 5
        assert found.pairs[0].verdict is TimeVerdict.REGRESSION
        assert found.pairs[1].verdict is TimeVerdict.EQUIVALENT

    def test_a_slowdown_does_not_end_it_early(self, made, run):
        """Stopping at the first significant difference would find differences by chance."""
        self.slower, self.spread = 0.5, 0.2
        self.bench(run, budget=80.0)
        assert [kind for kind, _ in made].count("measure") == 8

    def test_five_rounds_are_done_though_they_take_longer_than_the_budget(self, made, run):
        self.bench(run, budget=20.0)
        assert [kind for kind, _ in made] == ["measure"] * 5

    def test_five_rounds_that_would_take_far_longer_are_not_begun(self, made, run):
        found = self.bench(run, budget=10.0)
        assert len(made) == 1
        assert found.pairs[0].verdict is TimeVerdict.INCONCLUSIVE

    def test_what_was_interrupted_goes_on(self, made, run, monkeypatch):
        whole = measure.measure_round

        def stopped(*args):
            if len(made) == 3:
                raise KeyboardInterrupt
            return whole(*args)

        monkeypatch.setattr(measure, "measure_round", stopped)
        with pytest.raises(KeyboardInterrupt, match="3 rounds are kept"):
            self.bench(run, budget=1000.0)
        assert not timing(run).complete
        with pytest.raises(UsageError, match="other options"):
            self.bench(run, budget=999.0)
        monkeypatch.setattr(measure, "measure_round", whole)
        assert self.bench(run, budget=1000.0).complete
        assert len(made) == 5
        assert len(load_rounds(timing_folder(run))) == 5

    def test_what_was_interrupted_on_another_machine_does_not_go_on(self, made, run, monkeypatch):
        def stopped(*_):
            raise KeyboardInterrupt

        fake = measure.measure_round
        monkeypatch.setattr(measure, "measure_round", stopped)
        with pytest.raises(KeyboardInterrupt):
            self.bench(run)
        monkeypatch.setattr(measure, "measure_round", fake)
        here = host()
        for part, other in (("node", "elsewhere"), ("cpu", "another processor"), ("cores", 999)):
            monkeypatch.setattr(measure, "host", lambda part=part, other=other: {**here, part: other})
            with pytest.raises(UsageError, match="another machine"):
                self.bench(run)
        assert not made
        monkeypatch.setattr(measure, "host", lambda: {**here, "python": "3.99"})
        assert self.bench(run).complete

    def test_what_ended_says_so_and_of_how_many_rounds(self, made, run, monkeypatch):
        whole = measure.measure_round

        def stopped(*args):
            if len(made) == 3:
                raise KeyboardInterrupt
            return whole(*args)

        monkeypatch.setattr(measure, "measure_round", stopped)
        write_json(run.folder / "run.json", dict(run.document))
        with pytest.raises(KeyboardInterrupt):
            self.bench(run, budget=1000.0)
        assert "rounds" not in document_of(run)
        assert "timed" not in open_run(run.folder).document
        assert timing(run).missing
        monkeypatch.setattr(measure, "measure_round", whole)
        found = bench(run, Options(budget=1000.0), LIMITS, lambda *_: None)
        assert document_of(run)["rounds"] == 5
        assert found.document == open_run(run.folder).document == {**run.document, "timed": True}
        assert timing(run).missing == ()

    def test_a_run_whose_times_are_gone_is_timed_anew(self, made, run):
        self.bench(run, budget=1000.0)
        shutil.rmtree(timing_folder(run))
        with pytest.raises(UsageError, match="measure again"):
            timing(open_run(run.folder))
        assert self.bench(open_run(run.folder), budget=1000.0).complete
        assert len(made) == 10

    @pytest.mark.usefixtures("made")
    def test_a_run_is_timed_once(self, run):
        self.bench(run)
        with pytest.raises(UsageError, match="timed already"):
            self.bench(run)

    def test_an_unknown_reference_is_refused_before_anything_runs(self, made, run):
        with pytest.raises(UsageError, match="--reference"):
            self.bench(run, reference="torch")
        assert not made
        assert document_of(run) is None

    @pytest.mark.usefixtures("made")
    def test_the_hosts_calibration_is_kept_with_the_run(self, run, monkeypatch):
        def fake(_kind, involved, *_):
            return Round("measure", tuple(self._noisy(contender.name) for contender in involved), ((),) * 10, 0.1)

        monkeypatch.setattr(machine, "measure_round", fake)
        work = material(run.models["model"].path, "random:4")
        found = calibrate_machine(work, Environment.parse(SOUND), Options(budget=0.1), LIMITS, lambda *_: None)
        assert found.experiments == 5
        assert found.detectable > 0.05
        kept = stored_calibration(host(), 50.0)
        assert kept["environment"] == SOUND
        assert stored_calibration(host(), 90.0) is None
        assert stored_calibration({**host(), "node": "another"}, 50.0) is None
        self.slower = 0.2
        refused = self.bench(run)
        assert refused.calibration == found
        assert refused.pairs[0].verdict is TimeVerdict.INCONCLUSIVE
        assert "this host detects" in refused.pairs[0].reasons[0]

    def _noisy(self, name: str) -> Measured:
        rng = self.rng = getattr(self, "rng", np.random.default_rng(9))
        level = 1e-3 * np.exp(0.1 * rng.standard_normal())
        return Measured(name, level * np.exp(0.01 * rng.standard_normal((10, 4))), checks=Checks(40))

    def test_an_environment_that_fails_cannot_calibrate(self, run):
        work = material(run.models["model"].path, "random:4")
        for spec, word in (("faulty[symptom=CRASH]", "FAILED"), ("faulty[status=UNSUPPORTED]", "UNSUPPORTED")):
            with pytest.raises(UsageError, match=word):
                calibrate_machine(work, Environment.parse(spec), Options(budget=0.1), LIMITS, lambda *_: None)
