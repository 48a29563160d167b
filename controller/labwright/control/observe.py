"""What providers say of attempts, made moves of jobs; and stops, made cancels."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from labwright.control.contents import Contents
from labwright.control.launch import Launcher
from labwright.control.world import World, later
from labwright.decide.reconcile import Decision, Rules, reconcile
from labwright.domain.errors import LabError
from labwright.domain.ids import Handle
from labwright.domain.job import Attempt, Job
from labwright.domain.lifecycle import AT_PROVIDER, State
from labwright.domain.seen import Seen
from labwright.ports.provider import Provider


class Observer:
    def __init__(self, world: World, contents: Contents, launcher: Launcher) -> None:
        self.world, self.contents, self.launcher = world, contents, launcher
        self.rules = Rules(lost_after=world.options.lost_after)
        self._next: dict[str, datetime] = {}

    def step(self, now: datetime) -> datetime | None:
        world = self.world
        self._stop_unsubmitted(now)
        nudged = world.nudged.is_set()
        if nudged:
            world.nudged.clear()
        flying = self._flying()
        for name, attempts in flying.items():
            provider = world.providers.get(name)
            if provider is None:
                world.alarms.raise_(f"provider {name}", f"lab.yaml has no provider {name} any more, and jobs run there")
                continue
            if not nudged and now < self._next.get(name, now):
                continue
            if world.calls.busy(f"observe:{name}"):
                if nudged:
                    world.nudged.set()  # that answer may be older than the nudge
                continue
            self._ask(name, provider, attempts, now)
        return min((self._next[name] for name in flying if name in self._next), default=None)

    def _flying(self) -> Mapping[str, dict[Handle, Attempt]]:
        found: dict[str, dict[Handle, Attempt]] = {}
        book = self.world.book
        for job in book.in_state(State.QUEUED, *AT_PROVIDER):
            newest = book.newest(job.id)
            if newest is not None and newest.handle is not None and newest.outcome is None:
                found.setdefault(newest.provider, {})[newest.handle] = newest
        return found

    def _ask(self, name: str, provider: Provider, attempts: Mapping[Handle, Attempt], now: datetime) -> None:
        self._next[name] = later(now, self.world.options.observe_seconds)
        self.world.calls.start(
            f"observe:{name}",
            partial(provider.observe, list(attempts)),
            partial(self._seen, name, provider, attempts),
            partial(self._unreachable, name),
        )

    def _unreachable(self, name: str, error: Exception) -> None:
        if not isinstance(error, LabError):
            raise error
        self.world.alarms.raise_(f"provider {name}", str(error))

    def _seen(
        self, name: str, provider: Provider, asked: Mapping[Handle, Attempt], answers: Mapping[Handle, Seen]
    ) -> None:
        world, now = self.world, self.world.now()
        world.alarms.clear(f"provider {name}")
        cancels: list[Handle] = []
        decisions: list[Decision] = []
        for handle, attempt in asked.items():
            job = world.book.live.get(attempt.job)
            newest = world.book.newest(attempt.job)
            if job is None or newest is None or newest.token != attempt.token or newest.outcome is not None:
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
        spec = self.contents.spec(job)
        attempts = self.world.book.attempts_of(job.id)
        return reconcile(job, attempts, seen, now, spec.retry, rules=self.rules, limit_s=spec.limit_seconds)

    def _carry_out(self, decisions: list[Decision]) -> None:
        book = self.world.book
        moves = [d.move for d in decisions if d.move is not None]
        attempts = [d.attempt for d in decisions if d.attempt is not None and d.move is None]
        if not moves and not attempts:
            return
        after = book.move(moves)
        book.put_attempts(attempts)
        if any(job.state is State.QUEUED for job in after):
            self.launcher.requeued()
        for move in moves:
            self.world.log.info("job", job=move.job.id, task=move.job.task, state=str(move.to), why=move.reason)

    def _stop_unsubmitted(self, now: datetime) -> None:
        """Jobs that nobody wants any more and that are nowhere yet."""
        book = self.world.book
        unwanted = [book.live[job_id] for job_id in book.unwanted]
        decisions = [self._decide(job, None, now) for job in unwanted if job.state in (State.HELD, State.QUEUED)]
        self._carry_out([decision for decision in decisions if decision.move is not None])
