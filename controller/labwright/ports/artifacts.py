"""Files of artifacts that the lab keeps itself, so that they outlive the folders of their jobs."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Usage:
    files: int
    bytes: int


class ArtifactStore(Protocol):
    """By content: a file's name is the SHA-256 of its bytes, 64 hexadecimal digits in lower case, so the same file of a hundred
    jobs is there once. Safe for several threads and processes."""

    def has(self, sha256s: Collection[str]) -> frozenset[str]:
        """Those of them that are there. What is no SHA-256 is not there."""
        ...

    def put(self, path: Path, sha256: str) -> None:
        """Copy a file in: whole or not at all, and kept once this returns. Quiet for one that is there; a damaged one is
        replaced. Raises Refused when its bytes have another SHA-256, Unavailable when there is no room; nothing changed then."""
        ...

    def fetch(self, sha256: str, into: Path) -> None:
        """Copy a file out: verified, whole or not at all. Raises Refused for one that is not there or is damaged."""
        ...

    def usage(self) -> Usage: ...
