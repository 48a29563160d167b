"""The files that a job runs on, named by git object id: nothing of an untrusted tree is checked out."""

from dataclasses import dataclass

from labwright.domain.ids import Digest, digest


@dataclass(frozen=True, slots=True, order=True)
class BundleFile:
    """`path` is relative to the job's working folder, with `/`; `mode` is git's: 100644, 100755 or 120000 (symlink)."""

    path: str
    mode: str
    oid: str


@dataclass(frozen=True, slots=True)
class Bundle:
    files: tuple[BundleFile, ...]

    @property
    def digest(self) -> Digest:
        return digest([[f.path, f.mode, f.oid] for f in sorted(self.files)])
