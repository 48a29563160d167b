"""From the outbox to the results branch, in batches: one commit and one push for all that ended meanwhile."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from labwright.control.outbox import Outbox
from labwright.control.world import World, later
from labwright.decide.manifest_of import results_folder
from labwright.domain.errors import LabError
from labwright.domain.ids import JobId
from labwright.domain.job import Attempt, Job
from labwright.domain.lifecycle import AT_PROVIDER, State

BATCH = 10_000
PAGES_SECONDS = (
    5.0  # the least time between two renderings of an experiment's pages while more results are on their way
)
_STALE = "stale pages"  # cursor: experiments whose pages are older than their results
Pages = Callable[[Sequence[str]], Mapping[str, bytes]]
"""Experiments → files of their pages, by path on the branch."""


@dataclass(frozen=True, slots=True)
class _Pushed:
    took: float  # seconds that the pages took
    culprits: Mapping[str, Exception]  # experiments whose pages could not be rendered


class Publisher:
    def __init__(self, world: World, outbox: Outbox, pages: Pages) -> None:
        self.world, self.outbox, self.pages = world, outbox, pages
        self.failing = 0
        self._next = self._pages_next = world.now()
        self.stale: set[str] = set()
        self.recover()

    def recover(self) -> None:
        stale = self.world.book.ledger.cursor(_STALE)
        self.stale = set(stale.split("\n")) if stale else set()

    def ready(self) -> list[Attempt]:
        return [a for a in self.world.book.unpublished.values() if a.collected]

    def idle(self) -> bool:
        return not self.stale and not self.ready()

    def step(self, now: datetime) -> datetime | None:
        world = self.world
        if not (world.book.unpublished or self.stale) or world.calls.busy("publish") or world.calls.busy("outbox"):
            return None
        if now < self._next and world.results is not None:
            return self._next
        ready = self.ready()
        if not (ready or self.stale):
            return None
        if world.results is None:
            self._published(ready, sorted(self.stale))
            return None
        jobs = world.book.jobs([attempt.job for attempt in ready[:BATCH]])
        batch = [(jobs[a.job], a) for a in ready[:BATCH]]
        self._note_stale(self.stale | {job.experiment for job, _ in batch})
        pages = sorted(self.stale) if now >= self._pages_next or not self._more_to_come(ready) else []
        if not batch and not pages:
            return self._pages_next
        done = partial(self._done, [a for _, a in batch], pages)
        world.calls.start("publish", partial(self._work, [job for job, _ in batch], pages), done, self._failed)
        return None

    def _more_to_come(self, ready: Sequence[Attempt]) -> bool:
        book = self.world.book
        return len(ready) > BATCH or len(book.unpublished) > len(ready) or book.count(State.QUEUED, *AT_PROVIDER) > 0

    def _work(self, jobs: Sequence[Job], experiments: Sequence[str]) -> "_Pushed":
        """In the pool. A crash after the push publishes the same files once more, which is no commit at all."""
        assert self.world.results is not None  # noqa: S101  # step() looked
        files: dict[str, bytes] = {}
        for job in jobs:
            folder = results_folder(job)
            files.update({f"{folder}/{name}": data for name, data in self.outbox.files(job.id)})
        began = self.world.now()
        culprits: dict[str, Exception] = {}
        for experiment in experiments:
            try:
                files.update(self.pages([experiment]))
            except Exception as error:  # noqa: BLE001  # a page is made again; results must not wait for it
                culprits[experiment] = error
        took = (self.world.now() - began).total_seconds()
        self.world.results.publish(files, message_of(jobs, experiments))
        return _Pushed(took, culprits)

    def _done(self, attempts: Sequence[Attempt], pages: Sequence[str], pushed: "_Pushed") -> None:
        now, took = self.world.now(), pushed.took
        self.failing = 0
        self.world.alarms.clear("results branch")
        for experiment in pages:
            if (error := pushed.culprits.get(experiment)) is None:
                self.world.alarms.clear(f"pages of {experiment}")
            else:
                self.world.log.error("page failed", experiment=experiment, error=repr(error), exc_info=error)
                what = str(error) if isinstance(error, LabError) else f"a defect of Labwright: {error!r}"
                self.world.alarms.raise_(f"pages of {experiment}", f"not rendered: {what}")
        self._next = later(now, self.world.options.publish_seconds)
        if pages:
            self._pages_next = later(now, max(PAGES_SECONDS, 20 * took))
        self._published(attempts, pages)

    def _published(self, attempts: Sequence[Attempt], pages: Sequence[str]) -> None:
        book = self.world.book
        with book.transaction():
            for attempt in attempts:
                newest = next(a for a in book.attempts_of(attempt.job) if a.n == attempt.n)
                book.change_attempt(newest, published=True)
            self._note_stale(self.stale.difference(pages))
        # not before the ledger has it: a crash in between publishes the same files once more
        if attempts:
            self.world.calls.start("outbox", partial(self._drop, attempts), lambda _: self._forget(), self._failed)

    def _note_stale(self, stale: set[str]) -> None:
        if stale != self.stale:
            with self.world.book.transaction():
                self.world.book.ledger.set_cursor(_STALE, "\n".join(sorted(stale)) or None)
            self.stale = stale

    def _drop(self, attempts: Sequence[Attempt]) -> None:
        if self.world.results is not None:
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


def message_of(jobs: Sequence[Job], pages: Sequence[str] = ()) -> str:
    """Subject and body of a commit on the results branch. Task names come from folder names: any text."""
    if len(jobs) == 1:
        subject = f"{jobs[0].task}: {jobs[0].state} ({jobs[0].id})"
    else:
        experiments = sorted({job.experiment for job in jobs} or pages)
        what = f"{len(jobs)} jobs" if jobs else "pages"
        subject = f"{what} of {', '.join(experiments[:3])}" + (" and others" if len(experiments) > 3 else "")
    commits = sorted({job.commit for job in jobs})
    lines = [subject, "", *(f"Source-Commit: {commit}" for commit in commits[:20])]
    return "\n".join(lines).rstrip()
