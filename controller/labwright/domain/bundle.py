"""The files that a job runs on, named by git object id: nothing of an untrusted tree is checked out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labwright.domain.ids import Digest, digest


@dataclass(frozen=True, slots=True, order=True)
class BundleFile:
    """`path` is relative to the bundle's root, with `/`; `mode` is git's: 100644, 100755 or 120000 (symlink)."""

    path: str
    mode: str
    oid: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """`folder` is where below the root the job starts: empty, or the task's own folder when `inputs` come from outside it,
    so that `../shared/data.py` means the same in the repository and in the job."""

    files: tuple[BundleFile, ...]
    folder: str = ""

    @property
    def digest(self) -> Digest:
        return digest(self.to_json())

    def to_json(self) -> Mapping[str, Any]:
        return {"folder": self.folder, "files": [[f.path, f.mode, f.oid] for f in sorted(self.files)]}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Bundle":
        return Bundle(tuple(BundleFile(*item) for item in value["files"]), value["folder"])
