"""What attempts wrote: streams by offset, artifacts by name. A job may have made any of it, links included."""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from labwright.adapters.providers.local import stage
from labwright.adapters.providers.local.spool import Spool, open_regular, read_json
from labwright.domain.errors import Refused
from labwright.domain.manifest import ManifestArtifact, ManifestEnvironment
from labwright.ports.provider import Chunk, Collected, Tail

_STREAM = re.compile(r"log\.txt|events(\.[0-9]{1,9})?\.jsonl")
_MOST_JSON = 1 << 20  # bytes of what it says of its environment
_MOST_FILES = 10_000  # of an attempt's artifacts; what is beyond these stays in its folder, unlisted
_MOST_NAMES = 4 << 20  # characters of all their paths


def read(spool: Spool, tails: Sequence[Tail], limit: int) -> Iterator[Chunk]:
    share = max(1 << 16, limit // max(1, len(tails)))  # one that prints without end leaves room for the others
    for tail in tails:
        for job, name in _streams(spool, tail.handle):
            if limit <= 0:
                return
            if data := _after(job / name, tail.offsets.get(name, 0), min(limit, share)):
                limit -= len(data)
                yield Chunk(tail.handle, name, tail.offsets.get(name, 0), data)


def _streams(spool: Spool, handle: str) -> Iterator[tuple[Path, str]]:
    job = spool.existing(handle)
    try:
        names = os.listdir(job) if job else []  # noqa: PTH208
    except OSError:  # gone this instant, or closed by the job itself: that is its own loss alone
        names = []
    for name in sorted(filter(_STREAM.fullmatch, names)):
        yield spool.root / "jobs" / handle, name


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
    source = read_json(job / "source.json", _MOST_JSON)
    try:
        environment = ManifestEnvironment.model_validate(read_json(job / "environment.json", _MOST_JSON) or None)
    except ValidationError:
        environment = None
    return Collected(
        artifacts=tuple(_artifacts(job / "artifacts")),
        environment=environment,
        source={k: str(v) for k, v in source.items()},
    )


def _artifacts(root: Path) -> Iterator[ManifestArtifact]:
    files, left = 0, _MOST_NAMES
    for path, where in stage.walk(root):
        file = open_regular(where)
        if file is None:
            continue
        with file:
            hashed = hashlib.file_digest(file, "sha256").hexdigest()
            shown = path.encode(errors="replace").decode()
            yield ManifestArtifact(path=shown, size=os.fstat(file.fileno()).st_size, sha256=hashed)
        files, left = files + 1, left - len(shown)
        if files >= _MOST_FILES or left <= 0:
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
