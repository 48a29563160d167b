"""What attempts wrote: streams by offset, artifacts by name. A job may have made any of it, links included."""

import hashlib
import io
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from labwright.adapters.providers.local.spool import Spool
from labwright.domain.errors import Refused
from labwright.domain.manifest import ManifestArtifact, ManifestEnvironment
from labwright.ports.provider import Chunk, Collected, Tail

_STREAM = re.compile(r"log\.txt|events(\.\d+)?\.jsonl")
_MOST_FILES = 10_000  # of an attempt's artifacts; what is beyond stays in its folder, unlisted


def open_regular(path: Path) -> io.BufferedReader | None:
    """None for what is not there, a link, a FIFO, a device …"""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb")


def read(spool: Spool, tails: Sequence[Tail], limit: int) -> Iterator[Chunk]:
    share = max(1 << 16, limit // max(1, len(tails)))  # one that prints without end leaves room for the others
    for tail in tails:
        job = spool.existing(tail.handle)
        for name in sorted(filter(_STREAM.fullmatch, os.listdir(job))) if job else ():  # noqa: PTH208
            if limit <= 0:
                return
            if data := _after(Path(str(job)) / name, tail.offsets.get(name, 0), min(limit, share)):
                limit -= len(data)
                yield Chunk(tail.handle, name, tail.offsets.get(name, 0), data)


def _after(path: Path, offset: int, limit: int) -> bytes:
    file = open_regular(path)
    if file is None:
        return b""
    with file:
        file.seek(offset)
        return file.read(limit)


def collect(spool: Spool, handle: str) -> Collected:
    job = spool.existing(handle)
    if job is None:
        return Collected()
    source = _json(job / "source.json")
    try:
        environment = ManifestEnvironment.model_validate(_json(job / "environment.json") or None)
    except ValidationError:
        environment = None
    return Collected(
        artifacts=tuple(_artifacts(job / "artifacts")),
        environment=environment,
        source={str(k): str(v) for k, v in source.items()},
    )


def _json(path: Path) -> dict[str, Any]:
    file = open_regular(path)
    if file is None:
        return {}
    with file:
        try:
            value = json.loads(file.read(8 << 20))
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def _artifacts(root: Path) -> Iterator[ManifestArtifact]:
    count = 0
    for folder, below, names in os.walk(root):  # follows no links
        below.sort()
        for name in sorted(names):
            file = open_regular(Path(folder) / name)
            if file is None:
                continue
            with file:
                hashed = hashlib.file_digest(file, "sha256").hexdigest()
                path = str((Path(folder) / name).relative_to(root)).encode(errors="replace").decode()
                yield ManifestArtifact(path=path, size=os.fstat(file.fileno()).st_size, sha256=hashed)
            count += 1
            if count >= _MOST_FILES:
                return


def fetch(spool: Spool, handle: str, path: str, into: Path) -> None:
    """Raises Refused for what is not a regular file below the attempt's artifacts/ or checkpoints/."""
    job = spool.existing(handle)
    if job is None:
        raise Refused(f"there is no folder of the attempt {handle} any more", hint="its artifacts were removed")
    base = job / "checkpoints" if path.startswith("checkpoints/") else job / "artifacts"
    target = base / path.removeprefix("checkpoints/" if base.name == "checkpoints" else "")
    below = target.is_relative_to(base) and ".." not in target.parts
    linked = below and target.resolve() != base.resolve() / target.relative_to(base)  # a folder on the way is a link
    file = open_regular(target) if below and not linked else None
    if file is None:
        raise Refused(f"{handle} has no artifact {path!r}", hint="`lab artifacts` lists them")
    into.parent.mkdir(parents=True, exist_ok=True)
    temporary = into.with_name(f".{into.name}.{os.getpid()}")
    try:
        with file, temporary.open("wb") as to:
            shutil.copyfileobj(file, to, 1 << 20)
        temporary.replace(into)
    finally:
        temporary.unlink(missing_ok=True)
