"""A lab repository in memory: a fake of ports/repo.py Repo with the few verbs that tests need to change it."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from labwright.domain.errors import Refused, Unavailable
from labwright.domain.snapshot import CommitInfo, Entry, Snapshot

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class MemoryRepo:
    """`commit`, `drop_branch` and `broken` are the world's side; the rest is Repo."""

    results_branch: str = "lab-results"
    default: str = "main"
    broken: str = ""  # why the remote cannot be reached; empty = it can
    branches: dict[str, str] = field(default_factory=dict)
    trees: dict[str, Mapping[str, Entry]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    infos: dict[str, CommitInfo] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)  # heads of pull requests
    _seen: Mapping[str, str] = field(default_factory=dict)

    def commit(
        self,
        files: Mapping[str, bytes | None],
        *,
        branch: str = "main",
        message: str = "change",
        trailers: Sequence[tuple[str, str]] = (),
        links: Mapping[str, str] | None = None,
    ) -> str:
        """On top of the branch, which is made when missing; None removes a file. The commit's id."""
        parent = self.branches.get(branch)
        entries = dict(self.trees[parent]) if parent else {}
        for path, data in files.items():
            if data is None:
                entries.pop(path, None)
            else:
                entries[path] = Entry("100644", self._blob(data))
        for path, target in (links or {}).items():
            entries[path] = Entry("120000", self._blob(target.encode()))
        sha = hashlib.sha1(f"{parent} {len(self.infos)} {sorted(entries)}".encode()).hexdigest()  # noqa: S324
        at = START + timedelta(minutes=len(self.infos))
        parents = (parent,) if parent else ()
        self.infos[sha] = CommitInfo(sha, parents, "Ada", "ada@example.org", at, message, tuple(trailers))
        self.trees[sha] = entries
        self.branches[branch] = sha
        return sha

    def _blob(self, data: bytes) -> str:
        oid = hashlib.sha1(b"blob %d\0%s" % (len(data), data)).hexdigest()  # noqa: S324
        self.blobs[oid] = data
        return oid

    def set_ref(self, ref: str, commit: str) -> None:
        if branch := ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else "":
            self.branches[branch] = commit
        self.refs[ref] = commit

    def drop_branch(self, branch: str) -> None:
        del self.branches[branch]

    def fetch(self) -> Mapping[str, str]:
        if self.broken:
            raise Unavailable(self.broken)
        tips = {name: sha for name, sha in self.branches.items() if name != self.results_branch}
        if not tips and self._seen:
            raise Unavailable("the repository answers with no branch where there were some")
        self._seen = tips
        return dict(tips)

    def default_branch(self) -> str:
        return self.default

    def snapshot(self, commit: str, since: Snapshot | None = None) -> Snapshot:
        return Snapshot(commit, dict(self._tree(commit)))

    def _tree(self, commit: str) -> Mapping[str, Entry]:
        if commit not in self.trees:
            raise Unavailable(f"commit {commit} is not there")
        return self.trees[commit]

    def read(self, oids: Sequence[str], *, limit: int = 64 << 20) -> Iterator[bytes]:
        for oid in oids:
            data = self._known(oid)
            if len(data) > limit:
                raise Refused(f"a file of {len(data):,} bytes is over the limit of {limit:,} bytes")
            yield data

    def sizes(self, oids: Sequence[str]) -> Mapping[str, int]:
        return {oid: len(self._known(oid)) for oid in oids}

    def _known(self, oid: str) -> bytes:
        if oid not in self.blobs:
            raise Unavailable(f"object {oid} is not there")
        return self.blobs[oid]

    def commits(self, shas: Sequence[str]) -> Mapping[str, CommitInfo]:
        return {sha: self.infos[sha] for sha in shas}

    def bring(self, ref: str, commit: str) -> None:
        if not re.fullmatch(r"refs/(pull|merge-requests)/[1-9][0-9]*/head", ref):
            raise Refused(f"{ref} is no pull request's head")
        if commit not in self.trees or (self.refs.get(ref) != commit and commit not in self._seen.values()):
            raise Unavailable(f"{ref} is not at {commit}")

    def merge_base(self, one: str, other: str) -> str | None:
        for commit in (one, other):
            self._tree(commit)
        line = {info.sha for info in self._line(one)}
        return next((info.sha for info in self._line(other) if info.sha in line), None)

    def between(self, old: str | None, new: str, *, most: int = 1000) -> Sequence[CommitInfo]:
        known = {info.sha for info in self._line(old)} if old else set()
        newer = [info for info in self._line(new) if info.sha not in known]
        return tuple(reversed(newer[:most]))

    def _line(self, sha: str | None) -> Iterator[CommitInfo]:
        while sha:
            info = self.infos[sha]
            yield info
            sha = info.parents[0] if info.parents else None
