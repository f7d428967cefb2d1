from __future__ import annotations

import os
from pathlib import Path

import pytest

from deltann.artifact import Artifact


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    folder = tmp_path / "artifact"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.bin").write_bytes(b"one")
    (folder / "sub" / "b.bin").write_bytes(b"two")
    found = Artifact.of(folder, ["sub/b.bin", "a.bin"])
    found.save()
    return found


def test_a_saved_artifact_is_read_back_also_after_a_move(artifact: Artifact) -> None:
    assert artifact.files == ("a.bin", "sub/b.bin")
    assert Artifact.read(artifact.folder) == artifact
    moved = artifact.folder.rename(artifact.folder.with_name("moved"))
    found = Artifact.read(moved)
    assert found is not None
    assert found.digest == artifact.digest
    assert found.folder == moved


def test_the_digest_tells_names_and_borders_apart(tmp_path: Path) -> None:
    digests = set()
    for number, files in enumerate([{"a": b"xy", "b": b""}, {"a": b"x", "b": b"y"}, {"a": b"xy", "c": b""}]):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        digests.add(Artifact.of(folder, files).digest)
    assert len(digests) == 3


def test_files_beside_the_artifact_are_none_of_it(artifact: Artifact) -> None:
    (artifact.folder / "lock").touch()
    assert Artifact.read(artifact.folder) == artifact


@pytest.mark.parametrize("damage", ["changed", "removed", "no manifest", "half a manifest", "not JSON"])
def test_a_damaged_artifact_is_none(damage: str, artifact: Artifact) -> None:
    manifest = artifact.folder / "artifact.json"
    if damage == "changed":
        (artifact.folder / "a.bin").write_bytes(b"onE")
    elif damage == "removed":
        (artifact.folder / "a.bin").unlink()
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "half a manifest":
        os.truncate(manifest, 20)
    else:
        manifest.write_bytes(b"\xff\xfe")
    assert Artifact.read(artifact.folder) is None


@pytest.mark.parametrize(
    "content", ['{"files": []}', "[]", '"text"', "3", '{"files": 3, "digest": ""}', '{"files": [3], "digest": ""}']
)
def test_a_manifest_of_another_shape_is_none(content: str, artifact: Artifact) -> None:
    (artifact.folder / "artifact.json").write_text(content)
    assert Artifact.read(artifact.folder) is None
