"""What old records have and the results branch has not: jobs that were never published, plans, commits, human acts."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from labwright.decide.rows import attempt_row, job_row
from labwright.domain.lifecycle import FINAL
from labwright.domain.task import Task
from labwright.ports.ledger import Ledger
from labwright.ports.records import Batch, EventRow, QueryLimits, Records

_CHUNK = 500
_LIMITS = QueryLimits(seconds=600, rows=100_000_000)
_NOTES = ("commits", "plans", "approvals")


def salvage(old: Records, new: Records, leave: Collection[str]) -> int:
    """Copy all jobs that `new` does not have, but for `leave` (they will be read again from their provider); how many."""
    have = {row["job"] for row in _rows(new, "SELECT job FROM jobs")}
    ids = [row["job"] for row in _rows(old, "SELECT job FROM jobs ORDER BY created, job")]
    missing = [job for job in ids if job not in have and job not in leave]
    for start in range(0, len(missing), _CHUNK):
        new.write(_copy(old, missing[start : start + _CHUNK]))
    commits, plans, approvals = (list(_rows(old, f"SELECT * FROM {name}")) for name in _NOTES)  # noqa: S608
    new.write(Batch(commits=commits, plans=plans, approvals=approvals))
    return len(missing)


def _copy(old: Records, jobs: Sequence[str]) -> Batch:
    among = "job IN (" + ", ".join("'" + job.replace("'", "''") + "'" for job in jobs) + ")"
    names = ("jobs", "attempts", "artifacts")
    rows, tries, artifacts = (list(_rows(old, f"SELECT * FROM {name} WHERE {among}")) for name in names)  # noqa: S608
    events = [
        EventRow(row["job"], row["attempt"], row["time"], row["kind"], row["message"] or "", row["data"] or {})
        for row in _rows(old, f"SELECT * FROM events WHERE {among} ORDER BY time")  # noqa: S608
    ]
    series = old.series(jobs)
    points = series if len(series) else ()
    return Batch(jobs=rows, attempts=tries, artifacts=artifacts, points=points, events=events)


def _rows(records: Records, sql: str) -> Iterator[dict[str, Any]]:
    for batch in records.query(sql, _LIMITS).batches():
        texts = [f.name for f in batch.schema if (f.metadata or {}).get(b"type") == b"JSON"]
        for row in batch.to_pylist():
            yield row | {name: json.loads(row[name]) for name in texts if row[name] is not None}


def unpublished_rows(ledger: Ledger, records: Records) -> int:
    """Rows of finished jobs that only the ledger knows: stopped before they ran, or of a lab that publishes nothing."""
    have = {row["job"] for row in _rows(records, "SELECT job FROM jobs")}
    jobs = [job for job in ledger.jobs(states=FINAL) if job.id not in have]
    specs: Mapping[Any, str] = ledger.contents({job.spec for job in jobs})
    attempts: dict[str, list[Any]] = {}
    for attempt in ledger.attempts([job.id for job in jobs]) if jobs else ():
        attempts.setdefault(attempt.job, []).append(attempt)
    rows, tries = [], []
    for job in jobs:
        if job.spec in specs:
            task = Task.from_json(specs[job.spec])
            rows.append(job_row(job, task, attempts.get(job.id, ())))
            tries += [attempt_row(attempt, task) for attempt in attempts.get(job.id, ())]
    if rows:
        records.write(Batch(jobs=rows, attempts=tries))
    return len(rows)
