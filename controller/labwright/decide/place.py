"""Who of those that wait gets which part of a machine.

In order of priority, highest first, then in the order given. A job that does not fit now holds back every job of a lower
priority, so that a large one is not starved by small unimportant ones; jobs of its own priority may pass it, so that free
room is used. Whoever wants a large job to go first gives it a higher priority. A job larger than the whole machine holds
nobody back: it is the provider's to refuse."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from labwright.domain.ids import JobId
from labwright.domain.task import Task

Placement = Mapping[str, Any]
"""{"cpus": 1.0, "memory_gb": 0.0, "gpus": ["0"]}: what goes into Submission.placement and Attempt.placement."""


class Sizes(Protocol):
    """What a provider has in all; ports.provider.Capacity is one."""

    @property
    def cpus(self) -> float: ...
    @property
    def memory_gb(self) -> float: ...
    @property
    def gpus(self) -> tuple[str, ...]: ...


_VENDORS = {
    "nvidia": re.compile(r"nvidia|geforce|rtx|gtx|tesla|quadro|\b[abhlptv]\d{1,3}|gh?200|gb\d00", re.IGNORECASE),
    "amd": re.compile(r"amd|radeon|instinct|\bmi\d", re.IGNORECASE),
}
_SLACK = 1e-9  # tenths of a CPU do not add up exactly


@dataclass(frozen=True, slots=True)
class Ask:
    job: JobId
    cpus: float = 1.0
    memory_gb: float = 0.0
    gpus: int = 0
    priority: int = 0

    @classmethod
    def of(cls, job: JobId, task: Task, priority: int = 0) -> "Ask":
        """What a task's `resources` ask for; 1 CPU and no memory where they say nothing."""
        r = task.resources
        cpus = 1.0 if r.cpus is None else r.cpus
        return cls(job, cpus, r.memory_gb or 0.0, r.accelerators.count if r.accelerators else 0, priority)


@dataclass(frozen=True, slots=True)
class Placed:
    """What one attempt holds."""

    cpus: float = 1.0
    memory_gb: float = 0.0
    gpus: tuple[str, ...] = ()

    @classmethod
    def of(cls, placement: Placement) -> "Placed":
        gpus = tuple(str(gpu) for gpu in placement.get("gpus", ()))
        return cls(float(placement.get("cpus", 1)), float(placement.get("memory_gb", 0)), gpus)


@dataclass(slots=True)
class _Room:
    cpus: float
    memory_gb: float
    gpus: list[str]

    def fits(self, ask: Ask) -> bool:
        return (
            ask.cpus <= self.cpus + _SLACK and ask.memory_gb <= self.memory_gb + _SLACK and ask.gpus <= len(self.gpus)
        )

    def take(self, ask: Ask) -> Placement:
        self.cpus -= ask.cpus
        self.memory_gb -= ask.memory_gb
        given, self.gpus = self.gpus[: ask.gpus], self.gpus[ask.gpus :]
        return {"cpus": ask.cpus, "memory_gb": ask.memory_gb, "gpus": given}


def place(waiting: Sequence[Ask], busy: Sequence[Placed], capacity: Sizes) -> list[tuple[JobId, Placement]]:
    """Those that can start now, with what each gets, in the order in which they should be started."""
    room, whole = _free(busy, capacity), _free((), capacity)
    placed: list[tuple[JobId, Placement]] = []
    held_back_below: int | None = None
    for ask in sorted(waiting, key=lambda a: -a.priority):  # stable: the order given, within a priority
        if not whole.fits(ask):
            continue
        if held_back_below is not None and ask.priority < held_back_below:
            break
        if room.fits(ask):
            placed.append((ask.job, room.take(ask)))
        elif held_back_below is None:
            held_back_below = ask.priority
    return placed


def _free(busy: Sequence[Placed], capacity: Sizes) -> _Room:
    taken = {gpu for one in busy for gpu in one.gpus}
    return _Room(
        capacity.cpus - sum(one.cpus for one in busy),
        capacity.memory_gb - sum(one.memory_gb for one in busy),
        [gpu for gpu in capacity.gpus if gpu not in taken],
    )


def type_matches(asked: str | None, has: str | None) -> bool:
    """Whether a machine's GPUs are of the type that a task asks for: `A100` is within `NVIDIA A100-SXM4-80GB`, and a vendor's
    name stands for all of its models. Unknown (None) on either side matches."""
    if asked is None or has is None:
        return True
    if vendor := _VENDORS.get(asked.lower()):
        return bool(vendor.search(has))
    words = [re.sub(r"[^a-z0-9]", "", text.lower()) for text in (asked, has)]
    return words[0] in words[1]
