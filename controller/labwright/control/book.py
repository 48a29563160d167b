"""The loop's view of the ledger: live jobs and their attempts in memory, every change written through first.

Sound because the lease holder's loop is the only writer of jobs and attempts."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any

from labwright.control.waiting import Waiting
from labwright.domain.errors import LabError
from labwright.domain.forge import number_of
from labwright.domain.ids import JobId
from labwright.domain.job import Attempt, Job, Move
from labwright.domain.lifecycle import LIVE, State
from labwright.ports.ledger import Ledger


class Book:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.dirty: dict[JobId, None] = {}  # jobs whose rows in the records are older than here, in order of change
        self.changes = 0  # grows with every change: who saw the same number before has nothing new to look at
        self.clean: Callable[[str], str] = str  # reasons are others' words, which may quote a secret
        self._changed: dict[tuple[JobId, int], Attempt] = {}  # attempts to write at the end of the turn
        self._turn: ExitStack | None = None
        self._begun = False
        self._stale = False  # memory may be ahead of the ledger, which could not be read since
        self.reload()

    def reload(self) -> None:
        """Memory as the ledger has it. Everything is read before anything is forgotten."""
        self._stale = True
        jobs = self.ledger.jobs(states=LIVE)
        attempts = self.ledger.attempts([job.id for job in jobs]) if jobs else ()
        ended = self.ledger.attempts(unpublished=True)
        self.live: dict[JobId, Job] = {}
        self._ended: dict[JobId, Job] = {}  # final jobs that something still looks at
        self._by_state: dict[State, dict[JobId, None]] = {state: {} for state in LIVE}
        self.unwanted: dict[JobId, None] = {}  # live jobs that somebody wants stopped
        self.pulled: dict[JobId, None] = {}  # live jobs of pull requests
        self.arrived: list[
            Job
        ] = []  # jobs that became HELD, jobs that became QUEUED, and jobs that ended, since somebody
        self.queued: list[JobId] = []  # looked last
        self.ended: list[Job] = []
        self.waiting = Waiting()
        self.attempts: dict[JobId, list[Attempt]] = {job.id: [] for job in jobs}
        self.open: dict[
            str, dict[JobId, Attempt]
        ] = {}  # by provider: the newest attempts of jobs, those that are not over
        self.unpublished: dict[tuple[JobId, int], Attempt] = {}  # ended attempts not yet on the results branch
        self.uncollected: dict[tuple[JobId, int], Attempt] = {}  # those of them that are not in the records yet
        for attempt in attempts:
            self.attempts[attempt.job].append(attempt)
        for job in jobs:
            self._keep(job)
            self._open(self.attempts[job.id])
        for attempt in ended:
            self._file(attempt)
            self.dirty[attempt.job] = None
        self._stale = False

    def in_state(self, *states: State) -> Iterator[Job]:
        for state in states:
            for job_id in list(self._by_state[state]):
                yield self.live[job_id]

    def of_pulls(self, *states: State, lane: str = "") -> list[Job]:
        """Live jobs of pull requests, or of one of them."""
        jobs = [self.live[job_id] for job_id in self.pulled]
        return [job for job in jobs if (not lane or job.branch == lane) and (not states or job.state in states)]

    def count(self, *states: State) -> int:
        return sum(len(self._by_state[state]) for state in states)

    def job(self, job_id: JobId) -> Job | None:
        return self.jobs([job_id]).get(job_id)

    def jobs(self, ids: Collection[JobId]) -> Mapping[JobId, Job]:
        """Those that are known; one question to the ledger for all that are not in memory."""
        missing = [x for x in ids if x not in self.live and x not in self._ended]
        for found in self.ledger.jobs(ids=missing) if missing else ():
            self._ended[found.id] = found
        return {x: job for x in ids if (job := self.live.get(x) or self._ended.get(x))}

    def is_open(self, job_id: JobId) -> bool:
        """Whether an attempt of it is under way."""
        return any(job_id in at_provider for at_provider in self.open.values())

    def newest(self, job_id: JobId) -> Attempt | None:
        return next(reversed(self.attempts_of(job_id)), None)

    def attempts_of(self, job_id: JobId) -> list[Attempt]:
        if job_id not in self.attempts:
            self.attempts[job_id] = list(self.ledger.attempts([job_id]))
        return self.attempts[job_id]

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One commit for all writes inside, begun with the first of them: a turn that changes nothing costs nothing.
        Should it fail, memory is read again from the ledger: it never runs ahead."""
        if self._stale:
            self.reload()
        try:
            with ExitStack() as stack:
                self._turn = stack
                yield
                self._flush()
        except Exception:
            self._stale = True
            raise
        finally:
            self._turn, self._begun = None, False
            self._changed.clear()
            if self._stale:
                with suppress(LabError):  # the next turn tries again, and does nothing before
                    self.reload()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Writes inside are one commit: the turn's, or one of their own outside of a turn."""
        if self._turn is None:
            with self.turn():
                self._begin()
                yield
        else:
            self._begin()
            yield

    def _begin(self) -> None:
        if self._turn is not None and not self._begun:
            self._turn.enter_context(self.ledger.transaction())
            self._begun = True

    def insert(self, jobs: Sequence[Job]) -> Sequence[JobId]:
        self._begin()
        new = set(self.ledger.insert(jobs))
        for job in jobs:
            if job.id in new:
                self._keep(job)
                self.attempts[job.id] = []
                self.dirty[job.id] = None
        return [job.id for job in jobs if job.id in new]

    def move(self, moves: Sequence[Move]) -> Sequence[Job]:
        if not moves:
            return ()
        self._begin()
        after = self.ledger.move([replace(asked, reason=self.clean(asked.reason), attempt=None) for asked in moves])
        for job, asked in zip(after, moves, strict=True):
            self._keep(job)
            if asked.attempt is not None:
                self.put_attempts([asked.attempt])
        return after

    def amend(self, jobs: Sequence[Job], **changes: Any) -> None:
        """The same changes for all, written at once."""
        if not jobs:
            return
        if "reason" in changes:
            changes["reason"] = self.clean(changes["reason"])
        self._begin()
        for after in self.ledger.amend(jobs, **changes):
            self._keep(after)

    def put_attempts(self, attempts: Sequence[Attempt]) -> None:
        """Written at the turn's end, each in its newest form; memory has them at once."""
        for attempt in attempts:
            if (safe := self.clean(attempt.detail)) != attempt.detail:
                attempt = replace(attempt, detail=safe)
            self._changed[attempt.job, attempt.n] = attempt
            self._keep_attempt(attempt)
        if self._turn is None:
            self._flush()

    def _flush(self) -> None:
        if self._changed:
            self._begin()
            self.ledger.put_attempts(list(self._changed.values()))
            self._changed.clear()

    def change_attempt(self, attempt: Attempt, **changes: Any) -> Attempt:
        after = replace(attempt, **changes)
        self.put_attempts([after])
        return after

    def forget_ended(self, keep: Iterable[JobId]) -> None:
        """Drop final jobs from memory that nothing looks at any more."""
        wanted = {*keep, *self.dirty, *(job for job, _ in self.unpublished), *(job for job, _ in self._changed)}
        self._ended = {x: job for x, job in self._ended.items() if x in wanted}
        for job_id in [x for x in self.attempts if x not in self.live and x not in wanted]:
            del self.attempts[job_id]

    def let_go(self, attempts: Sequence[Attempt]) -> None:
        """Of ended jobs: no provider has them any more. Nobody's rows change by that."""
        with self.transaction():
            self.ledger.put_attempts([replace(attempt, handle=None) for attempt in attempts])
        for attempt in attempts:
            if attempt.job not in self.live:
                self.attempts.pop(attempt.job, None)

    def _keep(self, job: Job) -> None:
        before = self.live.get(job.id)
        self.changes += 1
        self.dirty[job.id] = None
        if before is not None:
            self._by_state[before.state].pop(job.id, None)
        if job.state in LIVE:
            self._keep_live(job, before)
        else:
            self.live.pop(job.id, None)
            self.unwanted.pop(job.id, None)
            self.pulled.pop(job.id, None)
            self._ended[job.id] = job
            self.ended.append(job)
            for at_provider in self.open.values():
                at_provider.pop(job.id, None)
        if job.state is not State.HELD and (before is None or before.state is State.HELD):
            self.waiting.drop(job)

    def _keep_live(self, job: Job, before: Job | None) -> None:
        self.live[job.id] = job
        self._by_state[job.state][job.id] = None
        if job.stop_asked:
            self.unwanted[job.id] = None
        if before is None and number_of(job.branch) is not None:
            self.pulled[job.id] = None
        if job.state is State.QUEUED:
            self.queued.append(job.id)
        if job.state is State.HELD and (before is None or before.state is not State.HELD):
            self.arrived.append(job)
            self.waiting.add(job)

    def _keep_attempt(self, attempt: Attempt) -> None:
        self.changes += 1
        known = self.attempts_of(attempt.job)
        for at, other in enumerate(known):
            if other.n == attempt.n:
                known[at] = attempt
                break
        else:
            known.append(attempt)
        self._open(known)
        self._file(attempt)
        self.dirty[attempt.job] = None

    def _open(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts[-2:]:  # one at most is open, and a new one may have taken the place of another
            at_provider = self.open.setdefault(attempt.provider, {})
            if attempt is attempts[-1] and attempt.outcome is None and attempt.job in self.live:
                at_provider[attempt.job] = attempt
            elif (known := at_provider.get(attempt.job)) is not None and known.n == attempt.n:
                del at_provider[attempt.job]

    def _file(self, attempt: Attempt) -> None:
        key, over = (attempt.job, attempt.n), attempt.outcome is not None and not attempt.published
        for shelf, there in ((self.unpublished, over), (self.uncollected, over and not attempt.collected)):
            if there:
                shelf[key] = attempt
            else:
                shelf.pop(key, None)
