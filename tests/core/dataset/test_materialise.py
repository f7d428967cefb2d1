from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deltann.binding import Binding, bind
from deltann.dataset import Materialised, materialise, parse_source, store
from deltann.errors import UsageError
from deltann.model import Dim, Model, TensorSpec
from deltann.preprocess import apply, decode, load_pipeline, resolve

TF = load_pipeline("tf")


def classifier(name: str = "input", dtype: str = "float32", shape: tuple[Dim, ...] = ("N", 3, 32, 32)) -> Binding:
    spec, scores = TensorSpec(name, dtype, shape), TensorSpec("scores", dtype, (shape[0], 10))
    return bind(Model("m.onnx", Path("m.onnx"), "0" * 64, 17, (spec,), (scores,)), {}, 4)


def read(made: Materialised, name: str = "input") -> np.ndarray[Any, Any]:
    return np.load(made.arrays[name], mmap_mode="r", allow_pickle=False)


def left_behind(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "inputs").glob("*")) if (cache / "inputs").exists() else []


def test_images_become_the_rows_that_apply_makes(photographs: Path, tmp_path: Path) -> None:
    binding, steps = classifier(), []
    made = materialise(
        parse_source(photographs), binding, TF, tmp_path / "c", progress=lambda done, total: steps.append((done, total))
    )
    rows = read(made)
    resolved = resolve(TF, binding.model.inputs[0])
    assert rows.shape == (7, 3, 32, 32)
    for name, row in zip(made.names, rows, strict=True):
        np.testing.assert_array_equal(row, apply(resolved, decode(photographs / name)))
    assert made.digest == hashlib.sha256(rows.tobytes()).hexdigest()
    assert made.notes == ("2 other files beside the images are left out",)
    assert made.pipeline == {"name": "tf", **resolved.to_dict()}
    assert steps == [(number, 7) for number in range(1, 8)]


def test_a_second_call_reads_what_the_first_wrote(photographs: Path, tmp_path: Path) -> None:
    first = materialise(parse_source(photographs), classifier(), TF, tmp_path / "c")
    written = {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    second = materialise(parse_source(photographs), classifier(), TF, tmp_path / "c")
    assert second == first
    assert {path: path.stat().st_mtime_ns for path in first.folder.iterdir()} == written
    elsewhere = materialise(parse_source(photographs), classifier(), TF, tmp_path / "d")
    assert elsewhere.arrays["input"].read_bytes() == first.arrays["input"].read_bytes()


def test_a_finished_set_is_read_without_any_write(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = materialise(parse_source(photographs), classifier(), TF, tmp_path / "c")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    for name in ("mkdir", "rename", "write_text"):
        monkeypatch.setattr(Path, name, refuse)
    assert materialise(parse_source(photographs), classifier(), TF, tmp_path / "c") == first


def _change_a_byte(folder: Path) -> None:
    with (folder / "0.npy").open("r+b") as file:
        file.seek(-9, os.SEEK_END)
        file.write(b"\x2a")


def _cut(folder: Path) -> None:
    os.truncate(folder / "0.npy", 5000)


@pytest.mark.parametrize(
    "harm",
    [
        _change_a_byte,
        _cut,
        lambda folder: (folder / "0.npy").unlink(),
        lambda folder: (folder / "inputs.json").unlink(),
        lambda folder: (folder / "inputs.json").write_text("{"),
        lambda folder: (folder / "inputs.json").write_text("{}"),
        lambda folder: (folder / "inputs.json").write_text(
            (folder / "inputs.json").read_text().replace("skipped", "left")
        ),
    ],
)
def test_a_damaged_set_is_made_anew(photographs: Path, tmp_path: Path, harm: Callable[[Path], object]) -> None:
    first = materialise(parse_source(photographs), classifier(), TF, tmp_path / "c")
    good = first.arrays["input"].read_bytes()
    harm(first.folder)
    again = materialise(parse_source(photographs), classifier(), TF, tmp_path / "c")
    assert again == first
    assert again.arrays["input"].read_bytes() == good
    assert left_behind(tmp_path / "c") == [first.folder.name]


@pytest.mark.parametrize("blow", [KeyboardInterrupt, RuntimeError])
def test_a_call_that_dies_midway_leaves_nothing(photographs: Path, tmp_path: Path, blow: type[BaseException]) -> None:
    def progress(done: int, _: int) -> None:
        if done == 4:
            raise blow

    with pytest.raises(blow):
        materialise(parse_source(photographs), classifier(), TF, tmp_path / "c", progress=progress)
    assert left_behind(tmp_path / "c") == []


def test_a_killed_process_leaves_nothing_that_looks_complete(photographs: Path, tmp_path: Path) -> None:
    def die(done: int, _: int) -> None:
        if done == 4:
            os._exit(9)

    child = os.fork()
    if child == 0:
        try:
            materialise(parse_source(photographs), classifier(), TF, tmp_path / "c", progress=die)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    (part,) = (tmp_path / "c" / "inputs").iterdir()
    assert part.name.endswith(".part")
    assert store.finished(part) is None
    made = materialise(parse_source(photographs), classifier(), TF, tmp_path / "c")
    assert len(read(made)) == 7
    os.utime(part, (0, 0))  # a day later the next set sweeps it away
    materialise(parse_source(photographs), classifier(), TF, tmp_path / "c", limit=2)
    assert not part.exists()


@pytest.mark.parametrize(("number", "reason"), [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "denied")])
def test_a_disk_that_takes_no_more_is_a_plain_error(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    whole = store.ArrayWriter.append

    def append(self: store.ArrayWriter, row: Any) -> memoryview:
        if self._count == 3:
            raise OSError(number, os.strerror(number))
        return whole(self, row)

    monkeypatch.setattr(store.ArrayWriter, "append", append)
    with pytest.raises(UsageError, match=f"{reason}.*DELTANN_CACHE"):
        materialise(parse_source(photographs), classifier(), TF, tmp_path / "c")
    assert left_behind(tmp_path / "c") == []


def test_a_cache_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("a file")
    with pytest.raises(UsageError, match="cannot write the inputs"):
        materialise(parse_source("random:2"), classifier(), None, tmp_path / "c")


def test_bad_images_are_named_and_refused(photographs: Path, tmp_path: Path) -> None:
    whole = (photographs / "3.png").read_bytes()
    (photographs / "3.png").write_bytes(whole[: len(whole) // 2])
    Image.new("CMYK", (8, 8)).save(photographs / "1.jpg")
    with pytest.raises(UsageError, match=r"2 of 7 images .*1\.jpg: mode CMYK.*3\.png: .*--skip-bad-inputs"):
        materialise(parse_source(photographs), classifier(), TF, tmp_path / "c")
    assert left_behind(tmp_path / "c") == []


def test_bad_images_can_be_left_out(photographs: Path, tmp_path: Path) -> None:
    good = read(materialise(parse_source(photographs), classifier(), TF, tmp_path / "c"))
    (photographs / "3.png").write_text("no image")
    made = materialise(parse_source(photographs), classifier(), TF, tmp_path / "c", skip_bad=True)
    assert made.names == ("0.png", "1.jpg", "2.bmp", "4.webp", "5.PNG", "6.gif")
    assert [file for file, _ in made.skipped] == ["3.png"]
    np.testing.assert_array_equal(read(made), np.delete(good, 3, axis=0))
    assert made.digest == hashlib.sha256(read(made).tobytes()).hexdigest()
    with pytest.raises(UsageError, match=r"1 of 7 images .*3\.png"):
        materialise(parse_source(photographs), classifier(), TF, tmp_path / "c")
    assert materialise(parse_source(photographs), classifier(), TF, tmp_path / "c", skip_bad=True) == made


def test_nothing_but_bad_images_is_refused_even_when_skipping(photographs: Path, tmp_path: Path) -> None:
    for file in photographs.iterdir():
        if file.is_file():
            file.write_text("no image")
    with pytest.raises(UsageError, match=r"7 of 7 images .*; …\): give others"):
        materialise(parse_source(photographs), classifier(), TF, tmp_path / "c", skip_bad=True)


def test_a_bomb_among_the_images_is_named(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    Image.new("RGB", (100, 100)).save(photographs / "2.bmp")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 6000)
    made = materialise(parse_source(photographs), classifier(), TF, tmp_path / "c", skip_bad=True)
    assert [file for file, _ in made.skipped] == ["2.bmp"]
    assert not recwarn.list


def test_the_limit_takes_the_first(photographs: Path, tmp_path: Path) -> None:
    every = materialise(parse_source(photographs), classifier(), TF, tmp_path / "c")
    some = materialise(parse_source(photographs), classifier(), TF, tmp_path / "c", limit=3)
    assert some.names == every.names[:3]
    np.testing.assert_array_equal(read(some), read(every)[:3])
    with pytest.raises(UsageError, match="--limit 0"):
        materialise(parse_source(photographs), classifier(), TF, tmp_path / "c", limit=0)


def test_models_of_the_same_needs_share_the_arrays(photographs: Path, tmp_path: Path) -> None:
    one = materialise(parse_source(photographs), classifier("input"), TF, tmp_path / "c")
    other = materialise(parse_source(photographs), classifier("data_0", shape=(1, 3, 32, 32)), TF, tmp_path / "c")
    half = materialise(parse_source(photographs), classifier("data_0", "float16"), TF, tmp_path / "c")
    assert other.arrays["data_0"] == one.arrays["input"]
    assert half.arrays["data_0"] != one.arrays["input"]
    np.testing.assert_array_equal(read(half, "data_0"), read(one).astype(np.float16))


def test_the_key_follows_bytes_and_pipeline(photographs: Path, tmp_path: Path) -> None:
    def folder(preset: str = "tf") -> Path:
        return materialise(parse_source(photographs), classifier(), load_pipeline(preset), tmp_path / "c").folder

    first = folder()
    assert folder("imagenet") != first
    shutil.copy(photographs / "0.png", photographs / "3.png")
    assert folder() != first


def test_channels_last_models_get_their_layout(photographs: Path, tmp_path: Path) -> None:
    made = materialise(parse_source(photographs), classifier(shape=("N", 32, 32, 3)), TF, tmp_path / "c")
    first = materialise(parse_source(photographs), classifier(), TF, tmp_path / "c")
    np.testing.assert_array_equal(read(made), np.moveaxis(read(first), 1, -1))


def test_a_whole_sample_of_one_image_is_filled(photographs: Path, tmp_path: Path) -> None:
    model = classifier(shape=(1, 3, 32, 32)).model
    whole = bind(Model("m.onnx", Path("m.onnx"), "0", 17, model.inputs, (TensorSpec("y", "float32", (99, 4)),)), {}, 4)
    assert read(materialise(parse_source(photographs), whole, TF, tmp_path / "c")).shape == (7, 1, 3, 32, 32)


def test_images_need_a_pipeline_and_a_model_that_takes_them(photographs: Path, tmp_path: Path) -> None:
    source = parse_source(photographs)
    with pytest.raises(UsageError, match=r"--preprocess .* caffe, .*yolox"):
        materialise(source, classifier(), None, tmp_path / "c")
    with pytest.raises(UsageError, match="4 dimensions"):
        materialise(source, classifier(shape=("N", 10)), TF, tmp_path / "c")
    two = classifier().model
    pair = Model("m.onnx", two.path, "0", 17, (*two.inputs, TensorSpec("b", "float32", (4, 1))), two.outputs)
    with pytest.raises(UsageError, match="models of one input"):
        materialise(source, Binding(pair, 4, True), TF, tmp_path / "c")
    with pytest.raises(UsageError, match=r"0\.png: the pipeline 'p' makes 3x40x60 .* wants 3x32x32"):
        materialise(source, classifier(), type(TF)("p", ()), tmp_path / "c")
    assert left_behind(tmp_path / "c") == []
    with pytest.raises(UsageError, match="is for images"):
        materialise(parse_source("random:4"), classifier(), TF, tmp_path / "c")


@pytest.mark.parametrize("dtype", ["bfloat16", "object", "complex64", "float8_e4m3fn"])
def test_types_that_numpy_cannot_store_are_refused(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(UsageError, match="cannot hold"):
        materialise(parse_source("random:4"), classifier(dtype=dtype), None, tmp_path / "c")


def test_memory_does_not_grow_with_the_samples(tmp_path: Path) -> None:
    """The rows of 64 MiB leave this process's resident memory where it was."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    binding, seen = classifier(shape=("N", 1 << 18)), []
    materialise(parse_source("random:4"), binding, None, tmp_path / "c")
    before = resident()
    materialise(
        parse_source("random:64"), binding, None, tmp_path / "c", progress=lambda *_: seen.append(resident() - before)
    )
    assert max(seen) < 24 << 20
