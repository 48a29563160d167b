"""Records filled from the files of a results branch, and the bytes of `metrics.parquet` that go there.

The branch may be anybody's: what is not in order is left out and named, never fatal."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from labwright.decide.rows import joined, rows_of
from labwright.domain.errors import LabError, Refused
from labwright.domain.manifest import Manifest
from labwright.ports.records import Batch, QueryLimits, Records

MANIFEST = 32 << 20  # bytes; ours have fewer, by the limits of files, artifacts and metrics
PARQUET = 256 << 20
UNPACKED = 2 << 30  # bytes of all columns: a small file may say that it is very large
ROWS = 20_000_000
NAME = 200
SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("step", pa.int64()),
        ("value", pa.float64()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("attempt", pa.int32()),
        ("rank", pa.int32()),
    ]
)
_PATH = re.compile(r"results/(?P<task>.+)/(?P<job>[a-z2-7]{12})/(?P<file>manifest\.json|metrics\.parquet)")
_ENOUGH = 250_000  # points of one transaction
_JOBS = 1_000
_FAULTS = (LabError, pa.ArrowException, ValidationError, ValueError, OSError, OverflowError, MemoryError)


def metrics_parquet(series: pa.Table) -> bytes:
    """`Records.series` of one job as a small Parquet file: name, step, value, at, attempt, rank."""
    out = io.BytesIO()
    with pq.ParquetWriter(
        out,
        SCHEMA,
        compression="zstd",
        use_dictionary=["name"],
        write_statistics=False,
        store_schema=False,
    ) as writer:
        writer.write_table(series.select(SCHEMA.names).cast(SCHEMA))
    return out.getvalue()


def read_metrics(data: bytes) -> pa.Table:
    """The table of a `metrics.parquet`. Raises Refused or pyarrow's errors for a file that is not one, or not of our size."""
    if len(data) > PARQUET:
        raise Refused(f"larger than {PARQUET >> 20} MB")
    file = pq.ParquetFile(pa.BufferReader(data))
    meta = file.metadata
    unpacked = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
    if meta.num_rows > ROWS or unpacked > UNPACKED:
        raise Refused(f"unpacks to {meta.num_rows} rows, {unpacked >> 20} MB")
    table = file.read(columns=SCHEMA.names, use_threads=False)
    if missing := set(SCHEMA.names) - set(table.column_names):
        raise Refused(f"no column {', '.join(sorted(missing))}")
    table = table.select(SCHEMA.names).cast(SCHEMA)
    if any(table[name].null_count for name in SCHEMA.names if name != "step"):
        raise Refused("empty values")
    if len(table) and pc.max(pc.utf8_length(table["name"])).as_py() > NAME:
        raise Refused(f"a metric's name is longer than {NAME}")
    return table


@dataclass(slots=True)
class Loaded:
    jobs: int = 0
    points: int = 0
    warnings: list[str] = field(default_factory=list)  # a sentence for each file that was left out


def load(files: Iterator[tuple[str, bytes]], records: Records) -> Loaded:
    """Fill records from `results/<task>/<job>/{manifest.json,metrics.parquet}`; other files are passed over.

    In path order, as git lists them: a job is then written whole or not. May be repeated: rows are replaced, and points are
    added only to jobs that have none."""
    loading = _Loading(records, Loaded(), _with_points(records))
    for path, data in files:
        if found := _PATH.fullmatch(path):
            try:
                loading.take(found, data)
            except _FAULTS as error:
                loading.warn(path, error)
    loading.flush()
    for job in loading.orphans:
        loading.done.warnings.append(f"metrics.parquet of {job}: no manifest.json beside it that could be read")
    return loading.done


def _with_points(records: Records) -> set[str]:
    answer = records.query("SELECT DISTINCT job FROM final_metrics", QueryLimits(rows=100_000_000))
    return {job for batch in answer.batches() for job in batch.column(0).to_pylist()}


class _Loading:
    def __init__(self, records: Records, done: Loaded, full: set[str]) -> None:
        self.records, self.done, self.full = records, done, full
        self.manifests: dict[str, Batch] = {}  # not yet written
        self.tables: dict[str, pa.Table] = {}  # of these
        self.orphans: dict[str, pa.Table] = {}  # metrics that came before their manifest
        self.known: set[str] = set()

    def take(self, path: re.Match[str], data: bytes) -> None:
        job = path["job"]
        if path["file"] == "manifest.json":
            self.manifests[job] = _rows(path, data)
            self.known.add(job)
            if (early := self.orphans.pop(job, None)) is not None:
                self.tables[job] = early
            if len(self.manifests) >= _JOBS:
                self.flush_before(job)
        elif job not in self.full:
            self.full.add(job)
            table = read_metrics(data)
            table = table.add_column(
                0, "job", pa.array([job], pa.string()).take(pa.nulls(len(table), pa.int32()).fill_null(0))
            )
            (self.tables if job in self.known else self.orphans)[job] = table
            if sum(map(len, self.tables.values())) >= _ENOUGH:
                self.flush()

    def flush_before(self, job: str) -> None:
        """All but this job, whose metrics may be the next file."""
        kept, table = self.manifests.pop(job), self.tables.pop(job, None)
        self.flush()
        self.manifests[job] = kept
        if table is not None:
            self.tables[job] = table

    def flush(self) -> None:
        try:
            self._write(list(self.manifests), list(self.tables))
        except Refused:  # one of them: find it
            for job in dict.fromkeys([*self.manifests, *self.tables]):
                try:
                    self._write([job] if job in self.manifests else [], [job] if job in self.tables else [])
                except Refused as error:
                    self.warn(job, error)
        self.manifests.clear()
        self.tables.clear()

    def _write(self, jobs: list[str], with_points: list[str]) -> None:
        rows = joined(self.manifests[job] for job in jobs)
        points = pa.concat_tables(self.tables[job] for job in with_points) if with_points else ()
        self.records.write(Batch(jobs=rows.jobs, attempts=rows.attempts, artifacts=rows.artifacts, points=points))
        self.done.jobs += len(jobs)
        self.done.points += len(points)

    def warn(self, where: str, error: Exception) -> None:
        first = str(error).strip().splitlines()
        self.done.warnings.append(f"{where}: left out: {first[0] if first else type(error).__name__}")


def _rows(path: re.Match[str], data: bytes) -> Batch:
    if len(data) > MANIFEST:
        raise Refused(f"larger than {MANIFEST >> 20} MB")
    manifest = Manifest.model_validate_json(data)
    if (manifest.job, manifest.task) != (path["job"], path["task"]):
        raise Refused(f"speaks of job {manifest.job!r} of {manifest.task!r}")
    return rows_of(manifest)
