import csv
import io
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labwright.adapters.records.duckdb import DuckDbRecords
from labwright.cli.output import FORMATS, write_answer
from labwright.domain.errors import Refused
from labwright.ports.records import Batch, QueryLimits


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def records() -> Iterator[DuckDbRecords]:
    with closing(DuckDbRecords()) as records:
        records.write(Batch(jobs=[{"job": "a", "params": {"lr": 0.5}}]))
        yield records


def written(records: DuckDbRecords, sql: str, format: str, out: Any = None, rows: int = 100) -> str:
    out = out or io.StringIO()
    write_answer(records.query(sql, QueryLimits(rows=rows)), format, out, io.StringIO())
    return out.getvalue()


MANY = """SELECT 'x' AS s, 12 AS i, 'nan'::DOUBLE AS f, NULL AS z, true AS b, TIMESTAMPTZ '2026-03-01 12:00:00+00' AS t,
    DATE '2026-03-01' AS d, [1, 2] AS l, {'k': 1.5} AS o, INTERVAL 90 MINUTE AS v, 7::HUGEINT AS h, params FROM jobs"""


def test_json_is_a_list_of_objects_that_every_reader_takes(records: DuckDbRecords) -> None:
    [row] = json.loads(written(records, MANY, "json"))
    assert row == {
        "s": "x", "i": 12, "f": None, "z": None, "b": True, "t": "2026-03-01T12:00:00Z", "d": "2026-03-01", "l": [1, 2],
        "o": {"k": 1.5}, "v": "01:30:00", "h": 7, "params": {"lr": 0.5},
    }  # fmt: skip
    assert json.loads(written(records, "FROM jobs WHERE false", "json")) == []
    assert len(json.loads(written(records, "FROM range(3)", "json"))) == 3


def test_csv_runs_nothing_in_a_spreadsheet(records: DuckDbRecords) -> None:
    formulas = ["=1+1", "+1", "-1", "@SUM(1)", "\tx", "\rx"]
    for text in formulas:
        [_, [name, cell]] = csv.reader(
            io.StringIO(written(records, f"SELECT 'ok' AS a, '{text}' AS b", "csv"), newline="")
        )
        assert (name, cell) == ("ok", "'" + text)
    assert written(records, "SELECT -1.5 AS \"=x\", NULL AS n, 'a,b' AS c", "csv") == '\'=x,n,c\n-1.5,,"a,b"\n'


def test_parquet_and_arrow_are_whole_files(records: DuckDbRecords) -> None:
    for size in (0, 50_000):
        for format in ("parquet", "arrow"):
            sink = io.BytesIO()
            with io.TextIOWrapper(sink, write_through=True) as out:
                assert write_answer(records.query(f"FROM range({size})", QueryLimits()), format, out) == size
                data = sink.getvalue()
            reader = pq.ParquetFile(io.BytesIO(data)).read if format == "parquet" else pa.ipc.open_stream(data).read_all
            assert reader().num_rows == size


def test_bytes_are_not_sent_to_a_terminal(records: DuckDbRecords) -> None:
    for format in ("parquet", "arrow"):
        with pytest.raises(Refused, match="not for a terminal") as refusal:
            written(records, "SELECT 1", format, Terminal())
        assert f"rows.{format}" in refusal.value.hint


def test_a_table_in_a_pipe_is_aligned_text(records: DuckDbRecords) -> None:
    sql = "SELECT 'ab' AS name, 1.25 AS value, NULL AS z UNION ALL SELECT 'c', 100, NULL ORDER BY 1"
    assert written(records, sql, "table").splitlines() == [
        "name  value  z",
        "----  -----  -",
        "ab     1.25",
        "c       100",
    ]


def test_a_table_that_is_too_wide_for_the_terminal_keeps_every_column(
    records: DuckDbRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    wide = "SELECT " + ", ".join(f"'value {i}' AS column_{i}" for i in range(20))
    shown = written(records, wide, "table", Terminal())
    assert all(f"column_{i} " in shown and f"value {i}" in shown for i in range(20))
    narrow = written(records, "SELECT 1 AS a, NULL AS b", "table", Terminal())
    assert "row 1" not in narrow
    assert "NULL" in narrow


def test_nothing_in_a_cell_moves_the_cursor_or_is_markup(records: DuckDbRecords) -> None:
    sql = "SELECT 'a' || chr(27) || '[2Jb' || chr(10) || 'c' || chr(155) AS x, '[red]r[/red]' AS y"
    for out in (io.StringIO(), Terminal()):
        shown = written(records, sql, "table", out)
        assert "\\x1b[2Jb\\nc\\x9b" in shown
        assert "\x1b[2J" not in shown
        assert "[red]r[/red]" in shown


def test_what_was_cut_off_is_said_beside_the_rows(records: DuckDbRecords) -> None:
    for format in ("table", "csv", "json"):
        out, notes = io.StringIO(), io.StringIO()
        assert write_answer(records.query("FROM range(10)", QueryLimits(rows=3)), format, out, notes) == 3
        assert notes.getvalue().startswith("(first 3 rows of more;")
        assert "more" not in out.getvalue()
    notes = io.StringIO()
    write_answer(records.query("FROM range(3)", QueryLimits(rows=3)), "csv", io.StringIO(), notes)
    assert notes.getvalue() == ""


def test_an_unknown_format_is_refused_with_the_known_ones(records: DuckDbRecords) -> None:
    with pytest.raises(Refused) as refusal:
        written(records, "SELECT 1", "xml")
    assert all(format in refusal.value.hint for format in FORMATS)


def test_r33_nothing_in_a_cell_changes_the_direction_of_reading() -> None:
    from labwright.cli.output import _visible

    assert _visible("a\u202eb\u200bc\u061cd") == "a\\u202eb\\u200bc\\u061cd"
