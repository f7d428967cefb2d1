"""A `.tflite` file as the model under test: run natively, its integers seen as the real numbers they stand for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltann.backend import Tensors
from deltann.environment import Environment
from deltann.errors import Unsupported
from deltann.model import Model, load_model
from deltann.tflite_model import Port
from deltann_tflite import TfliteBackend
from deltann_tflite.content import content_of
from deltann_tflite.quantisation import dequantise, quantise

pytest.importorskip("tflite")
pytest.importorskip("ai_edge_litert")

from ai_edge_litert import interpreter as litert

sys.path.insert(0, str(Path(__file__).parent))
from tflite_files import Tensor, dequantize, quantize, tflite_file

MOBILENET = Path(__file__).parents[3].parent / "shared" / "data" / "models" / "mobilenet_v2_int8.tflite"
BACKEND = TfliteBackend()
RESOLVERS = {"optimised": "BUILTIN", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}
LIMIT = 40.0


def bare(content: bytes, array: npt.NDArray[Any], kernels: str) -> npt.NDArray[Any]:
    """What LiteRT alone makes of a file of two tensors."""
    resolver = litert.OpResolverType[RESOLVERS[kernels]]
    interpreter = litert.Interpreter(model_content=content, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, array)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(1))


def port(dtype: str, scale: float, zero_point: int) -> Port:
    return Port("x", 0, dtype.lower(), (1,), float(np.float32(scale)), zero_point)


def save(folder: Path, content: bytes) -> Model:
    path = folder / "source.tflite"
    path.write_bytes(content)
    return load_model(path)


def run(model: Model, spec: str, folder: Path, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
    folder.mkdir(exist_ok=True)
    environment = Environment.parse(spec)
    with BACKEND.load(BACKEND.lower(model, environment, folder), environment) as executable:
        return dict(executable.run(inputs))


DTYPES = st.sampled_from(["INT8", "UINT8"])
SCALES = st.floats(1e-3, 2.0)


@settings(max_examples=40, deadline=None)
@given(DTYPES, SCALES, st.integers(0, 127), st.lists(st.floats(-LIMIT, LIMIT, width=32), min_size=8, max_size=64))
def test_quantising_is_what_litert_does(dtype: str, scale: float, zero_point: int, values: list[float]) -> None:
    real, step = np.array(values, np.float32), np.float32(scale)
    ours = quantise(port(dtype, scale, zero_point), real)
    quotient = real.astype(np.float64) / np.float64(step)
    near_a_tie = np.abs(np.abs(quotient - np.trunc(quotient)) - 0.5) <= 1e-6 * (1 + np.abs(quotient))
    for kernels in RESOLVERS:
        theirs = bare(quantize(dtype, scale, zero_point, len(real)), real, kernels)
        assert theirs.dtype == ours.dtype
        apart = np.abs(ours.astype(int) - theirs)
        assert np.all(apart <= near_a_tie), f"{kernels}: {real[apart > near_a_tie]}"


@pytest.mark.parametrize("dtype", ["INT8", "UINT8"])
def test_ties_go_to_even_as_in_litert_but_for_its_reference_kernel(dtype: str) -> None:
    real = (np.arange(-200, 200) + 0.5).astype(np.float32) * np.float32(0.25)
    ours = quantise(port(dtype, 0.25, 3), real)
    limits = np.iinfo(dtype.lower())
    np.testing.assert_array_equal(ours, np.clip(np.rint(real * 4.0) + 3, limits.min, limits.max))
    for kernels in ("optimised", "builtin"):
        np.testing.assert_array_equal(ours, bare(quantize(dtype, 0.25, 3, len(real)), real, kernels))
    reference = bare(quantize(dtype, 0.25, 3, len(real)), real, "reference")
    away = np.clip(np.trunc(real * 4.0 + np.copysign(0.5, real)) + 3, limits.min, limits.max)
    np.testing.assert_array_equal(reference, away)
    assert np.any(reference != ours)


def test_quantising_saturates_and_refuses_nan() -> None:
    to = port("UINT8", 0.5, 10)
    real = np.array([-np.inf, -1e30, -5.3, -5, 0, 122.5, 123, np.inf, 1e30], np.float32)
    assert quantise(to, real).tolist() == [0, 0, 0, 0, 10, 255, 255, 255, 255]
    with pytest.raises(ValueError, match=r"'x'.*NaN"):
        quantise(to, np.array([np.nan], np.float32))


@pytest.mark.parametrize("dtype", ["INT8", "UINT8", "INT16"])
@pytest.mark.parametrize("scale", [0.25, 1 / 127.5, 0.1])
def test_dequantising_is_what_litert_does(dtype: str, scale: float) -> None:
    limits = np.iinfo(dtype.lower())
    zero_point = 0 if dtype == "INT16" else 5
    integers = np.arange(limits.min, limits.max + 1).astype(dtype.lower())
    ours = dequantise(port(dtype, scale, zero_point), integers)
    content = dequantize(dtype, scale, zero_point, len(integers))
    assert ours.dtype == np.float32
    for kernels in ("optimised", "reference"):
        np.testing.assert_array_equal(ours, bare(content, integers, kernels))
    # Its own optimised kernel adds a product of its own rounding.
    np.testing.assert_allclose(ours, bare(content, integers, "builtin"), rtol=0, atol=1e-7 * float(np.abs(ours).max()))


@given(DTYPES, SCALES, st.integers(0, 127))
def test_integers_survive_the_way_there_and_back(dtype: str, scale: float, zero_point: int) -> None:
    limits = np.iinfo(dtype.lower())
    integers = np.arange(limits.min, limits.max + 1).astype(dtype.lower())
    of = port(dtype, scale, zero_point)
    np.testing.assert_array_equal(quantise(of, dequantise(of, integers)), integers)


def test_a_quantised_model_speaks_in_real_numbers(tmp_path: Path) -> None:
    """LOGISTIC from uint8 to uint8: both ends are float32 outside, and are wrong if either parameter is left out."""
    tensors = [Tensor("x", "UINT8", (2, 3), [0.05], [100]), Tensor("y", "UINT8", (2, 3), [1 / 256], [0])]
    model = save(tmp_path, tflite_file(tensors, [("LOGISTIC", [0], [1])], [0], [1]))
    x = np.array([[-4, -1, 0], [0.5, 2, 400]], np.float32)
    for kernels in RESOLVERS:
        y = run(model, f"tflite[kernels={kernels}]", tmp_path / kernels, {"x": x})["y"]
        assert y.dtype == np.float32
        saturated = np.minimum(x, (255 - 100) * 0.05)
        np.testing.assert_allclose(y, 1 / (1 + np.exp(-saturated)), atol=1.5 / 256)


def test_the_artifact_is_the_file(tmp_path: Path) -> None:
    model = save(tmp_path, quantize("INT8", 0.5, 3, 4))
    (tmp_path / "work").mkdir()
    artifact = BACKEND.lower(model, Environment.parse("tflite"), tmp_path / "work")
    assert (artifact.folder / "model.tflite").read_bytes() == model.path.read_bytes()


def test_dimensions_that_vary_take_what_the_run_binds(tmp_path: Path) -> None:
    tensors = [Tensor("x", "FLOAT32", (1, 3), varying=(-1, 3)), Tensor("y", "FLOAT32", (1, 3), varying=(-1, 3))]
    model = save(tmp_path, tflite_file(tensors, [("TANH", [0], [1])], [0], [1])).bind({"x": (5, 3)})
    x = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
    for kernels in RESOLVERS:
        outputs = run(model, f"tflite[kernels={kernels}]", tmp_path / kernels, {"x": x})
        np.testing.assert_allclose(outputs["y"], np.tanh(x), atol=1e-6)


def test_outputs_come_by_the_names_of_the_signature(tmp_path: Path) -> None:
    tensors = [Tensor(name, "FLOAT32", (3,)) for name in ("t0", "t1", "t2")]
    operators = [("TANH", [0], [1]), ("NEG", [1], [2])]
    signature = ({"in": 0}, {"z": 1, "a": 2})
    model = save(tmp_path, tflite_file(tensors, operators, [0], [2, 1], [signature]))
    x = np.array([-1, 0.5, 2], np.float32)
    outputs = run(model, "tflite", tmp_path / "work", {"in": x})
    assert list(outputs) == ["z", "a"]
    np.testing.assert_allclose(outputs["z"], np.tanh(x), atol=1e-6)
    np.testing.assert_allclose(outputs["a"], -np.tanh(x), atol=1e-6)


def test_wrong_inputs_are_refused(tmp_path: Path) -> None:
    model = save(tmp_path, quantize("INT8", 0.5, 3, 4))
    with pytest.raises(ValueError, match="takes the inputs"):
        run(model, "tflite", tmp_path / "names", {"other": np.zeros(4, np.float32)})
    with pytest.raises(ValueError, match=r"shape \[5\]"):
        run(model, "tflite", tmp_path / "shape", {"real": np.zeros(5, np.float32)})


def test_what_a_finished_model_cannot_be(tmp_path: Path) -> None:
    tensors = [Tensor("x", "INT8", (2,), [0.1], [0]), Tensor("y", "INT8", (2,), [1 / 128], [0])]
    model = save(tmp_path, tflite_file(tensors, [("TANH", [0], [1])], [0], [1]))
    assert content_of(model.path).precision == "int8"
    for spec in ("tflite", "tflite-int8", "tflite[precision=int8]", "tflite[kernels=reference,threads=2]"):
        assert BACKEND.unsupported(model, Environment.parse(spec)) is None, spec
    for spec in ("tflite-fp16", "tflite-dynamic", "tflite[precision=float32]"):
        reason = BACKEND.unsupported(model, Environment.parse(spec))
        assert reason is not None
        assert "in int8" in reason
        with pytest.raises(Unsupported, match="in int8"):
            run(model, spec, tmp_path / "work", {"x": np.zeros(2, np.float32)})
    reason = BACKEND.unsupported(model, Environment.parse("tflite[samples=7]"))
    assert reason is not None
    assert "samples" in reason
    model.path.unlink()
    assert "no such file" in str(BACKEND.unsupported(model, Environment.parse("tflite")))


@pytest.mark.parametrize("operator", ["CONCAT_EMBEDDINGS", "FlexErfinv", "TheirOwn"])
def test_an_operator_that_litert_lacks_is_unsupported(operator: str, tmp_path: Path) -> None:
    """A builtin that it has no kernel for, one of TensorFlow's own, a custom one."""
    tensors = [Tensor("x", "FLOAT32", (2,)), Tensor("y", "FLOAT32", (2,))]
    unknown = save(tmp_path, tflite_file(tensors, [(operator, [0], [1])], [0], [1]))
    with pytest.raises(Unsupported, match=rf"LiteRT.*{operator}"):
        run(unknown, "tflite", tmp_path / "work", {"x": np.zeros(2, np.float32)})


@pytest.mark.skipif(not MOBILENET.is_file(), reason=f"{MOBILENET} is not there")
def test_a_real_file_runs_as_litert_alone_runs_it(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (1, 224, 224, 3)).astype(np.uint8)
    model = load_model(MOBILENET)
    reals = dequantise(port("UINT8", 0.007843137718737125, 127), pixels)
    environment = Environment.parse("tflite[kernels=reference]")
    with BACKEND.load(BACKEND.lower(model, environment, tmp_path), environment) as executable:
        ours = executable.run({"input": reals})["Identity"]
        told = executable.actual()  # type: ignore[attr-defined]
    interpreter = litert.Interpreter(str(MOBILENET), experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    integers = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_array_equal(ours, integers * np.float32(1 / 256))
    assert ours.any()
    assert told["precision"] == "int8"
    assert told["device"] == "CPU, reference kernels"
