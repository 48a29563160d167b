"""From the outbox to the results branch, in batches: one commit and one push for all that ended meanwhile."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from labwright.control.outbox import Outbox
from labwright.control.world import World, later
from labwright.decide.manifest_of import results_folder
from labwright.domain.errors import LabError
from labwright.domain.ids import JobId
from labwright.domain.job import Attempt, Job

BATCH = 10_000
Pages = Callable[[Sequence[str]], Mapping[str, bytes]]
"""Experiments whose jobs are among a batch → files of their pages, by path on the branch."""


class Publisher:
    def __init__(self, world: World, outbox: Outbox, pages: Pages) -> None:
        self.world, self.outbox, self.pages = world, outbox, pages
        self.failing = 0
        self._next = world.now()

    def ready(self) -> list[Attempt]:
        return [a for a in self.world.book.unpublished.values() if a.collected]

    def step(self, now: datetime) -> datetime | None:
        ready = self.ready()
        if not ready or self.world.calls.busy("publish") or self.world.calls.busy("outbox"):
            return None
        if self.world.results is None:
            self._published(ready)
            return None
        if now < self._next:
            return self._next
        jobs = self.world.book.jobs([attempt.job for attempt in ready[:BATCH]])
        batch = [(jobs[a.job], a) for a in ready[:BATCH]]
        done = partial(self._done, [a for _, a in batch])
        self.world.calls.start("publish", partial(self._work, [job for job, _ in batch]), done, self._failed)
        return None

    def _work(self, jobs: Sequence[Job]) -> None:
        """In the pool. A crash after the push publishes the same files again, which is no commit at all."""
        assert self.world.results is not None  # noqa: S101  # step() looked
        files: dict[str, bytes] = {}
        for job in jobs:
            folder = results_folder(job)
            files.update({f"{folder}/{name}": data for name, data in self.outbox.files(job.id)})
        files.update(self.pages(sorted({job.experiment for job in jobs})))
        self.world.results.publish(files, message_of(jobs))

    def _done(self, attempts: Sequence[Attempt], _: None) -> None:
        self.failing = 0
        self.world.alarms.clear("results branch")
        self._next = later(self.world.now(), self.world.options.publish_seconds)
        self._published(attempts)

    def _published(self, attempts: Sequence[Attempt]) -> None:
        book = self.world.book
        with book.transaction():
            for attempt in attempts:
                newest = next(a for a in book.attempts_of(attempt.job) if a.n == attempt.n)
                book.change_attempt(newest, published=True)
        # not before the ledger has it: a crash in between publishes the same files once more
        self.world.calls.start("outbox", partial(self._drop, attempts), lambda _: self._forget(), self._failed)

    def _drop(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            self.outbox.drop(attempt.job)

    def _forget(self) -> None:
        book = self.world.book
        book.forget_ended([JobId(need) for job in book.live.values() for need in job.needs])

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, (LabError, OSError)):
            self.world.log.error("publishing failed", error=repr(error), exc_info=error)
        self.failing += 1
        waiting = len(self.outbox.waiting())
        self.world.alarms.raise_("results branch", f"{error}; {waiting} finished jobs wait in the outbox")
        self._next = later(self.world.now(), min(2.0**self.failing, 300.0))


def message_of(jobs: Sequence[Job]) -> str:
    """Subject and body of a commit on the results branch. Task names come from folder names: any text."""
    if len(jobs) == 1:
        subject = f"{jobs[0].task}: {jobs[0].state} ({jobs[0].id})"
    else:
        experiments = sorted({job.experiment for job in jobs})
        subject = f"{len(jobs)} jobs of {', '.join(experiments[:3])}" + (" and others" if len(experiments) > 3 else "")
    commits = sorted({job.commit for job in jobs})
    lines = [subject, "", *(f"Source-Commit: {commit}" for commit in commits[:20])]
    return "\n".join(lines)
