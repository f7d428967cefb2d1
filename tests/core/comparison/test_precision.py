import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann.comparison.precision import Precision, bound, coarser, declared, unit_roundoff

P = Precision


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [(P.FLOAT64, "f8"), (P.FLOAT32, "f4"), (P.FLOAT16, "f2"), (P.BFLOAT16, ml_dtypes.bfloat16)],
)
def test_a_float_types_roundoff_is_half_its_epsilon(precision, dtype):
    info = ml_dtypes.finfo(dtype)
    assert unit_roundoff(precision) == float(info.eps) / 2


def test_tf32_has_float16s_digits():
    assert unit_roundoff(P.TF32) == unit_roundoff(P.FLOAT16)


def test_int8_rounds_within_its_roundoff_over_a_range_of_eight_rms():
    x = np.random.default_rng(0).normal(size=100_000)
    step = 8 * np.sqrt(np.mean(x**2)) / 255
    inside = x[np.abs(x) < 127 * step]
    worst = np.abs(np.round(inside / step) * step - inside).max() / np.sqrt(np.mean(x**2))
    assert 0.95 * unit_roundoff(P.INT8) < worst < 1.05 * unit_roundoff(P.INT8)


def test_every_precision_has_a_roundoff_and_they_never_shrink_along_the_order():
    units = [unit_roundoff(precision) for precision in P]
    assert units == sorted(units)


def test_coarser():
    assert coarser(P.FLOAT32, P.BFLOAT16, P.FLOAT16) is P.BFLOAT16
    assert coarser(P.FLOAT64) is P.FLOAT64


# What the adapters' `precision` options and their `actual()` really say.
@pytest.mark.parametrize(
    ("option", "actual", "expected"),
    [
        ("model", "float32", P.FLOAT32),
        (None, None, P.FLOAT32),
        (None, "float32", P.FLOAT32),
        (None, "bfloat16", P.BFLOAT16),  # openvino's own choice
        ("f32", "float32", P.FLOAT32),
        ("bf16", "bfloat16", P.BFLOAT16),
        ("f16", "float16", P.FLOAT16),
        ("int8", "int8", P.INT8),
        ("float16", "float32", P.FLOAT16),  # tflite-fp16 and ort-fp16: weights in float16, arithmetic in float32
        ("dynamic", "int8", P.INT8),
        ("float32", "float32", P.FLOAT32),
        ("float64", "float64", P.FLOAT32),  # a float32 model: its outputs are cast back
        ("bfloat16", "bfloat16", P.BFLOAT16),
        ("float16", "float16", P.FLOAT16),
        ("model", "float32 (9 of 12 kernels; float16: 3)", P.FLOAT16),
        ("int8", "int8 (52 of 66 Conv/Gemm/MatMul; float32: 14)", P.INT8),
        ("model", "float32 (65 of 66 Conv/Gemm/MatMul; int8: 1)", P.INT8),
        (None, "uint8", P.INT8),
        (None, "int16 (3 of 4 convolutions and products; float32: 1)", P.INT8),
        ("model", "integers", P.FLOAT32),
        ("model", "int32", P.FLOAT32),
        ("no such precision", None, P.FLOAT32),
        (None, "dynamic", P.FLOAT32),  # a word of options
        ("model", "float32 (dynamic shapes, int8 unused)", P.FLOAT32),
        ("model", "fused_int8_foo", P.FLOAT32),
    ],
)
def test_a_cell_is_judged_by_the_coarsest_of_what_was_asked_for_and_what_was_told(option, actual, expected):
    assert declared({"precision": option, "threads": 2}, actual) is expected


def test_without_a_precision_option():
    assert declared({}, "float32") is P.FLOAT32
    assert declared({"level": "3"}, "bfloat16") is P.BFLOAT16


def test_the_models_own_type_is_the_best_there_is():
    assert declared({"precision": "float32"}, "float32", model=P.FLOAT16) is P.FLOAT16
    assert declared({"precision": "model"}, "float64", model=P.FLOAT64) is P.FLOAT64
    assert declared({"precision": "model"}, "float32", model=P.FLOAT64) is P.FLOAT32


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        ("cuDNN may compute float32 convolutions in TF32 (torch.backends.cudnn.allow_tf32)", P.TF32),
        ("12 Convolution in bfloat16, 3 FullyConnected in float32; denormals are flushed to zero", P.BFLOAT16),
        ("CUDAExecutionProvider may compute float32 products in TF32 (use_tf32=1)", P.TF32),
        ("weights stored 97 % in int8, 3 % in float32", P.INT8),
        ("weights stored 97 % in float32, 3 % in float16", P.FLOAT16),
        ("oneDNN on", P.FLOAT32),
        ("dynamic shapes were made static", P.FLOAT32),
        ("not scheduled, so slow: fused_int8_foo, int8, bfloat16", P.FLOAT32),
        ("no int8 kernels; oneDNN computes in float32 and never in bfloat16", P.FLOAT32),
        ("", P.FLOAT32),
    ],
)
def test_notes_tell_as_well(note, expected):
    assert declared({"precision": "model"}, "float32", note=note) is expected


def test_the_bound_is_its_formula():
    expected = 8 * 1e-6 + 64 * 2.0**-24 * 3.0
    assert bound(1e-6, 3.0, P.FLOAT32) == pytest.approx(expected, rel=1e-12)
    expected = 2 * 1e-6 * 2.0**16 + 4 * 2.0**-8 * 3.0
    assert bound(1e-6, 3.0, P.BFLOAT16) == pytest.approx(expected, rel=1e-12)


@given(st.floats(0, 1e-4), st.floats(1e-3, 1e3))
def test_a_coarser_precision_is_never_held_to_more(share, scale):
    finer = [P.FLOAT64, P.FLOAT32, P.TF32, P.BFLOAT16, P.INT8]  # float16's own K allows for sums in float16
    bounds = [bound(share * scale, scale, precision) for precision in finer]
    assert bounds == sorted(bounds)
    assert bound(share * scale, scale, P.FLOAT32) <= bound(share * scale, scale, P.FLOAT16)


@given(st.sampled_from(list(P)), st.floats(0, 1e30), st.floats(0, 1e30))
def test_zeros_in_place_of_an_output_are_never_within_the_bound(precision, rounding, scale):
    assert bound(rounding, scale, precision) <= 0.75 * scale
