import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labwright.adapters.records.duckdb import DuckDbRecords
from labwright.adapters.records.from_results import load, metrics_parquet
from labwright.decide.rows import approval_row, attempt_row, commit_row, job_row, plan_row, rows_of, score_of
from labwright.domain.ids import Digest, JobId, Token
from labwright.domain.job import Act, ActKind, Attempt, Job
from labwright.domain.lifecycle import Outcome, State
from labwright.domain.manifest import Manifest, MetricSummary
from labwright.domain.snapshot import CommitInfo
from labwright.domain.task import Task
from labwright.ports.ledger import PlanRow
from labwright.ports.records import Batch
from labwright.testing.records_suite import ask, points

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
JOB = "abcdefghijkl"
TASK = Task.model_validate(
    {
        "name": "train",
        "run": "python train.py",
        "resources": {"cpus": 4, "accelerators": {"type": "A100", "count": 2}, "num_nodes": 2},
        "sweeps": {"sweep_config": {"lr": [0.1, 0.2]}, "sweep_metric": "loss", "lower_is_better": True},
        "parameters": {"lr": {"default": 0.1}},
    }
)
TABLES = ("jobs", "attempts", "artifacts", "params", "metrics", "final_metrics", "leaderboard", "sweeps", "usage")


@pytest.fixture
def records() -> Iterator[DuckDbRecords]:
    with closing(DuckDbRecords()) as records:
        yield records


def a_job(**changes: Any) -> Job:
    made: dict[str, Any] = {
        "id": JobId(JOB), "task": "alpha/train", "work": Digest("a" * 64), "generation": 1, "parameters": {"lr": 0.1},
        "spec": Digest("b" * 64), "bundle": Digest("c" * 64), "provider": "gpu", "priority": 0, "commit": "d" * 40,
        "branch": "main", "author": "Ada", "created": NOON, "state": State.COMPLETE, "attempt": 2, "trial": 3,
        "updated": NOON + timedelta(hours=2),
    }  # fmt: skip
    return Job(**(made | changes))


def attempts(outcome: Outcome = Outcome.OK) -> list[Attempt]:
    def attempt(n: int, outcome: Outcome, **more: Any) -> Attempt:
        start = NOON + timedelta(minutes=10 * n)
        return Attempt(
            JobId(JOB), n, Token(f"lab-{JOB}-{n}"), "gpu", NOON, submitted=start, started=start + timedelta(seconds=1),
            running=start + timedelta(seconds=2), ended=start + timedelta(seconds=61), outcome=outcome, node="n1", **more,
        )  # fmt: skip

    return [attempt(1, Outcome.PREEMPTED, signal=15), attempt(2, outcome, exit_code=0)]


def manifest(job: Job, tries: list[Attempt], **more: Any) -> Manifest:
    """As the controller writes it when the job ends."""
    tried = [
        {name: getattr(a, name) for name in
         ("n", "provider", "node", "outcome", "exit_code", "signal", "submitted", "started", "running", "ended", "detail")}
        for a in tries
    ]  # fmt: skip
    fields: dict[str, Any] = {
        "job": job.id, "task": job.task, "generation": job.generation, "trial": job.trial, "work_digest": job.work,
        "bundle_digest": job.bundle, "state": str(job.state), "reason": job.reason, "commit": job.commit, "branch": job.branch,
        "author": job.author, "parameters": job.parameters, "created": job.created, "ended": job.updated,
        "provider": job.provider, "attempts": tried, "sweep_metric": "loss", "spec": json.loads(TASK.model_dump_json()),
    }  # fmt: skip
    return Manifest.model_validate(fields | more)


def said(records: DuckDbRecords) -> Mapping[str, Any]:
    return {table: ask(records, f"SELECT * FROM {table} ORDER BY ALL") for table in TABLES}


def files(found: Manifest, series: pa.Table) -> Iterator[tuple[str, bytes]]:
    folder = f"results/{found.task}/{found.job}"
    yield f"{folder}/manifest.json", found.model_dump_json(by_alias=True).encode()
    yield f"{folder}/metrics.parquet", metrics_parquet(series)


def test_rows_rebuilt_from_the_results_branch_equal_the_live_rows(records: DuckDbRecords) -> None:
    job, tries = a_job(), attempts()
    running = a_job(state=State.RUNNING, updated=NOON)
    records.write(
        Batch(jobs=[job_row(running, TASK, tries[:1], progress=10.0)], attempts=[attempt_row(tries[0], TASK)])
    )
    records.write(
        Batch(points=points(JOB, "loss", [3.0, float("nan")]) + points(JOB, "loss", [2.0], step=1, attempt=2))
    )
    records.write(Batch(points=points(JOB, "loss", [1.5], rank=1) + points(JOB, "acc", [0.5], step=None)))
    artifact = {"path": "model.pt", "kind": "model", "size": 12, "sha256": "e" * 64, "uri": "s3://b/x"}
    done = manifest(job, tries, score={"loss": 2.0}, artifacts=[artifact])
    records.write(rows_of(done))
    with closing(DuckDbRecords()) as rebuilt:
        loaded = load(files(done, records.series([JOB])), rebuilt)
        assert (loaded.jobs, loaded.points, loaded.warnings) == (1, 5, [])
        assert str(said(rebuilt)) == str(said(records))  # as text: NaN is not equal to itself
        assert rebuilt.series([JOB]).drop_columns("value") == records.series([JOB]).drop_columns("value")


@pytest.mark.parametrize(("state", "outcome"), [(State.COMPLETE, Outcome.OK), (State.FAILED, Outcome.ERROR)])
def test_a_finished_job_s_row_from_the_ledger_says_what_its_manifest_says(state: State, outcome: Outcome) -> None:
    job, tries = a_job(state=state, reason="because"), attempts(outcome)
    live = job_row(job, TASK, tries, scores={"loss": 2.0})
    [row] = rows_of(manifest(job, tries, score={"loss": 2.0})).jobs
    assert {name: row[name] for name in live if name != "plan"} == {k: v for k, v in live.items() if k != "plan"}
    assert [attempt_row(each, TASK) for each in tries] == list(rows_of(manifest(job, tries)).attempts)
    assert (row["seconds"], row["gpus"], row["cpus"]) == (120.0, 4.0, 8.0)
    assert (row["started"], row["ended"]) == (tries[0].started, tries[1].ended)


def test_a_job_that_never_ran_ends_when_it_was_stopped() -> None:
    job = a_job(state=State.STOPPED, attempt=0)
    [row] = rows_of(manifest(job, [])).jobs
    assert (row["started"], row["ended"], row["seconds"], row["attempt"]) == (None, job.updated, None, 0)
    assert {k: v for k, v in job_row(job, TASK).items() if k != "plan"}.items() <= row.items()


def test_the_score_that_counts_is_the_sweep_metric_s_then_the_only_one_then_the_last_metric() -> None:
    metrics = {"loss": MetricSummary(last=0.7, min=0.5, max=1.0, count=3)}
    assert score_of({"acc": 1.0, "loss": 0.4}, "loss", metrics) == 0.4
    assert score_of({"zeta": 2.0, "acc": 1.0}, "loss", metrics) == 1.0
    assert score_of({}, "loss", metrics) == 0.7
    assert score_of({}, "", {}) is None


def test_plans_commits_and_approvals_have_the_columns_of_their_tables(records: DuckDbRecords) -> None:
    plan = PlanRow("p" * 64, "d" * 40, "main", NOON, 3, 1, 0, 0, held=False, detail={"hours": 2})
    commit = CommitInfo("d" * 40, (), "Ada", "ada@example.org", NOON, "Try a larger step")
    act = Act("r1", ActKind.CONFIRM, plan.digest, "Grace", NOON, {"x": 1})
    for _ in range(2):
        records.write(
            Batch(plans=[plan_row(plan)], commits=[commit_row(commit, "main")], approvals=[approval_row(act)])
        )
    assert ask(records, "SELECT launched, detail->>'hours' AS hours FROM plans") == [{"launched": 3, "hours": "2"}]
    assert ask(records, "SELECT message FROM commits") == [{"message": "Try a larger step"}]
    assert ask(records, "SELECT kind, author FROM approvals") == [{"kind": "confirm", "author": "Grace"}]


def test_loading_again_changes_nothing(records: DuckDbRecords) -> None:
    records.write(Batch(points=points(JOB, "loss", [1.0, 2.0])))
    both = list(files(manifest(a_job(), attempts()), records.series([JOB])))
    with closing(DuckDbRecords()) as rebuilt:
        load(iter(both), rebuilt)
        once = said(rebuilt)
        assert load(iter(both), rebuilt).points == 0
        assert said(rebuilt) == once
        assert load(iter(reversed(both)), DuckDbRecords()).points == 2  # in any order


def _parquet(**columns: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def test_files_that_are_not_in_order_are_left_out_and_named(records: DuckDbRecords) -> None:
    good = manifest(a_job(), attempts())
    text = json.loads(good.model_dump_json(by_alias=True))

    def at(job: str, **changes: Any) -> tuple[str, bytes]:
        return f"results/alpha/train/{job}/manifest.json", json.dumps({**text, "job": job, **changes}).encode()

    bad = [
        ("results/alpha/train/aaaaaaaaaaaa/manifest.json", at("bbbbbbbbbbbb")[1]),
        at("bbbbbbbbbbbb", task="other/task"),
        at("cccccccccccc", generation=1 << 70),
        at("dddddddddddd", schema="labwright/manifest/9"),
        ("results/alpha/train/eeeeeeeeeeee/manifest.json", b"{half"),
        ("results/alpha/train/ffffffffffff/manifest.json", b" " * (5 << 20)),
        ("results/alpha/train/gggggggggggg/metrics.parquet", _parquet(x=[1])),
        ("results/alpha/train/hhhhhhhhhhhh/metrics.parquet", b"PAR1 nonsense PAR1"),
        ("results/alpha/train/iiiiiiiiiiii/metrics.parquet", metrics_parquet(records.series([]))),
    ]
    passed_over = [("results/README.md", b"#"), ("results/alpha/train/../../x/manifest.json", b"{}"), ("x", b"")]
    loaded = load(iter([*bad, *passed_over, *files(good, records.series([]))]), records)
    assert loaded.jobs == 1
    assert len(loaded.warnings) == len(bad)
    assert [row["job"] for row in ask(records, "SELECT job FROM jobs")] == [JOB]


def test_a_metrics_file_with_what_no_job_may_say_is_left_out(records: DuckDbRecords) -> None:
    good = manifest(a_job(), attempts())
    path, body = next(files(good, records.series([])))
    rows = {"name": ["loss"], "step": [1], "value": [1.0], "at": [NOON], "attempt": [1], "rank": [0]}
    for change in (
        {"name": ["x" * 300]},
        {"value": [None]},
        {"value": ["text"]},
        {"attempt": [1 << 40]},
        {"at": ["soon"]},
    ):
        file = (path.replace("manifest.json", "metrics.parquet"), _parquet(**{**rows, **change}))
        assert len(load(iter([(path, body), file]), records).warnings) == 1, change
    assert ask(records, "SELECT count(*) AS n FROM metrics") == [{"n": 0}]


value = st.floats(allow_nan=False)
point = st.tuples(st.sampled_from("ab"), st.none() | st.integers(-(2**63), 2**63 - 1), value, st.integers(1, 2))


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(point, max_size=8), max_size=4))
def test_metrics_survive_the_way_through_the_results_branch(batches: list[list[Any]]) -> None:
    with closing(DuckDbRecords()) as live, closing(DuckDbRecords()) as rebuilt:
        for number, batch in enumerate(batches):
            at = NOON + timedelta(seconds=number)
            rows = [points(JOB, name, [v], attempt=n)[0]._replace(step=step, at=at) for name, step, v, n in batch]
            live.write(Batch(points=rows))
        done = manifest(a_job(), attempts())
        live.write(rows_of(done))
        load(files(done, live.series([JOB])), rebuilt)
        assert said(rebuilt) == said(live)
