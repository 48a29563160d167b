"""The artifact store as a folder: `ab/cdef…`, read-only files, each put there by a rename."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import IO

from labwright.domain.errors import Refused, Unavailable
from labwright.ports.artifacts import Usage

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PIECE = 1 << 20
_DAY = 86400.0


class FolderArtifacts:
    """Made at the first `put`. So many bytes of the disk stay free: the ledger lies on the same one."""

    def __init__(self, folder: Path, *, reserve: int = 1 << 30) -> None:
        self._folder, self._reserve = folder, reserve
        self._tidied = False

    def has(self, sha256s: Collection[str]) -> frozenset[str]:
        return frozenset(name for name in sha256s if _SHA256.fullmatch(name) and self._place(name).is_file())

    def put(self, path: Path, sha256: str) -> None:
        if not _SHA256.fullmatch(sha256):
            raise Refused(f"{sha256[:80]!r} is no SHA-256")
        final = self._place(sha256)
        if final.is_file() and _digest(final) == sha256:
            return
        if not final.parent.is_dir():
            final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _sync(self._folder)
        self._make_room(path.stat().st_size)
        with tempfile.NamedTemporaryFile(dir=self._drafts(), delete=False) as draft:
            try:
                found = _copied(path, draft.file)
                if found != sha256:
                    raise Refused(
                        f"{path.name} is not what it should be: its SHA-256 is {found[:16]}…, not {sha256[:16]}…"
                    )
                draft.flush()
                os.fchmod(draft.fileno(), 0o444)
                os.fsync(draft.fileno())
                Path(draft.name).rename(final)
            except BaseException:
                Path(draft.name).unlink(missing_ok=True)
                raise
        _sync(final.parent)

    def fetch(self, sha256: str, into: Path) -> None:
        if not self.has([sha256]):
            raise Refused(f"there is no {sha256[:16]}… in {self._folder}")
        into.parent.mkdir(parents=True, exist_ok=True)
        draft = into.with_name(f".{into.name}.{os.getpid()}")
        try:
            with draft.open("wb") as file:
                found = _copied(self._place(sha256), file)
            if found != sha256:
                raise Refused(
                    f"{self._place(sha256)} is damaged", hint="delete it: it is brought anew if it can be had"
                )
            draft.replace(into)
        finally:
            draft.unlink(missing_ok=True)

    def usage(self) -> Usage:
        sizes = [file.lstat().st_size for file in self._folder.glob("[0-9a-f][0-9a-f]/*")]
        return Usage(len(sizes), sum(sizes))

    def _place(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256[2:]

    def _make_room(self, size: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if free - size < self._reserve:
            raise Unavailable(
                f"{self._folder} has {free >> 20} MiB free, and {self._reserve >> 20} MiB of them stay so",
                hint="free some space, or keep less with results.keep_artifacts",
                retry_in=300,
            )

    def _drafts(self) -> Path:
        """Where files are whole before they get their names. What a crash left there goes a day later."""
        drafts = self._folder / "tmp"
        drafts.mkdir(exist_ok=True, mode=0o700)
        if not self._tidied:
            self._tidied = True
            with tempfile.NamedTemporaryFile(dir=drafts) as now:
                newest = os.fstat(now.fileno()).st_mtime
            for left in drafts.iterdir():
                with suppress(FileNotFoundError):
                    if newest - left.stat().st_mtime > _DAY:
                        left.unlink()
        return drafts


def _copied(path: Path, to: IO[bytes]) -> str:
    """The SHA-256 of the bytes that went over."""
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            hashed.update(piece)
            to.write(piece)
    return hashed.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
