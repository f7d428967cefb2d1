"""torch modules and callables in place of an ONNX file."""

from __future__ import annotations

import hashlib
import logging
from functools import partial
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import deltann  # noqa: E402
from deltann.errors import UsageError  # noqa: E402
from deltann.model import TensorSpec  # noqa: E402
from deltann.store import Cell  # noqa: E402
from deltann_torch.export import TorchExporter  # noqa: E402

pytestmark = pytest.mark.filterwarnings("error::UserWarning")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DELTANN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(3)


class Net(torch.nn.Module):
    """Batch norm and dropout compute otherwise in training; part of it is in eval mode all the time."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.norm = torch.nn.BatchNorm2d(4)
        self.drop = torch.nn.Dropout()
        self.dense = torch.nn.Linear(144, 5)
        self.norm.running_mean.normal_()
        self.conv.eval()

    def forward(self, image, scale=None, only_features=False):
        features = self.drop(torch.relu(self.norm(self.conv(image)))).flatten(1)
        if only_features:
            return features
        logits = self.dense(features)
        return {"logits": logits if scale is None else logits * scale, "features": features, "loss": None}


class Tampered(torch.nn.Module):
    """What is exported of it is not what it computes."""

    def __init__(self, sound):
        super().__init__()
        self.dense, self.sound = torch.nn.Linear(6, 4), sound

    def forward(self, x):
        y = self.dense(x)
        return y * 1.01 if torch.compiler.is_exporting() and not self.sound else y


def modes(module):
    return [part.training for part in module.modules()]


def images(count=6):
    return np.random.default_rng(8).standard_normal((count, 3, 8, 8)).astype(np.float32)


def vectors(count=6, width=6):
    return np.random.default_rng(9).standard_normal((count, width)).astype(np.float32)


def test_a_module_is_run_in_eval_mode_and_left_as_it_was(tmp_path):
    net = Net()
    before, weights = modes(net), {name: value.clone() for name, value in net.state_dict().items()}
    result = deltann.compare(net, "torch,reference", inputs=images(), batch_size=4, out=tmp_path / "run")
    assert result.verdict == "AGREE"
    assert result.cells.environment.tolist() == ["native", "torch", "reference"]
    assert modes(net) == before
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    actual = result.cells.actual[0]
    assert (actual["precision"], actual["threads"]) == ("float32", str(torch.get_num_threads()))
    assert "torch.onnx.export, opset" in actual["note"]
    net.eval()
    with torch.no_grad():
        expected = net(torch.from_numpy(images()))
    outputs = result.run.outputs(Cell("native"))
    assert list(outputs) == ["logits", "features"]
    np.testing.assert_allclose(outputs["logits"], expected["logits"].numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("sound", "verdict"), [(False, "DIFFER"), (True, "AGREE")])
def test_an_export_that_changes_the_model_is_caught(tmp_path, sound, verdict):
    model = Tampered(sound)
    result = deltann.compare(model, "reference", inputs=vectors(), evidence="arbiter", out=tmp_path / "run")
    assert result.verdict == verdict
    assert {name for blame in result.blamed for name in blame.names} == (set() if sound else {"the export"})


def test_inputs_are_fed_by_name_and_optional_ones_where_given(tmp_path):
    feeds = {"scale": vectors(6, 1), "image": images()}
    result = deltann.compare(Net(), "reference", inputs=feeds, out=tmp_path / "run")
    assert result.verdict == "AGREE"
    assert [spec.name for spec in result.run.models["model"].inputs] == ["image", "scale"]
    with pytest.raises(UsageError, match="'picture' is no parameter of the model, which takes: image, scale"):
        deltann.compare(Net(), "reference", inputs="random:4", shape={"picture": (1, 3, 8, 8)}, out=tmp_path / "no")


@pytest.mark.parametrize("bound", [True, False])
def test_callables_run_the_modules_that_they_reach_in_eval_mode(tmp_path, bound):
    net = Net()
    before = modes(net)
    features = lambda image: net(image, only_features=True) * 2  # noqa: E731
    model = net.forward if bound else features
    result = deltann.compare(model, "reference", inputs=images(), evidence="noise", out=tmp_path / "run")
    assert result.verdict == "AGREE"
    assert result.cells.symptom.tolist() == [None, None]
    assert modes(net) == before


class Holder:
    """An object of the user's that is called."""

    def __init__(self, net):
        self.parts = {"net": net}

    def __call__(self, image):
        return self.parts["net"](image)["logits"]


def logits(net, image):
    return net(image)["logits"]


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda net: partial(logits, net),
        lambda net: partial(net.forward, only_features=True),
        lambda net: partial(Net.__call__, net, only_features=True),
        lambda net: partial(lambda image, net: net(image)["logits"], net=net),
        Holder,
        lambda net: Holder(net).__call__,
        lambda net: partial(Holder(net)),
        lambda net: lambda image: logits(net, image),
    ],
    ids=["partial", "method", "class", "keyword", "object", "bound", "both", "closure"],
)
def test_modules_that_a_callable_holds_are_left_as_they_were(tmp_path, wrapped):
    net = Net()
    before, weights = modes(net), {name: value.clone() for name, value in net.state_dict().items()}
    model = wrapped(net)
    exporter = TorchExporter()
    native = exporter.export(model, [TensorSpec("image", "float32", ("batch", 3, 8, 8))], tmp_path / "m.onnx")
    outputs = native.run({"image": images()})
    assert modes(net) == before
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())
    net.eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(images()))
    np.testing.assert_allclose(*outputs.values(), expected.numpy(), rtol=1e-5, atol=1e-6)


class Slotted:
    __slots__ = ("net",)

    def __init__(self, net):
        self.net = net

    def __call__(self, image):
        return self.net(image)["logits"]


def test_a_module_in_training_that_is_not_found_is_refused_and_not_run(tmp_path):
    net = Net()
    before, weights = modes(net), {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(UsageError, match=r"calls a Net in training mode .*: call \.eval\(\) of that first") as refused:
        deltann.compare(Slotted(net), "reference", inputs=images(), out=tmp_path / "run")
    assert "\n" not in str(refused.value)
    assert modes(net) == before
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())
    net.eval()
    assert deltann.compare(Slotted(net), "reference", inputs=images(), out=tmp_path / "run").verdict == "AGREE"


def test_an_activation_made_on_the_way_is_no_module_in_training(tmp_path):
    def model(x):
        return torch.nn.Softmax(1)(x)

    assert deltann.compare(model, "reference", inputs=vectors(), out=tmp_path / "run").verdict == "AGREE"


@pytest.mark.parametrize("asked_for", [False, True])
def test_exporting_leaves_nothing_in_the_users_log(tmp_path, caplog, monkeypatch, asked_for):
    """Unless the user asked for torch's trace, which is then left alone."""
    trace, exported, levels = logging.getLogger("torch.__trace"), torch.onnx.export, []

    def export(*arguments: Any, **options: Any) -> Any:
        levels.append(trace.level)
        return exported(*arguments, **options)

    monkeypatch.setattr(torch.onnx, "export", export)
    monkeypatch.delenv("TORCH_TRACE", raising=False)
    if asked_for:
        monkeypatch.setenv("TORCH_TRACE", str(tmp_path / "trace"))
    before = trace.level
    TorchExporter().export(Net(), [TensorSpec("image", "float32", ("batch", 3, 8, 8))], tmp_path / "m.onnx")
    assert set(levels) == {before if asked_for else logging.CRITICAL}
    assert asked_for or not [record for record in caplog.records if record.name == trace.name]
    assert trace.level == before


def test_a_model_that_is_random_is_named_as_such(tmp_path):
    def noisy(x):
        return torch.nn.functional.dropout(x, training=True)

    result = deltann.compare(noisy, "reference", inputs=vectors(), evidence="noise", out=tmp_path / "run")
    assert result.cells.symptom[0] == "NONDETERMINISM"
    assert result.verdict != "AGREE"


def test_a_model_that_writes_to_its_input_spoils_nobodys_samples(tmp_path):
    def scaled(x):
        return x.mul_(2).softmax(1)

    result = deltann.compare(scaled, "reference", inputs=vectors(), out=tmp_path / "run")
    assert result.verdict == "AGREE"


def test_outputs_that_are_one_value_or_an_input_are_kept_apart(tmp_path):
    def both(x):
        y = x * 3
        return y, (y, x)

    result = deltann.compare(both, "reference,torch", inputs=vectors(), out=tmp_path / "run")
    assert list(result.run.outputs(Cell("native"))) == ["output_0", "output_1.0", "output_1.1"]
    assert result.verdict == "AGREE"


def test_indices_take_their_type_from_the_arrays(tmp_path):
    ids = np.random.default_rng(2).integers(0, 20, (6, 7))
    result = deltann.compare(torch.nn.Embedding(20, 4), "torch,reference", inputs=ids, out=tmp_path / "run")
    assert (result.verdict, result.run.models["model"].inputs[0].dtype) == ("AGREE", "int64")


def test_floats_take_their_type_from_the_weights(tmp_path):
    model = torch.nn.Linear(6, 4).double()
    result = deltann.compare(model, "reference", inputs=vectors(), out=tmp_path / "run")
    assert result.verdict == "AGREE"
    assert result.run.models["model"].inputs[0].dtype == result.cells.actual[0]["precision"] == "float64"


@pytest.mark.parametrize(("rows", "row"), [(1, (1, 6)), (3, (6,))])
def test_outputs_without_a_row_a_sample_fix_the_batch(tmp_path, rows, row):
    """Of one row in and three out, a sample is a whole input; of three in and three out, it is a row."""

    def folded(x):
        return x.reshape(-1, 2).cumsum(0)[:3]

    result = deltann.compare(
        folded, "reference", inputs=vectors().reshape(-1, *row), shape={"x": (rows, 6)}, out=tmp_path / "run"
    )
    assert result.verdict == "AGREE"
    notes = result.run.document["inputs"]["notes"]
    assert "folded.onnx: exported with shapes of a fixed size: not every output has a row for each sample" in notes
    assert result.run.models["model"].inputs[0].shape == (rows, 6)


def test_what_torch_cannot_export_is_told_in_its_words(tmp_path):
    def undecided(x):
        return x * 2 if x.sum() > 0 else x * 3

    with pytest.raises(UsageError, match=r"undecided cannot be exported: \w+: Could not guard") as refused:
        deltann.compare(undecided, "reference", inputs=vectors(), out=tmp_path / "run")
    assert "\n" not in str(refused.value)


def test_a_model_that_fails_by_itself_is_told_so_and_left_as_it_was(tmp_path):
    net = Net()
    before = modes(net)
    with pytest.raises(UsageError, match="Net cannot be exported: RuntimeError: mat1 and mat2 shapes"):
        deltann.compare(net, "reference", inputs="random:2", shape={"image": (1, 3, 9, 9)}, out=tmp_path / "run")
    assert modes(net) == before


@pytest.mark.parametrize("returned", [5, "text", ()])
def test_what_is_no_tensor_is_no_output(tmp_path, returned):
    with pytest.raises(UsageError, match=r"it returns (a int|a str|no tensor)"):
        deltann.compare(lambda x: (returned, None), "reference", inputs=vectors(), out=tmp_path / "run")  # noqa: ARG005


def test_the_same_model_gives_the_same_bytes_and_no_path_of_this_machine(tmp_path):
    net, digests = Net(), set()
    specs = [spec for spec in TorchExporter().inputs(net, ()) if spec.name == "image"]
    for number in range(2):
        path = tmp_path / f"{number}.onnx"
        shapes = [type(spec)(spec.name, spec.dtype, ("batch", 3, 8, 8)) for spec in specs]
        TorchExporter().export(net, shapes, path)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
        assert __file__.encode() not in path.read_bytes()
        assert b"site-packages" not in path.read_bytes()
    assert len(digests) == 1


def test_what_cannot_be_called_is_refused(tmp_path):
    with pytest.raises(UsageError, match="takes no TorchScript: give the module"):
        deltann.compare(torch.jit.trace(torch.nn.ReLU(), torch.ones(3)), "reference", inputs=vectors(), out=tmp_path)
    with pytest.raises(UsageError, match="a Tensor cannot be called"):
        deltann.compare(torch.ones(3), "reference", inputs=vectors(), out=tmp_path / "run")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_module_on_a_gpu_runs_there(tmp_path):
    result = deltann.compare(Net().cuda(), "reference", inputs=images(), rtol=1e-2, atol=1e-2, out=tmp_path / "run")
    assert result.verdict == "AGREE"
    assert result.cells.actual[0]["device"] == torch.cuda.get_device_name()
