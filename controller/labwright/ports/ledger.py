"""The write model: small, transactional, one commit per decision. One writer (the lease holder's loop), any reader."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from labwright.domain.ids import Digest, JobId
from labwright.domain.job import Act, Attempt, Job, Move, Transition, Want
from labwright.domain.lifecycle import State


@dataclass(frozen=True, slots=True)
class PlanRow:
    digest: str
    commit: str
    branch: str
    at: datetime
    launched: int
    reused: int
    superseded: int
    refused: int
    held: bool
    confirmed: str = ""  # by whom, when it was held
    detail: Mapping[str, Any] | None = None


class Ledger(Protocol):
    def transaction(self) -> AbstractContextManager[None]:
        """All calls inside are one commit, or none of them happened. Nests."""
        ...

    def insert(self, jobs: Sequence[Job]) -> Sequence[JobId]:
        """The ids that were new. The same id twice is no error and changes nothing. Writes the first history row."""
        ...

    def jobs(
        self, *, states: Collection[State] = (), tasks: Collection[str] = (), ids: Collection[str] = ()
    ) -> Sequence[Job]:
        """Conditions are joined by AND; an empty one does not narrow. Oldest first (created, id)."""
        ...

    def move(self, moves: Sequence[Move]) -> Sequence[Job]:
        """The jobs as they are afterwards, one history row each. Raises Stale, with nothing changed, when one of them has
        another version by now, and IllegalMove for a pair that the table of states does not have."""
        ...

    def amend(self, jobs: Sequence[Job], **changes: Any) -> Sequence[Job]:
        """Columns other than the state, the same for all: reason, stop_asked, not_before. No history row. Raises Stale, with
        nothing changed."""
        ...

    def history(self, job: JobId) -> Sequence[Transition]: ...

    def put_attempts(self, attempts: Sequence[Attempt]) -> None:
        """Insert or replace by (job, n)."""
        ...

    def attempts(self, jobs: Collection[JobId] = (), *, unpublished: bool = False) -> Sequence[Attempt]:
        """Of these jobs (all when empty), by (job, n); with `unpublished` only ended ones not yet on the results branch."""
        ...

    def leftovers(self, before: datetime, *, after: Attempt | None = None, most: int = 500) -> Sequence[Attempt]:
        """Published attempts that ended before then and that a provider still has (a handle): by (ended, job, n), those behind
        `after`, no more than `most`."""
        ...

    def wants(self, branch: str | None = None, tasks: Collection[str] = ()) -> Sequence[Want]: ...
    def set_wants(self, branch: str, by_task: Mapping[str, Sequence[Want]]) -> None:
        """Replace the wants of exactly these tasks on this branch (an empty list forgets the task)."""
        ...

    def put_contents(self, contents: Mapping[Digest, str]) -> None:
        """Content-addressed texts: task specs and bundle file lists. Known ones are left alone."""
        ...

    def contents(self, digests: Collection[Digest]) -> Mapping[Digest, str]: ...

    def put_parsed(self, parsed: Mapping[str, str]) -> None:
        """Blob id of a task.yaml → the parsed task's JSON, or its problems' (decide/discover.py knows the form)."""
        ...

    def parsed(self) -> Mapping[str, str]: ...

    def put_act(self, act: Act) -> bool:
        """False when an act of this id is known already."""
        ...

    def acts(self, *, pending: bool = True) -> Sequence[Act]: ...
    def finish_act(self, act_id: str, at: datetime, answer: str) -> None: ...

    def put_plan(self, plan: PlanRow) -> None: ...
    def plans(self, *, most: int = 100, digest: str | None = None) -> Sequence[PlanRow]:
        """Newest first; `digest` may be a prefix."""
        ...

    def cursor(self, name: str) -> str | None: ...
    def set_cursor(self, name: str, value: str | None) -> None: ...
    def close(self) -> None: ...


class Lease(Protocol):
    """One controller a state folder. Held by the process, released by its death."""

    def acquire(self) -> None:
        """Raises Refused, naming host, pid and since when, if another process holds it."""
        ...

    def release(self) -> None: ...
