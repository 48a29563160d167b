"""docs/spec/tables.md: every table and column in it is there, and every query in it gives rows."""

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from labwright.adapters.records.duckdb import DuckDbRecords
from labwright.adapters.records.duckdb.schema import UPSERTED, VIEWS
from labwright.ports.records import Batch, EventRow, Point
from labwright.testing.records_suite import ask

PAGE = (Path(__file__).parents[2] / "docs" / "spec" / "tables.md").read_text()
QUERIES = re.findall(r"```sql\n(.+?)```", PAGE, re.DOTALL)
SECTIONS = dict(re.findall(r"^## (\w+)\n(.+?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def records() -> Iterator[DuckDbRecords]:
    jobs, attempts, points = [], [], []
    for number, name in enumerate(("jobaaaaaaaaa", "jobbbbbbbbbb")):
        end = NOON + timedelta(hours=1 + number)
        jobs.append(
            {"job": name, "task": "alpha/train", "experiment": "alpha", "state": "COMPLETE", "score": 0.5 + number,
             "params": {"lr": 0.1 * number}, "commit": "c" * 40, "author": "Ada", "generation": 0, "created": NOON,
             "lower_is_better": True, "seconds": 3600.0, "ended": end}
        )  # fmt: skip
        attempts.append(
            {"job": name, "attempt": 1, "provider": "gpu", "outcome": "ok", "submitted": NOON, "started": NOON, "ended": end,
             "seconds": 3600.0, "cpus": 1.0, "gpus": 2.0}
        )  # fmt: skip
        points += [Point(name, 1, "loss", step, 1.0 / (step + 1 + number), NOON) for step in range(3)]
    plan = {
        "plan": "p" * 64,
        "commit": "c" * 40,
        "branch": "main",
        "created": NOON,
        "launched": 2,
        "refused": 0,
        "held": True,
    }
    batch = Batch(
        jobs=jobs,
        attempts=attempts,
        points=points,
        plans=[plan],
        artifacts=[{"job": "jobaaaaaaaaa", "path": "model.pt", "kind": "model", "size": 12}],
        commits=[{"commit": "c" * 40, "branch": "main", "created": NOON, "message": "Try"}],
        approvals=[{"id": "a1", "kind": "confirm", "target": "p", "author": "Grace", "created": NOON}],
        events=[EventRow("jobaaaaaaaaa", 1, NOON, "error", "boom")],
    )
    with closing(DuckDbRecords()) as records:
        records.write(batch)
        yield records


@pytest.mark.parametrize("sql", QUERIES)
def test_every_query_of_the_page_gives_rows(records: DuckDbRecords, sql: str) -> None:
    assert ask(records, sql)


def test_the_page_describes_exactly_the_public_tables_and_has_a_query_for_each() -> None:
    public = {*UPSERTED, "events", "metrics", "params"} | {name for name in VIEWS if "." not in name}
    assert set(SECTIONS) == public
    assert all("```sql" in text for text in SECTIONS.values())


@pytest.mark.parametrize("table", sorted(SECTIONS))
def test_the_page_names_every_column(records: DuckDbRecords, table: str) -> None:
    for column in ask(records, f"DESCRIBE {table}"):
        assert re.search(rf"\b{column['column_name']}\b", SECTIONS[table]), column["column_name"]


def test_every_column_can_be_asked_for_without_quotes(records: DuckDbRecords) -> None:
    for table in SECTIONS:
        for column in ask(records, f"DESCRIBE {table}"):
            name = column["column_name"]
            ask(records, f"SELECT {name} FROM {table} WHERE {name} IS NOT NULL ORDER BY {name} DESC")
            ask(records, f"SELECT t.{name} AS {name} FROM {table} t GROUP BY t.{name}")


def test_show_tables_shows_what_the_page_describes(records: DuckDbRecords) -> None:
    assert {row["name"] for row in ask(records, "SHOW TABLES")} == set(SECTIONS)
