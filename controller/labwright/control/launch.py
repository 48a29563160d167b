"""HELD → QUEUED → submitted. Intent is written before the provider is asked; an answer that got lost is looked up by token."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from labwright.control.contents import Contents
from labwright.control.secrets import resolve
from labwright.control.world import World, later
from labwright.decide.admit import Gates, admit, answering
from labwright.decide.place import Ask, Placed, place
from labwright.domain import ids
from labwright.domain.errors import LabError, OutcomeUnknown, Refused, Unavailable
from labwright.domain.ids import Handle, JobId, Token
from labwright.domain.job import Attempt, Job, Move
from labwright.domain.lifecycle import AT_PROVIDER, Outcome, State
from labwright.domain.secrets import secret_names
from labwright.ports.provider import Capacity, Provider, Submission

BATCH = 64  # submissions in one call


@dataclass(frozen=True, slots=True)
class _Unsettled:
    """An attempt whose provider has not said yet that it has it."""

    attempt: Attempt
    ask_at: datetime
    find: bool  # look it up by token before it is submitted again


class Launcher:
    def __init__(self, world: World, contents: Contents) -> None:
        self.world, self.contents = world, contents
        self._capacity: dict[str, Capacity | None] = {}
        self._unsettled: dict[JobId, _Unsettled] = {}
        self._queue: list[Job] = []
        self._queue_is_old = True
        self._gates_moved = True  # every HELD job is to be looked at again
        self.recover()

    def recover(self) -> None:
        """After a start: an intent without a handle may have been carried out or not."""
        now = self.world.now()
        self._unsettled, self._queue_is_old, self._gates_moved = {}, True, True
        for attempts in self.world.book.attempts.values():
            newest = attempts[-1] if attempts else None
            if newest is not None and newest.handle is None and newest.outcome is None:
                self._unsettled[newest.job] = _Unsettled(newest, now, find=True)

    def step(self, now: datetime) -> datetime | None:
        self._admit(now)
        for name, provider in self.world.providers.items():
            if name not in self._capacity:
                self._ask_capacity(name, provider)
            elif not self.world.calls.busy(f"submit:{name}"):
                self._settle(name, provider, now)
                if not self.world.calls.busy(f"submit:{name}"):
                    self._launch(name, provider, now)
        return min((u.ask_at for u in self._unsettled.values()), default=self._next_retry(now))

    def _next_retry(self, now: datetime) -> datetime | None:
        times = [j.not_before for j in self.world.book.in_state(State.QUEUED) if j.not_before and j.not_before > now]
        return min(times, default=None)

    # HELD → QUEUED

    def _admit(self, now: datetime) -> None:
        book = self.world.book
        held = self._to_look_at()
        moves, reasons = [], []
        for verdict in admit(held, self._gates(held)) if held else ():
            if verdict.admitted:
                moves.append(Move(verdict.job, State.QUEUED, verdict.reason, now))
            elif verdict.reason != verdict.job.reason:
                reasons.append(verdict)
        if moves or reasons:
            with book.transaction():
                book.move(moves)
                for verdict in reasons:
                    book.amend(verdict.job, reason=verdict.reason)
            self._queue_is_old = self._queue_is_old or bool(moves)

    def gates_moved(self) -> None:
        """A human acted: every HELD job is to be looked at again."""
        self._gates_moved = True

    def _to_look_at(self) -> list[Job]:
        """HELD jobs whose gates may have opened: new ones, those that wait for what just ended, or all of them."""
        book = self.world.book
        arrived, ended, book.arrived, book.ended = book.arrived, book.ended, [], []
        everyone = self._gates_moved or any(job.generation for job in ended)  # a rerun may stand in for what was pinned
        self._gates_moved = False
        if everyone:
            found = list(book.in_state(State.HELD))
        else:
            over = {job.id for job in ended}
            found = [job for old in arrived if (job := book.live.get(old.id)) and job.state is State.HELD]
            if over and book.count(State.HELD):
                found += [job for job in book.in_state(State.HELD) if not over.isdisjoint(job.needs)]
        return [job for job in {job.id: job for job in found}.values() if not job.stop_asked] if found else []

    def _gates(self, held: Sequence[Job]) -> Gates:
        book, ledger = self.world.book, self.world.book.ledger
        needed = book.jobs({need for job in held for need in job.needs})
        failed = [job for job in needed.values() if job.state in (State.FAILED, State.STOPPED)]
        siblings: dict[tuple[str, str], list[Job]] = {}
        for job in ledger.jobs(tasks={job.task for job in failed}) if failed else ():
            siblings.setdefault((job.task, job.work), []).append(job)
        unconfirmed = {
            plan.digest: str((plan.detail or {}).get("why_held", ""))
            for digest in {job.plan for job in held if job.reason.startswith("limit:")}
            for plan in ledger.plans(digest=digest)
            if plan.held and not plan.confirmed
        }
        return Gates(self.world.suspended, unconfirmed, needed, siblings)

    # QUEUED → submitted

    def _ask_capacity(self, name: str, provider: Provider) -> None:
        key = f"capacity:{name}"
        if not self.world.calls.busy(key):
            self.world.calls.start(
                key, provider.capacity, partial(self._capacity.__setitem__, name), self._trouble(name)
            )

    def forget_capacity(self) -> None:
        """Settings changed: ask again."""
        self._capacity.clear()

    def _waiting(self, name: str, now: datetime) -> list[Job]:
        """QUEUED jobs of a provider that no attempt is under way for, best first."""
        book = self.world.book
        if self._queue_is_old:
            self._queue = sorted(book.in_state(State.QUEUED), key=lambda job: (-job.priority, job.created, job.trial))
            self._queue_is_old = False
        suspended = self.world.suspended
        if "*" in suspended or name in suspended:
            return []
        waiting, kept = [], []
        for old in self._queue:
            job = book.live.get(old.id)
            newest = book.newest(old.id)
            if job is None or job.state is not State.QUEUED or (newest is not None and newest.outcome is None):
                continue  # under way or gone; a new attempt makes the queue anew
            kept.append(job)
            if job.provider == name and not job.stop_asked and (job.not_before is None or job.not_before <= now):
                waiting.append(job)
        self._queue = kept
        return waiting

    def requeued(self) -> None:
        """A job went back to QUEUED."""
        self._queue_is_old = True

    def _launch(self, name: str, provider: Provider, now: datetime) -> None:
        waiting = self._within_parallel(self._waiting(name, now))
        if not waiting:
            return
        placed = self._place(name, provider, waiting)
        if not placed:
            return
        assert self.world.lab is not None  # noqa: S101  # a provider is there only with settings
        book, attempts = self.world.book, []
        with book.transaction():
            for job, where in placed:
                n = job.attempt + 1
                token = ids.token(self.world.lab.name, job.id, n)
                attempts.append(Attempt(job.id, n, token, name, intended=now, placement=where))
                book.amend(job, attempt=n, not_before=None)
            book.put_attempts(attempts)
        self._submit(name, provider, attempts)

    def _within_parallel(self, waiting: Sequence[Job]) -> list[Job]:
        """Leave out what would exceed a sweep's max_parallel or run beside another job of its concurrency group."""
        busy_tasks: dict[str, int] = {}
        busy_groups: set[str] = set()
        for job in self._occupying():
            busy_tasks[job.task] = busy_tasks.get(job.task, 0) + 1
            group = self.contents.spec(job).concurrency.group
            if group:
                busy_groups.add(group)
        chosen = []
        for job in waiting:
            spec = self.contents.spec(job)
            most, group = spec.sweeps.max_parallel if spec.sweeps else None, spec.concurrency.group
            if (most is not None and busy_tasks.get(job.task, 0) >= most) or (group and group in busy_groups):
                continue
            busy_tasks[job.task] = busy_tasks.get(job.task, 0) + 1
            if group:
                busy_groups.add(group)
            chosen.append(job)
            if len(chosen) >= 4 * BATCH:
                break
        return chosen

    def _occupying(self) -> Iterable[Job]:
        """Jobs with an attempt that is not over."""
        book = self.world.book
        for job in book.in_state(State.QUEUED, *AT_PROVIDER):
            newest = book.newest(job.id)
            if newest is not None and newest.outcome is None:
                yield job

    def _place(self, name: str, provider: Provider, waiting: Sequence[Job]) -> list[tuple[Job, Mapping[str, object]]]:
        capacity = self._capacity[name]
        if capacity is None or provider.features.queues:
            return [(job, {}) for job in waiting[:BATCH]]
        busy = [
            Placed.of(newest.placement)
            for job in self._occupying()
            if job.provider == name and (newest := self.world.book.newest(job.id)) is not None
        ]
        asks = [Ask.of(job.id, self.contents.spec(job), job.priority) for job in waiting]
        by_id = {job.id: job for job in waiting}
        return [(by_id[job_id], where) for job_id, where in place(asks, busy, capacity)][:BATCH]

    def _submit(self, name: str, provider: Provider, attempts: Sequence[Attempt]) -> None:
        drafts = [(attempt.token, self._draft(attempt)) for attempt in attempts]
        sources = self.world.lab.secrets if self.world.lab else {}

        def call() -> Mapping[Token, Handle | LabError]:
            answers: dict[Token, Handle | LabError] = {}
            ready = []
            for token, draft in drafts:
                try:
                    if isinstance(draft, LabError):
                        raise draft
                    ready.append(replace(draft, secrets=resolve(secret_names(draft.task), sources)))
                except LabError as error:
                    answers[token] = error
            answers.update(provider.submit(ready) if ready else {})
            return answers

        self.world.calls.start(
            f"submit:{name}", call, partial(self._submitted, attempts), partial(self._broken, attempts)
        )

    def _draft(self, attempt: Attempt) -> Submission | LabError:
        """Everything but the secrets, which are fetched by the call itself."""
        book = self.world.book
        job = book.live[attempt.job]
        spec = self.contents.spec(job)
        try:
            needs = self._needs(job)
        except Refused as error:
            return error
        before = [
            a for a in book.attempts_of(job.id) if a.n < attempt.n and a.handle and a.provider == attempt.provider
        ]
        return Submission(
            token=attempt.token,
            job=job.id,
            attempt=attempt.n,
            task_path=job.task,
            task=spec,
            bundle=self.contents.bundle(job),
            parameters=job.parameters,
            variables=variables_of(job),
            placement=attempt.placement,
            needs=needs,
            resume_from=before[-1].handle if before and spec.resume == "auto" else None,
        )

    def _needs(self, job: Job) -> Mapping[str, Sequence[Handle]]:
        book = self.world.book
        pinned = book.jobs(job.needs)
        gates = self._gates([job]) if job.needs else None
        found: dict[str, list[Handle]] = {}
        for need in job.needs:
            if need not in pinned or gates is None:
                continue
            ran = answering(pinned[need], gates)
            good = [a for a in book.attempts_of(ran.id) if a.outcome is Outcome.OK and a.handle]
            if not good or good[-1].provider != job.provider:
                where = good[-1].provider if good else "nowhere that is known"
                raise Refused(
                    f"needs {ran.task} ({ran.id}), whose artifacts are at {where}",
                    hint=f"run both on one provider; this job is for {job.provider}",
                )
            handle = good[-1].handle
            assert handle is not None  # noqa: S101  # `good` has only those
            found.setdefault(ran.task, []).append(handle)
        return found

    # what the provider answered

    def _submitted(self, attempts: Sequence[Attempt], answers: Mapping[Token, Handle | LabError]) -> None:
        book, now = self.world.book, self.world.now()
        with book.transaction():
            for attempt in attempts:
                answer = answers.get(attempt.token, OutcomeUnknown("the provider did not answer for it"))
                if not isinstance(answer, LabError):
                    book.change_attempt(attempt, handle=answer, submitted=now)
                    self._unsettled.pop(attempt.job, None)
                elif isinstance(answer, Refused):
                    self._refused(attempt, answer, now)
                else:
                    self._unknown(attempt, answer, now)
        self.world.rouse(ended=True)  # look at once: a short job may be over already

    def _refused(self, attempt: Attempt, error: Refused, now: datetime) -> None:
        book = self.world.book
        self._unsettled.pop(attempt.job, None)
        over = replace(attempt, outcome=Outcome.ERROR, ended=now, detail=str(error), collected=True)
        job = book.live[attempt.job]
        to = State.STOPPED if job.stop_asked else State.FAILED
        book.move([Move(job, to, job.stop_asked or f"not submitted: {error}", now, over)])

    def _unknown(self, attempt: Attempt, error: LabError, now: datetime) -> None:
        """Unavailable: nothing happened, the same attempt is submitted again. Anything else: find it first."""
        safe = isinstance(error, Unavailable)
        provider = self.world.providers[attempt.provider]
        wait = error.retry_in if isinstance(error, Unavailable) else provider.features.find_settles
        self._unsettled[attempt.job] = _Unsettled(attempt, later(now, wait), find=not safe)
        self.world.log.warning("not submitted", job=attempt.job, why=str(error), again_in=wait)

    def _broken(self, attempts: Sequence[Attempt], error: Exception) -> None:
        """The whole call failed: of none of them is it known."""
        if not isinstance(error, LabError):
            self.world.log.error("submission failed", error=repr(error))
            error = OutcomeUnknown(repr(error))
        now = self.world.now()
        for attempt in attempts:
            self._unknown(attempt, error, now)

    def _settle(self, name: str, provider: Provider, now: datetime) -> None:
        """Look up, or submit again, what is due."""
        due = [u for u in self._unsettled.values() if u.attempt.provider == name and u.ask_at <= now]
        due = [u for u in due if u.attempt.job in self.world.book.live]
        look = [u.attempt for u in due if u.find][:BATCH]
        if look:
            tokens = [attempt.token for attempt in look]
            key = f"submit:{name}"
            self.world.calls.start(
                key, partial(provider.find, tokens), partial(self._found, look), self._not_found(look)
            )
        elif due and (again := self._wanted([u.attempt for u in due][:BATCH], now)):
            self._submit(name, provider, again)

    def _wanted(self, attempts: Sequence[Attempt], now: datetime) -> list[Attempt]:
        """Of attempts that are certainly nowhere: those still wanted. The others stop here."""
        book, wanted = self.world.book, []
        for attempt in attempts:
            job = book.live[attempt.job]
            if job.stop_asked:
                over = replace(attempt, outcome=Outcome.CANCELLED, ended=now, collected=True)
                self._unsettled.pop(attempt.job, None)
                book.move([Move(job, State.STOPPED, job.stop_asked, now, over)])
            else:
                wanted.append(attempt)
        return wanted

    def _found(self, attempts: Sequence[Attempt], found: Mapping[Token, Handle | None]) -> None:
        book, now = self.world.book, self.world.now()
        with book.transaction():
            for attempt in attempts:
                handle = found.get(attempt.token)
                settled = later(attempt.intended, self.world.providers[attempt.provider].features.find_settles)
                if handle is not None:
                    book.change_attempt(attempt, handle=handle, submitted=attempt.submitted or now)
                    self._unsettled.pop(attempt.job, None)
                    self.world.log.info("adopted", job=attempt.job, token=attempt.token)
                elif now < settled:
                    self._unsettled[attempt.job] = _Unsettled(attempt, settled, find=True)
                else:
                    self._unsettled[attempt.job] = _Unsettled(attempt, now, find=False)
        self.world.rouse(ended=True)

    def _not_found(self, attempts: Sequence[Attempt]) -> Callable[[Exception], None]:
        return partial(self._broken, attempts)

    def _trouble(self, name: str) -> Callable[[Exception], None]:
        def failed(error: Exception) -> None:
            self.world.alarms.raise_(f"provider {name}", str(error))

        return failed


def variables_of(job: Job) -> Mapping[str, str]:
    return {
        "LAB_COMMIT": job.commit,
        "LAB_BRANCH": job.branch,
        "LAB_AUTHOR": job.author,
        "LAB_GENERATION": str(job.generation),
        "LAB_TRIAL": str(job.trial),
    }
