"""Engines, transactions and the database's errors in our words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event, exc, make_url

from labwright.adapters.ledgers.sql import words
from labwright.domain.errors import Unavailable


def engine_for(where: str | Path, *, read_only: bool = False) -> Engine:
    """Of a file's path (SQLite) or of a URL such as `postgresql+psycopg://lab@db/lab`."""
    if "://" in str(where) and make_url(str(where)).get_backend_name() != "sqlite":
        options = {"options": "-c default_transaction_read_only=on"} if read_only else {}
        return create_engine(str(where), connect_args=options, pool_pre_ping=True)
    path = Path(str(where).removeprefix("sqlite:///")).absolute()
    uri = f"file:{quote(str(path))}?mode={'ro' if read_only else 'rwc'}"
    engine = create_engine("sqlite://", creator=lambda: _open_sqlite(uri), poolclass=QueuePool)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _open_sqlite(uri: str) -> sqlite3.Connection:
    """A connection that any thread may use (one at a time: the pool sees to it) and that begins nothing by itself."""
    return sqlite3.connect(uri, uri=True, timeout=words.BUSY_SECONDS, check_same_thread=False, isolation_level=None)


def _set_up_sqlite(raw: Any, _record: object) -> None:
    raw.execute("PRAGMA synchronous = FULL")
    raw.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def translated() -> Iterator[None]:
    """Turns the database's complaints into Unavailable or Refused; defects of ours stay what they are."""
    try:
        yield
    except exc.IntegrityError as error:
        if "foreign key" in str(error.orig).lower():
            raise LookupError("an attempt of a job that the ledger does not know") from error
        raise
    except exc.ProgrammingError:
        raise
    except exc.DBAPIError as error:
        raise words.told(error.orig) from error


def make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"cannot make the folder {path}: {error.strerror}", hint="check who owns the folder above it"
        ) from error
