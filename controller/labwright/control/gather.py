"""What jobs say while they run and leave behind when they end: metrics, logs and artifacts into the records and the outbox.

One call at a time does the reading and writing off the loop's thread; what it brought is noted in the ledger on it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from labwright.control.contents import Contents
from labwright.control.finish import Finisher
from labwright.control.logs import Logs
from labwright.control.secrets import resolve
from labwright.control.world import World, later
from labwright.decide.read_events import ReadEvents, read_events
from labwright.decide.rows import approval_row, attempt_row, job_row, joined, plan_row
from labwright.domain.bundle import Bundle
from labwright.domain.errors import LabError, Refused
from labwright.domain.ids import Handle, JobId, Token
from labwright.domain.job import Attempt, Job
from labwright.domain.lifecycle import AT_PROVIDER, FINAL, State
from labwright.domain.secrets import secret_names
from labwright.domain.task import Task
from labwright.ports.provider import Chunk, Tail
from labwright.ports.records import Batch, EventRow, Point

RECENT = 100  # plans and acts that are written again after a start: the last ones before a crash may be missing
ROWS = 2000  # rows of changed jobs written in one go


@dataclass(frozen=True, slots=True)
class Target:
    """An attempt to read from."""

    job: Job
    task: Task
    bundle: Bundle | None  # only of one that is over
    attempt: Attempt
    attempts: Sequence[Attempt]
    offsets: Mapping[str, int]
    over: bool  # it has ended: read to the end, then collect

    @property
    def token(self) -> Token:
        return self.attempt.token


@dataclass(slots=True)
class Brought:
    """What one call brought back to the loop."""

    offsets: dict[Token, dict[str, int]] = field(default_factory=dict)
    progress: dict[JobId, float] = field(default_factory=dict)
    written: list[Job] = field(default_factory=list)  # jobs whose rows are as they were when the call began
    collected: list[Attempt] = field(default_factory=list)
    more: bool = False  # there was more to read than one call takes


class Gatherer:
    def __init__(self, world: World, contents: Contents, logs: Logs, finisher: Finisher) -> None:
        self.world, self.contents, self.logs, self.finisher = world, contents, logs, finisher
        self.offsets: dict[Token, dict[str, int]] = {}
        self.progress: dict[JobId, float] = {}
        self._next = self._earliest = world.now()
        self.recover()

    def recover(self) -> None:
        """Read on from where the records end: they were written together with their offsets."""
        book = self.world.book
        self.offsets.clear()
        ledger = book.ledger
        acts = [approval_row(act) for act in ledger.acts(pending=False)[-RECENT:]]
        self.world.notes.append(Batch(plans=[plan_row(plan) for plan in ledger.plans(most=RECENT)], approvals=acts))
        flying = [a for attempts in book.attempts.values() for a in attempts[-1:] if a.outcome is None]
        tokens = [a.token for a in (*flying, *book.unpublished.values())]
        for (token, file), at in self.world.records.offsets(tokens).items():
            self.offsets.setdefault(Token(token), {})[file] = at

    def step(self, now: datetime) -> datetime | None:
        book, world = self.world.book, self.world
        over = [self._target(a, over=True) for a in list(book.unpublished.values())[:ROWS] if not a.collected]
        running = [] if now < self._next else list(self._running())
        hurry = bool(over) or bool(self.world.notes) or (bool(book.dirty) and now >= self._next)
        if not hurry and not running:
            return self._next if book.dirty or book.count(State.RUNNING, State.LAUNCHING) else None
        if world.calls.busy("gather"):
            return None  # its end wakes the loop
        if "records" in world.alarms.on and now < self._next:
            return self._next
        if over and now < self._earliest and len(over) < ROWS:
            return self._earliest  # many jobs end: take them up together
        self._next = later(now, world.options.gather_seconds)
        self._earliest = later(now, world.options.batch_seconds)
        notes, self.world.notes = self.world.notes, []
        waiting = {target.job.id for target in over}
        rows = [self._rows(job) for job in self._dirty() if job.id not in waiting]
        call = partial(self._work, [*running, *over], rows, notes)
        world.calls.start("gather", call, self._done, partial(self._failed, notes))
        return None

    def _running(self) -> Iterable[Target]:
        book = self.world.book
        for job in book.in_state(State.QUEUED, *AT_PROVIDER):
            newest = book.newest(job.id)
            if newest is not None and newest.handle is not None and newest.outcome is None:
                yield self._target(newest, over=False)

    def _target(self, attempt: Attempt, *, over: bool) -> Target:
        book = self.world.book
        job = book.job(attempt.job)
        assert job is not None  # noqa: S101  # an attempt has a job: the ledger's foreign key
        bundle = self.contents.bundle(job) if over else None
        offsets = dict(self.offsets.get(attempt.token, {}))
        return Target(job, self.contents.spec(job), bundle, attempt, tuple(book.attempts_of(job.id)), offsets, over)

    def _dirty(self) -> list[Job]:
        book = self.world.book
        return [job for job_id in list(book.dirty)[:ROWS] if (job := book.job(job_id)) is not None]

    def _rows(self, job: Job) -> tuple[Job, Batch]:
        task, attempts = self.contents.spec(job), self.world.book.attempts_of(job.id)
        row = dict(job_row(job, task, attempts))
        if job.id in self.progress and job.state not in FINAL:
            row["progress"] = self.progress[job.id]
        return job, Batch(jobs=[row], attempts=[attempt_row(a, task) for a in attempts])

    # in the pool

    def _work(self, targets: Sequence[Target], rows: Sequence[tuple[Job, Batch]], notes: Sequence[Batch]) -> Brought:
        brought = Brought()
        points: list[Point] = []
        events: list[EventRow] = []
        fresh = self._read(targets)
        by_token = {target.token: target for target in targets}
        for token, chunks in fresh.items():
            for chunk in chunks:
                read = self._take(by_token[token], chunk, brought)
                points += read.points
                events += read.events
        offsets = {(str(token), file): at for token, files in brought.offsets.items() for file, at in files.items()}
        first = joined([batch for _, batch in rows])
        batch = Batch(
            jobs=[*first.jobs],
            attempts=first.attempts,
            commits=[row for note in notes for row in note.commits],
            plans=[row for note in notes for row in note.plans],
            approvals=[row for note in notes for row in note.approvals],
            points=points,
            events=events,
            offsets=offsets,
        )
        if batch != Batch():
            self.world.records.write(batch)
        brought.written = [job for job, _ in rows]
        drained = [t for t in targets if t.over and t.token not in fresh]
        brought.more = any(t.over and t.token in fresh for t in targets)
        if drained:
            self.finisher.finish(drained)
            brought.collected = [t.attempt for t in drained]
            brought.written += [t.job for t in drained]
        return brought

    def _read(self, targets: Sequence[Target]) -> Mapping[Token, list[Chunk]]:
        """New bytes by token. A provider that cannot be reached now gives none, and its ended attempts wait."""
        tails: dict[str, list[Tail]] = {}
        token_of: dict[tuple[str, Handle], Token] = {}
        for target in targets:
            if target.attempt.handle is not None:
                name = target.attempt.provider
                tails.setdefault(name, []).append(Tail(target.attempt.handle, target.offsets))
                token_of[name, target.attempt.handle] = target.token
        found: dict[Token, list[Chunk]] = {}
        for name, wanted in tails.items():
            for chunk in self.world.providers[name].read(wanted):
                found.setdefault(token_of[name, chunk.handle], []).append(chunk)
        return found

    def _take(self, target: Target, chunk: Chunk, brought: Brought) -> ReadEvents:
        if chunk.file == "log.txt":
            read = ReadEvents(
                consumed=self.logs.append(target.job.id, target.attempt.n, chunk, self._mask(target), last=target.over)
            )
        else:
            rank = int(middle) if (middle := chunk.file.split(".")[1]).isdigit() else 0
            data = chunk.data if not target.over or chunk.data.endswith(b"\n") else chunk.data + b"\n"
            read = read_events(data, target.job.id, target.attempt.n, rank)
            read = self._masked(read, data, target, rank)
            read.consumed = min(read.consumed, len(chunk.data))
        if read.consumed:
            brought.offsets.setdefault(target.token, {})[chunk.file] = chunk.offset + read.consumed
        if read.progress is not None:
            brought.progress[target.job.id] = read.progress
        return read

    def _masked(self, read: ReadEvents, data: bytes, target: Target, rank: int) -> ReadEvents:
        values = [value for value in self._mask(target) if value in data]
        if not values:
            return read
        for value in values:
            data = data.replace(value, b"*" * len(value))
        again = read_events(data, target.job.id, target.attempt.n, rank)
        again.consumed = read.consumed
        return again

    def _mask(self, target: Target) -> Sequence[bytes]:
        """Values of the task's secrets, as they must not appear in what is kept."""
        names = secret_names(target.task)
        if not names or self.world.lab is None:
            return ()
        try:
            values = resolve(names, self.world.lab.secrets).values()
        except Refused:
            return ()
        return [value.encode() for value in values if len(value) >= 4]

    # on the loop's thread

    def _done(self, brought: Brought) -> None:
        book = self.world.book
        self.world.alarms.clear("records")
        for token, files in brought.offsets.items():
            self.offsets.setdefault(token, {}).update(files)
        self.progress.update(brought.progress)
        for job in brought.written:
            now_known = book.live.get(job.id)
            if now_known is None or now_known.version == job.version:
                book.dirty.pop(job.id, None)
        if brought.collected:
            with book.transaction():
                for attempt in brought.collected:
                    newest = next(a for a in book.attempts_of(attempt.job) if a.n == attempt.n)
                    # only the attempt that ended its job goes to the results branch, with all before it
                    of = book.job(attempt.job)
                    ends = of is not None and of.state in FINAL and newest.n == of.attempt
                    book.change_attempt(newest, collected=True, published=not ends)
                    book.dirty.pop(attempt.job, None)
                    self.offsets.pop(attempt.token, None)
                    self.progress.pop(attempt.job, None)
        if brought.more or brought.progress:
            self.world.wake.set()
        for job_id in brought.progress:
            book.dirty[job_id] = None

    def _failed(self, notes: Sequence[Batch], error: Exception) -> None:
        """Nothing is lost: offsets have not moved, and the same bytes are read again."""
        self.world.notes = [*notes, *self.world.notes]
        if not isinstance(error, (LabError, OSError)):
            self.world.log.error("gathering failed", error=repr(error), exc_info=error)
        self.world.alarms.raise_("records", f"metrics and logs are not being collected: {error}")
        self._next = later(self.world.now(), getattr(error, "retry_in", 5.0))
