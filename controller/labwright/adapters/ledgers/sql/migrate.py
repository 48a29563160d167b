"""Brings a database to the newest schema. Alembic is loaded only when there is something to do."""

import sqlite3
import time
from contextlib import closing

from sqlalchemy import Connection, Engine, inspect, text

from labwright.adapters.ledgers.sql.version import REVISIONS, is_current

_PATIENCE_S = 10.0
_LOCK = 7_025_112_006  # any number that only Labwright uses (PostgreSQL's advisory lock)


def version(connection: Connection) -> str | None:
    """The database's revision; None when it has no tables of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return str(found) if found is not None else None


def ensure(engine: Engine, *, read_only: bool) -> None:
    """Raises Refused for a database that a newer Labwright wrote, and for an older one that may only be read."""
    with engine.connect() as connection:
        found = version(connection)
    if not is_current(found, read_only=read_only):
        _upgrade(engine)


def _upgrade(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        _write_ahead(engine)
    with engine.execution_options(writes=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        if version(connection) != REVISIONS[-1]:  # else another process was faster
            _run_alembic(connection)


def _write_ahead(engine: Engine) -> None:
    """Stays with the file and cannot be set within a transaction. Of several who do it at once SQLite turns some away at once,
    whatever their busy timeout: to wait there could be a deadlock."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        with closing(engine.raw_connection()) as raw:
            try:
                raw.cursor().execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError:
                if time.monotonic() >= until:
                    raise
            else:
                return
        time.sleep(0.02)


def _run_alembic(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "labwright.adapters.ledgers.sql:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
