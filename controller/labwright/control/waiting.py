"""HELD jobs by what they need. The trials of a sweep need the same jobs, thousands times thousands: they share an entry."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from labwright.domain.ids import JobId
from labwright.domain.job import Job


@dataclass(eq=False, slots=True)
class Group:
    """Jobs that need the same."""

    needs: Sequence[JobId]
    jobs: dict[JobId, None] = field(default_factory=dict)


class Waiting:
    def __init__(self) -> None:
        self._groups: dict[tuple[JobId, ...], Group] = {}
        self._of: dict[JobId, dict[Group, None]] = {}

    def add(self, job: Job) -> None:
        if not job.needs:
            return
        group = self._groups.get(job.needs)
        if group is None:
            group = self._groups[job.needs] = Group(job.needs)
            for need in job.needs:
                self._of.setdefault(need, {})[group] = None
        group.jobs[job.id] = None

    def drop(self, job: Job) -> None:
        group = self._groups.get(job.needs)
        if group is None:
            return
        group.jobs.pop(job.id, None)
        if not group.jobs:
            del self._groups[job.needs]
            for need in set(job.needs):
                of = self._of[need]
                del of[group]
                if not of:
                    del self._of[need]

    def groups(self, needs: Iterable[JobId]) -> list[Group]:
        """Of those that need one of these."""
        return list(dict.fromkeys(group for need in needs for group in self._of.get(need, ())))
