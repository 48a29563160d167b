"""policy.retention: folders of attempts that ended long ago go, a few at a time, and then what they shared.

A provider removes first and the ledger lets go of the handle afterwards: after a crash in between it is asked once more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from labwright.control.keep import Keeper
from labwright.control.world import World, later
from labwright.decide.keeping import may_go
from labwright.domain.errors import LabError
from labwright.domain.ids import JobId
from labwright.domain.job import Attempt
from labwright.domain.manifest import ManifestArtifact
from labwright.domain.seen import Phase
from labwright.ports.provider import Provider

EVERY = 3600.0  # seconds between two passes
PAUSE = 1.0  # between two calls of one pass
BATCH = 100  # attempts in one call

Missing = Mapping[JobId, Sequence[ManifestArtifact]]


@dataclass(slots=True)
class _Gone:
    attempts: list[Attempt] = field(default_factory=list)
    kept: list[tuple[Attempt, Sequence[ManifestArtifact]]] = field(default_factory=list)  # until these are in the store
    errors: dict[str, Exception] = field(default_factory=dict)  # by provider


class Retention:
    def __init__(self, world: World, keeper: Keeper) -> None:
        self.world, self.keeper = world, keeper
        self._next = world.now()
        self._seconds: float | None = None
        self._after: Attempt | None = None  # how far this pass is
        self._away: set[str] = set()  # providers that failed in it

    def step(self, now: datetime) -> datetime | None:
        world = self.world
        seconds = world.lab.policy.retention_s if world.lab else None
        if seconds != self._seconds:
            self._seconds, self._next = seconds, now
            self._begin()
        if seconds is None or world.calls.busy("retention"):
            return None
        if now >= self._next:
            found = world.book.ledger.leftovers(later(now, -seconds), after=self._after, most=BATCH)
            if found:
                self._after, self._next = found[-1], later(now, PAUSE)
                self._forget(found)
            else:
                self._tidy(seconds)
                self._begin()
                self._next = later(now, EVERY)
        return self._next

    def _begin(self) -> None:
        self._after = None
        self._away.clear()

    def _forget(self, found: Sequence[Attempt]) -> None:
        book = self.world.book
        needed = book.jobs(list({need for job in book.live.values() for need in job.needs}))
        jobs = {job.id: job for job in book.ledger.jobs(ids={attempt.job for attempt in found})}
        unpublished = {job for job, _ in book.unpublished}
        by_provider: dict[str, list[Attempt]] = {}
        for attempt in may_go(found, jobs, needed.values(), unpublished):
            if attempt.provider in self.world.providers and attempt.provider not in self._away:
                by_provider.setdefault(attempt.provider, []).append(attempt)
        last = {(a.job, a.n) for a in found if a.job in jobs and a.n == jobs[a.job].attempt}
        if by_provider:
            asked = [(self.world.providers[name], attempts) for name, attempts in by_provider.items()]
            call = partial(self._work, asked, last, self.keeper.limit)
            self.world.calls.start("retention", call, self._done, self._failed, left=True)

    # in the pool

    def _work(
        self, asked: Sequence[tuple[Provider, Sequence[Attempt]]], last: set[tuple[JobId, int]], limit: int
    ) -> _Gone:
        """`last`: attempts that ended their jobs. Their smaller artifacts are in the store before their folders go."""
        gone = _Gone()
        missing: Missing = self.keeper.missing([job for job, _ in last], limit) if limit else {}
        for provider, attempts in asked:
            free = []
            for attempt in attempts:
                artifacts = missing.get(attempt.job, ()) if (attempt.job, attempt.n) in last else ()
                if artifacts:
                    gone.kept.append((attempt, artifacts))
                else:
                    free.append(attempt)
            try:
                gone.attempts += _forgotten(provider, free)
            except (LabError, OSError) as error:
                gone.errors[provider.name] = error
        return gone

    # on the loop's thread

    def _done(self, gone: _Gone) -> None:
        for attempt, artifacts in gone.kept:
            self.keeper.add(attempt, artifacts)
        for name, error in gone.errors.items():
            self._away.add(name)
            self.world.log.warning("not forgotten yet", provider=name, why=str(error))
        if gone.attempts:
            self.world.book.let_go(gone.attempts)
            self.world.log.info("forgotten", attempts=len(gone.attempts))

    def _failed(self, error: Exception) -> None:
        self.world.log.warning("retention failed", error=repr(error), exc_info=error)
        self._begin()
        self._next = later(self.world.now(), EVERY)

    def _tidy(self, seconds: float) -> None:
        for name, provider in self.world.providers.items():
            if not self.world.calls.busy(f"tidy:{name}"):
                failed = partial(self._not_tidied, name)
                call = partial(provider.tidy, seconds)
                self.world.calls.start(f"tidy:{name}", call, lambda _: None, failed, left=True)

    def _not_tidied(self, name: str, error: Exception) -> None:
        self.world.log.warning("not tidied", provider=name, error=repr(error))


def _forgotten(provider: Provider, attempts: Sequence[Attempt]) -> Sequence[Attempt]:
    """Those that it does not have any more."""
    handles = {attempt.handle: attempt for attempt in attempts if attempt.handle is not None}
    if not handles:
        return ()
    provider.forget(list(handles))
    seen = provider.observe(list(handles))
    return [attempt for handle, attempt in handles.items() if seen[handle].phase is Phase.MISSING]
