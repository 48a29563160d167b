# ruff: noqa: S608 - queries of tests
"""What every store of records promises. Subclass RecordsSuite with the fixture `records`, or KeptRecordsSuite with `again`,
which opens the same store once more."""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from labwright.domain.errors import Refused
from labwright.ports.records import Batch, EventRow, Point, QueryLimits, Records

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def ask(records: Records, sql: str) -> list[dict[str, Any]]:
    answer = records.query(sql, QueryLimits())
    return [row for batch in answer.batches() for row in batch.to_pylist()]


def only(records: Records, sql: str) -> Any:
    """The one value of the one row."""
    [row] = ask(records, sql)
    [value] = row.values()
    return value


def points(job: str, name: str, values: Sequence[float], *, step: int | None = 0, **more: Any) -> list[Point]:
    made = {"attempt": 1, "rank": 0, **more}
    return [
        Point(job, name=name, step=None if step is None else step + i, value=v, at=NOON + timedelta(seconds=i), **made)
        for i, v in enumerate(values)
    ]


def final(records: Records, job: str, name: str = "loss") -> Mapping[str, Any]:
    columns = "last, min, max, count, last_step"
    return ask(records, f"SELECT {columns} FROM final_metrics WHERE job = '{job}' AND name = '{name}'")[0]


def points_and_offsets(records: Records) -> tuple[int, int]:
    """(points kept, points that the offsets speak of) of a store whose every offset counts points."""
    kept = sum(
        batch.num_rows for batch in records.query("SELECT value FROM metrics", QueryLimits(rows=10**9)).batches()
    )
    return kept, sum(records.offsets([f"t{i}" for i in range(100)]).values())


class RecordsSuite:
    @pytest.fixture
    def records(self) -> Iterator[Records]:
        raise NotImplementedError

    def test_a_row_of_a_known_key_replaces_the_columns_that_it_names(self, records: Records) -> None:
        records.write(Batch(jobs=[{"job": "a", "state": "RUNNING", "node": "n1"}, {"job": "b", "state": "HELD"}]))
        records.write(Batch(jobs=[{"job": "a", "state": "COMPLETE"}, {"job": "c", "state": "HELD", "node": None}]))
        rows = ask(records, "SELECT job, state, node FROM jobs ORDER BY job")
        assert [tuple(row.values()) for row in rows] == [
            ("a", "COMPLETE", "n1"),
            ("b", "HELD", None),
            ("c", "HELD", None),
        ]

    def test_of_two_rows_of_one_key_in_a_batch_the_later_counts(self, records: Records) -> None:
        records.write(Batch(jobs=[{"job": "a", "state": "QUEUED", "node": "x"}, {"job": "a", "state": "RUNNING"}]))
        assert ask(records, "SELECT state, node FROM jobs") == [{"state": "RUNNING", "node": "x"}]

    def test_the_key_of_an_attempt_is_job_and_number(self, records: Records) -> None:
        rows = [{"job": "a", "attempt": n, "outcome": "lost"} for n in (1, 2)]
        records.write(Batch(attempts=rows))
        records.write(Batch(attempts=[{"job": "a", "attempt": 2, "outcome": "ok"}]))
        found = ask(records, "SELECT attempt, outcome FROM attempts ORDER BY attempt")
        assert [tuple(row.values()) for row in found] == [(1, "lost"), (2, "ok")]

    def test_a_column_that_the_tables_do_not_have_is_a_defect_of_ours(self, records: Records) -> None:
        with pytest.raises(ValueError, match="jobs has no column nonsense"):
            records.write(Batch(jobs=[{"job": "a", "nonsense": 1}]))

    def test_parameters_are_rows_with_their_numbers(self, records: Records) -> None:
        for _ in range(2):
            records.write(
                Batch(jobs=[{"job": "a", "params": {"lr": 0.5, "name": "adam", "on": True, "layers": [1, 2]}}])
            )
        rows = [tuple(row.values()) for row in ask(records, "SELECT name, value, number FROM params ORDER BY name")]
        assert rows == [("layers", "[1,2]", None), ("lr", "0.5", 0.5), ("name", "adam", None), ("on", "true", None)]

    def test_all_of_a_batch_is_written_or_nothing(self, records: Records) -> None:
        with pytest.raises(Refused):
            records.write(
                Batch(
                    jobs=[{"job": "a"}],
                    points=points("a", "loss", [1.0]),
                    artifacts=[{"job": "a", "path": "x", "size": 1 << 80}],
                    offsets={("t0", "events.jsonl"): 1},
                )
            )
        assert ask(records, "FROM jobs") == ask(records, "FROM metrics") == []
        assert records.offsets(["t0"]) == {}

    def test_offsets_are_of_the_tokens_asked(self, records: Records) -> None:
        records.write(
            Batch(offsets={("t0", "events.jsonl"): 10, ("t0", "events.1.jsonl"): 5, ("t1", "events.jsonl"): 7})
        )
        records.write(Batch(offsets={("t0", "events.jsonl"): 20}))
        assert records.offsets(["t0", "unknown"]) == {("t0", "events.jsonl"): 20, ("t0", "events.1.jsonl"): 5}
        assert records.offsets([]) == {}

    def test_a_lost_or_doubled_point_shows_against_the_offsets(self, records: Records) -> None:
        """The control of the crash test: its check must see both faults."""
        records.write(Batch(points=points("a", "loss", [1.0, 2.0]), offsets={("t0", "e"): 2}))
        kept, said = points_and_offsets(records)
        assert kept == said
        records.write(Batch(points=points("a", "loss", [3.0])))  # doubled: its offset is not in the transaction
        kept, said = points_and_offsets(records)
        assert kept > said
        records.write(Batch(offsets={("t0", "e"): 9}))  # lost: the offset went on without the points
        kept, said = points_and_offsets(records)
        assert kept < said

    def test_a_series_comes_by_name_step_and_time(self, records: Records) -> None:
        records.write(Batch(points=points("a", "loss", [3.0, 4.0], step=3) + points("b", "loss", [9.0])))
        records.write(Batch(points=points("a", "acc", [0.5]) + points("a", "loss", [1.0, 2.0], step=1)))
        table = records.series(["a"])
        assert table.column_names == ["job", "attempt", "name", "step", "value", "at", "rank"]
        assert table["value"].to_pylist() == [0.5, 1.0, 2.0, 3.0, 4.0]
        assert set(table["job"].to_pylist()) == {"a"}
        assert table["at"][0].as_py() == NOON
        assert len(records.series([])) == 0

    def test_points_given_as_a_table_are_the_same_points(self, records: Records) -> None:
        records.write(Batch(points=points("a", "loss", [1.0, 2.0])))
        first = records.series(["a"])
        records.write(Batch(points=first.set_column(0, "job", [["b", "b"]])))
        assert records.series(["b"]).drop_columns("job") == first.drop_columns("job")

    def test_nan_is_kept_and_the_extremes_are_of_finite_values(self, records: Records) -> None:
        records.write(Batch(points=points("a", "loss", [math.nan, 2.0, math.inf, 1.0, -math.inf, math.nan])))
        row = final(records, "a")
        assert math.isnan(row["last"])
        assert (row["min"], row["max"], row["count"]) == (1.0, 2.0, 6)
        assert only(records, "SELECT count(*) FROM metrics WHERE isnan(value)") == 2
        records.write(Batch(points=points("b", "loss", [math.nan])))
        assert (final(records, "b")["min"], final(records, "b")["max"]) == (None, None)
        records.write(Batch(points=points("b", "loss", [7.0], step=1)))
        assert (final(records, "b")["min"], final(records, "b")["max"]) == (7.0, 7.0)

    def test_the_last_value_is_that_of_the_greatest_step_then_of_the_latest_time(self, records: Records) -> None:
        records.write(Batch(points=points("a", "loss", [5.0], step=10)))
        records.write(Batch(points=points("a", "loss", [9.0], step=4)))  # comes late: an older step
        assert (final(records, "a")["last"], final(records, "a")["last_step"]) == (5.0, 10)
        records.write(Batch(points=points("a", "loss", [6.0], step=10)))  # the same step and time again: the later word
        assert final(records, "a")["last"] == 6.0
        records.write(Batch(points=points("b", "loss", [1.0], step=None)))
        records.write(Batch(points=points("b", "loss", [2.0], step=None)))
        assert (final(records, "b")["last"], final(records, "b")["last_step"]) == (2.0, None)

    def test_the_newest_attempt_has_the_last_word(self, records: Records) -> None:
        records.write(Batch(points=points("a", "loss", [4.0, 1.0], step=50)))
        records.write(Batch(points=points("a", "loss", [3.0], step=20, attempt=2)))
        assert final(records, "a") == {"last": 3.0, "min": 1.0, "max": 4.0, "count": 3, "last_step": 20}

    def test_other_ranks_speak_only_where_the_lowest_says_nothing(self, records: Records) -> None:
        records.write(Batch(points=points("a", "loss", [8.0], rank=2) + points("a", "loss", [7.0], rank=1)))
        assert (final(records, "a")["last"], final(records, "a")["count"]) == (7.0, 1)
        records.write(Batch(points=points("a", "loss", [6.0])))
        assert (final(records, "a")["last"], final(records, "a")["count"]) == (6.0, 1)
        assert only(records, "SELECT count(*) FROM metrics") == 3

    def test_the_summary_equals_what_the_points_say_in_whatever_batches_they_came(self, records: Records) -> None:
        chance = random.Random(7)  # noqa: S311
        every = [
            Point(f"j{chance.randrange(3)}", chance.randrange(1, 3), f"m{chance.randrange(3)}", chance.choice([None, -(2**63), *range(20)]),
                  chance.choice([math.nan, 1.5, -2.0, chance.random()]), NOON + timedelta(seconds=n))
            for n in range(600)
        ]  # fmt: skip
        while every:
            size = chance.randrange(1, 120)
            records.write(Batch(points=every[:size]))
            every = every[size:]
        said = "SELECT job, name, last, min, max, count, last_step FROM final_metrics"
        counted = """SELECT job, name, last(value ORDER BY attempt, step NULLS FIRST, time) AS last,
            min(value) FILTER (isfinite(value)) AS min, max(value) FILTER (isfinite(value)) AS max, count(*) AS count,
            last(step ORDER BY attempt, step NULLS FIRST, time) AS last_step FROM metrics GROUP BY job, name"""
        assert only(records, f"SELECT count(*) FROM ({said} EXCEPT {counted})") == 0
        assert only(records, f"SELECT count(*) FROM ({counted} EXCEPT {said})") == 0

    def test_hostile_text_is_kept_as_text(self, records: Records) -> None:
        text = "a'; DROP TABLE jobs; --\x00\ud800"
        records.write(Batch(jobs=[{"job": "a", "reason": text, "params": {text: text}}]))
        records.write(Batch(events=[EventRow("a", 1, NOON, "log", text, {"x": [math.nan, text]})]))
        assert only(records, "SELECT reason FROM jobs").startswith("a'; DROP TABLE jobs; --")
        assert only(records, "SELECT data->>'$.x[0]' FROM events") == "NaN"

    def test_the_leaderboard_ranks_complete_jobs_in_the_task_s_direction(self, records: Records) -> None:
        def job(name: str, task: str, score: float | None, state: str = "COMPLETE") -> Mapping[str, Any]:
            return {"job": name, "task": task, "score": score, "state": state, "lower_is_better": task == "t/loss"}

        rows = [
            job("a", "t/loss", 2.0),
            job("b", "t/loss", 1.0),
            job("c", "t/loss", 0.1, "FAILED"),
            job("n", "t/loss", math.nan),
        ]
        records.write(Batch(jobs=[*rows, job("d", "t/acc", 0.3), job("e", "t/acc", 0.9), job("f", "t/acc", None)]))
        ranked = ask(records, "SELECT task, place, job FROM leaderboard ORDER BY task, place")
        assert [tuple(row.values()) for row in ranked] == [
            ("t/acc", 1, "e"),
            ("t/acc", 2, "d"),
            ("t/loss", 1, "b"),
            ("t/loss", 2, "a"),
        ]
        best = ask(records, "SELECT task, best_job, best_score, jobs, complete, failed FROM sweeps ORDER BY task")
        assert [tuple(row.values()) for row in best] == [("t/acc", "e", 0.9, 3, 3, 0), ("t/loss", "b", 1.0, 4, 3, 1)]

    def test_usage_is_by_author_provider_month_and_outcome(self, records: Records) -> None:
        at = {"provider": "gpu", "started": NOON, "seconds": 1800.0, "gpus": 4.0, "cpus": 2.0}
        records.write(
            Batch(
                jobs=[{"job": "a", "author": "Ada"}],
                attempts=[
                    {"job": "a", "attempt": n, "outcome": o, **at} for n, o in ((1, "lost"), (2, "ok"), (3, "ok"))
                ],
            )
        )
        rows = ask(
            records,
            "SELECT author, provider, month::VARCHAR m, outcome, jobs, wall_hours, gpu_hours FROM usage ORDER BY outcome",
        )
        assert [tuple(row.values()) for row in rows] == [
            ("Ada", "gpu", "2026-03-01", "lost", 1, 0.5, 2.0),
            ("Ada", "gpu", "2026-03-01", "ok", 1, 1.0, 4.0),
        ]


class KeptRecordsSuite(RecordsSuite):
    @pytest.fixture
    def records(self, again: Callable[[], Records]) -> Records:
        return again()

    def test_what_was_written_is_there_when_opened_again(self, again: Callable[[], Records]) -> None:
        first = again()
        first.write(Batch(jobs=[{"job": "a"}], points=points("a", "loss", [1.0]), offsets={("t", "e"): 4}))
        first.close()
        second = again()
        second.write(Batch(points=points("a", "loss", [2.0], step=1)))
        assert second.offsets(["t"]) == {("t", "e"): 4}
        assert final(second, "a")["count"] == 2
