"""Attempts that run at a provider and should not: those that the ledger has ended are cancelled, those that it never knew are told."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from labwright.control.world import World, later
from labwright.domain import ids
from labwright.domain.errors import LabError
from labwright.domain.ids import Handle, JobId, Token
from labwright.domain.job import Attempt, Job
from labwright.domain.lifecycle import FINAL
from labwright.ports.provider import Provider

EVERY = 600.0  # seconds between two looks at one provider
SOON = 60.0  # … that has some
SETTLES = 120.0  # for which a provider may still list what has ended
_SHOWN = 3


class Orphans:
    def __init__(self, world: World) -> None:
        self.world = world
        self._next: dict[str, datetime] = {}
        self._over: dict[str, Sequence[Handle]] = {}  # by provider: found alive, and to be cancelled

    def step(self, now: datetime) -> datetime | None:
        calls = self.world.calls
        for name, provider in self.world.providers.items():
            if now >= self._next.get(name, now) and not calls.busy(f"list:{name}"):
                self._next[name] = later(now, EVERY)
                then = partial(self._listed, name, now)
                calls.start(f"list:{name}", provider.list, then, partial(self._failed, name))
            if self._over.get(name) and not calls.busy(f"cancel:{name}"):
                self._cancel(name, provider, self._over.pop(name))
        return min((at for name, at in self._next.items() if name in self.world.providers), default=None)

    def _listed(self, name: str, asked: datetime, found: Mapping[Token, Handle]) -> None:
        at_providers = self.world.book.open.values()  # two of them may be one cluster
        under_way = {attempt.token for attempts in at_providers for attempt in attempts.values()}
        rest = {token: handle for token, handle in found.items() if token not in under_way}
        known = self._known(rest)
        settled = later(asked, -SETTLES)
        over = [handle for token, handle in rest.items() if token in known and _is_over(*known[token], settled)]
        unknown = [handle for token, handle in rest.items() if token not in known]
        for handle in over:
            self.world.log.warning(
                "orphan", provider=name, attempt=handle, why="its job is over, or a newer attempt runs"
            )
        self._over[name] = over
        if over or unknown:
            self._next[name] = later(asked, SOON)
        self._say(name, over, unknown)

    def _known(self, tokens: Mapping[Token, Handle]) -> Mapping[Token, tuple[Job, Sequence[Attempt], Attempt]]:
        """Of those that the ledger has: the job, all of its attempts, and this one."""
        lab = self.world.lab.name if self.world.lab else ""
        wanted = {parsed[1] for token in tokens if (parsed := ids.parse_token(token)) and parsed[0] == lab}
        if not wanted:
            return {}
        book = self.world.book
        attempts: dict[JobId, list[Attempt]] = {}
        for attempt in book.ledger.attempts(list(wanted)):
            attempts.setdefault(attempt.job, []).append(attempt)
        attempts |= {job: book.attempts[job] for job in wanted if job in book.attempts}  # newer than what is written
        jobs = book.jobs(wanted)
        return {a.token: (jobs[job], many, a) for job, many in attempts.items() if job in jobs for a in many}

    def _say(self, name: str, over: Sequence[Handle], unknown: Sequence[Handle]) -> None:
        said = []
        if unknown:
            said.append(
                f"{_some(unknown)} there and unknown to the ledger: `lab rebuild` adopts those that a branch still asks for, "
                "the others are for you to end there (scancel, kill)"
            )
        if over:
            said.append(f"{_some(over)} alive although the ledger has ended it: cancelled")
        if said:
            self.world.alarms.raise_(f"provider {name}: orphans", "; ".join(said))
        else:
            self.world.alarms.clear(f"provider {name}: orphans")

    def _cancel(self, name: str, provider: Provider, handles: Sequence[Handle]) -> None:
        call = partial(provider.cancel, list(handles))
        self.world.calls.start(f"cancel:{name}", call, lambda _: None, partial(self._failed, name))

    def _failed(self, name: str, error: Exception) -> None:
        """Whoever observes says that a provider is away; the next look tries again."""
        if not isinstance(error, LabError | OSError):
            self.world.log.error("provider failed", provider=name, error=repr(error), exc_info=error)


def _is_over(job: Job, attempts: Sequence[Attempt], attempt: Attempt, settled: datetime) -> bool:
    """Whether it surely should not run: it has ended long enough ago, and nobody waits for it to be seen again."""
    if attempt.outcome is None and attempt.n == job.attempt:
        return False
    newer = any(other.n > attempt.n for other in attempts)
    return (job.state in FINAL or newer) and (attempt.ended or attempt.intended) < settled


def _some(handles: Sequence[Handle]) -> str:
    shown = ", ".join(sorted(handles)[:_SHOWN]) + (" …" if len(handles) > _SHOWN else "")
    return f"{len(handles)} job{'s are' if len(handles) > 1 else ' is'} ({shown})"
