"""Where this process records: `$LAB_JOB_DIR`, or `./.lab/<run>` where no controller gave one; and which rank it is."""

from __future__ import annotations

import os
import time

from lab._warn import say

_RANKS = ("RANK", "SLURM_PROCID", "LAB_RANK")


def rank() -> int:
    """The first of RANK, SLURM_PROCID, LAB_RANK that is a number, else 0."""
    for name in _RANKS:
        text = os.environ.get(name, "")
        if text.isdecimal():
            return int(text)
    return 0


def job_dir() -> str:
    """The job's folder, absolute. Raises OSError where a local one cannot be made."""
    given = os.environ.get("LAB_JOB_DIR")
    return os.path.abspath(given) if given else _local()


def sub_dir(name: str) -> str:
    """`artifacts` or `checkpoints` below the job's folder, made if it is not there."""
    path = os.path.join(job_dir(), name)
    os.makedirs(path, exist_ok=True)
    return path


def _local() -> str:
    """Make `./.lab/<run>`, tell the processes that this one starts, and say so once."""
    root = os.path.abspath(".lab")
    path = os.path.join(root, os.path.basename(os.environ.get("LAB_RUN", "")).lstrip(".") or _run_name())
    os.makedirs(path, exist_ok=True)
    ignore = os.path.join(root, ".gitignore")
    if not os.path.exists(ignore):
        with open(ignore, "w", encoding="utf-8") as file:
            file.write("*\n")
    os.environ["LAB_JOB_DIR"] = path
    if rank() == 0:
        say(f"no controller here (LAB_JOB_DIR is not set): recording to {os.path.relpath(path)}")
    return path


def _run_name() -> str:
    """A time stamp and pid; ranks of one launch share their launcher's name instead, or each would make its own run."""
    if int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or 1) > 1:
        return f"run-{os.environ.get('SLURM_JOB_ID') or os.getppid()}"
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
