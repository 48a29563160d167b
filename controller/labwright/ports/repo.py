from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from labwright.domain.snapshot import CommitInfo, Snapshot


class Repo(Protocol):
    """The lab repository, read as blobs by object id from a bare mirror: no checkout, no archive, no filters."""

    def fetch(self) -> Mapping[str, str]:
        """Bring the mirror up to date; tips of all branches by short name, the results branch left out.

        Raises Unavailable when the remote cannot be reached or answers with no branch where there were some."""
        ...

    def default_branch(self) -> str: ...

    def snapshot(self, commit: str, since: Snapshot | None = None) -> Snapshot:
        """The tree of a commit; with `since`, by the difference only (same answer, sooner)."""
        ...

    def read(self, oids: Sequence[str], *, limit: int = 64 << 20) -> Iterator[bytes]:
        """Blobs in the order asked. Raises Refused for one larger than `limit` bytes."""
        ...

    def sizes(self, oids: Sequence[str]) -> Mapping[str, int]: ...

    def commits(self, shas: Sequence[str]) -> Mapping[str, CommitInfo]: ...

    def bring(self, ref: str, commit: str) -> None:
        """Make a commit readable that no branch leads to: a pull request's head, which its `ref` leads to.

        Raises Refused for any other sort of ref, Unavailable where the ref is not at that commit (any more)."""
        ...

    def merge_base(self, one: str, other: str) -> str | None:
        """The newest commit that both come from; None of unrelated histories."""
        ...

    def between(self, old: str | None, new: str, *, most: int = 1000) -> Sequence[CommitInfo]:
        """Commits reachable from `new` and not from `old`, oldest first."""
        ...


class ResultsBranch(Protocol):
    """The public record: an orphan branch that only the controller writes."""

    def publish(self, files: Mapping[str, bytes], message: str) -> str:
        """Add or replace files in one commit on top of the remote's tip and push it; the new tip.

        Retries a lost push race by grafting again. Raises Unavailable when the remote cannot be reached; then nothing is lost."""
        ...

    def tip(self) -> str | None: ...

    def files(self, suffix: str = "") -> Iterator[tuple[str, bytes]]:
        """Every file of the newest known tip whose path ends so."""
        ...
