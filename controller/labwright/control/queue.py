"""QUEUED jobs that no attempt is under way for, best first: by priority, then by age, then by their place in the sweep."""

import heapq
from collections.abc import Collection, Iterator
from datetime import datetime

from labwright.control.book import Book
from labwright.domain.ids import JobId
from labwright.domain.job import Job
from labwright.domain.lifecycle import State

_Entry = tuple[int, datetime, int, JobId]


class Queue:
    """Kept in order; a turn in which nothing was queued costs nothing."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self.reset()

    def reset(self) -> None:
        self._entries: dict[str, list[_Entry]] = {}  # by provider
        self._there: set[JobId] = set()
        self._times: list[datetime] = []  # heap: when jobs may be tried again

    def take_in(self) -> None:
        """What became QUEUED since last time."""
        book = self._book
        fresh, book.queued = book.queued, []
        touched = set()
        for job_id in dict.fromkeys(fresh):
            job = book.live.get(job_id)
            if job is None or not self._waits(job_id):
                continue
            if job.not_before is not None:
                heapq.heappush(self._times, job.not_before)
            if job_id not in self._there:
                self._there.add(job_id)
                self._entries.setdefault(job.provider, []).append((-job.priority, job.created, job.trial, job_id))
                touched.add(job.provider)
        for name in touched:
            self._entries[name].sort()

    def best(self, provider: str, now: datetime) -> Iterator[Job]:
        """Those that may be submitted now."""
        for *_, job_id in self._entries.get(provider, ()):
            job = self._book.live.get(job_id)
            if job is None or job.stop_asked or (job.not_before is not None and job.not_before > now):
                continue
            if self._waits(job_id):
                yield job

    def drop(self, provider: str, ids: Collection[JobId]) -> None:
        """These are under way; what is over goes as well."""
        left = [entry for entry in self._entries.get(provider, ()) if entry[-1] not in ids and self._waits(entry[-1])]
        self._there.difference_update(entry[-1] for entry in self._entries.get(provider, ()))
        self._there.update(entry[-1] for entry in left)
        self._entries[provider] = left

    def providers(self) -> list[str]:
        return [name for name, entries in self._entries.items() if entries]

    def came_due(self, now: datetime) -> bool:
        """Whether some job's time has come since this was asked last."""
        came = False
        while self._times and self._times[0] <= now:
            heapq.heappop(self._times)
            came = True
        return came

    @property
    def next_time(self) -> datetime | None:
        return self._times[0] if self._times else None

    def _waits(self, job_id: JobId) -> bool:
        job = self._book.live.get(job_id)
        return job is not None and job.state is State.QUEUED and not self._book.is_open(job_id)
