"""Heads of pull requests, which are no branches of the remote: fetched one by one, kept under refs/lab/pulls/."""

import re
from collections.abc import Mapping
from pathlib import Path

from labwright.adapters.repos.git.heads import FETCH, TIMEOUT
from labwright.adapters.repos.git.remotes import Remote
from labwright.adapters.repos.git.run import attempt, failure
from labwright.domain.errors import Refused, Unavailable

KEPT = "refs/lab/pulls/"
_REF = re.compile(r"refs/(?:pull|merge-requests)/([1-9][0-9]{0,9})/head")


def bring(mirror: Path, remote: Remote, ref: str, commit: str) -> None:
    """Raises Refused for another sort of ref, Unavailable where it is not at this commit (any more)."""
    found = _REF.fullmatch(ref)
    if not found:
        raise Refused(f"{ref[:80]!r} is no pull request's head")
    target = ("--", remote.url, f"+{ref}:{KEPT}{found[1]}")
    done = attempt(mirror, *FETCH, *target, remote=remote, timeout=TIMEOUT)
    if done.returncode:
        raise failure("fetch", done.stderr, remote)
    if not is_there(mirror, commit, {}):
        raise Unavailable(f"{ref} is not at {commit[:10]} any more", retry_in=2)


def is_there(mirror: Path, commit: str, extra: Mapping[str, str]) -> bool:
    return attempt(mirror, "cat-file", "-e", f"{commit}^{{commit}}", extra=extra).returncode == 0


def merge_base(mirror: Path, one: str, other: str, extra: Mapping[str, str]) -> str | None:
    done = attempt(mirror, "merge-base", "--", one, other, extra=extra)
    if done.returncode == 1:
        return None
    if done.returncode:
        raise failure("merge-base", done.stderr)
    return done.stdout.decode().split("\n", 1)[0]
