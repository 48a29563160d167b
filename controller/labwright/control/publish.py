"""From the outbox to the results branch, in batches: one commit and one push for all that ended meanwhile."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from labwright.control.outbox import MANIFEST, Outbox
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
"""Experiments → files of their pages, by path on the branch; of none: the page above them all."""
_INDEX = ""  # in the place of an experiment's name: the page above them all


@dataclass(frozen=True, slots=True)
class _Pushed:
    took: float  # seconds that the pages took
    culprits: Mapping[str, Exception]  # experiments whose pages could not be rendered
    vanished: Collection[JobId]  # whose files are not in the outbox any more


@dataclass(frozen=True, slots=True)
class _Batch:
    attempts: Sequence[Attempt]
    left: Sequence[JobId] = ()  # jobs that are published as far as the ledger knows
    pages: Sequence[str] = ()


class Publisher:
    def __init__(self, world: World, outbox: Outbox, pages: Pages) -> None:
        self.world, self.outbox, self.pages = world, outbox, pages
        self.failing = 0
        self._next = self._pages_next = world.now()
        self.stale: set[str] = set()
        self._left: list[JobId] = []  # in the outbox, though the ledger says that they are published
        self._looked_for: object = None  # the branch that they were looked up for
        self.recover()

    def recover(self) -> None:
        stale = self.world.book.ledger.cursor(_STALE)
        self.stale = set(stale.split("\n")) if stale else set()

    def ready(self) -> list[Attempt]:
        return [a for a in self.world.book.unpublished.values() if a.collected]

    def idle(self) -> bool:
        return not self.stale and not self._left and not self.ready()

    def step(self, now: datetime) -> datetime | None:
        world = self.world
        self._look_for_leftovers()
        some = world.book.unpublished or self.stale or self._left
        if not some or world.calls.busy("publish") or world.calls.busy("outbox"):
            return None
        if now < self._next and world.results is not None:
            return self._next
        ready = self.ready()
        if not (ready or self.stale or self._left):
            return None
        if world.results is None:
            self._published(_Batch(ready, pages=sorted(self.stale)))
            return None
        ready, left = ready[:BATCH], self._left[:BATCH]
        jobs = list(world.book.jobs([*(attempt.job for attempt in ready), *left]).values())
        self._note_stale(self.stale | {job.experiment for job in jobs})
        pages = sorted(self.stale) if now >= self._pages_next or not self._more_to_come(ready) else []
        if not (jobs or pages):
            return self._pages_next
        done = partial(self._done, _Batch(ready, left, pages))
        world.calls.start("publish", partial(self._work, jobs, pages), done, self._failed)
        return None

    def _look_for_leftovers(self) -> None:
        """Once for each branch: of a crash between the ledger's word and the outbox's, or of a lab that published nothing yet."""
        world = self.world
        if world.results is self._looked_for:
            return
        self._looked_for, self._left = world.results, []
        if world.results is not None:
            waiting = {job for job, _ in world.book.unpublished}
            left = [JobId(name) for name in self.outbox.waiting() if name not in waiting]
            self._left = (
                list(world.book.jobs(left)) if left else []
            )  # what the ledger does not know `lab rebuild` takes up

    def _more_to_come(self, ready: Sequence[Attempt]) -> bool:
        book = self.world.book
        return len(ready) > BATCH or len(book.unpublished) > len(ready) or book.count(State.QUEUED, *AT_PROVIDER) > 0

    def _work(self, jobs: Sequence[Job], experiments: Sequence[str]) -> "_Pushed":
        """In the pool. A crash after the push publishes the same files once more, which is no commit at all."""
        assert self.world.results is not None  # noqa: S101  # step() looked
        files: dict[str, bytes] = {}
        vanished: list[JobId] = []
        for job in jobs:
            folder, found = results_folder(job), dict(self.outbox.files(job.id))
            if MANIFEST in found:
                files.update({f"{folder}/{name}": data for name, data in found.items()})
            else:
                vanished.append(job.id)
        began = self.world.now()
        culprits: dict[str, Exception] = {}
        for experiment in _with_index(experiments):
            try:
                files.update(self.pages([experiment] if experiment else []))
            except Exception as error:  # noqa: BLE001  # a page is made again; results must not wait for it
                culprits[experiment] = error
        took = (self.world.now() - began).total_seconds()
        if files:
            self.world.results.publish(files, message_of([job for job in jobs if job.id not in vanished], experiments))
        return _Pushed(took, culprits, vanished)

    def _done(self, batch: _Batch, pushed: "_Pushed") -> None:
        now, took = self.world.now(), pushed.took
        self.failing = 0
        self.world.alarms.clear("results branch")
        for experiment in _with_index(batch.pages):
            about = f"pages of {experiment}" if experiment else "page of all experiments"
            if (error := pushed.culprits.get(experiment)) is None:
                self.world.alarms.clear(about)
            else:
                self.world.log.error("page failed", experiment=experiment, error=repr(error), exc_info=error)
                what = str(error) if isinstance(error, LabError) else f"a defect of Labwright: {error!r}"
                self.world.alarms.raise_(about, f"not rendered: {what}")
        self._next = later(now, self.world.options.publish_seconds)
        if batch.pages:
            self._pages_next = later(now, max(PAGES_SECONDS, 20 * took))
        self._left = [job for job in self._left if job not in batch.left]
        self._published(batch, pushed.vanished)

    def _published(self, batch: _Batch, vanished: Collection[JobId] = ()) -> None:
        book = self.world.book
        with book.transaction():
            for attempt in batch.attempts:
                newest = next(a for a in book.attempts_of(attempt.job) if a.n == attempt.n)
                if attempt.job in vanished:
                    self.world.log.warning("vanished from the outbox, made again", job=attempt.job)
                    book.change_attempt(newest, collected=False)
                else:
                    book.change_attempt(newest, published=True)
            self._note_stale(self.stale.difference(batch.pages))
        # not before the ledger has it: a crash in between publishes the same files once more
        done = [job for job in (*(a.job for a in batch.attempts), *batch.left) if job not in vanished]
        if done:
            self.world.calls.start("outbox", partial(self._drop, done), lambda _: self._forget(), self._failed)

    def _note_stale(self, stale: set[str]) -> None:
        if stale != self.stale:
            with self.world.book.transaction():
                self.world.book.ledger.set_cursor(_STALE, "\n".join(sorted(stale)) or None)
            self.stale = stale

    def _drop(self, jobs: Sequence[JobId]) -> None:
        if self.world.results is not None:
            for job in jobs:
                self.outbox.drop(job)

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


def _with_index(experiments: Sequence[str]) -> Sequence[str]:
    return [*experiments, _INDEX] if experiments else experiments


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
