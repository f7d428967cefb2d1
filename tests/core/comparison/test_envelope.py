"""The envelope of the yardstick and that of the perturbed runs, on small networks that torch runs in all three ways."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from deltann import registry
from deltann.comparison.evidence import Arbitration
from deltann.comparison.precision import Precision
from deltann.comparison.soundness import envelope, soundness, stochastic_envelope
from deltann.environment import Environment
from deltann.model import load_model

P = Precision
ROWS = 12


def dense(rng, tensors, nodes, name, value, width, outputs):
    tensors[f"{name}_w"] = rng.normal(size=(width, outputs)) * np.sqrt(2 / width)
    tensors[f"{name}_b"] = rng.normal(size=outputs) * 0.1
    nodes.append(helper.make_node("Gemm", [value, f"{name}_w", f"{name}_b"], [name]))
    return name


def perceptron(rng):
    tensors, nodes, value = {}, [], "x"
    for layer in range(6):
        value = dense(rng, tensors, nodes, f"h{layer}", value, 64, 64)
        nodes.append(helper.make_node("Tanh" if layer % 2 else "Relu", [value], [f"a{layer}"]))
        value = f"a{layer}"
    dense(rng, tensors, nodes, "y", value, 64, 20)
    return (ROWS, 64), nodes, tensors


def convolutional(rng):
    tensors, nodes, value, channels = {}, [], "x", 3
    for layer, (width, stride) in enumerate([(16, 1), (16, 1), (32, 2), (32, 1)]):
        tensors[f"w{layer}"] = rng.normal(size=(width, channels, 3, 3)) * np.sqrt(2 / 9 / channels)
        nodes.append(helper.make_node("Conv", [value, f"w{layer}"], [f"c{layer}"], pads=[1] * 4, strides=[stride] * 2))
        scale, variance = 1 + rng.random(width), rng.random(width) + 0.5
        bias, mean = rng.normal(size=(2, width)) / 2
        for part, numbers in zip("sbmv", (scale, bias, mean, variance), strict=True):
            tensors[f"{part}{layer}"] = numbers
        normalised = [f"c{layer}", *(f"{part}{layer}" for part in "sbmv")]
        nodes.append(helper.make_node("BatchNormalization", normalised, [f"n{layer}"]))
        nodes.append(helper.make_node("Relu", [f"n{layer}"], [f"r{layer}"]))
        value, channels = f"r{layer}", width
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    dense(rng, tensors, nodes, "y", "flat", 32, 10)
    return (ROWS, 3, 16, 16), nodes, tensors


def probabilities(rng):
    shape, nodes, tensors = perceptron(rng)
    nodes[-1].output[0] = "logits"
    return shape, [*nodes, helper.make_node("Softmax", ["logits"], ["y"])], tensors


NETWORKS = [perceptron, convolutional, probabilities]


class Bench:
    """One network, run by torch as asked."""

    def __init__(self, network, folder, wrong=False):
        shape, nodes, tensors = network(np.random.default_rng(5))
        tensors = {name: array.astype("f4") for name, array in tensors.items()}
        if wrong:
            first = next(iter(tensors))
            tensors[first] = tensors[first] * np.float32(1.001)
        graph = helper.make_graph(
            nodes,
            network.__name__,
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
            [numpy_helper.from_array(array, name) for name, array in tensors.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        self.folder = folder / f"{network.__name__}{wrong}"
        self.folder.mkdir()
        onnx.save(onnx.shape_inference.infer_shapes(model), self.folder / "model.onnx")
        self.model = load_model(self.folder / "model.onnx")
        self.inputs = {"x": np.random.default_rng(6).normal(size=shape).astype("f4")}

    def run(self, spec):
        environment, backend = Environment.parse(spec), registry.get("torch")
        (folder := self.folder / spec).mkdir()
        with backend.load(backend.lower(self.model, environment, folder), environment) as executable:
            return dict(executable.run(self.inputs))


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda network: network.__name__)
def arbitrated(request, tmp_path_factory):
    pytest.importorskip("torch")
    bench = Bench(request.param, tmp_path_factory.mktemp("networks"))
    found = Arbitration(
        "torch",
        np.arange(ROWS),
        ROWS,
        bench.run("torch[outputs=computed,precision=float64]"),
        bench.run("torch"),
        tuple(bench.run(f"torch[perturb={seed}]") for seed in (1, 2, 3)),
    )
    assert found.float64["y"].dtype == np.float64
    return bench, found


def test_both_envelopes_agree_in_scale(arbitrated):
    _, found = arbitrated
    for precision in P:
        ratio = stochastic_envelope(found, "y", precision) / envelope(found, "y", precision)
        assert 1 / 3 < ratio < 3


def test_no_gap_moves_further_than_the_envelope(arbitrated):
    _, found = arbitrated
    limit = envelope(found, "y", P.FLOAT32)
    for run in (found.float32, *found.perturbed):
        error = run["y"] - found.float64["y"]
        assert (error.max(axis=1) - error.min(axis=1)).max() < limit


def test_a_wrong_weight_moves_gaps_further(arbitrated, tmp_path):
    bench, found = arbitrated
    network = next(network for network in NETWORKS if bench.folder.name.startswith(network.__name__))
    wrong = Bench(network, tmp_path, wrong=True).run("torch")
    error = wrong["y"] - found.float64["y"]
    assert (error.max(axis=1) - error.min(axis=1)).max() > 3 * envelope(found, "y", P.FLOAT32)
    assert [one.sound for one in soundness(wrong, found, P.FLOAT32)] == [False]


def test_the_yardstick_and_bfloat16_are_sound(arbitrated):
    bench, found = arbitrated
    assert [one.sound for one in soundness(found.float32, found, P.FLOAT32)] == [True]
    half = bench.run("torch[precision=bfloat16]")
    assert [one.sound for one in soundness(half, found, P.BFLOAT16)] == [True]
    assert [one.sound for one in soundness(half, found, P.FLOAT32)] == [False]


def test_the_envelope_is_wider_at_a_coarser_precision():
    rng = np.random.default_rng(0)
    exact = rng.normal(size=(8, 10))
    found = Arbitration("torch", np.arange(8), 8, {"y": exact}, {"y": exact.astype("f4")})
    sizes = [envelope(found, "y", precision) for precision in (P.FLOAT32, P.FLOAT16, P.BFLOAT16, P.INT8)]
    assert sizes == sorted(sizes)
    assert sizes[0] * 50 < sizes[1]


def test_high_scores_that_err_more_than_the_others_widen_it():
    rng = np.random.default_rng(0)
    exact = rng.normal(size=(8, 1000))
    even = exact + rng.normal(size=exact.shape) * 1e-6
    uneven = even.copy()
    top = np.argsort(exact, axis=1)[:, -2:]
    np.put_along_axis(uneven, top, np.take_along_axis(exact, top, 1) + rng.choice([-1e-5, 1e-5], (8, 2)), 1)
    found = [Arbitration("torch", np.arange(8), 8, {"y": exact}, {"y": run}) for run in (even, uneven)]
    narrow, wide = (envelope(one, "y", P.FLOAT32) for one in found)
    assert wide > 3 * narrow


def test_without_perturbed_runs_there_is_no_stochastic_envelope():
    exact = np.random.default_rng(0).normal(size=(8, 10, 1, 1))
    found = Arbitration("torch", np.arange(8), 8, {"y": exact}, {"y": exact.astype("f4")})
    assert stochastic_envelope(found, "y", P.FLOAT32) is None
    assert envelope(found, "y", P.FLOAT32) > 0
    with pytest.raises(KeyError):
        envelope(found, "z", P.FLOAT32)


@pytest.mark.parametrize("shape", [(8, 1), (8, 3, 4), (8,)])
def test_what_holds_no_scores_has_no_gap(shape):
    exact = np.ones(shape)
    found = Arbitration("torch", np.arange(8), 8, {"y": exact}, {"y": exact}, ({"y": exact},))
    for ask in (envelope, stochastic_envelope):
        with pytest.raises(ValueError, match="no scores"):
            ask(found, "y", P.FLOAT32)


def test_rows_that_are_not_finite_are_left_out():
    exact = np.random.default_rng(0).normal(size=(8, 10))
    single = exact.astype("f4")
    clean = Arbitration("torch", np.arange(8), 8, {"y": exact}, {"y": single}, ({"y": single},))
    single, exact = single.copy(), exact.copy()
    single[3], exact[3] = np.inf, np.inf
    spoilt = Arbitration("torch", np.arange(8), 8, {"y": exact}, {"y": single}, ({"y": single},))
    for ask in (envelope, stochastic_envelope):
        assert ask(spoilt, "y", P.FLOAT32) == pytest.approx(ask(clean, "y", P.FLOAT32), rel=0.5)
