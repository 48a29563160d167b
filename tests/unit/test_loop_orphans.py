"""Attempts that run somewhere and should not, or that nobody knows."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from labwright.domain.bundle import Bundle
from labwright.domain.errors import Unavailable
from labwright.domain.ids import Handle, JobId, Token
from labwright.domain.lifecycle import State
from labwright.domain.task import Task
from labwright.ports.provider import Submission
from labwright.testing.fake_provider import Story
from tests.unit.loop_bench import Bench
from tests.unit.planning import task

KEY = "provider local: orphans"
LONG = 700  # seconds: longer than between two looks


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, steps=False)
    bench.provider._story = Story(hangs=True)
    yield bench
    bench.close()


def running(bench: Bench, **more: str) -> Handle:
    bench.push(lab="name: lab", a=task(**more))
    bench.turn(5)
    bench.provider.tick()
    bench.turn(5)
    assert bench.state("a") is State.RUNNING
    (handle,) = bench.provider.list().values()
    return handle


def submit(bench: Bench, token: str) -> Handle:
    """By nobody that the ledger knows."""
    submission = Submission(
        token=Token(token),
        job=JobId("a" * 12),
        attempt=1,
        task_path="x/y",
        task=Task(name="x", run="true"),
        bundle=Bundle(()),
        parameters={},
        variables={},
    )
    answer = bench.provider.submit([submission])[submission.token]
    assert isinstance(answer, str)
    return answer


def look(bench: Bench) -> None:
    bench.turn(2, seconds=LONG)
    bench.turn(3)


def test_what_is_under_way_is_no_orphan(bench: Bench) -> None:
    running(bench)
    look(bench)
    assert bench.alarms == {}
    assert bench.provider.cancelled == []


def test_an_attempt_that_was_lost_and_is_found_alive_is_cancelled_once_its_job_is_over(bench: Bench) -> None:
    handle = running(bench, retry="{lost: 0}")
    bench.provider.lose(handle)
    bench.turn(50)
    assert bench.state("a") is State.FAILED
    bench.provider.find_again(handle)
    look(bench)
    assert set(bench.provider.cancelled) == {handle}
    assert "alive although the ledger has ended it: cancelled" in bench.alarms[KEY]
    assert any(one["event"] == "orphan" and one["attempt"] == handle for one in bench.logged)
    look(bench)
    assert bench.alarms == {}
    assert bench.state("a") is State.FAILED


def test_an_attempt_that_another_has_taken_the_place_of_is_cancelled(bench: Bench) -> None:
    first = running(bench)
    bench.provider.lose(first)
    bench.turn(60)
    (second,) = bench.provider.list().values()
    assert second != first
    bench.provider.find_again(first)
    look(bench)
    assert set(bench.provider.cancelled) == {first}
    assert list(bench.provider.list().values()) == [second]


def test_what_ended_a_moment_ago_may_be_listed_still(bench: Bench) -> None:
    handle = running(bench, retry="{lost: 0}")
    bench.provider.lose(handle)
    bench.turn(35)
    bench.until(lambda: bench.state("a") is State.FAILED)
    bench.provider.find_again(handle)
    bench.controller.orphans._next.clear()
    bench.turn(3)
    assert bench.provider.cancelled == []


@pytest.mark.parametrize("token", [f"lab-{'b' * 12}-1", "lab-0123456789ab-a100", "other"])
def test_a_job_that_the_ledger_never_knew_is_told_and_not_touched(bench: Bench, token: str) -> None:
    running(bench)
    handle = submit(bench, token)
    look(bench)
    assert f"1 job is ({handle}) there and unknown to the ledger: `lab rebuild` adopts" in bench.alarms[KEY]
    bench.turn(10)
    assert KEY in bench.alarms, "what the provider says of itself leaves it alone"
    assert bench.provider.cancelled == []
    bench.provider.lose(handle)
    look(bench)
    assert bench.alarms == {}


def test_an_attempt_whose_submission_is_not_settled_is_no_orphan(bench: Bench) -> None:
    from labwright.domain.errors import OutcomeUnknown

    bench.provider.fail("submit", OutcomeUnknown("the line broke"), after=True)
    bench.provider.fail("find", Unavailable("away", retry_in=10_000))
    bench.push(lab="name: lab", a=task())
    bench.turn(6)
    assert bench.provider.accepted
    bench.controller.orphans._next.clear()
    bench.turn(3)
    assert KEY not in bench.alarms
    assert bench.provider.cancelled == []


def test_a_provider_that_is_away_is_asked_again(bench: Bench) -> None:
    bench.provider.fail("list", Unavailable("no route"))
    running(bench)
    submit(bench, "other")
    bench.turn(20)
    assert bench.alarms == {}
    look(bench)
    assert KEY in bench.alarms
