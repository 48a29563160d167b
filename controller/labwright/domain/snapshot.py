"""A commit's tree as a value: every path with its mode and object id, and what changed since the one before."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Entry:
    mode: str  # git's octal: 100644 100755 120000 160000
    oid: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`entries` holds blobs, symlinks and submodules by path (`/`-separated, undecodable bytes as surrogates)."""

    commit: str
    entries: Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class CommitInfo:
    sha: str
    parents: tuple[str, ...]
    author: str
    email: str
    at: datetime
    subject: str
    trailers: tuple[tuple[str, str], ...] = ()
