# ruff: noqa: S608 - names come from schema.py; values go in as Arrow tables
"""Records in DuckDB: one writer, many readers, all in this process."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from labwright.adapters.records.duckdb import points, schema
from labwright.adapters.records.duckdb.query import DuckAnswer, check_reads
from labwright.adapters.records.duckdb.schema import Table, run
from labwright.domain.errors import Refused, Unavailable
from labwright.ports.records import Batch, EventRow, QueryLimits

_CONFIG = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


class DuckDbRecords:
    """`path` None keeps everything in memory (tests, `lab sql --repo`). Safe to use from several threads.

    Raises Unavailable when another process holds the file."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        memory_mb: int = 1024,
        spill_mb: int = 8192,
        threads: int = 2,
        read_only: bool = False,
    ) -> None:
        self._lock, self._opening = threading.Lock(), threading.Lock()
        config: dict[str, Any] = {**_CONFIG, "memory_limit": f"{memory_mb}MiB", "threads": str(threads)}
        config |= {"max_temp_directory_size": f"{spill_mb}MiB"} if path else {"temp_directory": ""}
        self._root = _open(path, config, read_only)
        run(self._root, "SET GLOBAL TimeZone = 'UTC'")
        run(self._root, "SET lock_configuration = true")
        self._con = self._root.cursor()  # the writer's; others get cursors of their own
        if not read_only:
            self._create()

    def _create(self) -> None:
        with self._transaction():
            run(self._con, "CREATE SCHEMA IF NOT EXISTS store")
            for table in schema.TABLES:
                run(self._con, table.ddl)
            there = set(
                run(self._con, "SELECT table_schema || '.' || table_name, column_name FROM information_schema.columns")
            )
            for table in schema.TABLES:  # a file of an earlier version
                for name, kind in table.columns.items():
                    if (table.full_name, name) not in there:
                        run(self._con, f'ALTER TABLE {table.name} ADD COLUMN "{name}" {kind}')
            for name, body in schema.VIEWS.items():
                run(self._con, f"CREATE OR REPLACE VIEW {name} AS {body}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._con.begin()
            try:
                yield
                self._con.commit()
            except BaseException:
                with suppress(duckdb.Error):  # a failed commit is rolled back already, and its own words count
                    self._con.rollback()
                raise

    @contextmanager
    def _given(self, name: str, table: pa.Table) -> Iterator[None]:
        self._con.register(name, table)
        try:
            yield
        finally:
            self._con.unregister(name)

    def write(self, batch: Batch) -> None:
        try:
            with self._transaction():
                self._write_params(batch.jobs)
                for field, table in schema.UPSERTED.items():
                    self._upsert(table, getattr(batch, field, ()))
                points.append(self._con, batch.points)
                self._append_events(batch.events)
                offsets = [{"token": t, "file": f, "bytes": n} for (t, f), n in batch.offsets.items()]
                self._upsert(schema.OFFSETS, offsets)
        except (duckdb.DataError, pa.ArrowException, OverflowError, TypeError) as error:
            raise Refused(f"The records cannot hold a value: {error}") from error
        except duckdb.Error as error:
            raise Unavailable(f"The records could not be written: {error}", hint="room on the disk?") from error

    def _upsert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows by key; columns that a row does not name keep their value."""
        for columns, group in _by_columns(table, rows).items():
            with self._given("given", table.arrow(columns, group)):
                same = " AND ".join(f't."{key}" = given."{key}"' for key in table.key)
                changed = [name for name in columns if name not in table.key]
                if changed:
                    sets = ", ".join(f'"{name}" = given."{name}"' for name in changed)
                    run(self._con, f"UPDATE {table.name} AS t SET {sets} FROM given WHERE {same}")
                names = ", ".join(f'"{name}"' for name in columns)
                run(
                    self._con,
                    f"INSERT INTO {table.name} ({names}) SELECT {names} FROM given "
                    f"WHERE NOT EXISTS (SELECT 1 FROM {table.name} AS t WHERE {same})",
                )

    def _write_params(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        """A job's parameters are part of its identity: written once, with its first row."""
        wanted = {str(row["job"]): row["params"] for row in jobs if row.get("params")}
        if not wanted:
            return
        with self._given("given", pa.table({"job": list(wanted)})):
            for (known,) in run(self._con, "SELECT DISTINCT job FROM params SEMI JOIN given USING (job)"):
                wanted.pop(known)
        rows = [_param(job, name, value) for job, params in wanted.items() for name, value in params.items()]
        self._insert(schema.PARAMS, rows)

    def _insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            with self._given("given", table.arrow(table.columns, rows)):
                run(self._con, f"INSERT INTO {table.name} SELECT * FROM given")

    def _append_events(self, events: Sequence[EventRow]) -> None:
        self._insert(
            schema.EVENTS,
            [
                {"job": e.job, "attempt": e.attempt, "time": e.at, "kind": e.kind, "message": e.message, "data": e.data}
                for e in events
            ],
        )

    def offsets(self, tokens: Sequence[str]) -> Mapping[tuple[str, str], int]:
        with self._cursor() as cursor:
            cursor.register("given", pa.table({"token": pa.array(tokens, pa.string())}))
            found = run(cursor, "SELECT token, file, bytes FROM store.offsets SEMI JOIN given USING (token)")
            return {(token, file): count for token, file, count in found}

    def series(self, jobs: Sequence[str]) -> pa.Table:
        with self._cursor() as cursor:
            cursor.register("given", pa.table({"job": pa.array(jobs, pa.string())}))
            return cursor.execute(points.OF_JOBS).to_arrow_table()

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of one thread: reading beside the writer."""
        with self._opening:
            cursor = self._root.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    def query(self, sql: str, limits: QueryLimits) -> DuckAnswer:
        check_reads(sql)
        with self._opening:
            cursor = self._root.cursor()
        answer = DuckAnswer(cursor, limits)
        answer.start(sql)
        return answer

    def close(self) -> None:
        with self._lock, self._opening:
            self._con.close()
            self._root.close()


def _open(path: Path | None, config: dict[str, Any], read_only: bool) -> duckdb.DuckDBPyConnection:
    if path is None:
        return duckdb.connect(":memory:", config=config)
    if read_only and not path.exists():
        raise Refused(f"There are no records at {path}.", hint="`lab serve` or `lab rebuild` makes them")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return duckdb.connect(str(path), read_only=read_only, config=config)
    except duckdb.IOException as error:
        raise Unavailable(
            f"{path}: {str(error).splitlines()[0]}", hint="a running controller answers on its socket instead"
        ) from None


def _by_columns(table: Table, rows: Iterable[Mapping[str, Any]]) -> Mapping[tuple[str, ...], list[Mapping[str, Any]]]:
    """One row a key (later ones win), grouped by the columns they name."""
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        unknown = row.keys() - table.columns.keys()
        if unknown:
            raise ValueError(f"{table.name} has no column {', '.join(sorted(unknown))}")
        merged.setdefault(tuple(row[key] for key in table.key), {}).update(row)
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for whole in merged.values():
        groups.setdefault(tuple(name for name in table.columns if name in whole), []).append(whole)
    return groups


def _param(job: str, name: str, value: Any) -> Mapping[str, Any]:
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    text = value if isinstance(value, str) else schema.to_json(value)
    return {"job": job, "name": name, "value": text, "number": number}
