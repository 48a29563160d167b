"""A ledger file read without SQLAlchemy, whose import alone takes longer than `lab status` may: same answers as SqlLedger's
(the suite runs on both), no writes."""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote

from labwright.adapters.ledgers.sql import version, words
from labwright.adapters.ledgers.sql.escapes import escape, unescape
from labwright.domain.errors import Refused
from labwright.domain.ids import Digest, JobId
from labwright.domain.job import Act, ActKind, Attempt, Job, Move, Transition, Want, Wanted
from labwright.domain.lifecycle import Outcome, State
from labwright.ports.ledger import PlanRow

T = TypeVar("T")
Decode = Callable[[Any], Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _instant(value: int) -> datetime:
    return _EPOCH + timedelta(microseconds=value)


def _micros(at: datetime) -> Any:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _text(value: Any) -> Any:
    return unescape(value) if isinstance(value, str) else value


_TIMES = ["created", "updated", "not_before", "intended", "submitted", "started", "running", "ended", "at", "done"]
_DECODE: Mapping[str, Decode] = {
    **dict.fromkeys(_TIMES, _instant),
    **dict.fromkeys(("parameters", "placement", "arguments"), json.loads),
    **dict.fromkeys(("collected", "published", "held"), bool),
    **dict.fromkeys(("state", "before", "after"), State),
    "needs": lambda value: tuple(json.loads(value)),
    "outcome": Outcome,
    "how": Wanted,
    "kind": ActKind,
}
_SPECIAL: Mapping[tuple[type, str], Decode] = {(PlanRow, "detail"): json.loads}


class SqliteReader:
    """Each question is answered from the last commit. For one thread."""

    def __init__(self, path: Path) -> None:
        """Raises Refused when there is no ledger, or one of another version."""
        if not path.exists():
            raise Refused(f"there is no ledger yet at {path}", hint="`lab serve` makes it")
        with _translated():
            uri = f"file:{quote(str(path.absolute()))}?mode=ro"
            self._db = sqlite3.connect(uri, uri=True, timeout=words.BUSY_SECONDS, isolation_level=None)
            known = self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
            found = self._db.execute("SELECT version_num FROM alembic_version").fetchone() if known else None
        version.is_current(found[0] if found else None, read_only=True)

    def close(self) -> None:
        self._db.close()

    def _ask(
        self, kind: type[T], then: str, only: str = "1", bound: Sequence[Any] = (), **lists: Collection[str]
    ) -> list[T]:
        """`then`: table and order; `only`: a condition on `bound`; `lists`: values that a column may have (none: any)."""
        table, order = then.split(" ", 1)
        names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
        columns = ", ".join(f'"{name}"' for name in names)
        narrow = {name: json.dumps([escape(one) for one in values]) for name, values in lists.items() if values}
        conditions = " AND ".join([only, *(f"{name} IN (SELECT value FROM json_each(?))" for name in narrow)])  # noqa: S608
        query = f"SELECT {columns} FROM {table} WHERE {conditions} {order}"  # noqa: S608  # names of ours, values bound
        with _translated():
            rows = self._db.execute(query, [*bound, *narrow.values()]).fetchall()
        decode = [_SPECIAL.get((kind, name)) or _DECODE.get(name, _text) for name in names]
        return [
            kind(*[None if value is None else how(value) for how, value in zip(decode, row, strict=True)])
            for row in rows
        ]

    def jobs(
        self, *, states: Collection[State] = (), tasks: Collection[str] = (), ids: Collection[str] = ()
    ) -> Sequence[Job]:
        return self._ask(Job, "jobs ORDER BY created, id", state=states, task=tasks, id=ids)

    def history(self, job: JobId) -> Sequence[Transition]:
        return self._ask(Transition, "transitions ORDER BY transitions.id", job=[job])

    def attempts(self, jobs: Collection[JobId] = (), *, unpublished: bool = False) -> Sequence[Attempt]:
        only = "published IS 0 AND ended IS NOT NULL" if unpublished else "1"
        return self._ask(Attempt, "attempts ORDER BY job, n", only, job=jobs)

    def leftovers(self, before: datetime, *, after: Attempt | None = None, most: int = 500) -> Sequence[Attempt]:
        only, bound = "published IS 1 AND handle IS NOT NULL AND ended < ?", [_micros(before)]
        if after is not None and after.ended is not None:
            only += " AND (ended, job, n) > (?, ?, ?)"
            bound += [_micros(after.ended), escape(after.job), after.n]
        return self._ask(Attempt, f"attempts ORDER BY ended, job, n LIMIT {int(most)}", only, bound)

    def wants(self, branch: str | None = None, tasks: Collection[str] = ()) -> Sequence[Want]:
        branches = () if branch is None else (branch,)
        return self._ask(Want, "wants ORDER BY branch, task, place", branch=branches, task=tasks)

    def acts(self, *, pending: bool = True) -> Sequence[Act]:
        return self._ask(Act, "acts ORDER BY at, id", "done IS NULL" if pending else "1")

    def plans(self, *, most: int = 100, digest: str | None = None) -> Sequence[PlanRow]:
        found = self._ask(PlanRow, 'plans ORDER BY at DESC, digest, "commit", branch')
        return [plan for plan in found if plan.digest.startswith(digest or "")][:most]

    def _pairs(self, query: str, *given: str) -> dict[str, str]:
        with _translated():
            return {unescape(key): unescape(value) for key, value in self._db.execute(query, given)}

    def contents(self, digests: Collection[Digest]) -> Mapping[Digest, str]:
        query = "SELECT digest, text FROM contents WHERE digest IN (SELECT value FROM json_each(?))"
        found = self._pairs(query, json.dumps([escape(digest) for digest in digests]))
        return {Digest(digest): text for digest, text in found.items()}

    def parsed(self) -> Mapping[str, str]:
        return self._pairs("SELECT blob, text FROM parsed")

    def cursor(self, name: str) -> str | None:
        return self._pairs("SELECT name, value FROM cursors WHERE name = ?", escape(name)).get(name)

    # what a reader does not do

    def transaction(self) -> AbstractContextManager[None]:
        _refuse()

    def insert(self, jobs: Sequence[Job]) -> Sequence[JobId]:
        _refuse()

    def move(self, moves: Sequence[Move]) -> Sequence[Job]:
        _refuse()

    def amend(self, jobs: Sequence[Job], **changes: Any) -> Sequence[Job]:
        _refuse()

    def put_attempts(self, attempts: Sequence[Attempt]) -> None:
        _refuse()

    def set_wants(self, branch: str, by_task: Mapping[str, Sequence[Want]]) -> None:
        _refuse()

    def put_contents(self, contents: Mapping[Digest, str]) -> None:
        _refuse()

    def put_parsed(self, parsed: Mapping[str, str]) -> None:
        _refuse()

    def put_act(self, act: Act) -> bool:
        _refuse()

    def finish_act(self, act_id: str, at: datetime, answer: str) -> None:
        _refuse()

    def put_plan(self, plan: PlanRow) -> None:
        _refuse()

    def set_cursor(self, name: str, value: str | None) -> None:
        _refuse()


def _refuse() -> NoReturn:
    raise Refused("this ledger was opened for reading only")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise words.told(error) from error
