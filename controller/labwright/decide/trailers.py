"""`Lab-Rerun: <task path>` in a commit's message: run the same content once more."""

from collections.abc import Collection, Iterable
from datetime import datetime

from labwright.domain.job import Act, ActKind
from labwright.domain.snapshot import CommitInfo

TRAILER = "lab-rerun"


def rerun_acts(commits: Iterable[CommitInfo], tasks: Collection[str], now: datetime, branch: str = "") -> list[Act]:
    """One act a trailer, idempotent by commit and task: the same commit can be read a hundred times. `branch`: where it was
    read; what stands there is run."""
    arguments = {"branch": branch} if branch else {}
    return [
        Act(f"trailer:{commit.sha}:{value}", ActKind.RERUN, value, commit.email or commit.author, now, arguments)
        for commit in commits
        for key, value in commit.trailers
        if key.lower() == TRAILER and value in tasks
    ]
