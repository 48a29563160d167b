"""What jobs say while they run, and what they said last: metrics and logs into the records, and who ended to the collector.

One call at a time does the reading and writing off the loop's thread; what it brought is noted in the ledger on it."""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from itertools import islice

from labwright.control.collect import Collector
from labwright.control.contents import Contents
from labwright.control.harvest import Brought, Harvester, Target
from labwright.control.logs import Logs
from labwright.control.world import World, later
from labwright.decide.rows import approval_row, attempt_row, job_row, plan_row
from labwright.domain.errors import LabError
from labwright.domain.ids import JobId, Token
from labwright.domain.job import Attempt, Job
from labwright.domain.lifecycle import AT_PROVIDER, FINAL
from labwright.ports.records import Batch, QueryLimits

RECENT = 100  # plans and acts that are written again after a start: the last ones before a crash may be missing
PATIENCE = 2.0  # seconds until what could not be read is tried again
SOON = 5.0  # seconds in which most jobs are finished: until then their rows are not written twice
ROWS = 2000  # rows of changed jobs written in one go


class Gatherer:
    def __init__(self, world: World, contents: Contents, logs: Logs, collector: Collector) -> None:
        self.world, self.contents, self.collector = world, contents, collector
        self.harvester = Harvester(world, logs)
        self.offsets: dict[Token, dict[str, int]] = {}
        self.progress: dict[JobId, float] = {}
        self._read_at: dict[str, datetime] = {}  # by provider: when what its running jobs wrote is read next
        self._taken: list[Batch] = []  # notes that a call under way is writing
        self._recent = Batch()
        self._next = self._earliest = world.now()
        self.recover()
        self._catch_up()

    def recover(self) -> None:
        """Read on from where the records end: they were written together with their offsets."""
        book, ledger = self.world.book, self.world.book.ledger
        acts = [approval_row(act) for act in ledger.acts(pending=False)[-RECENT:]]
        plans = [plan_row(plan) for plan in ledger.plans(most=RECENT)]
        under_way = [attempt for at_provider in book.open.values() for attempt in at_provider.values()]
        known = self.world.records.offsets([a.token for a in (*under_way, *book.unpublished.values())])
        newer = [note for note in (*self._taken, *self.world.notes) if note is not self._recent]
        self._recent = Batch(plans=plans, approvals=acts)
        self.world.notes = [self._recent, *newer]
        self.offsets, self._taken = {}, []
        for (token, file), at in known.items():
            self.offsets.setdefault(Token(token), {})[file] = at

    def _catch_up(self) -> None:
        """Jobs that ended just before a crash, their rows not written: the ledger knows better."""
        over = ", ".join(f"'{state}'" for state in sorted(FINAL))
        answer = self.world.records.query(f"SELECT job FROM jobs WHERE state NOT IN ({over})", QueryLimits())  # noqa: S608
        rows = [JobId(row["job"]) for batch in answer.batches() for row in batch.to_pylist()]
        self.world.book.dirty.update(dict.fromkeys(rows))

    def step(self, now: datetime) -> datetime | None:
        book, world = self.world.book, self.world
        if world.calls.busy("gather"):
            return None  # its end wakes the loop
        due = now >= self._next
        under_way = book.count(*AT_PROVIDER)
        ended = [a for a in book.uncollected.values() if not self.collector.has(a.job, a.n)]
        if not ended and not world.notes and not (due and (book.dirty or under_way)):
            return self._next if book.dirty or under_way else None
        if not due and any(key in ("records", "secrets") or key.startswith("reading from ") for key in world.alarms.on):
            return self._next
        if ended and now < self._earliest and len(ended) < ROWS:
            return self._earliest  # many jobs end: take them up together
        book.jobs([a.job for a in ended[:ROWS]])  # into memory, with one question
        over = [target for a in ended[:ROWS] if (target := self._target(a, True, now))]
        running = list(self._running(now)) if due else []
        self._next = later(now, world.options.gather_seconds)
        self._earliest = later(now, world.options.batch_seconds)
        rows = [row for job in self._dirty(now) if (row := self._rows(job, now)) is not None]
        if not (over or running or rows or world.notes):
            return self._next
        self._taken, world.notes = world.notes, []
        call = partial(self.harvester.work, [*running, *over], rows, self._taken)
        world.calls.start("gather", call, self._done, self._failed)
        return None

    def _running(self, now: datetime) -> Iterable[Target]:
        book, due = self.world.book, self._due(now)
        for job in book.in_state(*AT_PROVIDER):
            newest = book.newest(job.id)
            if newest is not None and newest.provider in due and newest.handle is not None and newest.outcome is None:
                target = self._target(newest, False, now)
                if target is not None:
                    yield target

    def _due(self, now: datetime) -> set[str]:
        """Providers whose running jobs are read now: not all like to be asked as often as we could."""
        due = {name for name in self.world.providers if now >= self._read_at.get(name, now)}
        for name in due:
            self._read_at[name] = later(now, self.world.providers[name].features.read_every)
        return due

    def _target(self, attempt: Attempt, over: bool, now: datetime) -> Target | None:
        book = self.world.book
        if self.world.troubles.aside(attempt.job, now):
            return None
        job = book.job(attempt.job)
        assert job is not None  # noqa: S101  # an attempt has a job: the ledger's foreign key
        with self.world.troubles.containing(job.id, "collecting", now):
            bundle = self.contents.bundle(job) if over else None
            offsets = dict(self.offsets.get(attempt.token, {}))
            return Target(job, self.contents.spec(job), bundle, attempt, tuple(book.attempts_of(job.id)), offsets, over)
        return None

    def _dirty(self, now: datetime) -> list[Job]:
        """Jobs whose rows are to be written, but for those that ended just now: most get theirs from their manifests."""
        book, since = self.world.book, later(now, -SOON)
        ended = [a for a in book.uncollected.values() if a.ended is not None and a.ended > since]
        book.jobs([a.job for a in ended])
        soon = {a.job for a in ended if self._ends(a.job, a.n)}
        ids = list(islice((job for job in book.dirty if job not in soon), ROWS))
        known = book.jobs(ids)
        for job_id in ids:
            if job_id not in known:  # it was to be made in a turn that could not be written
                del book.dirty[job_id]
        return list(known.values())

    def _ends(self, job_id: JobId, attempt: int) -> bool:
        """Whether that attempt is the one that ended its job."""
        job = self.world.book.job(job_id)
        return job is not None and job.state in FINAL and job.attempt == attempt

    def _rows(self, job: Job, now: datetime) -> tuple[Job, Batch] | None:
        if self.world.troubles.aside(job.id, now):
            return None
        with self.world.troubles.containing(job.id, "recording", now):
            task, attempts = self.contents.spec(job), self.world.book.attempts_of(job.id)
            row = dict(job_row(job, task, attempts))
            if job.id in self.progress and job.state not in FINAL:
                row["progress"] = self.progress[job.id]
            return job, Batch(jobs=[row], attempts=[attempt_row(a, task) for a in attempts])
        return None

    # on the loop's thread

    def _done(self, brought: Brought) -> None:
        book, now = self.world.book, self.world.now()
        self._taken = []
        self.world.alarms.clear("records")
        for key, why in brought.alarms.items():
            if why:
                self.world.alarms.raise_(key, why)
                self._next = later(now, PATIENCE)
            else:
                self.world.alarms.clear(key)
        for job_id, error in brought.culprits.items():
            self.world.troubles.met(job_id, "collecting", error, now)
        for token, files in brought.offsets.items():
            self.offsets.setdefault(token, {}).update(files)
        self.progress.update(brought.progress)
        if brought.drained:
            with book.transaction():
                for target in brought.drained:
                    self._drained(target)
        known = book.jobs([job.id for job in brought.written])
        for job in brought.written:
            if job.id not in known or known[job.id].version == job.version:
                book.dirty.pop(job.id, None)
        if brought.more or brought.progress:
            self.world.wake.set()
        for job_id in brought.progress:
            book.dirty[job_id] = None

    def _drained(self, target: Target) -> None:
        """Only the attempt that ended its job goes to the results branch, with all before it."""
        book, job = self.world.book, target.job.id
        attempts = book.attempts_of(job)
        newest = next(a for a in attempts if a.n == target.attempt.n)
        self.progress.pop(job, None)
        if self._ends(job, newest.n):
            self.collector.add(target)
            for attempt in attempts:
                self.offsets.pop(attempt.token, None)
        else:  # another one follows: what this one said is in the records
            book.change_attempt(newest, collected=True, published=True)

    def _failed(self, error: Exception) -> None:
        """Nothing is lost: offsets have not moved, and the same bytes are read again."""
        self.world.notes, self._taken = [*self._taken, *self.world.notes], []
        if not isinstance(error, (LabError, OSError)):
            self.world.log.error("gathering failed", error=repr(error), exc_info=error)
        self.world.alarms.raise_("records", f"metrics and logs are not being collected: {error}")
        self._next = later(self.world.now(), getattr(error, "retry_in", 5.0))
