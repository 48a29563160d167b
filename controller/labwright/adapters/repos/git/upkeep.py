"""What keeps a mirror usable for years: no lock of a dead process, no heap of small files. Nothing is ever removed but locks."""

import contextlib
import os
import tempfile
from pathlib import Path

from labwright.adapters.repos.git.run import attempt

STALE = 900.0  # seconds; no write of a reference takes that long
MOST_LOOSE = 27  # in one of the 256 folders, so about 6,900 in all; the measure of git's own gc.auto


def clear_stale_locks(git_dir: Path) -> None:
    """git never removes a lock that a killed one left, and refuses to write until somebody does. Age is told by the file
    system's own clock, which on a network disk is not this machine's."""
    with tempfile.TemporaryFile(dir=git_dir) as probe:
        oldest = os.fstat(probe.fileno()).st_mtime - STALE
    for lock in (git_dir / "packed-refs.lock", git_dir / "HEAD.lock", *(git_dir / "refs").rglob("*.lock")):
        with contextlib.suppress(FileNotFoundError):
            if lock.stat().st_mtime < oldest:
                lock.unlink()


def pack_loose(git_dir: Path) -> None:
    """When there are many: into packs of growing sizes, whether or not a branch still reaches them. Failing is harmless."""
    with contextlib.suppress(OSError):
        if sum(1 for _ in (git_dir / "objects" / "17").iterdir()) > MOST_LOOSE:
            attempt(git_dir, "repack", "-d", "-q", "--geometric=2", "--no-write-bitmap-index", timeout=3600)
