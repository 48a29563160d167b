"""What takes batches into Slurm's queue: sbatch on the login node, or (rest.py) slurmrestd."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from labwright.adapters.providers.slurm.batch import Batch, packed
from labwright.adapters.providers.slurm.desk import Desk
from labwright.domain.errors import LabError, OutcomeUnknown, Refused, Unavailable

_NEGATIVE = "Batch job submission failed:"  # slurmctld's own no, of which these are not final:
_PASSES = (
    "QOSMax",
    "AssocMax",
    "MaxSubmit",
    "job limit",
    "temporarily",
    "too many",
    "Requested nodes are busy",
    "draining",
    "not available",
    "inactive",
    "maintenance",
)
_FINAL = re.compile(r" is not available|Max\w+Per(Job|Node)")  # although the words above are in it
_IN_DOUBT = (
    "Unable to contact",
    "timed out",
    "Zero Bytes",
    "Connection refused",
    "Transport endpoint",
    "Communication",
)


Verdict = str | LabError
"""Of a batch: its job's id, or why there is none."""


class Scheduler(Protocol):
    """What takes batches into Slurm's queue."""

    def submit(self, desk: Desk, batches: Sequence[Batch]) -> Mapping[str, Verdict]:
        """By the batch's name; of one that is left out nobody can say. Raises Unavailable and Refused where nothing was sent."""
        ...


@dataclass(frozen=True, slots=True)
class Sbatch:
    """On the login node, four at a time."""

    patience: float  # seconds for one

    def submit(self, desk: Desk, batches: Sequence[Batch]) -> Mapping[str, Verdict]:
        head = "".join(f"{b.name} {b.group.job} {b.key or '-'}\n" for b in batches) + "\n"
        deadline = round(self.patience)
        patience = 30 + deadline * (1 + len(batches) / 4)
        try:
            answer = desk.call("submit", deadline, stdin=head.encode() + packed(batches), timeout=patience)
        except Unavailable as error:
            if error.message.startswith("submit on the cluster"):  # it went some way
                raise OutcomeUnknown(str(error)) from error
            raise
        rows = [line.split("\t") for line in answer.decode(errors="replace").splitlines()]
        return {row[0]: verdict_of(*row[1:]) for row in rows if len(row) == 4}


def verdict_of(code: str, job: str, said: str, *, by: str = "sbatch") -> Verdict:
    """What sbatch's exit status, the job id that was found and its words mean: the id, or why there is none."""
    if job.isdigit():
        return job
    words = said.replace("sbatch: error:", "").strip() or f"{by} ended with {code}"
    if code == "?" or code in ("124", "137", "-") or any(sign in words for sign in _IN_DOUBT):
        return OutcomeUnknown(f"{by}: {words}")
    if any(sign in words for sign in _PASSES) and not _FINAL.search(words):
        return Unavailable(f"{by}: {words}", hint="it is tried again", retry_in=30)
    if _NEGATIVE in words or code == "1":
        return Refused(f"{by}: {words}", hint="correct the task's resources, or the provider in lab.yaml")
    return Unavailable(f"{by}: {words}", retry_in=30)
