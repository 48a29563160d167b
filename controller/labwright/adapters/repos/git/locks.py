"""Lock files that a killed git left in the mirror. git itself never removes them, and refuses to write until somebody does."""

import contextlib
from datetime import timedelta
from pathlib import Path

from labwright.adapters.clock import SystemClock

STALE = timedelta(minutes=15)  # no write of a reference takes seconds


def clear_stale_locks(git_dir: Path) -> None:
    oldest = (SystemClock().now() - STALE).timestamp()
    for lock in (git_dir / "packed-refs.lock", git_dir / "HEAD.lock", *(git_dir / "refs").rglob("*.lock")):
        with contextlib.suppress(FileNotFoundError):
            if lock.stat().st_mtime < oldest:
                lock.unlink()
