"""The statements that need care: compare-and-swap, upsert, long lists. Each sends its rows as one batch."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select, Table, bindparam, select, update

from labwright.adapters.ledgers.sql import rows, schema
from labwright.domain.errors import Stale
from labwright.domain.job import Job, Transition

T = TypeVar("T")
LONGEST = 5_000  # of a list in one statement; SQLite takes 32,766 variables, PostgreSQL 65,535
_FIXED = frozenset({"id", "task", "work", "generation", "created"})


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), LONGEST):
        yield values[start : start + LONGEST]


def select_in(
    connection: Connection, query: Select[Any], table: Table, narrow: Mapping[str, Collection[str]]
) -> Iterator[Row[Any]]:
    """Rows whose columns are in the lists (an empty list does not narrow), however long the lists are."""
    lists = sorted(
        ((name, list(dict.fromkeys(values))) for name, values in narrow.items() if values), key=lambda x: len(x[1])
    )
    if not lists:
        yield from connection.execute(query)
        return
    *shorter, (longest, values) = lists
    rest: list[tuple[str, frozenset[str]]] = []
    for name, members in shorter:
        if len(members) <= LONGEST:
            query = query.where(table.c[name].in_(members))
        else:
            rest.append((name, frozenset(members)))
    for chunk in chunks(values):
        for row in connection.execute(query.where(table.c[longest].in_(chunk))):
            if all(getattr(row, name) in members for name, members in rest):
                yield row


def known_ids(connection: Connection, ids: Sequence[str]) -> set[str]:
    table = schema.jobs
    return {
        row.id for chunk in chunks(ids) for row in connection.execute(select(table.c.id).where(table.c.id.in_(chunk)))
    }


def put(connection: Connection, table: Table, new: Sequence[Mapping[str, Any]], *, replace: bool = True) -> int:
    """Insert; a row of the same key is replaced or left alone. How many rows were written."""
    if not new:
        return 0
    options = {"preserve_rowcount": True}
    statement = _upsert(connection.dialect.name, table, replace)
    return connection.execute(statement, [dict(row) for row in new], execution_options=options).rowcount


@cache  # building one costs more than running it
def _upsert(dialect: str, table: Table, replace: bool) -> Any:
    insert = _insert(dialect, table)
    keys = [column.name for column in table.primary_key]
    if not replace:
        return insert.on_conflict_do_nothing(index_elements=keys)
    others = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in keys}
    return insert.on_conflict_do_update(index_elements=keys, set_=others)


def _insert(dialect: str, table: Table) -> Any:
    if dialect == "postgresql":  # loaded only where it is used: importing it takes 60 ms
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


def swap(connection: Connection, after: Sequence[Job]) -> None:
    """Writes these jobs over the rows of one version less, or raises Stale and writes nothing."""
    if not after:
        return
    table = schema.jobs
    expected = {str(job.id): job.version - 1 for job in after}
    query = select(table.c.id, table.c.version).with_for_update()
    found = {row.id: row.version for row in select_in(connection, query, table, {"id": list(expected)})}
    if found != expected or len(expected) != len(after):
        raise _stale(expected, found)
    new = [{**rows.row(job), "its_id": job.id, "its_version": job.version - 1} for job in after]
    for row in new:
        for name in _FIXED:
            del row[name]
    connection.execute(_swap(table), new)


@cache
def _swap(table: Table) -> Any:
    return (
        update(table)
        .where(table.c.id == bindparam("its_id"), table.c.version == bindparam("its_version"))
        .values({column.name: bindparam(column.name) for column in table.columns if column.name not in _FIXED})
    )


def _stale(expected: Mapping[str, int], found: Mapping[str, int]) -> Stale:
    changed = [job for job, version in expected.items() if found.get(job) != version] or list(expected)
    return Stale(f"changed since it was read: {', '.join(changed[:5])}", hint="read it again and decide again")


def write_history(connection: Connection, new: Sequence[Transition]) -> None:
    if new:
        connection.execute(
            schema.transitions.insert(),
            [{"job": t.job, "at": t.at, "before": t.before, "after": t.after, "reason": t.reason} for t in new],
        )
