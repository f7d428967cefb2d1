import tracemalloc
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann.comparison.evidence import Arbitration
from deltann.comparison.precision import Precision
from deltann.comparison.soundness import soundness

P = Precision
RNG = np.random.default_rng(0)
LAYERS = [RNG.normal(size=(64, 64)) * np.sqrt(2 / 64) for _ in range(7)] + [RNG.normal(size=(64, 10)) / 8]
INPUTS = RNG.normal(size=(40, 64)).astype("f4")
SAMPLES = np.array([3, 0, 17, 38, 21, 9, 30, 12])


def network(dtype, layers=LAYERS, order=None, store=None):
    """Dense layers with ReLU: computed in `dtype`, sums in `order`, each value stored in `store` where it is given."""
    keep = (lambda x: x.astype(store).astype(dtype)) if store else (lambda x: x)
    x = keep(INPUTS.astype(dtype))
    for number, weight in enumerate(layers):
        last = number == len(layers) - 1
        taken = slice(None) if order is None else order
        x = keep(x[:, taken] @ keep(weight.astype(dtype))[taken])
        x = x if last else np.maximum(x, 0)
    return x


EXACT, SINGLE = network("f8"), network("f4")
BACKWARDS = np.arange(64)[::-1]


def arbitration(exact=EXACT, single=SINGLE, perturbed=(), samples=SAMPLES):
    return Arbitration(
        "torch",
        samples,
        len(samples),
        {"y": exact[samples]},
        {"y": single[samples]},
        tuple({"y": run[samples]} for run in perturbed),
    )


def judged(candidate, precision=P.FLOAT32, **changed):
    (found,) = soundness({"y": candidate}, arbitration(**changed), precision)
    return found


def test_other_order_of_sums_is_sound():
    found = judged(network("f4", order=BACKWARDS))
    assert found.sound
    assert found.samples == 8
    assert found.error == pytest.approx(np.sqrt(np.mean((network("f4", order=BACKWARDS) - EXACT)[SAMPLES] ** 2)))
    assert found.rounding == pytest.approx(np.sqrt(np.mean((SINGLE - EXACT)[SAMPLES] ** 2)))
    assert found.ratio == pytest.approx(found.error / found.rounding)
    assert found.error < found.bound
    assert (found.unjudged, found.nonfinite, found.perturbed) == (None, 0, None)


def test_a_weight_off_by_a_thousandth_is_not():
    layers = [LAYERS[0].copy(), *LAYERS[1:]]
    layers[0][5] *= 1.001
    found = judged(network("f4", layers))
    assert found.sound is False
    assert found.error > 5 * found.bound
    assert found.unjudged is None


def test_one_wrong_element_of_one_row_is_enough():
    candidate = SINGLE.copy()
    candidate[SAMPLES[2], 4] += 1e-3
    assert not judged(candidate).sound
    candidate[SAMPLES[2], 4] = SINGLE[SAMPLES[2], 4]
    assert judged(candidate).sound


@pytest.mark.parametrize(
    ("precision", "store"), [(P.BFLOAT16, ml_dtypes.bfloat16), (P.FLOAT16, "f2")], ids=["bfloat16", "float16"]
)
def test_a_lower_precision_is_sound_as_what_it_is_and_not_as_float32(precision, store):
    candidate = network("f4", store=store)
    assert judged(candidate, precision).sound
    assert not judged(candidate, P.FLOAT32).sound


def test_bfloat16_excuses_no_wrong_layer():
    layers = [*LAYERS[:4], LAYERS[4].T, *LAYERS[5:]]
    assert judged(network("f4", store=ml_dtypes.bfloat16), P.BFLOAT16).sound
    assert not judged(network("f4", layers, store=ml_dtypes.bfloat16), P.BFLOAT16).sound


def test_int8():
    def quantised(x):
        step = 8 * np.sqrt(np.mean(x**2)) / 255
        return np.clip(np.round(x / step), -127, 127) * step

    x, wrong = INPUTS, INPUTS
    for number, weight in enumerate(LAYERS):
        x, wrong = quantised(x) @ quantised(weight), quantised(wrong) @ quantised(weight[::-1])
        x, wrong = (x, wrong) if number == len(LAYERS) - 1 else (np.maximum(x, 0), np.maximum(wrong, 0))
    assert judged(x, P.INT8).sound
    assert not judged(x, P.FLOAT16).sound
    assert not judged(wrong, P.INT8).sound


def test_zeros_are_sound_at_no_precision():
    assert [judged(np.zeros_like(SINGLE), precision).sound for precision in P] == [False] * len(P)


def test_float64_is_held_to_float64():
    assert judged(network("f8", order=BACKWARDS), P.FLOAT64).sound
    assert not judged(SINGLE, P.FLOAT64).sound


def test_a_yardstick_of_lucky_exactness_leaves_the_others_the_floor():
    """As where torch sums pairwise and all other engines one after the other."""
    x = (RNG.random((40, 256)) + 0.5).astype("f4")
    exact = x.astype("f8").mean(axis=1, keepdims=True)
    pairwise = exact.astype("f4")
    serial = np.cumsum(x, axis=1, dtype="f4")[:, -1:] / np.float32(256)
    assert judged(serial, exact=exact, single=pairwise).ratio > 3
    assert judged(serial, exact=exact, single=pairwise).sound
    assert not judged(serial * np.float32(1 + 1e-5), exact=exact, single=pairwise).sound


def test_saturated_probabilities():
    """Where softmax is one-hot, float32 has hardly an error, and the floor decides."""
    logits = SINGLE.astype("f8") * 100
    exact = np.exp(logits - logits.max(axis=1, keepdims=True))
    exact /= exact.sum(axis=1, keepdims=True)
    single = exact.astype("f4")
    assert judged(single + np.float32(1e-7), exact=exact, single=single).sound
    assert not judged(single + np.float32(1e-4), exact=exact, single=single).sound
    one_hot = (exact == exact.max(axis=1, keepdims=True)).astype("f8")
    assert judged(one_hot.astype("f4"), exact=one_hot, single=one_hot).ratio is None
    assert judged(one_hot.astype("f4"), exact=one_hot, single=one_hot).sound
    assert not judged(np.roll(one_hot, 1, axis=1), exact=one_hot, single=one_hot).sound


def test_perturbed_runs_widen_the_bound_where_the_yardstick_was_lucky():
    noisy = SINGLE * (1 + 1e-4 * RNG.choice([-1, 1], SINGLE.shape))
    other = SINGLE * (1 + 1e-4 * RNG.choice([-1, 1], SINGLE.shape))
    assert not judged(other).sound
    found = judged(other, perturbed=[SINGLE, noisy])
    assert found.sound
    assert found.perturbed == pytest.approx(np.sqrt(np.mean((noisy - EXACT)[SAMPLES] ** 2)))
    assert found.rounding == judged(other).rounding


def test_integers_are_all_equal():
    labels = EXACT.argmax(axis=1)[:, None]
    assert judged(labels.astype("i4"), exact=labels, single=labels).sound
    wrong = labels.copy()
    wrong[SAMPLES[0]] += 1
    found = judged(wrong, exact=labels, single=labels)
    assert (found.sound, found.error, found.rounding, found.ratio) == (False, 1 / 8, 0, None)
    assert judged(labels > 3, exact=labels > 3, single=labels > 3).sound
    assert not judged(labels > 3, exact=labels > 4, single=labels > 4).sound


def test_integers_that_float32_has_otherwise_too_may_differ_as_often():
    exact = RNG.integers(0, 21, (8, 100, 1000))
    single, ours, wrong = exact.copy(), exact.copy(), exact.copy()
    single[0, 0, :20] += 1
    ours[1, 0, :60] += 1
    wrong[2, 0, :300] += 1
    every = {"exact": exact, "single": single, "samples": np.arange(8)}
    assert judged(ours, **every).sound
    assert not judged(wrong, **every).sound
    assert not judged(ours, **(every | {"single": exact})).sound


def test_integers_below_float32_are_sound_or_not_judged():
    labels = EXACT.argmax(axis=1)
    assert judged(labels, P.BFLOAT16, exact=labels, single=labels).sound
    found = judged(labels + 1, P.BFLOAT16, exact=labels, single=labels)
    assert (found.sound, found.error, found.may_turn) == (None, 1, True)
    assert "bfloat16" in found.unjudged
    assert not judged(labels, exact=labels, single=labels).may_turn
    assert not judged(SINGLE, P.BFLOAT16).may_turn


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_on_one_side_is_unsound(value):
    candidate = SINGLE.copy()
    candidate[SAMPLES[1], 2] = value
    found = judged(candidate)
    assert (found.sound, found.nonfinite) == (False, 1)
    assert found.error < found.bound  # of the other elements
    exact, single = EXACT.copy(), SINGLE.copy()
    exact[SAMPLES[1], 2] = single[SAMPLES[1], 2] = value
    assert judged(candidate, exact=exact, single=single).sound
    assert not judged(SINGLE, exact=exact, single=single).sound
    opposite = candidate.copy()
    opposite[SAMPLES[1], 2] = -np.inf if value == np.inf else np.inf
    assert not judged(opposite, exact=exact, single=single).sound


def test_what_float32_cannot_hold_is_excused():
    exact, single, candidate = EXACT.copy(), SINGLE.copy(), SINGLE.copy()
    exact[SAMPLES[1], 2], single[SAMPLES[1], 2] = 1e40, np.inf
    candidate[SAMPLES[1], 2] = np.inf
    assert judged(candidate, exact=exact, single=single).sound
    candidate[SAMPLES[3], 1] += 1e-3  # the huge number widens no bound
    assert not judged(candidate, exact=exact, single=single).sound
    candidate[SAMPLES[3], 1] = SINGLE[SAMPLES[3], 1]
    candidate[SAMPLES[2], 2] = np.inf
    assert not judged(candidate, exact=exact, single=single).sound


def test_numbers_too_large_to_square_are_not_judged():
    found = judged(EXACT * 1e200, P.FLOAT64, exact=EXACT * 1e200, single=EXACT * 1e200)
    assert found.sound is None
    assert "range" in found.unjudged


def test_float16_may_overflow_where_the_number_is_too_large_for_it():
    exact = EXACT / np.abs(EXACT[SAMPLES]).max() * 80_000
    single = exact.astype("f4")
    half = single.copy()
    half[np.abs(half) > 65504] *= np.inf
    assert np.isinf(half[SAMPLES]).any()
    assert judged(half, P.FLOAT16, exact=exact, single=single).sound
    assert not judged(half, P.BFLOAT16, exact=exact, single=single).sound
    assert not judged(-half, P.FLOAT16, exact=exact, single=single).sound
    half[SAMPLES[0], np.abs(exact[SAMPLES[0]]).argmin()] = np.inf
    assert not judged(half, P.FLOAT16, exact=exact, single=single).sound


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (SINGLE[:, :9], "shape"),
        (SINGLE[:, :, None], "shape"),
        (SINGLE[:38], "38 samples"),
        (SINGLE.astype("i4"), "it is int32, and float64's is float64"),
        (SINGLE.astype("c8"), "complex64"),
        (SINGLE.astype("U9"), "neither a number"),
    ],
)
def test_what_is_no_array_as_the_arbiters_is_unsound_and_says_why(candidate, reason):
    found = judged(candidate)
    assert (found.sound, found.error, found.bound, found.unjudged) == (False, None, None, None)
    assert reason in found.unlike
    assert judged(SINGLE).unlike is None


def test_what_the_arbiter_gives_and_no_number_is_is_not_judged():
    found = judged(SINGLE, exact=EXACT.astype("U9"))
    assert (found.sound, found.unlike) == (None, None)
    assert "neither a number" in found.unjudged


def test_a_missing_output_is_unsound_and_an_extra_one_is_left_out():
    (found,) = soundness({"z": SINGLE}, arbitration(), P.FLOAT32)
    assert (found.output, found.sound, found.unlike) == ("y", False, "it is missing")


def test_where_nothing_is_finite_nothing_is_judged():
    nan = np.full_like(EXACT, np.nan)
    assert judged(SINGLE * np.nan, exact=nan, single=nan).sound is None
    assert judged(SINGLE, exact=nan, single=nan).sound is False


def test_where_float32_itself_is_lost_nothing_is_judged():
    found = judged(SINGLE * 1e-9, exact=EXACT * 1e-18, single=SINGLE * 1e-9)
    assert found.sound is None
    assert "float32" in found.unjudged


def test_no_arbitrated_samples():
    found = judged(SINGLE, samples=np.array([], np.int64))
    assert (found.samples, found.sound) == (0, None)


def test_only_the_arbiters_rows_are_read():
    candidate = np.full_like(SINGLE, np.nan)
    candidate[SAMPLES] = SINGLE[SAMPLES]
    assert judged(candidate) == judged(SINGLE)


@given(st.integers(-30, 30), st.permutations(range(8)), st.sampled_from([1, 1.0001]))
def test_neither_the_unit_nor_the_order_of_samples_matters(power, order, factor):
    candidate = SINGLE * np.float32(factor)
    first = judged(candidate)
    scale = 2.0**power
    found = judged(
        candidate * np.float32(scale), exact=EXACT * scale, single=SINGLE * np.float32(scale), samples=SAMPLES[order]
    )
    assert found.sound is first.sound is (factor == 1)
    assert found.ratio == pytest.approx(first.ratio, rel=1e-6)


def test_outputs_are_judged_each_by_itself():
    both = replace(
        arbitration(),
        float64={"y": EXACT[SAMPLES], "z": EXACT[SAMPLES]},
        float32={"y": SINGLE[SAMPLES], "z": SINGLE[SAMPLES]},
    )
    found = soundness({"z": SINGLE, "y": SINGLE * 1.01, "extra": SINGLE}, both, P.FLOAT32)
    assert [(one.output, one.sound) for one in found] == [("y", False), ("z", True)]


def test_memory_is_bounded(tmp_path):
    """32 MB a side on disk, of which little is in memory at a time."""
    rows, size = 16, 1 << 19
    paths = [tmp_path / name for name in ("candidate", "exact", "single")]
    arrays = [
        np.memmap(path, dtype, "w+", shape=(rows, size)) for path, dtype in zip(paths, ("f4", "f8", "f4"), strict=True)
    ]
    for row in range(rows):
        arrays[1][row] = np.random.default_rng(row).normal(size=size)
        arrays[0][row] = arrays[2][row] = arrays[1][row]
    tracemalloc.start()
    (found,) = soundness(
        {"y": arrays[0]},
        Arbitration("torch", np.arange(rows), rows, {"y": arrays[1]}, {"y": arrays[2]}, ({"y": arrays[2]},)),
        P.FLOAT32,
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.sound
    assert peak < 64 << 20  # all of it in float64 would be 256 MB
