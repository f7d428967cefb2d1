"""Models that are objects, exported by a framework made up for these tests."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from textwrap import dedent

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import deltann
from deltann.comparison.evidence import Arbitration
from deltann.errors import UsageError
from deltann.findings import findings
from deltann.native.calling import arguments, leaves, output_names, positional
from deltann.outcome import Status, Symptom
from deltann.report.console import print_result
from deltann.report.contents import load_contents
from deltann.report.html import to_html
from deltann.report.json import document
from deltann.report.junit import to_junit
from deltann.report.markdown import to_markdown
from deltann.store import Cell, open_run
from deltann.testing.faulty import ENTRY
from deltann.testing.registration import registered
from deltann.testing.stored import write_arbitration
from deltann.timing.pairs import pairs_of

BACKENDS = ["reference", "faulty"]
NUMNET = '''
    """A framework of one layer: numpy's own product."""

    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from deltann.errors import UsageError
    from deltann.model import TensorSpec
    from deltann.native import Native


    class Dense:
        """`does`: what is wrong with it."""

        def __init__(self, weight, does=""):
            self.weight, self.does, self.calls = weight, does, 0

        def __call__(self, x):
            self.calls += 1
            if self.does == f"fails at {self.calls}":
                raise ArithmeticError("a unit\\nmelted")
            if self.does == f"interrupted at {self.calls}":
                raise KeyboardInterrupt
            noise = np.float32(self.calls) if self.does == "noisy" else np.float32(0)
            y = x @ self.weight + noise
            return y[:, :-1] if self.does == f"narrow at {self.calls}" else y


    class Exporter:
        backend = "numnet"

        def inputs(self, model, given):
            if set(given) - {"x"}:
                raise UsageError(f"takes x, not {', '.join(given)}")
            return (TensorSpec("x", "float32", (None, 3) if model.does == "knows" else None),)

        def export(self, model, inputs, path):
            (spec,) = inputs
            batch = spec.shape[0]
            if model.does == "no exporter" or (model.does == "fixed" and isinstance(batch, str)):
                try:
                    raise ValueError("no such operator\\nsecond line")
                except ValueError as error:
                    raise RuntimeError("see above") from error
            weight = model.weight * np.float32(1.5) if model.does == "wrong" else model.weight
            name = "other" if model.does == "renamed" else "x"
            node = helper.make_node("MatMul", [name, "w"] if model.does != "invalid" else ["x"], ["y"])
            graph = helper.make_graph(
                [node],
                "dense",
                [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *spec.shape[1:]])],
                [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, model.weight.shape[1]])],
                [numpy_helper.from_array(weight, "w")],
            )
            onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
            actual = {"precision": "float32", "note": "exported by numnet"}
            return Native(lambda arrays: {"y": model(arrays["x"])}, "numnet 1.0", actual)
'''


@pytest.fixture(scope="module")
def numnet(tmp_path_factory):
    """The framework, installed for this process."""
    site = tmp_path_factory.mktemp("site")
    (site / "numnet.py").write_text(dedent(NUMNET))
    info = site / "numnet-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: numnet\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[deltann.exporters]\nnumnet = numnet:Exporter\nbroken = numnet_absent:Exporter\n"
    )
    with pytest.MonkeyPatch.context() as patch, registered(faulty=ENTRY):
        patch.setenv("DELTANN_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.syspath_prepend(site)
        import numnet

        yield numnet
    sys.modules.pop("numnet", None)


@pytest.fixture
def dense(numnet):
    """A layer of 3 inputs and 4 outputs; `does` says what is wrong with it."""
    weight = np.random.default_rng(5).standard_normal((3, 4)).astype(np.float32)
    return lambda does="": numnet.Dense(weight, does)


@pytest.fixture
def samples():
    return np.random.default_rng(6).standard_normal((7, 3)).astype(np.float32)


def test_the_object_is_an_environment_beside_those_that_run_its_export(dense, samples, tmp_path):
    result = deltann.compare(dense(), BACKENDS, inputs=samples, batch_size=2, out=tmp_path / "run")
    assert (result.verdict, result.exit_code) == ("AGREE", 0)
    assert result.cells.environment.tolist() == ["native", *BACKENDS]
    assert result.cells.version[0] == result.run.document["versions"]["native"] == "numnet 1.0"
    assert "exported by numnet" in result.cells.actual[0]["note"]
    np.testing.assert_array_equal(result.run.outputs(Cell("native"))["y"], samples @ dense().weight)
    kept = result.run.models["model"].path
    assert kept == tmp_path / "run" / "exported" / "Dense.onnx"
    assert onnx.load(kept).graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_one_model_under_two_names_is_kept_under_both(dense, samples, tmp_path):
    names = []
    for number in range(4):
        model = dense()
        model.__name__ = f"layer_{number % 2}"
        result = deltann.compare(model, "reference", inputs=samples, evidence="none", out=tmp_path / str(number))
        names.append(result.run.models["model"].name)
    assert names == ["layer_0.onnx", "layer_1.onnx"] * 2


def test_a_wrong_export_differs_and_the_object_stands_alone(dense, samples, tmp_path):
    result = deltann.compare(dense("wrong"), BACKENDS, inputs=samples, out=tmp_path / "run")
    assert (result.verdict, result.exit_code) == ("DIFFER", 1)
    verdicts = {(str(pair.candidate), str(pair.reference)): pair.judgement.verdict for pair in result.compared}
    assert verdicts["reference", "native"] == verdicts["faulty", "native"] == "DIFFER"
    assert verdicts["faulty", "reference"] == "AGREE"
    assert [(blame.names, blame.cells, blame.sure) for blame in result.blamed] == [
        (("the export",), ("native",), "majority alone")
    ]


def arbitrated(result, exact, native=None):
    """The run with the arbiter's outputs `exact`, read anew; `native`: what the object gave, in place of its own."""
    every = np.arange(len(exact))
    write_arbitration(
        result.run, Arbitration("other[precision=float64]", every, len(every), {"y": exact}, {"y": np.float32(exact)})
    )
    if native is not None:
        np.save(result.run.outputs_folder(Cell("native")) / "0.npy", native.astype(np.float32))
    return deltann.load(result.run.folder)


@pytest.mark.parametrize(("does", "names"), [("wrong", [("the export",)]), ("", [])])
def test_a_broken_export_is_blamed_and_the_object_never(dense, samples, tmp_path, does, names):
    """The arbiter evaluates what was exported: all that ran it agree with that, and the object alone does not."""
    result = deltann.compare(dense(does), BACKENDS, inputs=samples, batch_size=7, out=tmp_path / "run")
    weight = dense().weight.astype(np.float64) * (1.5 if does else 1)
    result = arbitrated(result, samples.astype(np.float64) @ weight)
    assert [blame.names for blame in result.blamed] == names
    assert [blame.sure for blame in result.blamed] == ["arbiter and majority"] * len(names)
    contents = load_contents(tmp_path / "run")
    console = Console(width=300)
    with console.capture() as captured:
        print_result(contents.result, console)
    texts = [captured.get(), to_markdown(contents), to_junit(contents), to_html(contents)]
    texts += ["\n".join(finding.text for finding in findings(contents))]
    assert [("the export" in text and "native is the model itself" in text) for text in texts] == [bool(names)] * 5
    assert not any("native: wrong" in text for text in texts)
    told = document(contents)["blamed"]
    assert [(blame["cells"], blame["export"]) for blame in told] == [([], True)] * len(names)


def test_an_engine_that_is_wrong_is_blamed_beside_a_sound_export(dense, samples, tmp_path):
    result = deltann.compare(dense(), BACKENDS, inputs=samples, batch_size=7, out=tmp_path / "run")
    file = result.run.outputs_folder(Cell("faulty")) / "0.npy"
    np.save(file, np.load(file) * np.float32(1.5))
    result = arbitrated(result, samples.astype(np.float64) @ dense().weight.astype(np.float64))
    assert [(blame.names, blame.sure) for blame in result.blamed] == [(("faulty",), "arbiter and majority")]


def test_labels_of_the_object_that_its_export_does_not_choose_are_not_the_wrong_ones(dense, samples, tmp_path):
    """The best class of the exported one is another on every sample; of engines that would be their fault."""
    result = deltann.compare(dense(), BACKENDS, inputs=samples, batch_size=7, task="classification", out=tmp_path / "r")
    exact = samples.astype(np.float64) @ dense().weight.astype(np.float64)
    flipped = arbitrated(result, exact, native=exact[:, ::-1])
    flips = {str(pair.reference): pair.comparison.outputs[0].classification.flips for pair in flipped.compared}
    assert flips["native"]
    assert {(flip.kind, flip.wrong) for flip in flips["native"]} == {("fault", None)}
    assert not flips["reference"]
    assert [blame.names for blame in flipped.blamed] == [("the export",)]
    assert "labels differ beyond rounding" in " ".join(flipped.compared[0].judgement.reasons)


def test_reports_show_it_as_any_environment(dense, samples, tmp_path):
    deltann.compare(dense(), "reference", inputs=samples, out=tmp_path / "run")
    contents = load_contents(tmp_path / "run")
    console = Console(width=120)
    with console.capture() as captured:
        print_result(contents.result, console)
    assert "A native: exported by numnet; run in this process" in captured.get()
    assert document(contents)["cells"][0]["environment"] == "native"


def test_it_is_read_offline_without_its_framework(dense, samples, tmp_path):
    deltann.compare(dense(), "reference", inputs=samples, out=tmp_path / "run")
    program = "import deltann, sys; print(deltann.load(sys.argv[1]).verdict, 'numnet' in sys.modules)"
    read = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "run"], capture_output=True, text=True, check=True, timeout=120
    )
    assert read.stdout.split() == ["AGREE", "False"]


def test_what_it_raises_fails_its_cell_alone(dense, samples, tmp_path):
    result = deltann.compare(dense("fails at 3"), BACKENDS, inputs=samples, out=tmp_path / "run")
    outcome = result.records[0].outcome
    assert (outcome.status, outcome.symptom, outcome.reason) == (
        Status.FAILED, Symptom.EXCEPTION, "ArithmeticError: a unit",
    )  # fmt: skip
    assert "melted" in outcome.detail
    assert (result.verdict, result.exit_code) == ("AGREE", 3)
    assert result.cells.status.tolist() == ["FAILED", "OK", "OK"]


def test_outputs_that_change_their_shape_cannot_be_compared(dense, samples, tmp_path):
    result = deltann.compare(dense("narrow at 4"), "reference", inputs=samples, out=tmp_path / "run")
    assert result.records[0].outcome.status is Status.UNSUPPORTED
    assert result.exit_code == 3


@pytest.mark.parametrize(("does", "symptom"), [("noisy", "NONDETERMINISM"), ("", None)])
def test_it_is_run_again_as_every_environment_is(dense, samples, tmp_path, does, symptom):
    result = deltann.compare(dense(does), "reference", inputs=samples, evidence="noise", out=tmp_path / "run")
    assert result.cells.symptom[0] == symptom
    assert result.records[0].facts["repeated"] == len(samples)


def test_a_failure_when_run_again_is_told(dense, samples, tmp_path):
    model = dense(f"fails at {len(samples) + 2}")
    result = deltann.compare(model, "reference", inputs=samples, evidence="noise", out=tmp_path / "run")
    assert result.records[0].outcome.status is Status.OK
    assert result.records[0].facts["repeat_failed"] == "run again, it failed: ArithmeticError: a unit"
    assert result.verdict != "AGREE"


def test_an_interrupted_run_goes_on_where_it_was(dense, samples, tmp_path):
    with pytest.raises(deltann.study.Interrupted):
        deltann.compare(dense("interrupted at 5"), "reference", inputs=samples, out=tmp_path / "run")
    assert open_run(tmp_path / "run").status == "interrupted"
    model = dense()
    result = deltann.compare(model, "reference", inputs=samples, out=tmp_path / "run")
    assert (result.verdict, model.calls) == ("AGREE", len(samples) - 4)


def test_another_object_cannot_go_on_with_it(dense, samples, tmp_path):
    with pytest.raises(deltann.study.Interrupted):
        deltann.compare(dense("interrupted at 5"), "reference", inputs=samples, out=tmp_path / "run")
    with pytest.raises(UsageError, match="another model"):
        deltann.compare(dense("wrong"), "reference", inputs=samples, out=tmp_path / "run")


def test_the_object_can_be_the_reference(dense, samples, tmp_path):
    result = deltann.compare(dense(), BACKENDS, inputs=samples, reference="native", out=tmp_path / "run")
    assert {str(pair.reference) for pair in result.compared if pair.judged} == {"native"}


def test_native_is_no_backend_to_ask_for(dense, samples, tmp_path):
    for model in (dense(), "model.onnx"):
        with pytest.raises(UsageError, match=r"'native' is no backend.*leave it out"):
            deltann.compare(model, "native,reference", inputs=samples, out=tmp_path / "run")


@pytest.mark.parametrize(
    ("feeds", "shape"),
    [
        ({"inputs": "random:4", "shape": {"x": (1, 3)}}, (1, 3)),
        ({"inputs": "random:4", "shape": ["2x3"]}, (2, 3)),
        ({"inputs": {"anything": np.ones((4, 3), np.float64)}}, (1, 3)),
        ({"inputs": {"x": np.ones((4, 3), np.float32)}, "batch_size": 3}, (3, 3)),
    ],
)
def test_shapes_come_from_the_user_or_from_arrays(dense, tmp_path, feeds, shape):
    result = deltann.compare(dense(), "reference", out=tmp_path / "run", **feeds)
    (spec,) = result.run.models["model"].inputs
    assert (spec.shape, spec.dtype) == (shape, "float32")
    saved = onnx.load(result.run.models["model"].path).graph.input[0].type.tensor_type.shape.dim
    assert saved[0].dim_param == "batch"
    assert result.verdict != "DIFFER"


def test_arrays_in_a_file_tell_shapes_too(dense, samples, tmp_path):
    np.savez(tmp_path / "inputs.npz", whatever=samples)
    result = deltann.compare(dense(), "reference", inputs=tmp_path / "inputs.npz", out=tmp_path / "run")
    assert result.verdict == "AGREE"


def test_an_object_that_knows_its_shape_needs_none(dense, tmp_path):
    assert deltann.compare(dense("knows"), "reference", inputs="random:4", out=tmp_path / "run").verdict == "AGREE"


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        (
            {"inputs": "random:4"},
            r"Dense: the shape of its input 'x' is not known \(x: float32\[\?\]\): give arrays .* shape=\{'x'",
        ),
        ({"inputs": "random:4", "shape": {"z": (1, 3)}}, "takes x, not z"),
        ({"inputs": {"x": np.ones((2, 3)), "z": np.ones((2, 3))}}, "takes x, not x, z"),
    ],
)
def test_inputs_that_cannot_be_known_are_refused_in_one_line(dense, tmp_path, feeds, message):
    with pytest.raises(UsageError, match=message) as refused:
        deltann.compare(dense(), "reference", out=tmp_path / "run", **feeds)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_batch_that_cannot_be_open_is_fixed_and_said_so(dense, samples, tmp_path):
    result = deltann.compare(dense("fixed"), "reference", inputs=samples, batch_size=3, out=tmp_path / "run")
    assert result.verdict == "AGREE"
    assert result.run.document["rows"]["model"] == 3
    (note,) = result.run.document["inputs"]["notes"]
    assert note == "Dense.onnx: exported with shapes of a fixed size: ValueError: no such operator"


@pytest.mark.parametrize(
    ("does", "message"),
    [
        ("no exporter", "Dense cannot be exported: ValueError: no such operator; change it"),
        ("renamed", "called with x, and what was exported takes other"),
        ("invalid", "Dense cannot be exported: fails onnx.checker"),
    ],
)
def test_an_export_that_fails_is_refused_in_one_line(dense, samples, tmp_path, does, message):
    with pytest.raises(UsageError, match=message) as refused:
        deltann.compare(dense(does), "reference", inputs=samples, out=tmp_path / "run")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("numnet")
def test_what_nobody_exports_is_refused(samples, tmp_path):
    with pytest.raises(UsageError, match=r"a ModelProto is no model that deltann takes; give an \.onnx path"):
        deltann.compare(onnx.ModelProto(), "reference", inputs=samples, out=tmp_path / "run")


@pytest.mark.usefixtures("numnet")
def test_an_exporter_that_lacks_something_says_what_to_install(samples, tmp_path):
    odd = type("Odd", (), {"__module__": "broken.models"})()
    with pytest.raises(UsageError, match=re.escape("(No module named 'numnet_absent'): pip install 'deltann[broken]'")):
        deltann.compare(odd, "reference", inputs=samples, out=tmp_path / "run")


def test_a_second_model_is_compared_with_the_object_too(dense, samples, tmp_path):
    made = deltann.compare(dense("wrong"), "reference", inputs=samples, out=tmp_path / "wrong").run.models["model"].path
    result = deltann.compare(dense(), "reference", against=made, inputs=samples, out=tmp_path / "run")
    pairs = {(str(pair.candidate), str(pair.reference)) for pair in result.compared}
    assert pairs == {("against:reference", "native"), ("against:reference", "reference")}
    assert result.verdict == "DIFFER"


def test_a_second_object_is_refused_in_a_line(dense, samples, tmp_path):
    with pytest.raises(UsageError, match="`against` takes a file"):
        deltann.compare(dense(), "reference", against=dense(), inputs=samples, out=tmp_path / "run")


def test_the_object_is_never_timed():
    cells = [Cell("native"), Cell("ort"), Cell("torch")]
    assert pairs_of(cells, None) == (("torch", "ort"),)
    with pytest.raises(UsageError, match="ort, torch"):
        pairs_of(cells, "native")


def test_an_object_shares_its_frameworks_voice(dense, samples, tmp_path):
    """Two of three agree, but both compute by one framework: no majority, and nobody is blamed."""
    run = deltann.compare(dense("wrong"), BACKENDS, inputs=samples, out=tmp_path / "run").run
    record = tmp_path / "run" / "cells" / "model" / "native" / "cell.json"
    known = json.loads(record.read_text())
    assert known["facts"]["backend"] == "numnet"
    outputs = run.outputs_folder(Cell("native"))
    right, wrong = (run.outputs_folder(Cell(name)) for name in BACKENDS)
    for name in ("0.npy",):  # now the object agrees with `faulty`, and `reference` differs
        (outputs / name).write_bytes((wrong / name).read_bytes())
        values = np.load(right / name)
        np.save(right / name, values * np.float32(1.5))
    assert [blame.names for blame in deltann.load(run.folder).blamed] == [("reference",)]
    known["facts"]["backend"] = "faulty"
    record.write_text(json.dumps(known))
    assert [blame.sure for blame in deltann.load(run.folder).blamed] == ["cannot tell"]


def test_parameters_are_fed_in_their_own_order():
    def function(image, scale=None, *, offset, training=False):
        return image, scale, offset, training

    assert arguments(function, ["offset", "scale"]) == ("image", "scale", "offset")
    assert arguments(function, []) == ("image", "offset")
    assert positional(function, ["image", "offset"])(1, 2) == (1, None, 2, False)
    assert arguments(lambda *tensors: tensors, ["b", "a"]) == ("b", "a")
    assert positional(lambda *tensors: tensors, ["b", "a"])(1, 2) == (1, 2)
    with pytest.raises(UsageError, match="'picture' is no parameter of the model, which takes: image, scale, offset"):
        arguments(function, ["picture"])


def test_outputs_are_named_by_where_they_stand():
    returned = {"logits": 1, "features": (2, [3, None]), "nothing": None}
    assert list(leaves(returned)) == [("logits", 1), ("features.0", 2), ("features.1.0", 3)]
    assert output_names(["logits", "features.0"], ["x"]) == ("logits", "features.0")
    assert output_names([""], ["x"]) == output_names(["0"], ["x"]) == ("output",)
    assert output_names(["0", "1"], ["x"]) == ("output_0", "output_1")
    assert output_names(["x", "y"], ["x"]) == ("output_x", "y")


@given(
    st.lists(st.text("01.xyo_", max_size=4), min_size=1, max_size=5, unique=True),
    st.lists(st.sampled_from(["x", "output", "output_0", "output_1", "output_x", "0"]), max_size=4, unique=True),
)
def test_no_two_values_of_a_graph_get_one_name(paths, inputs):
    names = output_names(paths, inputs)
    assert len(names) == len(paths)
    assert len({*names, *inputs}) == len(names) + len(inputs)
    assert all(names)
