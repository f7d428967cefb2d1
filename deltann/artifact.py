"""What lowering made: files in a folder and a digest of their bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_MANIFEST = "artifact.json"


@dataclass(frozen=True)
class Artifact:
    """`files` are relative to `folder`; `digest` is the sha256 over their names and bytes.

    Two environments of equal digest run the same lowered model, and a comparison of them says so. An adapter that
    keeps settings beside the model (a `lowering.json`) therefore puts into it only what lowering really did.
    """

    folder: Path
    files: tuple[str, ...]
    digest: str

    @classmethod
    def of(cls, folder: Path, files: Iterable[str]) -> Artifact:
        """Digest `files` of `folder`."""
        names = tuple(sorted(files))
        digest = hashlib.sha256()
        for name in names:
            digest.update(f"{name}\0".encode())
            with (folder / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return cls(folder, names, digest.hexdigest())

    def save(self) -> None:
        """Write the manifest that `read` finds; last, so that a folder without one is unfinished."""
        temporary = self.folder / f"{_MANIFEST}.part"
        temporary.write_text(json.dumps({"files": self.files, "digest": self.digest}))
        temporary.replace(self.folder / _MANIFEST)

    @classmethod
    def read(cls, folder: Path) -> Artifact | None:
        """The finished artifact in `folder`, or None where there is none or a file of it changed."""
        try:
            manifest = json.loads((folder / _MANIFEST).read_text())
            artifact = cls.of(folder, manifest["files"])
            return artifact if artifact.digest == manifest["digest"] else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
