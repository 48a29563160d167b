"""The reader of the CLI: held to the ledger's contract on what SqlLedger wrote."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from inspect import signature
from pathlib import Path

import pytest

from labwright.adapters.ledgers.sql import SqlLedger, open_ledger
from labwright.adapters.ledgers.sql.reader import SqliteReader
from labwright.domain.errors import Refused
from labwright.ports.ledger import Ledger
from labwright.testing.ledger_suite import LedgerSuite


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a state ?#%é" / "ledger.sqlite"


READS = {"jobs", "history", "attempts", "leftovers", "wants", "contents", "parsed", "acts", "plans", "cursor"}


class WrittenAndRead:
    """Written by SqlLedger, read by SqliteReader (but for questions within a transaction)."""

    def __init__(self, writer: SqlLedger, reader: SqliteReader) -> None:
        self.writer, self.reader = writer, reader

    def __getattr__(self, name: str) -> object:
        within = getattr(self.writer._mine, "connection", None) is not None
        return getattr(self.reader if name in READS and not within else self.writer, name)


class TestSqliteReader(LedgerSuite):
    @pytest.fixture
    def ledger(self, path: Path) -> Iterator[WrittenAndRead]:
        with closing(SqlLedger.open(path)) as writer, closing(SqliteReader(path)) as reader:
            yield WrittenAndRead(writer, reader)

    def test_every_method_that_does_not_read_is_refused(self, path: Path) -> None:
        SqlLedger.open(path).close()
        reader = open_ledger(path, read_only=True)
        for name in {name for name in vars(Ledger) if not name.startswith("_")} - READS - {"close"}:
            method = getattr(reader, name)
            needed = [p for p in signature(method).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
            with pytest.raises(Refused, match="reading only"):
                method(*[None] * len(needed))
        reader.close()

    def test_a_status_needs_neither_sqlalchemy_nor_alembic(self, path: Path) -> None:
        SqlLedger.open(path).close()
        code = (
            "import sys; from labwright.adapters.ledgers.sql import open_ledger; open_ledger(sys.argv[1], read_only=True).jobs();"
            "assert not {'sqlalchemy', 'alembic', 'pydantic'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code, path], check=True)

    def test_the_same_is_refused_in_the_same_words(self, path: Path) -> None:
        def words(open_it: Callable[[], object]) -> str:
            with pytest.raises(Refused) as caught:
                open_it()
            return str(caught.value)

        def same() -> str:
            mine = words(lambda: open_ledger(path, read_only=True))
            assert mine == words(lambda: SqlLedger.open(path, read_only=True))
            return mine

        assert "no ledger yet" in same()
        SqlLedger.open(path).close()
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute("UPDATE alembic_version SET version_num = '9999'")
        assert "newer Labwright" in same()
        path.write_bytes(b"not a database, but long enough to be read as one" * 100)
        assert "not a database" in same()
