"""Jobs that wait for others, new attempts, and room: in which order jobs go to their provider."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from labwright.domain.job import ActKind
from labwright.domain.lifecycle import Outcome, State
from labwright.ports.provider import Submission
from labwright.testing.fake_provider import Story
from tests.unit.loop_bench import STORY, Bench
from tests.unit.planning import task


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    bench.provider._story = STORY
    yield bench
    bench.close()


def failing(*tasks: str) -> object:
    return lambda submission: Story(code=3) if submission.task_path in tasks else STORY


def test_a_job_waits_for_what_it_needs_and_then_runs_with_it(bench: Bench) -> None:
    given: list[Submission] = []
    submit = bench.provider.submit
    bench.provider.submit = lambda batch: given.extend(batch) or submit(batch)  # type: ignore[method-assign]
    bench.push(a=task(sweeps="{sweep_config: {x: [1, 2]}}"), b=task(needs="[a]"))
    bench.until(lambda: bench.jobs and bench.job("b").reason.startswith("needs: a ("))
    bench.until_idle()
    assert [submission.task_path for submission in given] == ["a", "a", "b"]
    assert {name: len(handles) for name, handles in given[2].needs.items()} == {"a": 2}
    assert bench.state("b") is State.COMPLETE


def test_a_job_whose_need_failed_stays_held_and_goes_on_when_a_rerun_completes(bench: Bench) -> None:
    bench.provider._story = failing("a")  # type: ignore[assignment]
    bench.push(a=task(), b=task(needs="[a]"))
    bench.until_idle()
    assert bench.job("b").reason == f"needs: a ({bench.job('a').id}) is FAILED"
    bench.provider._story = STORY
    bench.ask(ActKind.RERUN, "a")
    bench.until_idle()
    assert (bench.state("a"), bench.state("b")) == (State.COMPLETE, State.COMPLETE)
    assert bench.job("a").generation == 1


def test_an_attempt_that_the_infrastructure_ended_gets_another_and_the_job_one_result(bench: Bench) -> None:
    bench.provider._story = Story(hangs=True, events=STORY.events)
    bench.push(a=task())
    bench.until(lambda: bench.state("a") is State.RUNNING)
    bench.provider._story = STORY
    (handle,) = bench.provider._jobs
    bench.provider.end(handle, Outcome.PREEMPTED)
    bench.until(lambda: bench.state("a") is State.QUEUED)
    bench.turn(2, seconds=0.4)
    assert bench.rows("SELECT state, attempt FROM jobs") == [{"state": "QUEUED", "attempt": 1}], "and the records know"
    bench.until_idle()
    assert (bench.state("a"), bench.job("a").attempt) == (State.COMPLETE, 2)
    assert [row["outcome"] for row in bench.rows("SELECT outcome FROM attempts ORDER BY attempt")] == [
        "preempted",
        "ok",
    ]
    assert len(bench.results.messages) == 1


@pytest.mark.parametrize("restart", [False, True])
def test_a_job_stopped_between_two_attempts_is_published_with_the_first(bench: Bench, restart: bool) -> None:
    bench.provider._story = Story(hangs=True, events=STORY.events)
    bench.push(a=task())
    bench.until(lambda: bench.state("a") is State.RUNNING)
    (handle,) = bench.provider._jobs
    bench.ask(ActKind.SUSPEND, "")
    bench.provider.end(handle, Outcome.PREEMPTED)
    bench.until(lambda: bench.state("a") is State.QUEUED)
    bench.turn(8)
    if restart:
        bench.start()
    bench.ask(ActKind.STOP, "a")
    bench.until_idle()
    assert bench.state("a") is State.STOPPED
    assert [path for path in bench.results.content if path.endswith("manifest.json")]
    assert bench.rows("SELECT count(*) AS n FROM metrics") == [{"n": 1}], "read once"
    assert bench.rows("SELECT state FROM jobs") == [{"state": "STOPPED"}]


def test_jobs_go_by_priority_then_age_then_place_in_the_sweep(bench: Bench) -> None:
    bench.provider._capacity = type(bench.capacity)(cpus=1, memory_gb=1)
    bench.push(a=task(sweeps="{sweep_config: {x: [1, 2]}}"), b=task("y", priority="5"))
    bench.until_idle()
    named = {f"lab-{job.id}-1": f"{job.task}{job.trial}" for job in bench.jobs}
    assert [named[str(token)] for token in bench.provider.accepted] == ["b0", "a0", "a1"]


def test_a_sweep_never_has_more_under_way_than_max_parallel(bench: Bench) -> None:
    bench.provider._story = Story(run=3)
    bench.push(a=task(sweeps="{sweep_config: {x: [1, 2, 3, 4, 5]}, max_parallel: 2}"))
    most = 0
    for _ in range(60):
        bench.turn()
        most = max(most, sum(len(at) for at in bench.world.book.open.values()))
    assert set(bench.states().values()) == {"COMPLETE"}
    assert most == 2


def test_jobs_of_one_concurrency_group_run_one_after_the_other(bench: Bench) -> None:
    bench.provider._story = Story(run=3)
    bench.push(a=task(concurrency="{group: g}"), b=task(concurrency="{group: g}"), c=task())
    most, names = 0, set()
    for _ in range(40):
        bench.turn()
        under_way = {bench.world.book.live[j].task for at in bench.world.book.open.values() for j in at}
        most, names = max(most, len(under_way & {"a", "b"})), names | under_way
    assert (most, names) == (1, {"a", "b", "c"})


def test_a_provider_with_a_queue_of_its_own_gets_everything(tmp_path: Path) -> None:
    bench = Bench(tmp_path, queues=True)
    bench.push(a=task(sweeps=f"{{sweep_config: {{x: {list(range(100))}}}}}"))
    bench.until(lambda: len(bench.provider.accepted) == 100)
    bench.close()


def test_jobs_of_a_provider_that_lab_yaml_no_longer_has_are_said(bench: Bench) -> None:
    bench.provider._capacity = type(bench.capacity)(cpus=1, memory_gb=1)
    bench.provider._story = Story(hangs=True)
    bench.push(a=task(), b=task("y"))
    bench.until(lambda: State.RUNNING in (bench.state("a"), bench.state("b")))
    bench.push(lab="providers: {other: {type: local}}")
    bench.turn(5)
    bench.start()
    bench.turn(5)
    assert "lab.yaml has no provider local" in bench.alarms["no provider local"]
    assert sorted(bench.states().values()) == ["QUEUED", "RUNNING"]


@pytest.mark.slow
def test_thousands_that_wait_cost_a_turn_nothing(bench: Bench) -> None:
    """Counted, not timed: what a turn looks at while nothing can be launched."""
    bench.provider._story = Story(hangs=True)
    lab = "policy: {limits: {jobs_per_commit: 100000}}"
    many = f"{{sweep_config: {{x: {list(range(2500))}}}}}"
    bench.push(
        lab=lab,
        a=task(sweeps=many),
        b=task("y", sweeps=many),
        c=task(needs="[d]", sweeps=many),
        d=task("z", priority="9"),
    )
    bench.until(lambda: len(bench.provider.accepted) == 4)
    bench.turn(30)
    looked: list[object] = []
    book, newest = bench.world.book, bench.world.book.newest
    book.newest = lambda job: looked.append(job) or newest(job)  # type: ignore[method-assign]
    best = bench.controller.launcher.queue.best
    bench.controller.launcher.queue.best = lambda *a: (looked.append(j) or j for j in best(*a))  # type: ignore[method-assign]
    in_state = book.in_state
    book.in_state = lambda *s: (looked.append(j) or j for j in in_state(*s))  # type: ignore[method-assign]
    bench.turn(5)
    assert len(looked) <= 5 * 4 * 4, "the few that run, and none that wait"
