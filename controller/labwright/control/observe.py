"""What providers say of attempts, made moves of jobs; and stops, made cancels."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from labwright.control.contents import Contents
from labwright.control.trouble import apart
from labwright.control.world import World, later
from labwright.decide.reconcile import NOTHING, Decision, Rules, reconcile
from labwright.domain import lifecycle
from labwright.domain.errors import LabError
from labwright.domain.ids import Handle
from labwright.domain.job import Attempt, Job
from labwright.domain.lifecycle import State
from labwright.domain.seen import Seen
from labwright.ports.provider import Provider


class Observer:
    def __init__(self, world: World, contents: Contents) -> None:
        self.world, self.contents = world, contents
        self.rules = Rules(lost_after=world.options.lost_after)
        self._next: dict[str, datetime] = {}
        self._told: dict[str, set[str]] = {}  # by provider: the alarms that are its own

    def step(self, now: datetime) -> datetime | None:
        world, dues = self.world, []
        self._stop_unsubmitted(now)
        nudged = world.nudged.is_set()
        world.nudged.clear()
        for name, attempts in world.book.open.items():
            if not attempts:
                continue
            if world.lab is None:  # not read yet
                continue
            if (provider := world.providers.get(name)) is None:
                world.alarms.raise_(
                    f"no provider {name}", f"lab.yaml has no provider {name} any more, and jobs run there"
                )
            elif world.calls.busy(f"observe:{name}"):
                if nudged:
                    world.nudged.set()  # that answer may be older than the nudge
            elif nudged or now >= self._next.get(name, now):
                self._ask(name, provider, {a.handle: a for a in attempts.values() if a.handle is not None}, now)
            else:
                dues.append(self._next[name])
        return min(dues, default=None)

    def _ask(self, name: str, provider: Provider, attempts: Mapping[Handle, Attempt], now: datetime) -> None:
        if not attempts:
            return
        self._next[name] = later(now, self.world.options.observe_seconds)
        self.world.calls.start(
            f"observe:{name}",
            partial(apart, provider.observe, list(attempts)),
            partial(self._seen, name, provider, attempts),
            partial(self._unreachable, name),
        )

    def _unreachable(self, name: str, error: Exception) -> None:
        if not isinstance(error, LabError | OSError):
            self.world.log.error("provider failed", provider=name, error=repr(error), exc_info=error)
        self.world.alarms.raise_(f"provider {name}", str(error) if isinstance(error, LabError) else repr(error))

    def _say(self, name: str, provider: Provider) -> None:
        """What the provider itself finds worth an alarm."""
        told = {f"provider {name}: {what}": words for what, words in provider.condition().alarms.items()}
        for key in self._told.get(name, set()) - told.keys():
            self.world.alarms.clear(key)
        self._told[name] = set(told)
        for key, words in told.items():
            self.world.alarms.raise_(key, words)

    def _seen(
        self,
        name: str,
        provider: Provider,
        asked: Mapping[Handle, Attempt],
        found: tuple[Sequence[Mapping[Handle, Seen]], Mapping[Handle, Exception]],
    ) -> None:
        world, now = self.world, self.world.now()
        world.alarms.clear(f"provider {name}")
        world.alarms.clear(f"no provider {name}")
        self._say(name, provider)
        parts, culprits = found
        answers = {handle: seen for part in parts for handle, seen in part.items()}
        cancels: list[Handle] = []
        decisions: list[Decision] = []
        for handle, attempt in asked.items():
            job = world.book.live.get(attempt.job)
            newest = world.book.newest(attempt.job)
            if job is None or newest is None or newest.token != attempt.token or newest.outcome is not None:
                continue
            if handle in culprits:
                world.troubles.met(job.id, "observing", culprits[handle], now)
                continue
            decision = self._decide(job, answers.get(handle), now)
            decisions.append(decision)
            if decision.cancel:
                cancels.append(handle)
        self._carry_out(decisions)
        if cancels and not world.calls.busy(f"cancel:{name}"):
            call = partial(provider.cancel, cancels)
            world.calls.start(f"cancel:{name}", call, lambda _: None, partial(self._unreachable, name))

    def _decide(self, job: Job, seen: Seen | None, now: datetime) -> Decision:
        with self.world.troubles.containing(job.id, "observing", now):
            spec = self.contents.spec(job)
            attempts = self.world.book.attempts_of(job.id)
            made = reconcile(job, attempts, seen, now, spec.retry, rules=self.rules, limit_s=spec.limit_seconds)
            if made.move is not None:
                lifecycle.move(job.state, made.move.to)  # what the table does not have is this job's trouble alone
            return made
        return NOTHING

    def _carry_out(self, decisions: list[Decision]) -> None:
        book = self.world.book
        moves = [d.move for d in decisions if d.move is not None]
        attempts = [d.attempt for d in decisions if d.attempt is not None and d.move is None]
        if not moves and not attempts:
            return
        book.move(moves)
        book.put_attempts(attempts)
        for move in moves:
            self.world.log.info("job", job=move.job.id, task=move.job.task, state=str(move.to), why=move.reason)

    def _stop_unsubmitted(self, now: datetime) -> None:
        """Jobs that nobody wants any more and that are nowhere yet."""
        book = self.world.book
        unwanted = [book.live[job_id] for job_id in book.unwanted]
        decisions = [self._decide(job, None, now) for job in unwanted if job.state in (State.HELD, State.QUEUED)]
        stopped = [decision for decision in decisions if decision.move is not None]
        self._carry_out(stopped)
        for decision in stopped:  # one that had attempts goes to the results branch with the last of them
            newest = book.newest(decision.move.job.id) if decision.move else None
            if newest is not None and newest.published:
                book.change_attempt(newest, collected=False, published=False)
