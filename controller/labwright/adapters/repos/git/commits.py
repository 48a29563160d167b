"""Who wrote which commit, when, and with which trailers. Every field ends at a NUL, which no commit can contain."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from labwright.adapters.repos.git.run import run
from labwright.domain.snapshot import CommitInfo

_FIELDS = "%H%x00%P%x00%an%x00%ae%x00%ct%x00%s%x00"
_TRAILERS = "%(trailers:only=true,unfold=true,separator=%x00,key_value_separator=%x00)%x00"
_LOG = ("log", "-z", f"--format=tformat:{_FIELDS}{_TRAILERS}", "--no-color", "--no-show-signature", "--no-mailmap")
_LAST = datetime(9999, 1, 1, tzinfo=UTC)


def named(git_dir: Path, shas: Sequence[str], extra: Mapping[str, str]) -> Mapping[str, CommitInfo]:
    if not shas:
        return {}
    asked = "".join(f"{sha}\n" for sha in shas).encode()
    out = run(git_dir, *_LOG, "--no-walk=unsorted", "--stdin", stdin=asked, extra=extra)
    return {commit.sha: commit for commit in _parse(out)}


def between(git_dir: Path, old: str | None, new: str, most: int, extra: Mapping[str, str]) -> Sequence[CommitInfo]:
    asked = f"{new}\n" + (f"^{old}\n" if old else "")
    how = ("--topo-order", "--reverse", f"--max-count={most}", "--stdin")
    return tuple(_parse(run(git_dir, *_LOG, *how, stdin=asked.encode(), extra=extra)))


def _parse(out: bytes) -> Iterator[CommitInfo]:
    words = iter(out.decode("utf-8", "replace").split("\0"))
    for sha in words:
        if not sha:
            return
        parents, author, email, at, subject = (next(words) for _ in range(5))
        trailers = tuple(_pairs(words))
        yield CommitInfo(sha, tuple(parents.split()), author, email, _time(at), subject, trailers)


def _pairs(words: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Key and value in turn, up to the record's end, which is an empty key. None at all is one empty word more."""
    key = next(words)
    if not key:
        next(words)
    while key:
        yield key, next(words)
        key = next(words)


def _time(seconds: str) -> datetime:
    """Hostile commits carry any number."""
    return datetime.fromtimestamp(min(max(int(seconds or 0), 0), int(_LAST.timestamp())), UTC)
