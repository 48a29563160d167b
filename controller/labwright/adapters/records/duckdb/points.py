# ruff: noqa: S608 - the parts of these statements are constants
"""Appending points: each gets the number of its series, and the series their summary, in the writer's transaction."""

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from labwright.adapters.records.duckdb.schema import run
from labwright.ports.records import Point

_COLUMNS = list(Point._fields)
_TYPES = [pa.string(), pa.int32(), pa.string(), pa.int64(), pa.float64(), pa.timestamp("us", tz="UTC"), pa.int32()]
_KEY = "job, attempt, name, rank"
_TOUCHED = f"""
    SELECT {_KEY}, count(*) AS count, last(value ORDER BY step NULLS FIRST, "at", n) AS last,
           last(step ORDER BY step NULLS FIRST, "at", n) AS last_step,
           last("at" ORDER BY step NULLS FIRST, "at", n) AS last_time,
           min(value) FILTER (isfinite(value)) AS min, max(value) FILTER (isfinite(value)) AS max, min(n) AS n
    FROM given GROUP BY {_KEY}"""
_SAME = "s.job = g.job AND s.attempt = g.attempt AND s.name = g.name AND s.rank = g.rank"
_NEWER = (
    "g.last_step > s.last_step OR (g.last_step IS NOT NULL AND s.last_step IS NULL) OR "
    "(g.last_step IS NOT DISTINCT FROM s.last_step AND g.last_time >= s.last_time)"
)
_MERGE = (
    f"""UPDATE store.series AS s SET count = s.count + g.count, min = least(s.min, g.min), max = greatest(s.max, g.max),
            last = CASE WHEN {_NEWER} THEN g.last ELSE s.last END,
            last_step = CASE WHEN {_NEWER} THEN g.last_step ELSE s.last_step END,
            last_time = CASE WHEN {_NEWER} THEN g.last_time ELSE s.last_time END
        FROM touched g WHERE {_SAME}""",
    f"""INSERT INTO store.series SELECT coalesce((SELECT max(id) FROM store.series), 0) + row_number() OVER (ORDER BY n),
               {_KEY}, count, last, last_step, last_time, min, max
        FROM touched g WHERE NOT EXISTS (SELECT 1 FROM store.series s WHERE {_SAME})""",
    f"""INSERT INTO store.points SELECT s.id, g.step, g.value, g."at" FROM given g JOIN store.series s ON {_SAME}
        ORDER BY s.id, g.n""",
)
OF_JOBS = """
    SELECT s.job, s.attempt, s.name, p.step, p.value, p.time AS "at", s.rank
    FROM store.points p JOIN (SELECT * FROM store.series SEMI JOIN given USING (job)) s ON p.series = s.id
    ORDER BY s.name, p.step NULLS FIRST, p.time, s.job, s.attempt, s.rank, p.rowid"""


def append(con: duckdb.DuckDBPyConnection, points: Sequence[Point] | pa.Table) -> None:
    """Inside an open transaction."""
    if not len(points):
        return
    given = points.select(_COLUMNS) if isinstance(points, pa.Table) else as_table(points)
    given = given.append_column("n", pa.array(range(len(given)), pa.int64()))
    con.register("given", given)
    try:
        con.register("touched", con.execute(_TOUCHED).to_arrow_table())
        for statement in _MERGE:
            run(con, statement)
    finally:
        con.unregister("given")
        con.unregister("touched")


def as_table(points: Sequence[Point]) -> pa.Table:
    return pa.Table.from_arrays(
        [pa.array(values, kind) for values, kind in zip(zip(*points, strict=True), _TYPES, strict=True)],
        names=_COLUMNS,
    )
