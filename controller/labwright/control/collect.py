"""What ended jobs left at their providers: asked in calls of their own, for to hash a huge artifact may take an hour, and nobody
else's metrics, logs or results wait for it. What was answered is finished by one call at a time."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from labwright.control.finish import Finished, Finisher
from labwright.control.harvest import Target
from labwright.control.keep import Keeper
from labwright.control.trouble import apart
from labwright.control.world import World, later
from labwright.domain.errors import LabError
from labwright.domain.ids import JobId
from labwright.domain.job import Job
from labwright.ports.provider import Collected

LANES = 3  # calls a provider at a time
MOST = 2000  # jobs finished in one go
PATIENCE = 5.0  # seconds until what could not be finished is tried again
AGAIN = 60.0  # the longest pause before a provider is asked again
_WAKE = 0.05  # seconds between two announcements of answers

Left = tuple[Target, Collected]


@dataclass(slots=True)
class _Place:
    """One provider. Its lanes take from `todo`."""

    todo: deque[Target] = field(default_factory=deque)
    failing: dict[JobId, str] = field(default_factory=dict)  # jobs that could not be collected, and why
    failures: int = 0  # in a row
    not_before: datetime | None = None


class Collector:
    def __init__(self, world: World, finisher: Finisher, keeper: Keeper) -> None:
        self.world, self.finisher, self.keeper = world, finisher, keeper
        self._under: dict[JobId, int] = {}  # all that were handed over and are not finished: job and attempt
        self._places: dict[str, _Place] = {}
        self._answered: deque[tuple[Target, Collected | Exception]] = deque()
        self._left: list[Left] = []  # collected, to be finished
        self._batch: list[Left] = []  # what the call under way finishes
        self._next = self._woken = world.now()

    def recover(self) -> None:
        """The turn was not written. A batch whose call never went off is still to be finished."""
        if not self.world.calls.busy("finish"):
            self._left, self._batch = [*self._batch, *self._left], []

    def has(self, job: JobId, attempt: int) -> bool:
        return self._under.get(job) == attempt

    def add(self, target: Target) -> None:
        """Of an ended job, read to its end."""
        job, attempt = target.job.id, target.attempt
        if not self.has(job, attempt.n):
            self._under[job] = attempt.n
            self._places.setdefault(attempt.provider, _Place()).todo.append(target)

    def step(self, now: datetime) -> datetime | None:
        self._take_up(now)
        calls, dues = self.world.calls, []
        if self._left and not calls.busy("finish"):
            if now < self._next and len(self._left) < MOST:
                dues.append(self._next)  # many jobs end: take them up together
            else:
                self._next = later(now, self.world.options.batch_seconds)
                self._finish()
        for name, place in self._places.items():
            if place.todo and place.not_before is not None and now < place.not_before:
                dues.append(place.not_before)
                continue
            free = [key for n in range(LANES) if not calls.busy(key := f"collect:{name}:{n}")]
            for key in free[: len(place.todo)]:
                calls.start(key, partial(self._lane, place), lambda _: None, self._defect, left=True)
        return min(dues, default=None)

    # in the pool

    def _lane(self, place: _Place) -> None:
        """One after the other until there is no more, or one fails. Others take from the same list."""
        while not self.world.calls.closing:
            try:
                target = place.todo.popleft()
            except IndexError:
                return
            try:
                answer: Collected | Exception = self.finisher.collect(target)
            except Exception as error:  # noqa: BLE001  # the loop's thread knows what to do
                answer = error
            self._answered.append((target, answer))
            if isinstance(answer, Exception):
                return
            now = self.world.now()
            if (now - self._woken).total_seconds() > _WAKE:
                self._woken = now
                self.world.wake.set()

    # on the loop's thread

    def _defect(self, error: Exception) -> None:
        self.world.log.error("defect", doing="collecting", error=repr(error), exc_info=error)

    def _take_up(self, now: datetime) -> None:
        while self._answered:
            target, answer = self._answered.popleft()
            job, place = target.job.id, self._places[target.attempt.provider]
            if isinstance(answer, LabError | OSError):
                place.todo.append(target)
                place.failing[job] = str(answer)
                place.failures += 1
                place.not_before = later(now, min(2.0**place.failures, AGAIN))
                self._say(target.attempt.provider, place)
                continue
            if place.failing.pop(job, None) is not None:
                self._say(target.attempt.provider, place)
            place.failures, place.not_before = 0, None
            if isinstance(answer, Exception):
                del self._under[job]
                self.world.troubles.met(job, "collecting", answer, now)
            else:
                self._left.append((target, answer))

    def _say(self, name: str, place: _Place) -> None:
        if place.failing:
            why = next(reversed(place.failing.values()))
            self.world.alarms.raise_(f"collecting from {name}", f"{why}; results of its jobs wait")
        else:
            self.world.alarms.clear(f"collecting from {name}")

    def _finish(self) -> None:
        self._batch, self._left = self._left[:MOST], self._left[MOST:]
        book = self.world.book
        jobs = book.jobs([target.job.id for target, _ in self._batch])
        batch = [
            (replace(target, job=jobs[target.job.id], attempts=tuple(book.attempts_of(target.job.id))), collected)
            for target, collected in self._batch
        ]
        self.world.calls.start("finish", partial(self._work, batch), self._done, self._failed)

    def _work(self, batch: Sequence[Left]) -> tuple[Sequence[Finished], dict[JobId, Exception]]:
        """In the pool."""
        by_job = {target.job.id: (target, collected) for target, collected in batch}
        done, culprits = apart(lambda jobs: self.finisher.finish([by_job[job] for job in jobs]), list(by_job))
        return done, dict(culprits)

    def _done(self, answer: tuple[Sequence[Finished], dict[JobId, Exception]]) -> None:
        book, (done, culprits) = self.world.book, answer
        batch, self._batch = {target.job.id: (target.attempt.n, left) for target, left in self._batch}, []
        self.world.alarms.clear("results")
        for job_id in batch:
            self._under.pop(job_id, None)
        for job_id, error in culprits.items():
            self.world.troubles.met(job_id, "collecting", error, self.world.now())
        with book.transaction():
            for written in (job for some in done for job in some.jobs):
                self._collected(written, *batch[written.id])

    def _collected(self, written: Job, number: int, left: Collected) -> None:
        """`written` is the job as its manifest and its rows have it."""
        book = self.world.book
        newest = next(a for a in book.attempts_of(written.id) if a.n == number)
        self.keeper.add(book.change_attempt(newest, collected=True, published=False), left.artifacts)
        now = book.job(written.id)
        if now is not None and now.reason != written.reason:
            book.amend([now], reason=written.reason)
        elif now is not None and now.version == written.version:
            book.dirty.pop(written.id, None)

    def _failed(self, error: Exception) -> None:
        self._left, self._batch = [*self._batch, *self._left], []
        if not isinstance(error, (LabError, OSError)):
            self.world.log.error("finishing failed", error=repr(error), exc_info=error)
        self.world.alarms.raise_("results", f"results of ended jobs wait: {error}")
        self._next = later(self.world.now(), getattr(error, "retry_in", PATIENCE))
