"""SqlLedger: the port ports/ledger.py on SQLite and PostgreSQL."""

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, delete, literal, select, tuple_, update

from labwright.adapters.ledgers.sql import connect, migrate, rows, schema, statements
from labwright.domain import lifecycle
from labwright.domain.errors import Refused
from labwright.domain.ids import Digest, JobId
from labwright.domain.job import Act, Attempt, Job, Move, Transition, Want
from labwright.domain.lifecycle import State
from labwright.ports.ledger import PlanRow


class SqlLedger:
    """Safe for any thread: each has its own connection and its own transaction. Writers wait for each other."""

    def __init__(self, where: str | Path | Engine, *, read_only: bool = False) -> None:
        """`where`: a file's path, a URL or an engine. Raises Refused (see `open`) and Unavailable."""
        self._engine = where if isinstance(where, Engine) else connect.engine_for(where, read_only=read_only)
        self._mine = threading.local()
        with connect.translated():
            migrate.ensure(self._engine, read_only=read_only)

    @classmethod
    def open(cls, where: str | Path, *, read_only: bool = False) -> Self:
        """Makes the ledger and its folder when it is not there; raises Refused instead when it shall only be read."""
        if "://" not in str(where):
            path = Path(where)
            if read_only and not path.exists():
                raise Refused(f"there is no ledger yet at {path}", hint="`lab serve` makes it")
            if not read_only:
                connect.make_folder(path.parent)
        return cls(where, read_only=read_only)

    def close(self) -> None:
        self._engine.dispose()

    # transactions

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._writing():
            yield

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        open_one: Connection | None = getattr(self._mine, "connection", None)
        if open_one is not None:
            with connect.translated():
                yield open_one
            return
        engine = self._engine.execution_options(writes=True)
        with connect.translated(), engine.begin() as connection:
            self._mine.connection = connection
            try:
                yield connection
            finally:
                self._mine.connection = None

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        open_one: Connection | None = getattr(self._mine, "connection", None)
        with connect.translated():
            if open_one is not None:
                yield open_one
                return
            with self._engine.connect() as connection:
                yield connection

    # jobs

    def insert(self, jobs: Sequence[Job]) -> Sequence[JobId]:
        first = {job.id: job for job in reversed(jobs)}
        with self._writing() as connection:
            known = statements.known_ids(connection, list(first))
            new = [first[id_] for id_ in dict.fromkeys(job.id for job in jobs) if id_ not in known]
            if new:
                connection.execute(schema.jobs.insert(), [rows.row(job) for job in new])
                statements.write_history(
                    connection, [Transition(job.id, job.created, None, job.state, job.reason) for job in new]
                )
        return [job.id for job in new]

    def jobs(
        self, *, states: Collection[State] = (), tasks: Collection[str] = (), ids: Collection[str] = ()
    ) -> Sequence[Job]:
        narrow = {"state": states, "task": tasks, "id": ids}
        with self._reading() as connection:
            found = [
                rows.job(row) for row in statements.select_in(connection, select(schema.jobs), schema.jobs, narrow)
            ]
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
        with self._writing() as connection:
            statements.swap(connection, after)
            statements.write_history(
                connection, [Transition(m.job.id, m.at, m.job.state, m.to, m.reason) for m in moves]
            )
            self.put_attempts([m.attempt for m in moves if m.attempt])
        return after

    def amend(self, jobs: Sequence[Job], **changes: Any) -> Sequence[Job]:
        if "state" in changes or "version" in changes:
            raise TypeError("amend cannot change the state or the version; use move")
        after = [replace(job, **changes, version=job.version + 1) for job in jobs]
        with self._writing() as connection:
            statements.swap(connection, after)
        return after

    def history(self, job: JobId) -> Sequence[Transition]:
        query = select(schema.transitions).where(schema.transitions.c.job == job).order_by(schema.transitions.c.id)
        with self._reading() as connection:
            return [rows.transition(row) for row in connection.execute(query)]

    # attempts

    def put_attempts(self, attempts: Sequence[Attempt]) -> None:
        with self._writing() as connection:
            statements.put(connection, schema.attempts, [rows.row(attempt) for attempt in attempts])

    def attempts(self, jobs: Collection[JobId] = (), *, unpublished: bool = False) -> Sequence[Attempt]:
        query = select(schema.attempts)
        if unpublished:
            query = query.where(schema.UNPUBLISHED)
        with self._reading() as connection:
            found = statements.select_in(connection, query, schema.attempts, {"job": jobs})
            return sorted((rows.attempt(row) for row in found), key=lambda attempt: (attempt.job, attempt.n))

    def leftovers(self, before: datetime, *, after: Attempt | None = None, most: int = 500) -> Sequence[Attempt]:
        columns = schema.attempts.c
        order = (columns.ended, columns.job, columns.n)
        query = select(schema.attempts).where(columns.published.is_(True), columns.handle.is_not(None))
        query = query.where(columns.ended < before).order_by(*order).limit(most)
        if after is not None:
            given = (after.ended, after.job, after.n)
            query = query.where(tuple_(*order) > tuple_(*map(literal, given, (column.type for column in order))))
        with self._reading() as connection:
            return [rows.attempt(row) for row in connection.execute(query)]

    # wants

    def wants(self, branch: str | None = None, tasks: Collection[str] = ()) -> Sequence[Want]:
        query = select(schema.wants)
        if branch is not None:
            query = query.where(schema.wants.c.branch == branch)
        with self._reading() as connection:
            found = list(statements.select_in(connection, query, schema.wants, {"task": tasks}))
        return [rows.want(row) for row in sorted(found, key=lambda row: (row.branch, row.task, row.place))]

    def set_wants(self, branch: str, by_task: Mapping[str, Sequence[Want]]) -> None:
        table = schema.wants
        new = [
            {**rows.row(want), "branch": branch, "task": task, "place": place}
            for task, wants in by_task.items()
            for place, want in enumerate(wants)
        ]
        with self._writing() as connection:
            for chunk in statements.chunks(list(by_task)):
                connection.execute(delete(table).where(table.c.branch == branch, table.c.task.in_(chunk)))
            if new:
                connection.execute(table.insert(), new)

    # texts by their digest

    def put_contents(self, contents: Mapping[Digest, str]) -> None:
        with self._writing() as connection:
            new = [{"digest": digest, "text": text} for digest, text in contents.items()]
            statements.put(connection, schema.contents, new, replace=False)

    def contents(self, digests: Collection[Digest]) -> Mapping[Digest, str]:
        if not digests:
            return {}
        with self._reading() as connection:
            found = statements.select_in(connection, select(schema.contents), schema.contents, {"digest": digests})
            return {Digest(row.digest): row.text for row in found}

    def put_parsed(self, parsed: Mapping[str, str]) -> None:
        with self._writing() as connection:
            new = [{"blob": blob, "text": text} for blob, text in parsed.items()]
            statements.put(connection, schema.parsed, new)

    def parsed(self) -> Mapping[str, str]:
        with self._reading() as connection:
            return {row.blob: row.text for row in connection.execute(select(schema.parsed))}

    # acts of humans, plans, cursors

    def put_act(self, act: Act) -> bool:
        with self._writing() as connection:
            return statements.put(connection, schema.acts, [rows.row(act)], replace=False) == 1

    def acts(self, *, pending: bool = True) -> Sequence[Act]:
        query = select(schema.acts).order_by(schema.acts.c.at, schema.acts.c.id)
        with self._reading() as connection:
            return [rows.act(row) for row in connection.execute(query.where(schema.PENDING) if pending else query)]

    def finish_act(self, act_id: str, at: datetime, answer: str) -> None:
        with self._writing() as connection:
            connection.execute(update(schema.acts).where(schema.acts.c.id == act_id).values(done=at, answer=answer))

    def put_plan(self, plan: PlanRow) -> None:
        with self._writing() as connection:
            statements.put(connection, schema.plans, [rows.row(plan)])

    def plans(self, *, most: int = 100, digest: str | None = None) -> Sequence[PlanRow]:
        columns = schema.plans.c
        query = select(schema.plans).order_by(columns.at.desc(), columns.digest, columns.commit, columns.branch)
        if digest is not None:
            query = query.where(columns.digest >= digest, columns.digest < digest + "\U0010ffff")
        with self._reading() as connection:
            return [rows.plan(row) for row in connection.execute(query.limit(most))]

    def cursor(self, name: str) -> str | None:
        query = select(schema.cursors.c.value).where(schema.cursors.c.name == name)
        with self._reading() as connection:
            return connection.execute(query).scalar()

    def set_cursor(self, name: str, value: str | None) -> None:
        with self._writing() as connection:
            if value is None:
                connection.execute(delete(schema.cursors).where(schema.cursors.c.name == name))
            else:
                statements.put(connection, schema.cursors, [{"name": name, "value": value}])
