"""HELD → QUEUED → submitted, as far as there is room. Intent is written before the provider is asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice

from labwright.control.admission import Admission
from labwright.control.contents import Contents
from labwright.control.queue import Queue
from labwright.control.submit import Submitter, variables_of
from labwright.control.world import World, later
from labwright.decide.place import Ask, Placed, Placement, place
from labwright.domain import ids
from labwright.domain.errors import LabError
from labwright.domain.ids import Digest
from labwright.domain.job import Attempt, Job
from labwright.ports.provider import Capacity, Provider

__all__ = ["Launcher", "variables_of"]


@dataclass(frozen=True, slots=True)
class _Room:
    """What a provider said that it has; asked again when lab.yaml made another provider of that name."""

    provider: Provider
    capacity: Capacity | None


class Launcher:
    def __init__(self, world: World, contents: Contents) -> None:
        self.world, self.contents = world, contents
        self.admission = Admission(world)
        self.submitter = Submitter(world, contents, self.admission)
        self.queue = Queue(world.book)
        self._rooms: dict[str, _Room] = {}
        self._ask_at: dict[str, datetime] = {}  # when a provider that did not say what it has is asked again
        self._in_vain: dict[str, int] = {}  # by provider: what the book was when nothing more could be launched
        self.recover()

    def recover(self) -> None:
        """Memory was read anew, or for the first time."""
        self.queue.reset()
        self.submitter.recover()
        self.gates_moved()

    def gates_moved(self) -> None:
        """A human acted: every HELD job is to be looked at again."""
        self.admission.reconsider()
        self._in_vain.clear()

    def step(self, now: datetime) -> datetime | None:
        self.admission.step(now)
        self.queue.take_in()
        if self.queue.came_due(now):
            self._in_vain.clear()
        for name, provider in self.world.providers.items():
            if name not in self._rooms or self._rooms[name].provider is not provider:
                self._ask_capacity(name, provider, now)
            elif not self.world.calls.busy(f"submit:{name}"):
                self.submitter.settle(name, provider, now)
                if not self.world.calls.busy(f"submit:{name}"):
                    self._launch(name, provider, now)
        self._say_missing()
        dues = [self.submitter.due(), self.queue.next_time, *self._ask_at.values()]
        return min((due for due in dues if due is not None), default=None)

    def _say_missing(self) -> None:
        for name in self.queue.providers():
            if name in self.world.providers:
                self.world.alarms.clear(f"no provider {name}")
            else:
                self.world.alarms.raise_(
                    f"no provider {name}", f"lab.yaml has no provider {name}, and jobs wait for it"
                )

    def _ask_capacity(self, name: str, provider: Provider, now: datetime) -> None:
        if not self.world.calls.busy(f"capacity:{name}") and now >= self._ask_at.get(name, now):
            self._ask_at.pop(name, None)
            known = partial(self._learned, name, provider)
            self.world.calls.start(f"capacity:{name}", provider.capacity, known, partial(self._trouble, name))

    def _learned(self, name: str, provider: Provider, capacity: Capacity | None) -> None:
        self._rooms[name] = _Room(provider, capacity)
        self.world.alarms.clear(f"provider {name}")
        self._in_vain.pop(name, None)

    def _trouble(self, name: str, error: Exception) -> None:
        self._ask_at[name] = later(self.world.now(), getattr(error, "retry_in", 5.0))
        self.world.alarms.raise_(f"provider {name}", str(error) if isinstance(error, LabError) else repr(error))

    def _launch(self, name: str, provider: Provider, now: datetime) -> None:
        book = self.world.book
        if self._in_vain.get(name) == book.changes and not self.world.troubles.some:
            return
        suspended = self.world.suspended
        if "*" in suspended or name in suspended:
            return
        drafts = []
        for job, where in self._place(name, provider, now):
            token = ids.token(self._lab_name(), job.id, job.attempt + 1)
            attempt = Attempt(job.id, job.attempt + 1, token, name, intended=now, placement=where)
            draft = self.submitter.draft(job, attempt, now)
            if draft is not None:
                drafts.append((attempt, draft))
        if not drafts:
            self._in_vain[name] = book.changes
            return
        with book.transaction():
            for n in {attempt.n for attempt, _ in drafts}:
                book.amend([book.live[a.job] for a, _ in drafts if a.n == n], attempt=n, not_before=None)
            book.put_attempts([attempt for attempt, _ in drafts])
        self.queue.drop(name, {attempt.job for attempt, _ in drafts})
        self.submitter.submit(name, provider, drafts)

    def _lab_name(self) -> str:
        assert self.world.lab is not None  # noqa: S101  # a provider is there only with settings
        return self.world.lab.name

    def _place(self, name: str, provider: Provider, now: datetime) -> Sequence[tuple[Job, Placement]]:
        capacity, features = self._rooms[name].capacity, provider.features
        permitted = (job for job in self.queue.best(name, now) if self.world.permits.may_submit(job, now))
        allowed = self._within_parallel(permitted, now, features.throttles)
        if capacity is None or features.queues:
            there = len(self.world.book.open.get(name, {}))
            room = features.batch if features.most is None else min(features.batch, max(0, features.most - there))
            return [(job, {}) for job in islice(allowed, room)]
        waiting = list(islice(allowed, 4 * features.batch))
        if not waiting:
            return ()
        busy = [Placed.of(attempt.placement) for attempt in self.world.book.open.get(name, {}).values()]
        asks = [Ask.of(job.id, self.contents.spec(job), job.priority) for job in waiting]
        by_id = {job.id: job for job in waiting}
        return [(by_id[job_id], where) for job_id, where in place(asks, busy, capacity)][: features.batch]

    def _within_parallel(self, waiting: Iterator[Job], now: datetime, throttles: int) -> Iterator[Job]:
        """Without what would exceed a sweep's max_parallel or run beside another job of its concurrency group. Of a sweep of
        which nothing is under way, a provider that `throttles` is given more: it holds the rest back by itself."""
        under_way = self._under_way()
        tasks: dict[str, int] = {}
        for job in under_way:
            tasks[job.task] = tasks.get(job.task, 0) + 1
        begun = set(tasks)
        groups: set[str] | None = None
        full: set[tuple[str, Digest]] = set()  # (task, spec): thousands of trials that wait for one of theirs to end
        for job in waiting:
            if (job.task, job.spec) in full or self.world.troubles.aside(job.id, now):
                continue
            bounds = self._bounds(job, now)
            if bounds is None:
                continue
            most, group = bounds
            if most is not None and throttles and not group and job.task not in begun:
                most = max(most, throttles)
            if group and groups is None:
                theirs = [self._bounds(other, now) for other in under_way]
                groups = {found[1] for found in theirs if found and found[1]}
            if (most is not None and tasks.get(job.task, 0) >= most) or (group and groups and group in groups):
                full.add((job.task, job.spec))
                continue
            tasks[job.task] = tasks.get(job.task, 0) + 1
            if group and groups is not None:
                groups.add(group)
            yield job

    def _under_way(self) -> list[Job]:
        live = self.world.book.live
        return [live[job_id] for at_provider in self.world.book.open.values() for job_id in at_provider]

    def _bounds(self, job: Job, now: datetime) -> tuple[int | None, str | None] | None:
        """Its sweep's max_parallel and its group; None where a defect keeps us from knowing."""
        with self.world.troubles.containing(job.id, "launching", now):
            spec = self.contents.spec(job)
            return spec.sweeps.max_parallel if spec.sweeps else None, spec.concurrency.group
        return None
