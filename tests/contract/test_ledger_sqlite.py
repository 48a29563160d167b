import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from labwright.adapters.ledgers.sql import SqlLedger, schema
from labwright.adapters.ledgers.sql.version import REVISIONS
from labwright.domain.errors import Refused, Stale, Unavailable
from labwright.domain.lifecycle import State
from labwright.testing.ledger_suite import NOON, KeptLedgerSuite, a_job, an_attempt, queued

UPGRADED = {"jobs", "attempts", "transitions", "wants", "contents", "parsed", "acts", "plans", "cursors"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a state ?#%é" / "ledger.sqlite"


@pytest.fixture
def again(path: Path) -> Iterator[Callable[..., SqlLedger]]:
    with ExitStack() as stack:
        yield lambda **how: stack.enter_context(closing(SqlLedger.open(path, **how)))


@pytest.fixture
def ledger(again: Callable[..., SqlLedger]) -> SqlLedger:
    return again()


class TestSqlLedgerOnSqlite(KeptLedgerSuite):
    def test_a_commit_is_on_the_disk_and_keeps_nobody_from_reading(self, ledger: SqlLedger) -> None:
        with ledger._writing() as connection:
            pragma = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            }
        assert pragma == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}

    @pytest.mark.parametrize(
        ("query", "index"),
        [
            ("SELECT * FROM jobs WHERE state IN ('HELD', 'QUEUED')", "ix_jobs_state"),
            ("SELECT * FROM jobs WHERE task IN ('a', 'b')", "ix_jobs_task"),
            ("SELECT * FROM attempts WHERE published IS 0 AND ended IS NOT NULL", "ix_attempts_unpublished"),
            ("SELECT * FROM acts WHERE done IS NULL ORDER BY at, id", "ix_acts_pending"),
        ],
    )
    def test_what_the_loop_asks_each_tick_uses_an_index(self, ledger: SqlLedger, query: str, index: str) -> None:
        with ledger._reading() as connection:
            assert index in str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all())

    def test_any_thread_may_use_it_and_each_has_its_own_transaction(self, ledger: SqlLedger) -> None:
        ledger.insert([a_job(1)])
        inside, looked = threading.Event(), threading.Event()

        def look() -> list[str]:
            inside.wait(10)
            try:
                return [job.id for job in ledger.jobs()]
            finally:
                looked.set()

        with ThreadPoolExecutor(1) as pool:
            seen = pool.submit(look)
            with ledger.transaction():
                ledger.insert([a_job(2)])
                inside.set()
                assert looked.wait(10)
            assert seen.result() == [a_job(1).id]

    def test_writers_of_several_threads_wait_for_each_other(self, ledger: SqlLedger) -> None:
        def put(number: int) -> None:
            ledger.insert([a_job(number)])

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(put, range(100)))
        assert len(ledger.jobs()) == 100

    def test_of_many_threads_that_move_one_job_one_succeeds(self, ledger: SqlLedger) -> None:
        ledger.insert([a_job(1)])

        def try_it(_: int) -> bool:
            try:
                ledger.move([queued(a_job(1))])
            except Stale:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(try_it, range(16))) == 1
        assert len(ledger.history(a_job(1).id)) == 2


def test_a_new_ledger_may_be_opened_by_many_at_once(path: Path) -> None:
    def open_it(number: int) -> None:
        with closing(SqlLedger.open(path)) as ledger:
            ledger.insert([a_job(number)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(open_it, range(16)))
    with closing(SqlLedger.open(path, read_only=True)) as ledger:
        assert len(ledger.jobs()) == 16


def test_a_ledger_that_is_not_there_is_not_made_by_a_reader(path: Path) -> None:
    with pytest.raises(Refused, match=r"there is no ledger yet at .*lab serve"):
        SqlLedger.open(path, read_only=True)
    assert not path.parent.exists()
    path.parent.mkdir()
    path.touch()
    with pytest.raises(Refused, match="there is no ledger yet"):
        SqlLedger.open(path, read_only=True)


def test_a_reader_cannot_write(path: Path, ledger: SqlLedger, again: Callable[..., SqlLedger]) -> None:
    with pytest.raises(Unavailable, match="readonly database"):
        again(read_only=True).set_cursor("a", "1")


def test_opening_a_current_ledger_does_not_load_alembic(path: Path, ledger: SqlLedger) -> None:
    ledger.insert([a_job(1)])
    code = (
        "import sys; from labwright.adapters.ledgers.sql import SqlLedger;"
        "assert len(SqlLedger.open(sys.argv[1]).jobs()) == 1; assert not {'alembic', 'psycopg', 'sqlalchemy.dialects.postgresql'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)


def test_a_ledger_of_a_newer_labwright_is_refused(path: Path, ledger: SqlLedger) -> None:
    ledger.close()
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    for read_only in (True, False):
        with pytest.raises(Refused, match=r"written by a newer Labwright.*9999"):
            SqlLedger.open(path, read_only=read_only)


def test_the_migrations_make_exactly_the_tables_of_the_schema(ledger: SqlLedger) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    assert set(schema.metadata.tables) == UPGRADED
    with ledger._reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


def test_every_migration_is_listed_in_the_schema() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "labwright.adapters.ledgers.sql:migrations")
    config.set_main_option("path_separator", "os")
    known = [one.revision for one in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(known)) == REVISIONS


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database, but long enough to be read as one" * 100)
    with pytest.raises(Refused, match=r"not a database.*lab rebuild"):
        SqlLedger.open(path)


def test_a_full_disk_is_unavailable_and_undoes_the_commit(ledger: SqlLedger) -> None:
    ledger.insert([a_job(1)])
    with ledger._writing() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 60")
    with pytest.raises(Unavailable, match=r"disk is full.*free some space"):
        ledger.insert([a_job(number) for number in range(2, 5000)])
    assert ledger.jobs() == [a_job(1)]


def test_a_lock_held_too_long_is_unavailable(path: Path, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.adapters.ledgers.sql.words.BUSY_SECONDS", 0)
    with closing(SqlLedger.open(path)) as other, ledger.transaction():
        with pytest.raises(Unavailable, match=r"locked.*another process is writing"):
            other.set_cursor("a", "1")
        assert other.cursor("a") is None


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="file"):
        SqlLedger.open(tmp_path / "file" / "ledger.sqlite")


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="only root can become somebody else")
def test_somebody_who_may_only_read_the_folder_is_told_so_or_reads(tmp_path: Path) -> None:
    """SQLite needs its -shm file beside a WAL database; who cannot make it gets one sentence, no traceback."""
    home = Path("/tmp") / f"lab-ro-{os.getpid()}"
    home.mkdir(mode=0o755)
    try:
        with closing(SqlLedger.open(home / "ledger.sqlite")) as ledger:
            ledger.insert([a_job(1)])
            code = "import sys; from labwright.adapters.ledgers.sql import SqlLedger; print(len(SqlLedger.open(sys.argv[1], read_only=True).jobs()))"
            done = subprocess.run(
                ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", code, home / "ledger.sqlite"],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        assert done.stdout == "1\n" or "domain.errors.Unavailable" in done.stderr, done.stderr
    finally:
        shutil.rmtree(home)


WRITER = """
import sys
from labwright.adapters.ledgers.sql import SqlLedger
from labwright.testing.ledger_suite import a_job, an_attempt, queued
ledger = SqlLedger.open(sys.argv[1])
start = int(sys.argv[2])
for number in range(start, start + 10**6):
    with ledger.transaction():
        ledger.insert([a_job(number)])
        ledger.move([queued(a_job(number), attempt=an_attempt(a_job(number)))])
    sys.stdout.write(f"{number}\\n"); sys.stdout.flush()
"""


@pytest.mark.slow
def test_every_acknowledged_commit_survives_kill_9(path: Path) -> None:
    acknowledged: set[int] = set()
    for life in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, path, str(life * 10**6)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout
        for _ in range(20 * (life + 1)):
            acknowledged.add(int(writer.stdout.readline()))
        writer.send_signal(signal.SIGKILL)
        acknowledged |= {int(line) for line in writer.stdout.read().split("\n")[:-1]}
        writer.wait()
        writer.stdout.close()
        with closing(SqlLedger.open(path)) as ledger:
            jobs = {job.id: job for job in ledger.jobs()}
            assert {a_job(number).id for number in acknowledged} <= set(jobs)
            assert {job.state for job in jobs.values()} == {State.QUEUED}, "half a transaction"
            assert [attempt.job for attempt in ledger.attempts()] == sorted(jobs)
    assert an_attempt(a_job(0)).intended == NOON
