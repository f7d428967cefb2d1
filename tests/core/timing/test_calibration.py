from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from deltann.errors import UsageError
from deltann.timing.calibration import Calibration, calibrate
from deltann.timing.estimate import slowdown
from deltann.timing.series import Series
from deltann.timing.verdict import TimeVerdict, judge_times

Simulate = Callable[..., tuple[Series, Series]]
HOST = {"node": "bench1", "cpu": "a processor", "cores": 2, "python": "3.11.7"}


def _experiments(simulate: Simulate, count: int = 20, **noise: object) -> list[tuple[Series, Series]]:
    return [simulate(1000 + seed, **noise) for seed in range(count)]


def test_noise_decides_what_can_be_detected(simulate: Simulate, machines: Mapping[str, Any]) -> None:
    quiet = calibrate(_experiments(simulate, machine=machines["quiet"]), HOST)
    unlucky = calibrate(_experiments(simulate, machine=machines["unlucky processes"]), HOST)
    assert quiet.detectable <= 0.03, "less than the margin, so that smaller margins can be asked for"
    assert 0.08 < unlucky.detectable < 0.15
    assert quiet.spread < 0.02 < unlucky.spread < 0.06
    assert len(quiet.ratios) == 100
    assert quiet.false_positives == 0
    assert (quiet.experiments, quiet.unusable, quiet.rounds) == (20, 0, 5)
    assert 0 == quiet.low < quiet.high < 0.2


def test_what_is_detectable_is_found_95_times_of_100(simulate: Simulate) -> None:
    calibration = calibrate(_experiments(simulate, 40), HOST)

    def found(slow: float) -> float:
        count = 0
        for seed in range(100):
            first, second = (slowdown(*simulate(5000 + 2 * seed + k, slowdown=slow)) for k in (0, 1))
            verdict = judge_times({("a", "b"): first}, confirmations={("a", "b"): second})[("a", "b")].verdict
            count += verdict is TimeVerdict.REGRESSION
        return count / 100

    assert found(calibration.detectable) >= 0.89, "2.5 standard errors under 0.95"
    assert found(calibration.detectable / 2) < 0.7


def test_more_rounds_detect_less(simulate: Simulate, machines: Mapping[str, Any]) -> None:
    calibration = calibrate(_experiments(simulate, machine=machines["unlucky processes"]), HOST)
    assert calibration.detectable_with(5) == calibration.detectable
    assert calibration.detectable_with(20) < calibration.detectable_with(10) < calibration.detectable
    assert calibration.detectable_with(400) <= 0.015


def test_false_positives_are_counted_on_both_sides(simulate: Simulate) -> None:
    experiments = _experiments(simulate, 8)
    slower, faster = simulate(1, slowdown=0.3), simulate(2, slowdown=-0.3)
    calibration = calibrate([*experiments, slower, faster], HOST)
    assert calibration.false_positives == calibrate(experiments, HOST).false_positives + 2
    assert calibration.low < 0.2 < calibration.high


def test_a_hopeless_machine_detects_nothing(simulate: Simulate, machines: Mapping[str, Any]) -> None:
    machine = replace(machines["plain"], process=1.0)
    calibration = calibrate(_experiments(simulate, machine=machine), HOST)
    assert math.isinf(calibration.detectable)
    assert Calibration.from_json(json.loads(json.dumps(calibration.to_json(), allow_nan=False))) == calibration


def test_it_is_reproducible_and_survives_json(simulate: Simulate) -> None:
    experiments = _experiments(simulate, 6)
    calibration = calibrate(experiments, HOST)
    assert calibrate(experiments, HOST) == calibration
    assert Calibration.from_json(json.loads(json.dumps(calibration.to_json(), allow_nan=False))) == calibration


def test_experiments_without_data_do_not_count(simulate: Simulate) -> None:
    short = simulate(1, rounds=2)
    calibration = calibrate([*_experiments(simulate, 6), short], HOST)
    assert (calibration.experiments, calibration.unusable) == (6, 1)
    with pytest.raises(UsageError, match=r"there are 4 \(the first without: not enough samples: 2 rounds"):
        calibrate([*_experiments(simulate, 4), short], HOST)
    with pytest.raises(UsageError, match="there are 0: give it more time"):
        calibrate([], HOST)


def test_it_holds_for_its_own_host(simulate: Simulate) -> None:
    calibration = calibrate(_experiments(simulate, 6), HOST)
    assert calibration.holds_for({**HOST, "python": "3.13.1"})
    assert not calibration.holds_for({**HOST, "cpu": "another processor"})
    assert not calibration.holds_for({**HOST, "cores": 4})
    assert not calibration.holds_for({**HOST, "node": "bench2"})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.pop("detectable"),
        lambda data: data.update(detectable="5%"),
        lambda data: data.update(schema=99),
        lambda data: data.update(host=None),
        lambda data: data.update(more=1),
        lambda data: data.update(rounds=None),
        lambda data: data.update(ratios=["no number"]),
        lambda data: data.pop("ratios"),
    ],
)
def test_damaged_json_is_refused(spoil: Callable[[dict[str, object]], object], simulate: Simulate) -> None:
    data = calibrate(_experiments(simulate, 6), HOST).to_json()
    spoil(data)
    with pytest.raises(UsageError, match="calibrate again"):
        Calibration.from_json(data)
