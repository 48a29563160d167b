"""The ledger in memory: same promises as SqlLedger (testing/ledger_suite.py holds both to them), nothing is kept."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from labwright.domain import lifecycle
from labwright.domain.errors import Stale
from labwright.domain.ids import Digest, JobId
from labwright.domain.job import Act, Attempt, Job, Move, Transition, Want
from labwright.domain.lifecycle import State
from labwright.ports.ledger import PlanRow


@dataclass(slots=True)
class _Tables:
    jobs: dict[str, Job] = field(default_factory=dict)
    attempts: dict[tuple[str, int], Attempt] = field(default_factory=dict)
    transitions: dict[str, tuple[Transition, ...]] = field(default_factory=dict)
    wants: dict[tuple[str, str], tuple[Want, ...]] = field(default_factory=dict)
    contents: dict[Digest, str] = field(default_factory=dict)
    parsed: dict[str, str] = field(default_factory=dict)
    acts: dict[str, Act] = field(default_factory=dict)
    plans: dict[tuple[str, str, str], PlanRow] = field(default_factory=dict)
    cursors: dict[str, str] = field(default_factory=dict)

    def copy(self) -> "_Tables":
        return _Tables(*(dict(getattr(self, one.name)) for one in fields(self)))


class MemoryLedger:
    """For one thread."""

    def __init__(self) -> None:
        self._t = _Tables()
        self._depth = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        before = self._t.copy() if self._depth == 0 else None
        self._depth += 1
        try:
            yield
        except BaseException:
            if before is not None:
                self._t = before
            raise
        finally:
            self._depth -= 1

    def insert(self, jobs: Sequence[Job]) -> Sequence[JobId]:
        new: list[JobId] = []
        for job in jobs:
            if job.id not in self._t.jobs:
                self._t.jobs[job.id] = job
                self._note(Transition(job.id, job.created, None, job.state, job.reason))
                new.append(job.id)
        return new

    def _note(self, transition: Transition) -> None:
        self._t.transitions[transition.job] = (*self._t.transitions.get(transition.job, ()), transition)

    def jobs(
        self, *, states: Collection[State] = (), tasks: Collection[str] = (), ids: Collection[str] = ()
    ) -> Sequence[Job]:
        wanted_states, wanted_tasks, wanted_ids = set(states), set(tasks), set(ids)
        found = (
            job
            for job in self._t.jobs.values()
            if (not wanted_states or job.state in wanted_states)
            and (not wanted_tasks or job.task in wanted_tasks)
            and (not wanted_ids or job.id in wanted_ids)
        )
        return sorted(found, key=lambda job: (job.created, job.id))

    def move(self, moves: Sequence[Move]) -> Sequence[Job]:
        after = [
            replace(
                one.job,
                **one.changes,
                state=lifecycle.move(one.job.state, one.to),
                reason=one.reason,
                updated=one.at,
                version=one.job.version + 1,
            )
            for one in moves
        ]
        attempts = [one.attempt for one in moves if one.attempt]
        self._check(attempts)
        self._swap(after)
        for one in moves:
            self._note(Transition(one.job.id, one.at, one.job.state, one.to, one.reason))
        self.put_attempts(attempts)
        return after

    def amend(self, jobs: Sequence[Job], **changes: Any) -> Sequence[Job]:
        if "state" in changes or "version" in changes:
            raise TypeError("amend cannot change the state or the version; use move")
        after = [replace(job, **changes, version=job.version + 1) for job in jobs]
        self._swap(after)
        return after

    def _swap(self, after: Sequence[Job]) -> None:
        expected = {job.id: job.version - 1 for job in after}
        found = {id_: self._t.jobs[id_].version for id_ in expected if id_ in self._t.jobs}
        if found != expected or len(expected) != len(after):
            raise Stale("a job changed since it was read", hint="read it again and decide again")
        self._t.jobs.update({job.id: job for job in after})

    def history(self, job: JobId) -> Sequence[Transition]:
        return list(self._t.transitions.get(job, ()))

    def put_attempts(self, attempts: Sequence[Attempt]) -> None:
        self._check(attempts)
        self._t.attempts.update({(attempt.job, attempt.n): attempt for attempt in attempts})

    def _check(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            if attempt.job not in self._t.jobs:
                raise LookupError(f"an attempt of a job that the ledger does not know: {attempt.job}")

    def attempts(self, jobs: Collection[JobId] = (), *, unpublished: bool = False) -> Sequence[Attempt]:
        wanted = set(jobs)
        return [
            attempt
            for (job, _), attempt in sorted(self._t.attempts.items())
            if (not wanted or job in wanted)
            and (not unpublished or (attempt.ended is not None and not attempt.published))
        ]

    def leftovers(self, before: datetime, *, after: Attempt | None = None, most: int = 500) -> Sequence[Attempt]:
        found = [
            (attempt.ended, attempt.job, attempt.n, attempt)
            for attempt in self._t.attempts.values()
            if attempt.published and attempt.handle is not None and attempt.ended is not None and attempt.ended < before
        ]
        behind = (after.ended, after.job, after.n) if after is not None and after.ended is not None else None
        return [one[3] for one in sorted(found, key=lambda one: one[:3]) if behind is None or one[:3] > behind][:most]

    def wants(self, branch: str | None = None, tasks: Collection[str] = ()) -> Sequence[Want]:
        wanted = set(tasks)
        return [
            want
            for (its_branch, task), wants in sorted(self._t.wants.items())
            if branch in (None, its_branch) and (not wanted or task in wanted)
            for want in wants
        ]

    def set_wants(self, branch: str, by_task: Mapping[str, Sequence[Want]]) -> None:
        for task, wants in by_task.items():
            self._t.wants[branch, task] = tuple(replace(want, branch=branch, task=task) for want in wants)

    def put_contents(self, contents: Mapping[Digest, str]) -> None:
        self._t.contents = {**contents, **self._t.contents}

    def contents(self, digests: Collection[Digest]) -> Mapping[Digest, str]:
        return {digest: self._t.contents[digest] for digest in digests if digest in self._t.contents}

    def put_parsed(self, parsed: Mapping[str, str]) -> None:
        self._t.parsed.update(parsed)

    def parsed(self) -> Mapping[str, str]:
        return dict(self._t.parsed)

    def put_act(self, act: Act) -> bool:
        new = act.id not in self._t.acts
        self._t.acts.setdefault(act.id, act)
        return new

    def acts(self, *, pending: bool = True) -> Sequence[Act]:
        found = (act for act in self._t.acts.values() if act.done is None or not pending)
        return sorted(found, key=lambda act: (act.at, act.id))

    def finish_act(self, act_id: str, at: datetime, answer: str) -> None:
        if act_id in self._t.acts:
            self._t.acts[act_id] = replace(self._t.acts[act_id], done=at, answer=answer)

    def put_plan(self, plan: PlanRow) -> None:
        self._t.plans[plan.digest, plan.commit, plan.branch] = plan

    def plans(self, *, most: int = 100, digest: str | None = None) -> Sequence[PlanRow]:
        found = [plan for _, plan in sorted(self._t.plans.items()) if plan.digest.startswith(digest or "")]
        return sorted(found, key=lambda plan: plan.at, reverse=True)[:most]

    def cursor(self, name: str) -> str | None:
        return self._t.cursors.get(name)

    def set_cursor(self, name: str, value: str | None) -> None:
        if value is None:
            self._t.cursors.pop(name, None)
        else:
            self._t.cursors[name] = value

    def close(self) -> None:
        pass
