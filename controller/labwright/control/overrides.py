"""Reads the lab repository's own templates."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from labwright.decide.overrides import LARGEST, MOST, listed, misplaced, parsed
from labwright.domain.errors import Invalid
from labwright.domain.snapshot import Snapshot

TEMPLATES = "templates"  # alarm, and cursor: JSON of the last good ones


class Blobs(Protocol):
    """As far as ports.repo.Repo is needed."""

    def read(self, oids: Sequence[str], *, limit: int = ...) -> Iterator[bytes]: ...

    def sizes(self, oids: Sequence[str]) -> Mapping[str, int]: ...


def read_overrides(repo: Blobs, snapshot: Snapshot, shipped: Mapping[str, str]) -> Mapping[str, str]:
    """Texts by name, such as `local/run.sh.j2`. Raises Invalid with everything that is wrong, and Unavailable."""
    found = listed(snapshot)
    regular = [entry.oid for entry in found.values() if entry.mode.startswith("100")]
    if problems := misplaced(found, repo.sizes(regular) if regular and len(found) <= MOST else {}, shipped):
        raise Invalid(problems)
    return parsed(dict(zip(found, repo.read(regular, limit=LARGEST), strict=True)), shipped) if found else {}
