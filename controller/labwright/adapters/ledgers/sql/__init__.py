"""The ledger in SQLite (one machine) or PostgreSQL (several controllers that stand by for each other)."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.ports.ledger import Ledger

if TYPE_CHECKING:
    from labwright.adapters.ledgers.sql.ledger import SqlLedger as SqlLedger


def open_ledger(where: str | Path, *, read_only: bool = False) -> Ledger:
    """Of a file's path or a URL. Raises Refused when there is nothing to read, or it is of a newer Labwright."""
    if read_only and "://" not in str(where):
        from labwright.adapters.ledgers.sql.reader import SqliteReader

        return SqliteReader(Path(where))
    from labwright.adapters.ledgers.sql.ledger import SqlLedger

    return SqlLedger.open(where, read_only=read_only)


def __getattr__(name: str) -> Any:
    """SqlLedger is imported when it is asked for: SQLAlchemy takes longer to load than a command may."""
    if name == "SqlLedger":
        from labwright.adapters.ledgers.sql.ledger import SqlLedger

        return SqlLedger
    raise AttributeError(name)
