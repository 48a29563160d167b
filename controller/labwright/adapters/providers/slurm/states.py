"""Slurm's words for the state of a job, and what they mean here (squeue(1), sacct(1): JOB STATE CODES, 22.05 to 26.05)."""

import re
from dataclasses import dataclass

from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase

WAITING = frozenset(
    {
        "PENDING",
        "CONFIGURING",
        "POWER_UP_NODE",
        "REQUEUED",
        "REQUEUE_FED",
        "REQUEUE_HOLD",
        "EXPEDITING",
        "SPECIAL_EXIT",
        "RESV_DEL_HOLD",
    }
)
RUNNING = frozenset(
    {
        "RUNNING",
        "COMPLETING",
        "SUSPENDED",
        "STOPPED",
        "SIGNALING",
        "STAGE_OUT",
        "RESIZING",
        "UPDATE_DB",
    }
)
ENDED: dict[str, Outcome] = {
    "COMPLETED": Outcome.OK,
    "FAILED": Outcome.ERROR,
    "TIMEOUT": Outcome.TIMEOUT,
    "DEADLINE": Outcome.TIMEOUT,
    "OUT_OF_MEMORY": Outcome.OOM,
    "CANCELLED": Outcome.CANCELLED,
    "PREEMPTED": Outcome.PREEMPTED,
    "NODE_FAIL": Outcome.NODE_FAILED,
    "BOOT_FAIL": Outcome.NODE_FAILED,
    "LAUNCH_FAILED": Outcome.NODE_FAILED,
    "RECONFIG_FAIL": Outcome.NODE_FAILED,
    "REVOKED": Outcome.LOST,
}
SETUP_FAILED = 78  # exit code of templates/slurm/job.sh.j2 where it could not set the job up


@dataclass(frozen=True, slots=True)
class Meaning:
    phase: Phase  # RUN stands for "on its nodes": the wrapper's own record tells setup from run
    outcome: Outcome | None = None
    by: str = ""  # who cancelled it


def meaning(state: str) -> Meaning:
    """`CANCELLED by 1000`, `COMPLETED+`, `OUT_OF_ME+` and the like; UNKNOWN for a word that is new to us."""
    word, _, by = state.strip().partition(" by ")
    word = word.rstrip("+").upper()
    if "+" in state:  # cut to a column
        fits = [known for known in (*WAITING, *RUNNING, *ENDED) if known.startswith(word)]
        word = word if word in fits or len(fits) != 1 else fits[0]
    if word in WAITING:
        return Meaning(Phase.QUEUED)
    if word in RUNNING:
        return Meaning(Phase.RUN)
    outcome = ENDED.get(word)
    return Meaning(Phase.ENDED, outcome, by) if outcome else Meaning(Phase.UNKNOWN)


def codes(text: str) -> tuple[int | None, int | None]:
    """`3:0` → (3, None); `0:9` → (137, 9), as shells say it."""
    if not re.fullmatch(r"[0-9]{1,9}:[0-9]{1,9}", text):
        return None, None
    code, _, by = text.partition(":")
    return (int(code), None) if by == "0" else (128 + int(by), int(by))
