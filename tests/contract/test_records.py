import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import duckdb
import pytest

from labwright.adapters.records.duckdb import DuckDbRecords
from labwright.domain.errors import Refused, Unavailable
from labwright.ports.records import Batch
from labwright.testing.records_suite import KeptRecordsSuite, RecordsSuite, ask, only


class TestDuckDbInMemory(RecordsSuite):
    @pytest.fixture
    def records(self) -> Iterator[DuckDbRecords]:
        with closing(DuckDbRecords()) as records:
            yield records


class TestDuckDbFile(KeptRecordsSuite):
    @pytest.fixture
    def again(self, tmp_path: Path) -> Iterator[Callable[[], DuckDbRecords]]:
        with ExitStack() as stack:
            yield lambda **how: stack.enter_context(closing(DuckDbRecords(tmp_path / "lab" / "records.duckdb", **how)))

    def test_an_older_file_gets_the_columns_that_it_lacks(
        self, tmp_path: Path, again: Callable[[], DuckDbRecords]
    ) -> None:
        (tmp_path / "lab").mkdir()
        old = duckdb.connect(str(tmp_path / "lab" / "records.duckdb"))
        old.execute("CREATE TABLE jobs (job VARCHAR, state VARCHAR)")
        old.execute("INSERT INTO jobs VALUES ('a', 'HELD')")
        old.close()
        records = again()
        records.write(Batch(jobs=[{"job": "a", "score": 1.0}]))
        assert ask(records, "SELECT job, state, score FROM jobs") == [{"job": "a", "state": "HELD", "score": 1.0}]

    def test_reading_only_neither_makes_nor_changes_a_file(
        self, tmp_path: Path, again: Callable[..., DuckDbRecords]
    ) -> None:
        with pytest.raises(Refused, match="no records"):
            again(read_only=True)
        records = again()
        records.write(Batch(jobs=[{"job": "a"}]))
        records.close()
        reader = again(read_only=True)
        assert only(reader, "SELECT job FROM jobs") == "a"
        with pytest.raises(Unavailable):
            reader.write(Batch(jobs=[{"job": "b"}]))

    def test_a_file_that_another_process_holds_is_unavailable(
        self, tmp_path: Path, again: Callable[[], DuckDbRecords]
    ) -> None:
        again()
        code = (
            "import sys, pathlib\nfrom labwright.adapters.records.duckdb import DuckDbRecords\n"
            "from labwright.domain.errors import Unavailable\n"
            "try: DuckDbRecords(pathlib.Path(sys.argv[1]), read_only=True)\nexcept Unavailable as error: print(error)"
        )
        path = tmp_path / "lab" / "records.duckdb"
        said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
        assert "answers on its socket" in said.stdout


def test_the_file_can_be_read_by_what_the_lock_holds(tmp_path: Path) -> None:
    """Opened without our settings by plain DuckDB: nothing in it depends on us."""
    path = tmp_path / "r.duckdb"
    with closing(DuckDbRecords(path)) as records:
        records.write(Batch(jobs=[{"job": "a", "score": 1.0}]))
    plain = duckdb.connect(str(path), read_only=True)
    assert plain.execute("SELECT job, score FROM jobs").fetchall() == [("a", 1.0)]
    plain.close()
