"""One read-only statement of a stranger, on a database that can reach nothing but its own tables.

What holds it: the instance has no file system, no network, no extension and no Python variable to reach, and its settings
are locked (records.py); here the text must be one statement that reads, and it runs in a transaction that cannot write.
"""

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import pyarrow as pa

from labwright.adapters.records.duckdb.schema import run
from labwright.domain.errors import Refused
from labwright.ports.records import QueryLimits

BATCH = 16_384  # rows of one record batch
_READS = {"SELECT", "EXPLAIN"}
_PIVOT = re.compile(r"\s*(PIVOT|FROM|SELECT|WITH)\b", re.IGNORECASE)  # DuckDB 2.0 calls a PIVOT "MULTI"
_HINT = "one statement that reads: SELECT, WITH, FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE, PIVOT or EXPLAIN"


def check_reads(sql: str) -> None:
    """Raises Refused unless the text is one statement that reads."""
    try:
        statements = duckdb.extract_statements(sql)
        kinds = [statement.type.name for statement in statements]
    except duckdb.Error as error:
        raise _refused(error) from None
    except ValueError:  # a kind of statement that this binding has no name for
        raise Refused("The records are read-only, and this is something else.", hint=_HINT) from None
    if not kinds:
        raise Refused("The query is empty.", hint=_HINT)
    if len(kinds) > 1 and not (kinds[-1] == "SELECT" and not any(s.query.strip() for s in statements)):
        raise Refused(f"The query has {len(kinds)} statements.", hint=_HINT)  # a PIVOT is split in two without a text
    if kinds[-1] not in _READS and not (kinds == ["MULTI"] and _PIVOT.match(sql)):
        raise Refused(f"The records are read-only, and this is {kinds[-1]}.", hint=_HINT)


def _refused(error: Exception) -> Refused:
    text = str(error).strip()
    hint = next((line.strip() for line in text.splitlines() if "Did you mean" in line), "")
    return Refused(text, hint=hint and "tables and columns: docs/spec/tables.md")


class DuckAnswer:
    """A running query. It holds its cursor until its last batch, `close`, or its time limit."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, limits: QueryLimits) -> None:
        self._cursor, self._limits = cursor, limits
        self._reader: Any = None
        self._schema = pa.schema([])
        self._lock = threading.Lock()  # one thread inside DuckDB, or the timer closing it
        self._late = self._closed = False
        self._timer = threading.Timer(limits.seconds, self._expire)
        self._timer.daemon = True
        self.truncated = False

    @property
    def schema(self) -> pa.Schema:
        """JSON columns are text whose field has the metadata `type: JSON`."""
        return self._schema

    def start(self, sql: str) -> None:
        self._timer.start()
        self._reader = self._guarded(lambda: self._run(sql))

    def _run(self, sql: str) -> Any:
        run(self._cursor, "BEGIN TRANSACTION READ ONLY")
        self._cursor.execute(sql)
        kinds = [str(column[1]) for column in self._cursor.description or ()]
        reader = self._cursor.to_arrow_reader(BATCH)
        fields = zip(reader.schema, kinds, strict=True)
        self._schema = pa.schema([f.with_metadata({"type": "JSON"}) if kind == "JSON" else f for f, kind in fields])
        return reader

    def batches(self) -> Iterator[pa.RecordBatch]:
        left = self._limits.rows
        try:
            while (batch := self._guarded(self._next)) is not None:
                if batch.num_rows > left:
                    self.truncated = True
                if batch.num_rows and left:
                    yield pa.RecordBatch.from_arrays(batch.slice(0, left).columns, schema=self._schema)
                left -= min(left, batch.num_rows)
                if self.truncated:
                    return
        finally:
            self.close()

    def _next(self) -> pa.RecordBatch | None:
        try:
            return self._reader.read_next_batch()
        except StopIteration:
            return None

    def _guarded(self, act: Callable[[], Any]) -> Any:
        try:
            with self._lock:
                if self._closed:
                    raise duckdb.InterruptException("closed")
                return act()
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            self.close()
            if self._late:
                raise Refused(
                    f"The query was stopped after its {self._limits.seconds:g} seconds.",
                    hint="ask for fewer rows, or one job, task or metric",
                ) from None
            raise _refused(error) from None

    def _expire(self) -> None:
        self._late = True
        while not self._lock.acquire(timeout=0.05):  # an interrupt between two statements would be forgotten
            self._cursor.interrupt()
        self._lock.release()
        self.close()

    def close(self) -> None:
        """Frees the cursor and its transaction. Safe to call again, and from another thread."""
        self._timer.cancel()
        with self._lock:
            if not self._closed:
                self._closed = True
                self._cursor.close()
