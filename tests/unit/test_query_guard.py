import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from labwright.adapters.records.duckdb import DuckDbRecords
from labwright.domain.errors import Refused
from labwright.ports.records import Batch, QueryLimits
from labwright.testing.records_suite import ask, only, points

LIMITS = QueryLimits()
SECRET = "sesame-open"


@pytest.fixture(params=["file", "memory"])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DuckDbRecords]:
    path = tmp_path / "records.duckdb" if request.param == "file" else None
    with closing(DuckDbRecords(path)) as records:
        records.write(Batch(jobs=[{"job": "a", "state": "COMPLETE"}], points=points("a", "loss", [1.0, 2.0])))
        yield records


READS = [
    "SELECT 1",
    "FROM jobs",
    "WITH x AS (SELECT * FROM jobs) SELECT * FROM x;",
    "VALUES (1), (2)",
    "DESCRIBE metrics",
    "SHOW TABLES",
    "SUMMARIZE final_metrics",
    "EXPLAIN SELECT * FROM metrics",
    "EXPLAIN ANALYZE SELECT * FROM metrics",
    "PIVOT metrics ON name USING last(value) GROUP BY job",
    "-- a comment\nSELECT 1 -- another; SELECT 2",
]


@pytest.mark.parametrize("sql", READS)
def test_every_statement_that_reads_is_answered(records: DuckDbRecords, sql: str) -> None:
    assert ask(records, sql)


WRITES = [
    "INSERT INTO jobs (job) VALUES ('b')",
    "UPDATE jobs SET state = 'FAILED'",
    "DELETE FROM jobs",
    "DELETE FROM jobs RETURNING *",
    "MERGE INTO jobs USING (SELECT 'a' AS job) s ON jobs.job = s.job WHEN MATCHED THEN DELETE",
    "TRUNCATE jobs",
    "DROP TABLE jobs",
    "ALTER TABLE jobs ADD COLUMN x INTEGER",
    "CREATE TABLE x AS SELECT 1",
    "CREATE OR REPLACE VIEW jobs AS SELECT 1",
    "CREATE TEMP TABLE jobs AS SELECT 1",
    "CREATE TEMP MACRO f() AS 1",
    "CREATE SECRET s (TYPE s3)",
    "EXPLAIN ANALYZE DELETE FROM jobs",
    "EXPLAIN ANALYZE INSERT INTO jobs (job) VALUES ('b')",
    "WITH x AS (SELECT 1) INSERT INTO jobs (job) SELECT 'b'",
    "PREPARE p AS DELETE FROM jobs",
    "EXECUTE p",
    "SELECT 1; SELECT 2",
    "SELECT 1; DELETE FROM jobs",
    "SELECT 1; ROLLBACK; DELETE FROM jobs",
    "ROLLBACK",
    "COMMIT",
    "BEGIN",
    "CHECKPOINT",
    "FORCE CHECKPOINT",
    "VACUUM",
    "ANALYZE",
    "USE memory",
    "CREATE TEMP TABLE x AS SELECT 1; SELECT * FROM x",
    "SELECT * FROM query('DELETE FROM jobs')",
    "SELECT * FROM query('SELECT 1; DROP TABLE jobs')",
    "FROM json_execute_serialized_sql(json_serialize_sql('DELETE FROM jobs'))",
]
SETTINGS = [
    "SET memory_limit = '64GB'",
    "SET enable_external_access = true",
    "SET SESSION python_enable_replacements = true",
    "SET GLOBAL threads = 64",
    "RESET lock_configuration",
    "PRAGMA memory_limit = '64GB'",
    "PRAGMA enable_profiling",
    "CALL enable_logging()",
    "SET VARIABLE x = 1",
    "SELECT set_config('threads', '1', false)",
]
OUTSIDE = [
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM read_text('{file}')",
    "SELECT * FROM read_blob('{file}')",
    "SELECT * FROM read_json('{file}')",
    "SELECT * FROM read_parquet('{file}')",
    "SELECT * FROM parquet_metadata('{file}')",
    "SELECT * FROM sniff_csv('{file}')",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM '{file}'",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM 'https://example.org/x.csv'",
    "SELECT * FROM read_parquet('s3://bucket/x')",
    "SELECT * FROM '{folder}/*.csv'",
    "COPY jobs TO '{folder}/out.csv'",
    "COPY jobs FROM '{file}'",
    "COPY (SELECT 1) TO '{folder}/out.parquet'",
    "EXPORT DATABASE '{folder}/out'",
    "IMPORT DATABASE '{folder}'",
    "ATTACH '{folder}/other.duckdb' AS other",
    "ATTACH ':memory:' AS other",
    "DETACH records",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{folder}/x.duckdb_extension'",
    "UPDATE EXTENSIONS",
    "SELECT getenv('LABWRIGHT_TEST_SECRET')",
    "FROM duckdb_secrets()",
    "SELECT * FROM query_table('{file}')",
    "SELECT * FROM query('FROM read_text(''{file}'')')",
    "FROM which_secret('s3://bucket', 's3')",
    "SELECT * FROM sqlite_scan('{file}', 'x')",
    "SELECT * FROM postgres_scan('', '', '')",
    "SELECT * FROM python_map_function()",
]


@pytest.mark.parametrize("sql", WRITES + SETTINGS + OUTSIDE)
def test_nothing_but_reading_the_tables_is_possible(
    records: DuckDbRecords, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABWRIGHT_TEST_SECRET", SECRET)
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.csv").write_text(f"x\n{SECRET}\n")
    with pytest.raises(Refused) as refusal:
        ask(records, sql.format(file=folder / "secret.csv", folder=folder))
    assert SECRET not in str(refusal.value)
    assert [path.name for path in folder.iterdir()] == ["secret.csv"]
    assert ask(records, "SELECT job, state FROM jobs") == [{"job": "a", "state": "COMPLETE"}]
    assert only(records, "SELECT current_setting('enable_external_access')") in (False, "false")


def test_variables_of_python_cannot_be_read(records: DuckDbRecords) -> None:
    import pyarrow as pa

    secret_table = pa.table({"x": [SECRET]})
    with pytest.raises(Refused, match="does not exist"):
        ask(records, "SELECT * FROM secret_table")
    assert secret_table.num_rows == 1


def test_what_a_query_makes_is_gone_with_it(records: DuckDbRecords) -> None:
    ask(records, "PIVOT metrics ON name USING last(value)")
    assert only(records, "SELECT count(*) FROM duckdb_types() WHERE type_name LIKE '%pivot%'") == 0
    records.write(Batch(jobs=[{"job": "b"}]))


def test_an_error_is_told_in_duckdb_s_words_with_its_proposal(records: DuckDbRecords) -> None:
    with pytest.raises(Refused, match='Did you mean "metrics"'):
        ask(records, "SELECT * FROM metricz")
    with pytest.raises(Refused, match="state"):
        ask(records, "SELECT stat FROM jobs")
    with pytest.raises(Refused, match="syntax error"):
        ask(records, "SELEKT 1")
    with pytest.raises(Refused, match="empty"):
        ask(records, " ; ")
    with pytest.raises(Refused, match="2 statements"):
        ask(records, "SELECT 1; SELECT 2")
    with pytest.raises(Refused, match="read-only"):
        ask(records, "DROP TABLE jobs")


def test_rows_beyond_the_limit_are_cut_and_said(records: DuckDbRecords) -> None:
    for limit, have, cut in ((10, 10, False), (9, 9, True), (0, 0, True), (30_000, 30_000, True)):
        size = 40_000 if limit == 30_000 else 10
        answer = records.query(f"SELECT * FROM range({size})", QueryLimits(rows=limit))
        assert sum(batch.num_rows for batch in answer.batches()) == have
        assert answer.truncated is cut


def test_a_query_over_its_time_is_stopped(records: DuckDbRecords) -> None:
    slow = "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b"
    with pytest.raises(Refused, match=r"stopped after its 0\.2 seconds"):
        list(records.query(slow, QueryLimits(seconds=0.2)).batches())
    assert only(records, "SELECT count(*) FROM jobs") == 1


def test_an_answer_that_nobody_reads_is_closed_at_its_time(records: DuckDbRecords) -> None:
    answer = records.query("SELECT * FROM range(1000000)", QueryLimits(seconds=0.1))
    threading.Event().wait(0.5)
    with pytest.raises(Refused, match=r"stopped after its 0\.1 seconds"):
        list(answer.batches())


def test_memory_is_limited(tmp_path: Path) -> None:
    with closing(DuckDbRecords(None, memory_mb=64)) as records:
        with pytest.raises(Refused, match="Out of Memory"):
            ask(records, "SELECT list(i) FROM range(100000000) t(i)")
        assert only(records, "SELECT 1") == 1


def test_the_answer_says_which_columns_are_json(records: DuckDbRecords) -> None:
    answer = records.query("SELECT job, params FROM jobs", LIMITS)
    list(answer.batches())
    assert [field.metadata for field in answer.schema] == [None, {b"type": b"JSON"}]


def test_queries_run_beside_each_other_and_beside_the_writer(records: DuckDbRecords) -> None:
    failures: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(20):
                count = only(records, "SELECT count(*) FROM metrics")
                summed = only(records, "SELECT sum(count) FROM final_metrics")
                assert count <= summed
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for i in range(30):
        records.write(Batch(points=points("a", "loss", [1.0] * 5, step=10 + i)))
    for reader in readers:
        reader.join()
    assert failures == []
    assert only(records, "SELECT count(*) FROM metrics") == 152
