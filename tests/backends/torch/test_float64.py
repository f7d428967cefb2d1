"""precision=float64 is float64 throughout: on the official node tests, folded or not, and on trained models.

It arbitrates between others, so it is held against `onnx.reference` in float64, an implementation of its own.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser
from onnx.backend.test.case.node import collect_testcases

from deltann.environment import Environment
from deltann.errors import Unsupported
from deltann.lowering.graph import read_graph
from deltann.model import load_model
from deltann.testing.node_tests import array, each

torch = pytest.importorskip("torch", reason="the torch backend needs torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from deltann_reference import ReferenceBackend  # noqa: E402
from deltann_reference.float64 import evaluator  # noqa: E402
from deltann_reference.widen import NOT_WIDE, widened  # noqa: E402
from deltann_torch import TorchBackend  # noqa: E402
from deltann_torch.build import build  # noqa: E402
from deltann_torch.dtypes import to_numpy, to_torch  # noqa: E402

_CPU = torch.device("cpu")
_NARROW = ("float16", "bfloat16", "float32", "complex64")
_MODELS = Path(__file__).resolve().parents[3] / "../shared/data/models"

_NOT_THE_REFERENCES = {
    "test_scatter_with_axis": "onnx.reference has no Scatter",
    "test_scatter_without_axis": "onnx.reference has no Scatter",
    "test_scan_sum": "onnx.reference cannot run Scan of opset 8",
    "test_range_float_type_positive_delta_expanded": "onnx.reference stacks what Loop scans into one axis too many",
    "test_range_float16_type_positive_delta_expanded": "the same",
    "test_range_bfloat16_type_positive_delta_expanded": "the same",
}


def _cases() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # onnx's generators divide by zero on purpose
        cases = [case for case in collect_testcases(None) if case.data_sets]
    seen: set[str] = set()
    params = []
    for case in cases:
        given, wanted = case.data_sets[0]
        if any(_floats(array(value)) for value in (*given, *wanted)):
            operator = case.model.graph.node[0].op_type
            params.append(pytest.param(case, id=case.name, marks=[pytest.mark.long] if operator in seen else []))
            seen.add(operator)
    return params


def _floats(value: Any) -> bool:
    if isinstance(value, list):
        return any(_floats(item) for item in value)
    return value is not None and np.asarray(value).dtype.name in ("float16", "bfloat16", "float32", "float64")


def _wide(value: Any) -> Any:
    value = np.asarray(value)
    return value.astype(np.float64) if value.dtype.name in _NARROW[:3] else value


class _Watch(TorchDispatchMode):
    """Notes every tensor of a narrow floating type that torch makes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, fn: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = fn(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor) and str(tensor.dtype).removeprefix("torch.") in _NARROW:
                self.seen.add(f"{fn} makes {tensor.dtype}")
        return result


def test_the_watch_sees_a_float32_in_between() -> None:
    with _Watch() as watch:
        torch.ones(2, dtype=torch.float64).to(torch.float32).sum().to(torch.float64)
    assert watch.seen


_CASES = _cases()


@pytest.mark.parametrize("case", _CASES)
def test_nothing_is_computed_in_less_and_the_reference_agrees(case: Any, tmp_path: Path) -> None:
    graph, given = read_graph(case.model), [each(_wide, array(value)) for value in case.data_sets[0][0]]
    try:
        inputs = [each(to_torch, value) for value in given]
        metas = {name: each(lambda t: t.to("meta"), value) for name, value in zip(graph.inputs, inputs, strict=False)}
        module = build(graph, metas, torch.float64, _CPU)
        with torch.inference_mode(), _Watch() as watch:
            outputs = module(*inputs)
    except Unsupported as error:
        pytest.skip(str(error))  # test_node_conformance.py has each of these, strictly
    assert watch.seen == set()
    constant = replace(graph, inputs=(), constants={**graph.constants, **dict(zip(graph.inputs, given, strict=False))})
    if all(isinstance(value, np.ndarray) for value in given):
        folded = build(constant, {}, torch.float64, _CPU)()
        for got, want in zip(folded, outputs, strict=True):
            _agree(each(to_numpy, got), each(to_numpy, want))
    if case.name not in _NOT_THE_REFERENCES and not NOT_WIDE & {node.op for node in read_graph(case.model).nodes}:
        onnx.save(widened(case.model), tmp_path / "wide.onnx")
        theirs = evaluator(tmp_path / "wide.onnx").run(None, dict(zip(graph.inputs, given, strict=False)))
        for got, want in zip(outputs, theirs, strict=True):
            _agree(each(to_numpy, got), want)


def _agree(got: Any, want: Any) -> None:
    if isinstance(want, list):
        assert isinstance(got, list)
        for one, other in zip(got, want, strict=True):
            _agree(one, other)
        return
    want = np.asarray(want)
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    if want.dtype.kind == "V":
        got, want = got.astype(np.float32), want.astype(np.float32)
    scale = np.abs(want[np.isfinite(want)]).max(initial=0) if want.dtype.kind in "fc" else 0
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-14 * scale)


def test_what_the_reference_cannot_is_still_there() -> None:
    assert set(_NOT_THE_REFERENCES) <= {param.id for param in _CASES}
    assert len(_CASES) > 1400


_KEPT = """(float[4] x) => (float[4] y) {
   q = Div(a, b)
   like = CastLike(q, a)
   flat = Unsqueeze(like, axes)
   r = Resize <mode = "linear"> (flat, , , sizes)
   s = Squeeze(r, axes)
   y = Mul(x, s)
}"""


def test_what_is_folded_keeps_its_digits_through_casts_and_resizing() -> None:
    """A type that an input lends, or that weights are made in, is the run's and not the file's."""
    proto = parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> agraph {_KEPT}')
    rng = np.random.default_rng(2)
    a, b = (rng.standard_normal(2).astype(np.float32) + shift for shift in (0, 4))
    values = {"a": a, "b": b, "axes": np.array([0, 1]), "sizes": np.array([1, 1, 4])}
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items())
    graph = read_graph(proto)
    (y,) = build(graph, {"x": torch.empty(4, device="meta", dtype=torch.float64)}, torch.float64, _CPU)(
        torch.ones(4, dtype=torch.float64)
    )
    low, high = a.astype(np.float64) / b.astype(np.float64)
    want = [low, low * 0.75 + high * 0.25, low * 0.25 + high * 0.75, high]
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-15, atol=0)


def test_integers_are_resized_in_float64() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> agraph (int32[1,1,2] x) => (int32[1,1,3] y) {
       y = Resize <mode = "linear"> (x, , , sizes)
    }"""
    proto = parser.parse_model(text)
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 3]), "sizes"))
    x = torch.tensor([[[16777217, 16777217]]], dtype=torch.int32)  # 2^24 + 1, which float32 has not
    for precision, middle in ((None, 16777216), (torch.float64, 16777217)):
        for metas in ({"x": x.to("meta")}, {}):
            (y,) = build(read_graph(proto), metas, precision, _CPU)(x)
            assert y[0, 0, 1] == middle


def test_the_bits_of_a_replaced_type_are_unsupported() -> None:
    text = (
        """<ir_version: 11, opset_import: ["": 26]> agraph (float[2] x) => (int32[2] y) { y = BitCast <to = 6> (x) }"""
    )
    graph = read_graph(parser.parse_model(text))
    with pytest.raises(Unsupported, match=r"BitCast .* the bits of a floating type that precision replaces"):
        build(graph, {"x": torch.empty(2, device="meta", dtype=torch.float64)}, torch.float64, _CPU)


@pytest.mark.skipif(not _MODELS.is_dir(), reason="the data folder ../shared/data is absent")
@pytest.mark.parametrize(
    "name",
    [
        "imdb_movie_review",
        "mobilenet_v1_0.25_128",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in (
                "deeplabv3_mnv2_257",
                "mobilenet_v2",
                "posenet_mobilenet_v1",
                "squeezenet1_1",
                "squeezenet1_1_fp16",
                "yolox_nano",
            )
        ),
    ],
)
def test_both_arbiters_agree_on_a_trained_model(name: str, tmp_path: Path) -> None:
    model = load_model(_MODELS / f"{name}.onnx")
    model = model.bind({s.name: tuple(d if isinstance(d, int) else 2 for d in s.shape or ()) for s in model.inputs})
    rng = np.random.default_rng(11)
    inputs = {
        spec.name: rng.standard_normal(spec.static_shape).astype(spec.dtype)
        if spec.dtype.startswith("float")
        else rng.integers(0, 1000, spec.static_shape).astype(spec.dtype)
        for spec in model.inputs
    }
    answers = []
    for backend, options in ((TorchBackend(), ",threads=1"), (ReferenceBackend(), "")):
        env = Environment.parse(f"{backend.name}[outputs=computed,precision=float64{options}]")
        assert backend.unsupported(model, env) is None
        folder = tmp_path / backend.name
        folder.mkdir()
        with backend.load(backend.lower(model, env, folder), env) as executable:
            answers.append(executable.run(inputs))
    for output, want in answers[1].items():
        got = answers[0][output]
        assert got.dtype == want.dtype == np.float64
        # 1e-13: yolox_nano, whose box sizes are exponentials, comes to 4e-14; the others stay below 4e-15.
        assert np.sqrt(np.mean((got - want) ** 2)) < 1e-13 * np.sqrt(np.mean(want**2))
