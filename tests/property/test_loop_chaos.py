"""Random trouble for the real loop: whatever fails, and in whatever order, every job ends once, and its result is kept once."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labwright.domain.errors import OutcomeUnknown, Unavailable
from labwright.domain.job import ActKind
from labwright.domain.lifecycle import FINAL, Outcome, State
from tests.unit.loop_bench import STORY, Bench
from tests.unit.planning import task

CALLS = ("submit", "find", "observe", "read", "collect", "fetch", "capacity", "cancel", "list")
EVENTS = st.one_of(
    st.tuples(st.just("turn"), st.integers(1, 3)),
    st.tuples(st.just("fail"), st.sampled_from(CALLS)),
    st.tuples(st.just("lose answer"), st.just("")),
    st.tuples(st.just("full"), st.booleans()),
    st.tuples(st.just("gone"), st.booleans()),
    st.tuples(st.just("results"), st.booleans()),
    st.tuples(st.just("restart"), st.just("")),
    st.tuples(st.just("preempt"), st.integers(0, 9)),
    st.tuples(st.just("push"), st.integers(0, 3)),
    st.tuples(st.just("stop"), st.sampled_from("ab")),
)


def happen(bench: Bench, what: str, how: object) -> None:
    match what, how:
        case "turn", int(times):
            bench.turn(times)
        case "fail", str(call):
            bench.provider.fail(call, Unavailable("line broke", retry_in=1))
        case "lose answer", _:
            bench.provider.fail("submit", OutcomeUnknown("line broke"), after=True)
        case (("full" | "gone"), bool(on)):
            setattr(bench.ledger, what, "trouble" if on else "")
        case "results", bool(on):
            bench.results.broken = "trouble" if on else ""
        case "restart", _:
            bench.ledger.gone = ""
            bench.start()
        case "preempt", int(which):
            running = [handle for handle, job in bench.provider._jobs.items() if not job.ended]
            if running:
                bench.provider.end(running[which % len(running)], Outcome.PREEMPTED)
        case "push", int(n):
            bench.push(a=task(f"run {n}", sweeps="{sweep_config: {x: [1, 2]}}"), b=task(f"y {n % 2}", needs="[a]"))
        case "stop", str(name):
            bench.ask(ActKind.STOP, name)
        case _:
            raise AssertionError(what)
    bench.turn()


def check(bench: Bench) -> None:
    for job in bench.jobs:
        assert job.state in FINAL or job.reason.startswith("needs: "), bench.states()
        attempts = bench.ledger.attempts([job.id])
        assert [attempt.n for attempt in attempts] == list(range(1, job.attempt + 1))
        assert all(attempt.outcome and attempt.collected and attempt.published for attempt in attempts)
        moves = bench.ledger.history(job.id)
        assert [move.after for move in moves].count(State.COMPLETE) <= 1
    known = {row["job"]: row["state"] for row in bench.rows("SELECT job, state FROM jobs")}
    assert known == {job.id: str(job.state) for job in bench.jobs}
    ran = {job.id for job in bench.jobs if job.attempt and job.state in FINAL}
    assert {path.split("/")[-2] for path in bench.results.content if path.endswith("manifest.json")} == ran
    points = bench.rows("SELECT job, attempt, count(*) AS n FROM metrics GROUP BY ALL")
    assert all(row["n"] == 1 for row in points), points
    complete = {job.id for job in bench.jobs if job.state is State.COMPLETE}
    assert complete <= {row["job"] for row in points}
    assert len(bench.store.content) == (1 if ran else 0), "its small artifact, the same of all"
    assert len(bench.provider.accepted) == len(set(bench.provider.accepted))
    assert bench.outbox.waiting() == []


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(EVENTS, min_size=5, max_size=40))
def test_whatever_fails_every_job_ends_once_and_its_result_is_kept_once(events: list[tuple[str, object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), cpus=2)
        bench.provider._story = STORY
        try:
            happen(bench, "push", 0)
            for what, how in events:
                happen(bench, what, how)
            bench.ledger.full = bench.ledger.gone = bench.results.broken = ""
            bench.provider._faults.clear()
            bench.turn(2, seconds=2000)
            bench.until_idle(most=2000)
            check(bench)
        finally:
            bench.close()
