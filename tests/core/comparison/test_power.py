import numpy as np
import pytest

from deltann.comparison.evidence import Arbitration, Sabotage, Sabotaged
from deltann.comparison.power import ENOUGH, power
from deltann.comparison.precision import Precision
from deltann.comparison.tolerance import Tolerances, parse_tolerances

RNG = np.random.default_rng(0)
SOUND = RNG.normal(size=(16, 10)).astype("f4")


def copies(*outputs):
    made = [
        Sabotaged(f"copy-{n}", "graph" if n % 2 else "layout", f"fault {n}", None if y is None else {"y": y})
        for n, y in enumerate(outputs)
    ]
    return Sabotage("ort", {"y": SOUND}, tuple(made))


def swapped():
    return np.roll(SOUND, 1, axis=1)


def test_what_is_noticed_is_counted_by_how_and_by_kind():
    shifted = SOUND + np.float32(0.5)  # moves every number, and no label
    found = power(copies(swapped(), SOUND.copy(), None, shifted), Tolerances(), {}, None)
    assert (found.copies, found.noticed, found.by_numbers, found.by_labels) == (3, 2, 2, 1), "one did not run"
    assert found.missed == ("graph: fault 1",)
    assert dict(found.by_kind) == {"layout": (1, 1), "graph": (1, 2)}
    assert found.interval[0] < 2 / 3 < found.interval[1]
    assert found.enough


def test_inputs_that_notice_nothing_are_not_enough():
    found = power(copies(SOUND.copy(), SOUND.copy(), swapped()), Tolerances(), {}, None)
    assert (found.noticed, found.enough) == (1, False)
    assert found.share < ENOUGH


def test_the_criteria_in_force_decide():
    near = SOUND * np.float32(1.05)
    assert power(copies(near), Tolerances(), {}, None).noticed == 1
    assert power(copies(near), parse_tolerances(["0.1"], []), {}, None).noticed == 0
    assert power(copies(near), Tolerances(), {}, 0.01).noticed == 0, "no label changes"
    assert power(copies(swapped()), Tolerances(), {}, 0.01).noticed == 1


def test_the_arbiter_sees_what_the_default_tolerance_does_not():
    exact = SOUND.astype("f8")
    arbitration = Arbitration("torch", np.arange(16), 16, {"y": exact}, {"y": SOUND})
    slight = SOUND * np.float32(1 + 4e-4)
    assert power(copies(slight), Tolerances(), {}, None).noticed == 0
    assert power(copies(slight), Tolerances(), {}, None, arbitration).noticed == 1
    assert power(copies(slight), Tolerances(), {}, None, arbitration, Precision.INT8).noticed == 0
    assert power(copies(SOUND.copy()), Tolerances(), {}, None, arbitration).noticed == 0


def test_a_copy_that_says_nan_is_noticed():
    bad = SOUND.copy()
    bad[3, 3] = np.nan
    assert power(copies(bad), parse_tolerances(["1e30"], ["1e30"]), {}, 1.0).noticed == 1


def test_no_copies_tell_nothing():
    assert power(copies(), Tolerances(), {}, None) is None
    assert power(copies(None, None), Tolerances(), {}, None) is None


def test_like_copies_are_told_apart():
    twin = Sabotaged("copy", "graph", "fault", {"y": SOUND.copy()})
    other = Sabotaged("copy", "graph", "fault", {"y": swapped()})
    found = power(Sabotage("ort", {"y": SOUND}, (twin, other)), Tolerances(), {}, None)
    assert (found.noticed, found.missed) == (1, ("graph: fault",))
    assert found.share == pytest.approx(0.5)


def test_a_rate_is_judged_as_if_all_samples_showed_it():
    """1 label of 16 is above 2 % if it is 40 of 640."""
    one = SOUND.copy()
    one[3] = -one[3]
    assert power(copies(one), Tolerances(), {}, 0.02).noticed == 0
    assert power(copies(one), Tolerances(), {}, 0.02, samples=640).noticed == 1
    assert power(copies(one), Tolerances(), {}, 0.2, samples=640).noticed == 0
    assert power(copies(one), Tolerances(), {}, 0.02, samples=3).noticed == 0


def test_labels_that_a_precision_explains_are_not_noticed_in_it():
    exact = SOUND.astype("f8")
    second, first = np.argsort(exact, axis=1)[:, -2:].T
    rows = np.arange(16)
    exact[rows, first] = exact[rows, second] + 0.002
    single = exact.astype("f4")
    other = single.copy()
    other[rows, first], other[rows, second] = single[rows, second], single[rows, first]
    sabotage = Sabotage("ort", {"y": single}, (Sabotaged("a", "graph", "fault", {"y": other}),))
    arbitration = Arbitration("torch", np.arange(16), 16, {"y": exact}, {"y": single})
    assert power(sabotage, Tolerances(), {}, None, arbitration).noticed == 1
    found = power(sabotage, Tolerances(), {}, None, arbitration, Precision.BFLOAT16)
    assert (found.by_labels, found.noticed) == (1, 0)


def test_an_engine_that_is_unsound_itself_is_not_taken_for_a_fault_that_was_noticed():
    exact = SOUND.astype("f8") * (1 + 4e-4)
    arbitration = Arbitration("torch", np.arange(16), 16, {"y": exact}, {"y": exact.astype("f4")})
    assert power(copies(SOUND.copy()), Tolerances(), {}, None, arbitration).noticed == 0
    assert power(copies(swapped()), Tolerances(), {}, None, arbitration).noticed == 1
