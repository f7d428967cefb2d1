import numpy as np
import pytest

from deltann.comparison.numeric import numeric_error
from deltann.comparison.rows import root_mean_square
from deltann.comparison.tolerance import DEFAULTS, Tolerances, parse_tolerances
from deltann.errors import UsageError

F2, F4, F8, I4 = (np.dtype(name) for name in ("f2", "f4", "f8", "i4"))


def test_default_of_a_dtype_scales_with_the_output():
    tolerance = Tolerances().of("y", F4, F4, 20.0)
    assert (tolerance.rtol, tolerance.source) == (DEFAULTS["float32"], "default for float32")
    assert tolerance.atol == 20 * DEFAULTS["float32"]
    assert not tolerance.from_user


@pytest.mark.parametrize(
    ("a", "b", "dtype"), [(F2, F4, "float16"), (F4, F2, "float16"), (F8, F4, "float32"), (I4, F4, "float32")]
)
def test_the_coarser_dtype_counts(a, b, dtype):
    assert Tolerances().of("y", a, b, 1.0).source == f"default for {dtype}"


def test_integers_must_be_equal():
    tolerance = Tolerances().of("y", I4, np.dtype("i8"), 100.0)
    assert (tolerance.rtol, tolerance.atol) == (0, 0)


def test_parse_general_and_by_output():
    asked = parse_tolerances(["1e-3", "logits=1e-2"], ["logits=0"])
    logits, other = asked.of("logits", F4, F4, 1.0), asked.of("other", F4, F4, 1.0)
    assert (logits.rtol, logits.atol, logits.source) == (1e-2, 0, "user")
    assert (other.rtol, other.source) == (1e-3, "user rtol, default atol for float32")
    assert logits.from_user
    assert other.from_user
    assert Tolerances(atol={"y": 1.0}).of("y", F4, F4, 9.0).source == "user atol, default rtol for float32"


@pytest.mark.parametrize("name", ["a=b", "model/head:0", "x=", "a=b=c", "1e-3"])
def test_names_split_at_the_last_equals_sign(name):
    assert parse_tolerances([f"{name}=0.5"], []).rtol == {name: 0.5}


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "y=", "y=-1", "y=nan", "=1e-3", "1e-3=y"])
def test_nonsense_is_refused(text):
    for arguments in (([text], []), ([], [text])):
        with pytest.raises(UsageError, match="at least 0"):
            parse_tolerances(*arguments)


@pytest.mark.parametrize("texts", [["1", "2"], ["y=1", "y=2"]])
def test_twice_is_refused(texts):
    with pytest.raises(UsageError, match="twice"):
        parse_tolerances(texts, [])


def test_unknown_output_is_named_with_those_there_are():
    asked = parse_tolerances([], ["logit=1"])
    with pytest.raises(UsageError, match=r"--atol: no output 'logit'; the outputs: logits, boxes"):
        asked.check(["logits", "boxes"])
    asked.check(["logit"])


def network(x, dtype, *, order=1, leak=0.0):
    """A deep net of seeded random layers; `order` reverses every sum, `leak` is a fault in one of its activations."""
    rng = np.random.default_rng(5)
    for layer in range(20):
        w = (rng.normal(size=(256, 256)) * np.sqrt(2 / 256)).astype(dtype)
        x = x.astype(dtype)[:, ::order] @ w[::order]
        x = np.where(x > 0, x, dtype(leak if layer == 10 else 0) * x)
    return x


@pytest.mark.parametrize("scale", [1e-4, 1, 1e4])
def test_the_default_lets_rounding_pass_and_a_fault_fail(scale):
    x = np.random.default_rng(6).normal(size=(16, 256)) * scale
    reference, reordered = network(x, np.float32), network(x, np.float32, order=-1)
    tolerance = Tolerances().of("y", F4, F4, root_mean_square(reference))
    assert (reference != reordered).any()
    assert numeric_error(reordered, reference, tolerance).outside == 0
    assert numeric_error(network(x, np.float32, leak=0.01), reference, tolerance).outside > 0
