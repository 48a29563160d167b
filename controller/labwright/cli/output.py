"""An answer in the form a person or a program wants: table, csv, json, parquet or arrow."""

import csv
import json
import math
import sys
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import IO, Any, TextIO

import pyarrow as pa

from labwright.cli.asjson import escaped
from labwright.domain.errors import Refused
from labwright.ports.records import Answer

FORMATS = ("table", "csv", "json", "parquet", "arrow")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SHOWN = {c: f"\\x{c:02x}" for c in (*range(32), 127, *range(128, 160))} | {9: "\\t", 10: "\\n", 13: "\\r"}
_SHOWN |= {
    c: f"\\u{c:04x}" for c in (0x61C, *range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF)
}
_STEERING = {c: shown for c, shown in _SHOWN.items() if c not in (9, 10)}  # a cell may have more than one line


def write_answer(answer: Answer, format: str, out: TextIO, notes: TextIO | None = None) -> int:
    """Writes all rows and says how many. What was cut off is said on `notes` (standard error), so that `out` stays data."""
    if format in ("parquet", "arrow"):
        rows = _binary(answer, format, out)
    elif format == "csv":
        rows = _csv(answer, out)
    elif format == "json":
        rows = _json(answer, out)
    elif format == "table":
        rows = _table(answer, out)
    else:
        raise Refused(f"There is no format {format!r}.", hint="one of " + ", ".join(FORMATS))
    out.flush()
    if answer.truncated:
        print(
            f"(first {rows} rows of more; ask for more with --limit, or for fewer with LIMIT, WHERE or GROUP BY)",
            file=notes or sys.stderr,
        )
    return rows


def plain(value: Any) -> Any:
    """A value of Arrow as JSON has it: NaN and infinities null, times ISO-8601, bytes hexadecimal."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, pa.MonthDayNano):
        return _interval(*value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, str | int | None) else str(value)


def _interval(months: int, days: int, nanoseconds: int) -> str:
    parts = [f"{count} {unit}" for count, unit in ((months, "months"), (days, "days")) if count]
    seconds, rest = divmod(abs(nanoseconds) // 1000, 1_000_000)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}" + (f".{rest:06}" if rest else "")
    return " ".join([*parts, f"-{clock}" if nanoseconds < 0 else clock])


def _rows(answer: Answer) -> Iterator[tuple[Any, ...]]:
    for batch in answer.batches():
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _is_json(field: Any) -> bool:
    """JSON columns travel as text that says so (adapters/records/duckdb/query.py)."""
    return (field.metadata or {}).get(b"type") == b"JSON"


def _csv(answer: Answer, out: TextIO) -> int:
    writer = csv.writer(_UnixLines(out, terminal=out.isatty()))
    writer.writerow([_unformulated(name) for name in answer.schema.names])
    rows = 0
    for row in _rows(answer):
        writer.writerow([_cell(value) for value in row])
        rows += 1
    return rows


class _UnixLines:
    """Lines end in LF, and yet a CR in a cell is quoted, which csv does only where CR ends its lines."""

    def __init__(self, out: TextIO, *, terminal: bool) -> None:
        self._out, self._terminal = out, terminal

    def write(self, line: str) -> int:
        line = line.removesuffix("\r\n")
        return self._out.write((line.translate(_STEERING) if self._terminal else line) + "\n")


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return _unformulated(value)
    if isinstance(value, float) or value is None:
        return value
    simple = plain(value)
    if isinstance(simple, dict | list):
        return json.dumps(simple, ensure_ascii=False)
    return str(simple).lower() if isinstance(simple, bool) else simple


def _unformulated(text: str) -> str:
    """A spreadsheet must not run what a job wrote: text that looks like a formula gets a quote in front."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _json(answer: Answer, out: TextIO) -> int:
    names, embedded = answer.schema.names, [_is_json(field) for field in answer.schema]
    shown = escaped if out.isatty() else str
    rows, start = 0, "[\n"
    for row in _rows(answer):
        cells = (_parsed(value) if inner else plain(value) for value, inner in zip(row, embedded, strict=True))
        line = json.dumps(dict(zip(names, cells, strict=True)), ensure_ascii=False, allow_nan=False)
        out.write(start + shown(line))
        rows, start = rows + 1, ",\n"
    out.write("[]\n" if not rows else "\n]\n")
    return rows


def _parsed(value: Any) -> Any:
    try:
        return plain(json.loads(value)) if isinstance(value, str) else plain(value)
    except ValueError:
        return value


def _binary(answer: Answer, format: str, out: TextIO) -> int:
    if out.isatty():
        raise Refused(
            f"{format} is not for a terminal.", hint=f"send it to a file: lab sql … --format {format} > rows.{format}"
        )
    sink: IO[bytes] = out.buffer
    rows, batches = 0, iter(answer.batches())
    first = next(batches, None)
    with _writer(format, sink, answer.schema) as writer:
        while first is not None:
            writer.write_batch(first)
            rows += first.num_rows
            first = next(batches, None)
    return rows


def _writer(format: str, sink: IO[bytes], schema: Any) -> Any:
    if format == "arrow":
        return pa.ipc.new_stream(sink, schema)
    import pyarrow.parquet as pq

    return pq.ParquetWriter(sink, schema, compression="zstd")


def _table(answer: Answer, out: TextIO) -> int:
    rows = [[_text(value) for value in row] for row in _rows(answer)]
    names = [_visible(name) for name in answer.schema.names]
    right = [_is_number(field.type) for field in answer.schema]
    if out.isatty():
        _rich(names, right, rows, out)
    else:
        for line in _aligned(names, right, [["" if cell is None else cell for cell in row] for row in rows]):
            out.write(line + "\n")
    return len(rows)


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    simple = plain(value)
    return _visible(simple if isinstance(simple, str) else json.dumps(simple, ensure_ascii=False))


def _visible(text: str) -> str:
    """Nothing in a cell may move the cursor or colour the screen."""
    return text.translate(_SHOWN)


def _aligned(names: list[str], right: list[bool], rows: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    for row in (names, ["-" * width for width in widths], *rows):
        cells = zip(row, widths, right, strict=True)
        yield "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in cells
        ).rstrip()


def _rich(names: list[str], right: list[bool], rows: Iterable[list[str | None]], out: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, rows = Console(file=out), list(rows)
    shown = [["NULL" if cell is None else cell for cell in row] for row in rows]
    width = sum(max(map(len, column)) + 2 for column in zip(names, *shown, strict=True))
    if width > console.width and len(names) > 1:  # too wide: one block a row, so that no column is lost
        longest = max(map(len, names))
        for number, row in enumerate(rows, 1):
            console.print(Text(f"── row {number} ──", style="dim"))
            for name, cell in zip(names, row, strict=True):
                value = Text("NULL", style="dim") if cell is None else Text(cell)
                console.print(Text.assemble((name.ljust(longest) + "  ", "bold"), value), soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, to_right in zip(names, right, strict=True):
        table.add_column(Text(name), justify="right" if to_right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text("NULL", style="dim") if cell is None else Text(cell) for cell in row))
    console.print(table)
