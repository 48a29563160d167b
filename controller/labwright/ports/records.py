"""The read model: everything that people ask in SQL (docs/spec/tables.md)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol


class Point(NamedTuple):
    """One value of one metric. `rank` is 0 but for the files of other ranks. (A tuple: they come by the million.)"""

    job: str
    attempt: int
    name: str
    step: int | None
    value: float
    at: datetime
    rank: int = 0


@dataclass(frozen=True, slots=True)
class EventRow:
    job: str
    attempt: int
    at: datetime
    kind: str  # state progress log config artifact checkpoint finish error …
    message: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one tick brings to the records, written in one transaction: rows and the offsets they were read up to.

    jobs, attempts, artifacts, commits, plans and approvals are mappings of column → value with the names of
    docs/spec/tables.md. A row of a known key replaces the columns that it names and keeps the others. Points and events are
    only ever appended."""

    jobs: Sequence[Mapping[str, Any]] = ()
    attempts: Sequence[Mapping[str, Any]] = ()
    artifacts: Sequence[Mapping[str, Any]] = ()
    commits: Sequence[Mapping[str, Any]] = ()
    plans: Sequence[Mapping[str, Any]] = ()
    approvals: Sequence[Mapping[str, Any]] = ()
    points: Sequence[Point] | Any = ()  # or a pyarrow.Table with the columns of `Records.series`
    events: Sequence[EventRow] = ()
    offsets: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (token, file) → bytes read so far


@dataclass(frozen=True, slots=True)
class QueryLimits:
    seconds: float = 30.0
    rows: int = 1_000_000
    memory_mb: int = 1024


class Answer(Protocol):
    """Rows of a query in Arrow form."""

    @property
    def truncated(self) -> bool:
        """True once more rows than the limit were there."""
        ...

    def batches(self) -> Iterable[Any]:
        """pyarrow.RecordBatch, streamed."""
        ...

    @property
    def schema(self) -> Any: ...


class Records(Protocol):
    def write(self, batch: Batch) -> None:
        """All of it or nothing. Writing the same rows again changes nothing but points and events, which `offsets` guards."""
        ...

    def offsets(self, tokens: Sequence[str]) -> Mapping[tuple[str, str], int]: ...

    def series(self, jobs: Sequence[str]) -> Any:
        """pyarrow.Table of all points of these jobs: job, attempt, name, step, value, at, rank; by name, step, at."""
        ...

    def query(self, sql: str, limits: QueryLimits) -> Answer:
        """One read-only statement. Raises Refused for anything else, for a time-out and for an error in the SQL, in DuckDB's
        own words. No file, no network, no setting can be reached from it."""
        ...

    def close(self) -> None: ...
