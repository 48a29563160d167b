"""The tables and views of docs/spec/tables.md, and how rows of Python values become Arrow tables of their types.

`store.points` and `store.series` are the storage behind `metrics` and `final_metrics`. A series is one metric of one attempt and rank;
its number is given at its first point, so that numbers of jobs that run at the same time lie close together: a search for
one series skips nearly all of `points` by the smallest and largest number of each row group. `series` also keeps the
summary of every series, written with the points themselves: `final_metrics` never reads `points`.
"""

import json
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

# DuckDB 2.0 warns of a copy; what it proposes instead cannot run EXPLAIN or PIVOT on a read-only transaction's cursor.
warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")
_ARROW = {
    "VARCHAR": pa.string(),
    "JSON": pa.string(),
    "DOUBLE": pa.float64(),
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    key: tuple[str, ...]
    columns: Mapping[str, str]  # name → SQL type

    @property
    def full_name(self) -> str:
        return self.name if "." in self.name else f"main.{self.name}"

    @property
    def ddl(self) -> str:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in self.columns.items())
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({columns})"

    def arrow(self, columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> pa.Table:
        """Rows that all have these columns, as a table of this table's types."""
        rows, names = list(rows), list(columns)
        arrays = [
            pa.array([_plain(row[name], self.columns[name]) for row in rows], _ARROW[self.columns[name]])
            for name in names
        ]
        return pa.Table.from_arrays(arrays, names=names)


def _plain(value: Any, kind: str) -> Any:
    if value is None or kind not in ("JSON", "VARCHAR"):
        return value
    return to_json(value) if kind == "JSON" else sound(str(value))


def to_json(value: Any) -> str:
    return json.dumps(_jsonable(value), ensure_ascii=False, separators=(",", ":"))


def _jsonable(value: Any) -> Any:
    """NaN and infinities as the texts "NaN" "Infinity" "-Infinity": JSON has no number for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {sound(str(key)): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    return value if isinstance(value, (int, float, bool, type(None))) else sound(str(value))


def sound(text: str) -> str:
    """Text that DuckDB takes: no NUL, no half of a character."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def run(con: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    """Executes and fetches to the end, without which DuckDB 2.0 does nothing else on the connection."""
    return con.execute(sql).fetchall()


def _table(name: str, key: str, columns: str) -> Table:
    pairs = (part.split() for part in columns.split(",") if part.strip())
    return Table(name, tuple(key.split()), {pair[0]: pair[1] for pair in pairs})


JOBS = _table(
    "jobs",
    "job",
    """job VARCHAR, task VARCHAR, experiment VARCHAR, state VARCHAR, reason VARCHAR, score DOUBLE, scores JSON,
    generation INTEGER, trial INTEGER, work_digest VARCHAR, params JSON, needs JSON, provider VARCHAR,
    commit VARCHAR, branch VARCHAR, author VARCHAR, plan VARCHAR, created TIMESTAMPTZ, started TIMESTAMPTZ,
    ended TIMESTAMPTZ, seconds DOUBLE, attempt INTEGER, exit_code INTEGER, signal INTEGER, node VARCHAR,
    outcome VARCHAR, cpus DOUBLE, gpus DOUBLE, sweep_metric VARCHAR, lower_is_better BOOLEAN, progress DOUBLE,
    source JSON, environment VARCHAR, log_tail VARCHAR""",
)
ATTEMPTS = _table(
    "attempts",
    "job attempt",
    """job VARCHAR, attempt INTEGER, provider VARCHAR, node VARCHAR, outcome VARCHAR, exit_code INTEGER,
    signal INTEGER, submitted TIMESTAMPTZ, started TIMESTAMPTZ, running TIMESTAMPTZ, ended TIMESTAMPTZ,
    seconds DOUBLE, cpus DOUBLE, gpus DOUBLE, detail VARCHAR""",
)
ARTIFACTS = _table(
    "artifacts",
    "job path",
    "job VARCHAR, path VARCHAR, kind VARCHAR, size BIGINT, sha256 VARCHAR, uri VARCHAR",
)
COMMITS = _table(
    "commits",
    "commit",
    """commit VARCHAR, branch VARCHAR, author VARCHAR, email VARCHAR, created TIMESTAMPTZ, message VARCHAR,
    plan VARCHAR""",
)
PLANS = _table(
    "plans",
    "plan",
    """plan VARCHAR, commit VARCHAR, branch VARCHAR, created TIMESTAMPTZ, launched INTEGER, reused INTEGER,
    superseded INTEGER, refused INTEGER, held BOOLEAN, confirmed VARCHAR, detail JSON""",
)
APPROVALS = _table(
    "approvals",
    "id",
    """id VARCHAR, kind VARCHAR, target VARCHAR, author VARCHAR, created TIMESTAMPTZ, done TIMESTAMPTZ,
    answer VARCHAR, arguments JSON""",
)
EVENTS = _table(
    "events", "", "job VARCHAR, attempt INTEGER, time TIMESTAMPTZ, kind VARCHAR, message VARCHAR, data JSON"
)
PARAMS = _table("params", "job name", "job VARCHAR, name VARCHAR, value VARCHAR, number DOUBLE")
OFFSETS = _table("store.offsets", "token file", "token VARCHAR, file VARCHAR, bytes BIGINT")
SERIES = _table(
    "store.series",
    "id",
    """id INTEGER, job VARCHAR, attempt INTEGER, name VARCHAR, rank INTEGER, count BIGINT, last DOUBLE,
    last_step BIGINT, last_time TIMESTAMPTZ, min DOUBLE, max DOUBLE""",
)
POINTS = _table("store.points", "", "series INTEGER, step BIGINT, value DOUBLE, time TIMESTAMPTZ")

UPSERTED = {
    "jobs": JOBS,
    "attempts": ATTEMPTS,
    "artifacts": ARTIFACTS,
    "commits": COMMITS,
    "plans": PLANS,
    "approvals": APPROVALS,
}
TABLES = (*UPSERTED.values(), EVENTS, PARAMS, OFFSETS, SERIES, POINTS)

VIEWS = {
    "metrics": """
        SELECT s.job, s.attempt, s.name, p.step, p.value, p.time, s.rank
        FROM store.points p JOIN store.series s ON p.series = s.id""",
    "store.other_ranks": """
        SELECT * EXCLUDE (lowest) FROM (
            SELECT *, min(rank) OVER (PARTITION BY job, name) AS lowest FROM store.series s WHERE rank > 0
            AND NOT EXISTS (FROM store.series z WHERE z.rank = 0 AND z.job = s.job AND z.name = s.name)
        ) WHERE rank = lowest""",
    "final_metrics": """
        SELECT job, name, arg_max(last, attempt) AS last, min(min) AS min, max(max) AS max,
               sum(count)::BIGINT AS count, arg_max_null(last_step, attempt) AS last_step
        FROM (FROM store.series WHERE rank = 0 UNION ALL FROM store.other_ranks) GROUP BY job, name""",
    "leaderboard": """
        SELECT task, row_number() OVER (PARTITION BY task ORDER BY
                 CASE WHEN lower_is_better THEN score ELSE -score END, ended, job) AS place,
               job, score, sweep_metric, lower_is_better, params, commit, branch, author, generation, trial,
               seconds, ended
        FROM jobs WHERE state = 'COMPLETE' AND isfinite(score)""",
    "sweeps": """
        SELECT task, commit, generation, any_value(branch) AS branch, any_value(author) AS author,
               any_value(plan) AS plan, any_value(sweep_metric) AS sweep_metric,
               any_value(lower_is_better) AS lower_is_better, count(*) AS jobs,
               count(*) FILTER (state IN ('HELD', 'QUEUED', 'LAUNCHING')) AS waiting,
               count(*) FILTER (state IN ('RUNNING', 'STOPPING', 'LOST')) AS running,
               count(*) FILTER (state = 'COMPLETE') AS complete, count(*) FILTER (state = 'FAILED') AS failed,
               count(*) FILTER (state = 'STOPPED') AS stopped,
               CASE WHEN any_value(lower_is_better) THEN min(good) ELSE max(good) END AS best_score,
               CASE WHEN any_value(lower_is_better) THEN arg_min(job, good) ELSE arg_max(job, good) END AS best_job,
               min(created) AS created, max(ended) AS ended
        FROM (SELECT *, CASE WHEN state = 'COMPLETE' AND isfinite(score) THEN score END AS good FROM jobs)
        GROUP BY task, commit, generation""",
    "usage": """
        SELECT j.author, a.provider, date_trunc('month', a.started)::DATE AS month, a.outcome,
               count(DISTINCT a.job) AS jobs, count(*) AS attempts, sum(a.seconds) / 3600 AS wall_hours,
               sum(a.seconds * a.cpus) / 3600 AS cpu_hours, sum(a.seconds * a.gpus) / 3600 AS gpu_hours
        FROM attempts a JOIN jobs j USING (job) WHERE a.seconds IS NOT NULL
        GROUP BY ALL""",
}
