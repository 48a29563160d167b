"""How fast the records take metrics and answer, beside a floor: the same data in the best layout that a plain store has.

    python -m benchmarks.query [--points 50000000] [--peers]

The data come as a live lab gives them: 10,000 jobs of 5 metrics, 1,000 at a time, all of them step by step. Floors: plain DuckDB
on one table sorted by job, metric and step; an SQLite index. `--peers` asks MLflow the same of 10,000 runs.
"""

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from labwright.adapters.records.duckdb import DuckDbRecords
from labwright.ports.records import Batch, QueryLimits, Records

JOBS, METRICS, LIVE = 10_000, 5, 1_000
WIDE = 50  # metrics and parameters of a job in the comparison with peers
VENVS = Path(".build/bench-venvs")
JOB = "substr(lower(md5(({})::VARCHAR)), 1, 12)"
Row = tuple[str, str, str, str]  # what, ours, floor, ratio


def slabs(points: int, size: int) -> Iterator[pa.Table]:
    """Arrow tables of about `size` points each, in the order in which they would arrive."""
    source, steps = duckdb.connect(), points // (JOBS * METRICS)
    per = max(1, size // (LIVE * METRICS))
    for group in range(JOBS // LIVE):
        for first in range(0, steps, per):
            yield source.execute(
                f"""SELECT {JOB.format(f"j + {group * LIVE}")} AS job, 1::INTEGER AS attempt, 'metric/' || m AS name, s AS step,
                random() AS value, TIMESTAMPTZ '2026-01-01 00:00:00+00' + to_seconds({group * steps} + s) AS "at",
                0::INTEGER AS rank
                FROM range({first}, {min(first + per, steps)}) a(s), range({LIVE}) b(j), range({METRICS}) c(m) ORDER BY s, j, m"""
            ).to_arrow_table()


def timed(act: Callable[[], Any], times: int = 5) -> float:
    """Median milliseconds, after one call to warm up."""
    act()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        act()
        taken.append((time.perf_counter() - start) * 1e3)
    return statistics.median(taken)


def ask(records: Records, sql: str) -> int:
    return sum(batch.num_rows for batch in records.query(sql, QueryLimits(seconds=600)).batches())


def _plain(floor: duckdb.DuckDBPyConnection, sql: str) -> int:
    return len(floor.execute(sql).to_arrow_table())


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(points: int, folder: Path) -> list[Row]:
    floor = duckdb.connect(str(folder / "floor.duckdb"), config={"threads": "2"})
    with closing(DuckDbRecords(folder / "records.duckdb")) as records:
        idle = resident_mb()
        for table in slabs(points, 100_000):
            records.write(Batch(points=table))
        rows = [_append(records, floor, folder)]
        _sorted_copy(records, floor)
        job, name = f"(SELECT {JOB.format(JOBS // 2 + 77)})", "metric/3"
        job = floor.execute(f"SELECT {job}").fetchall()[0][0]
        for what, ours, plain, times in (
            ("one series of one job", f"SELECT step, value FROM metrics WHERE job = '{job}' AND name = '{name}' ORDER BY step",
             f"SELECT step, value FROM p WHERE job = '{job}' AND name = '{name}' ORDER BY step", 9),
            ("last value per job and metric, from all points", "SELECT job, name, arg_max(value, step) FROM metrics GROUP BY job, name",
             "SELECT job, name, arg_max(value, step) FROM p GROUP BY job, name", 3),
            ("the same from `final_metrics`", "SELECT job, name, last FROM final_metrics",
             "SELECT job, name, arg_max(value, step) FROM p GROUP BY job, name", 3),
            ("mean of each metric, from all points", "SELECT name, avg(value) FROM metrics GROUP BY name",
             "SELECT name, avg(value) FROM p GROUP BY name", 3),
        ):  # fmt: skip
            assert ask(records, ours) == len(floor.execute(plain).fetchall())
            got, best = (
                timed(partial(ask, records, ours), times),
                timed(partial(_plain, floor, plain), times),
            )
            rows.append(_row(what, got, best, "DuckDB, sorted table"))
        rows.append(
            (
                "bytes a point",
                f"{_size(records, folder) / points:.1f}",
                f"{(folder / 'floor.duckdb').stat().st_size / points:.1f}",
                "",
            )
        )
        rows.append(
            ("memory: before, and after all of this", f"{idle:.0f} MB, {resident_mb():.0f} MB", "limit 1024 MB", "")
        )
    floor.close()
    return rows


def _append(records: DuckDbRecords, floor: duckdb.DuckDBPyConnection, folder: Path) -> Row:
    batches = iter(list(slabs(JOBS * METRICS * 20, 10_000))[:20])
    got = timed(lambda: records.write(Batch(points=next(batches))), 15)
    floor.execute(
        "CREATE TABLE raw (job VARCHAR, attempt INTEGER, name VARCHAR, step BIGINT, value DOUBLE, t TIMESTAMPTZ, r INTEGER)"
    )
    given = next(slabs(JOBS * METRICS * 20, 10_000))
    best = timed(lambda: floor.register("given", given).execute("INSERT INTO raw SELECT * FROM given"), 15)
    floor.execute("DROP TABLE raw")
    return _row("append a batch of 10,000 points", got, best, "DuckDB, bare insert")


def _sorted_copy(records: DuckDbRecords, floor: duckdb.DuckDBPyConnection) -> None:
    floor.execute(
        "CREATE TABLE p (job VARCHAR, attempt INTEGER, name VARCHAR, step BIGINT, value DOUBLE, time TIMESTAMPTZ, rank INTEGER)"
    )
    for group in range(0, JOBS, 500):
        wanted = ", ".join(
            f"'{job}'"
            for (job,) in floor.execute(f"SELECT {JOB.format('i')} FROM range({group}, {group + 500}) t(i)").fetchall()
        )
        answer = records.query(
            f"SELECT * FROM metrics WHERE job IN ({wanted}) ORDER BY job, name, step", QueryLimits(600, 10**10)
        )
        floor.register("given", pa.Table.from_batches(answer.batches(), answer.schema)).execute(
            "INSERT INTO p SELECT * FROM given"
        )
        floor.unregister("given")
    floor.execute("CHECKPOINT")


def _size(records: DuckDbRecords, folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("records.duckdb*") if path.is_file())


def _row(what: str, ours: float, floor: float, of: str) -> Row:
    return (what, f"{ours:.1f} ms", f"{floor:.1f} ms ({of})", f"{ours / floor:.1f} ×")


def best_ten(folder: Path, peers: bool) -> list[Row]:
    """10,000 jobs with 50 final metrics and 50 parameters each: the best 10 by one metric."""
    lite = sqlite3.connect(folder / "floor.sqlite")
    lite.execute("CREATE TABLE m (run TEXT, k TEXT, v REAL)")
    with closing(DuckDbRecords(folder / "wide.duckdb")) as records:
        source = duckdb.connect()
        for first in range(0, JOBS, 1_000):
            table = source.execute(
                f"""SELECT {JOB.format("j")} AS job, 1::INTEGER AS attempt, 'm' || m AS name, 1::BIGINT AS step, random() AS value,
                TIMESTAMPTZ '2026-01-01 00:00:00+00' AS "at", 0::INTEGER AS rank
                FROM range({first}, {first + 1000}) a(j), range({WIDE}) b(m)"""
            ).to_arrow_table()
            jobs = table["job"].unique().to_pylist()
            params = {f"p{i}": i / 7 for i in range(WIDE)}
            records.write(
                Batch(jobs=[{"job": job, "state": "COMPLETE", "params": params} for job in jobs], points=table)
            )
            triples = zip(*(table[name].to_pylist() for name in ("job", "name", "value")), strict=True)
            lite.executemany("INSERT INTO m VALUES (?, ?, ?)", triples)
        lite.execute("CREATE INDEX i ON m (k, v)")
        sql = "SELECT job, last FROM final_metrics WHERE name = 'm0' ORDER BY last DESC LIMIT 10"
        got = timed(lambda: ask(records, sql), 15)
        floor = timed(
            lambda: lite.execute("SELECT run, v FROM m WHERE k = 'm0' ORDER BY v DESC LIMIT 10").fetchall(), 15
        )
        rows = [_row("best 10 of 10,000 jobs by a metric", got, floor, "SQLite, index")]
        sql = f"SELECT j.job, j.params, f.last FROM ({sql}) f JOIN jobs j USING (job)"
        rows.append(
            _row("… with their parameters", timed(lambda: ask(records, sql), 15), floor, "SQLite, index, without")
        )
    if peers:
        rows += [(f"MLflow: {what}", "", f"{ms:.0f} ms", f"{got / ms:.4f} ×") for what, ms in _mlflow(folder).items()]
    return rows


_MLFLOW = r"""
import json, os, sqlite3, statistics, sys, time
os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true", GIT_PYTHON_REFRESH="quiet")
import mlflow, random
folder, runs, wide = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
client = mlflow.MlflowClient(); e = client.create_experiment("b", artifact_location=folder + "/art")
r = client.create_run(e); client.log_metric(r.info.run_id, "m0", 0.0); client.log_param(r.info.run_id, "p0", "0"); client.set_terminated(r.info.run_id)
q = sqlite3.connect(folder + "/mlflow.db"); q.execute("pragma synchronous=off")
cols = lambda t: [x[1] for x in q.execute(f"pragma table_info({t})")]
like = {t: dict(zip(cols(t), q.execute(f"select * from {t} limit 1").fetchone())) for t in ("runs", "metrics", "latest_metrics", "params")}
def put(t, rows):
    rows = [{**like[t], **row} for row in rows]
    q.executemany(f"insert into {t} ({','.join(like[t])}) values ({','.join('?' * len(like[t]))})", [list(x.values()) for x in rows])
for n in range(runs):
    u = f"{n:032x}"
    put("runs", [dict(run_uuid=u, name=f"run{n}", start_time=n, end_time=n + 5)])
    values = [(f"m{j}", random.random()) for j in range(wide)]
    for t in ("metrics", "latest_metrics"): put(t, [dict(run_uuid=u, key=k, value=v) for k, v in values])
    put("params", [dict(run_uuid=u, key=f"p{j}", value=str(j / 7)) for j in range(wide)])
q.commit()
def bench(f):
    f(); xs = []
    for _ in range(3): t = time.perf_counter(); assert len(f()) == 10; xs.append(1e3 * (time.perf_counter() - t))
    return statistics.median(xs)
ask = lambda: client.search_runs([e], order_by=["metrics.m0 DESC"], max_results=10)
out = {"MlflowClient.search_runs": bench(ask), "search_runs to pandas": bench(lambda: mlflow.search_runs([e], order_by=["metrics.m0 DESC"], max_results=10))}
q.execute("analyze"); q.commit()
out["MlflowClient.search_runs after ANALYZE by hand"] = bench(ask)
print("RES" + json.dumps(out))
"""


def _mlflow(folder: Path) -> dict[str, float]:
    python = VENVS / "mlflow" / "bin" / "python"
    if not python.exists():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "-q", str(VENVS / "mlflow")], check=True)
        subprocess.run([*uv, "pip", "install", "-q", "--python", str(python), "mlflow"], check=True)
    args = [str(python), "-c", _MLFLOW, str(folder), str(JOBS), str(WIDE)]
    said = subprocess.run(args, capture_output=True, text=True, check=True, timeout=1800).stdout
    found: dict[str, float] = json.loads(next(line for line in said.splitlines() if line.startswith("RES"))[3:])
    return found


def run(points: int = 50_000_000, peers: bool = False) -> str:
    """The table in Markdown."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        rows = [*measure(points, Path(name)), *best_ten(Path(name), peers)]
    lines = [f"| {points:,} points of {JOBS:,} jobs | here | floor | ratio |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--points", type=int, default=50_000_000)
    parser.add_argument("--peers", action="store_true", help="MLflow too, in a venv of its own")
    given = parser.parse_args()
    print(run(given.points, given.peers))
