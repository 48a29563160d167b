"""An artifact store in memory: a fake of ports/artifacts.py ArtifactStore."""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from labwright.domain.errors import Refused, Unavailable
from labwright.ports.artifacts import Usage


@dataclass
class MemoryArtifacts:
    full: str = ""  # why nothing can be put; empty = it can
    content: dict[str, bytes] = field(default_factory=dict)

    def has(self, sha256s: Collection[str]) -> frozenset[str]:
        return frozenset(sha256s) & self.content.keys()

    def put(self, path: Path, sha256: str) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise Refused(f"{sha256!r} is no SHA-256")
        if self.full:
            raise Unavailable(self.full)
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise Refused(f"{path.name} is not what it should be")
        self.content[sha256] = data

    def fetch(self, sha256: str, into: Path) -> None:
        if sha256 not in self.content:
            raise Refused(f"there is no {sha256[:16]}…")
        into.parent.mkdir(parents=True, exist_ok=True)
        into.write_bytes(self.content[sha256])

    def usage(self) -> Usage:
        return Usage(len(self.content), sum(map(len, self.content.values())))
