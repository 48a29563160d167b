"""Bringing the files of an attempt to their place: whole or not at all, by a temporary name and a rename."""

import contextlib
import hashlib
import json
import os
import posixpath
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from labwright.adapters.providers.local.spool import Spool
from labwright.domain.bundle import Bundle, BundleFile
from labwright.domain.errors import Refused
from labwright.ports.provider import ReadBlobs

DEEPEST = 100  # folders in folders, of what a job left


@contextmanager
def appearing(spool: Spool, final: Path) -> Iterator[Path]:
    """A folder that is at `final` when the block is through, and nowhere when it fails. Of two who make the same one at the
    same time, the later finds the first one's and throws its own away."""
    temporary = Path(tempfile.mkdtemp(dir=spool.root / "tmp"))
    temporary.chmod(0o755)
    try:
        yield temporary
        try:
            temporary.rename(final)
        except OSError:
            if not final.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def tidy(spool: Spool, now: datetime) -> None:
    """Remove what crashes left half-made, a day later."""
    for path in (spool.root / "tmp").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if now.timestamp() - path.stat().st_mtime > 86400:
                remove(path)


def remove(path: Path) -> None:
    """With all below it, also what a job made unwritable. What belongs to another user stays; `lab doctor` counts it."""
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        todo = [path]
        while todo:
            folder = todo.pop()
            with contextlib.suppress(OSError):
                folder.chmod(0o700)
                with os.scandir(folder) as entries:
                    todo += [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
        shutil.rmtree(path, ignore_errors=True)


def materialise(spool: Spool, bundle: Bundle, read_blobs: ReadBlobs) -> Path:
    """The bundle's files as a folder, made at the first call. Raises Refused for a path or link that leaves the folder."""
    final = spool.root / "bundles" / bundle.digest
    if final.is_dir():
        return final
    for file in bundle.files:
        check(file.path)
    with appearing(spool, final) as folder:
        oids = [file.oid for file in bundle.files]
        for file, data in zip(bundle.files, read_blobs(oids), strict=True):
            _put(folder, file, data)
    return final


def check(path: str) -> None:
    parts = path.split("/")
    if path.startswith("/") or any(part in ("", ".", "..", ".git") for part in parts) or "\0" in path:
        raise Refused(f"the file name {path!r} does not stay below the job's folder", hint="rename or remove it")


def _put(folder: Path, file: BundleFile, data: bytes) -> None:
    target = folder / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.mode == "120000":
        link = os.fsdecode(data)
        where = posixpath.normpath(posixpath.join(posixpath.dirname(file.path), link))
        if link.startswith("/") or where.split("/")[0] == "..":
            raise Refused(f"{file.path} is a link to {link}, outside of the job's folder", hint="copy the file instead")
        target.symlink_to(link)
    elif file.mode in ("100644", "100755"):
        target.write_bytes(data)
        target.chmod(0o755 if file.mode == "100755" else 0o644)
    else:
        raise Refused(f"{file.path} has git's mode {file.mode}", hint="only files and symbolic links can be staged")


def copy_tree(source: Path, target: Path) -> None:
    """Files and links as they are, over what is there; never through a link that is there."""
    if target.is_symlink():
        target.unlink()
    target.mkdir(parents=True, exist_ok=True)
    with os.scandir(source) as entries:
        for entry in entries:
            to = target / entry.name
            if entry.is_dir(follow_symlinks=False):
                copy_tree(Path(entry.path), to)
                continue
            if to.is_dir() and not to.is_symlink():
                shutil.rmtree(to)
            with contextlib.suppress(FileNotFoundError):
                to.unlink()
            if entry.is_symlink():
                to.symlink_to(Path(entry.path).readlink())
            else:
                shutil.copy(entry.path, to)


def share_tree(source: Path, target: Path) -> None:
    """The regular files of a folder, read-only and without a copy of their bytes where one file system holds both."""
    target.mkdir(parents=True, exist_ok=True)
    for path, where in walk(source):
        if where.is_symlink() or not where.is_file():
            continue
        where.chmod(0o444)
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(where, target / path)
        except OSError:
            shutil.copy(where, target / path)


def walk(root: Path) -> Iterator[tuple[str, Path]]:
    """What is no folder, by its path below `root`, sorted. Follows no links and goes DEEPEST folders down, no further."""
    todo = [("", root)]
    while todo:
        path, folder = todo.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in found:
            if not entry.is_dir(follow_symlinks=False):
                yield path + entry.name, Path(entry.path)
        if path.count("/") < DEEPEST:
            below = [entry for entry in reversed(found) if entry.is_dir(follow_symlinks=False)]
            todo += [(f"{path}{entry.name}/", Path(entry.path)) for entry in below]


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def provide_sdk(spool: Spool, package: Path) -> Path:
    """A folder that holds the SDK's package `lab` and nothing else, for PYTHONPATH."""
    files = sorted(path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    contents = hashlib.sha256()
    for file in files:
        contents.update(str(file.relative_to(package)).encode() + b"\0" + file.read_bytes() + b"\0")
    final = spool.root / "sdk" / contents.hexdigest()
    if not final.is_dir():
        with appearing(spool, final) as folder:
            for file in files:
                to = folder / "lab" / file.relative_to(package)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, to)
    return final
