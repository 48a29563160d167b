"""What attempts wrote, read over the transport: streams by offset, artifacts by name."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from labwright.adapters.providers.local.spool import parse_json
from labwright.adapters.providers.slurm.desk import Desk, words
from labwright.adapters.providers.slurm.handles import Known
from labwright.domain.errors import Refused, Unavailable
from labwright.domain.manifest import ManifestArtifact, ManifestEnvironment
from labwright.ports.provider import Chunk, Collected, Tail

_PIECE = 8 << 20
_LEAST = 1 << 16
_MOST_FILES = 10_000


def read(desk: Desk, tails: Mapping[str, Tail], limit: int) -> Iterator[Chunk]:
    """`tails` by token."""
    lines = [" ".join([token, *(f"{file}={at}" for file, at in tail.offsets.items())]) for token, tail in tails.items()]
    share = max(_LEAST, limit // max(1, len(tails)))
    data = desk.call("read_streams", limit, share, stdin="".join(f"{line}\n" for line in lines).encode(), timeout=120)
    at = 0
    while (end := data.find(b"\n", at)) >= 0:
        token, file, offset, length = data[at:end].decode().split(" ")
        piece = data[end + 1 : end + 1 + int(length)]
        at = end + 1 + int(length)
        if piece and token in tails:  # fewer than were said: the file was cut meanwhile, the rest comes later
            yield Chunk(tails[token].handle, file, int(offset), piece)
        if len(piece) < int(length):
            return


def collect(desk: Desk, known: Known) -> Collected:
    data = desk.call("collect", known.token, timeout=1800)
    if not data:
        return Collected()
    hashes, sizes, environment, source = _texts(data)
    try:
        made = ManifestEnvironment.model_validate(parse_json(environment) or None)
    except ValidationError:
        made = None
    return Collected(
        artifacts=tuple(_artifacts(hashes, sizes, desk, known)),
        environment=made,
        source={key: str(value) for key, value in parse_json(source).items()},
    )


def _texts(data: bytes) -> Iterator[bytes]:
    at = 0
    for _ in range(4):
        end = data.index(b"\n", at)
        length = int(data[at:end])
        yield data[end + 1 : end + 1 + length]
        at = end + 1 + length


def _artifacts(hashes: bytes, sizes: bytes, desk: Desk, known: Known) -> Iterator[ManifestArtifact]:
    by_path = {path: int(size) for size, _, path in (line.partition(b" ") for line in sizes.split(b"\0") if line)}
    listed = {}
    for line in hashes.split(b"\0"):
        digest, _, path = line.partition(b"  ")
        if path in by_path:
            listed[path] = digest.decode()
    for path in sorted(listed)[:_MOST_FILES]:
        shown = path.decode(errors="replace")
        uri = f"{desk.site().root}/jobs/{known.token}/artifacts/{shown}"
        yield ManifestArtifact(path=shown, size=by_path[path], sha256=listed[path], uri=uri)


def fetch(desk: Desk, known: Known, path: str, into: Path) -> None:
    """Raises Refused for what is not a regular file below the attempt's artifacts/ or checkpoints/."""
    base = "checkpoints" if path.startswith("checkpoints/") else "artifacts"
    below = path.removeprefix("checkpoints/") if base == "checkpoints" else path
    if not below or below.startswith("/") or any(part in ("", ".", "..") for part in below.split("/")):
        raise Refused(f"{known.handle} has no artifact {path!r}", hint="`lab artifacts` lists them")
    into.parent.mkdir(parents=True, exist_ok=True)
    temporary = into.with_name(f".{into.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as to:
            for piece in _pieces(desk, known, base, below, path):
                to.write(piece)
        temporary.replace(into)
    finally:
        temporary.unlink(missing_ok=True)


def _pieces(desk: Desk, known: Known, base: str, below: str, path: str) -> Iterator[bytes]:
    at, size = 0, None
    while size is None or at < size:
        ran = desk.run("fetch", known.token, base, below, at, _PIECE, timeout=300)
        if ran.code == 66:
            raise Refused(f"{known.handle} has no artifact {path!r}", hint="`lab artifacts` lists them")
        if ran.code:
            raise Unavailable(f"{path}: {words(ran)}")
        told, _, piece = ran.out.partition(b"\n")
        size = int(told)
        if not piece and at < size:
            raise Unavailable(f"{path} was cut while it was read")
        yield piece
        at += len(piece)


def tails_by_person(tails: Sequence[tuple[Known, Tail]]) -> dict[str, dict[str, Tail]]:
    found: dict[str, dict[str, Tail]] = {}
    for known, tail in tails:
        found.setdefault(known.user, {})[known.token] = tail
    return found
