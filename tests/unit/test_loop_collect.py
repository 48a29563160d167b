"""What ended jobs left is asked in calls of its own: one that takes for ever is alone with it."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from labwright.control import collect
from labwright.control.calls import Left
from labwright.domain.errors import Refused, Unavailable
from labwright.domain.lifecycle import State
from labwright.testing.fake_provider import Story
from tests.unit.loop_bench import STORY, Bench
from tests.unit.planning import task

PAIR = "{sweep_config: {x: [1, 2]}}"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    bench.provider._story = STORY
    yield bench
    bench.close()


class Gate:
    """A provider's `collect` that does not answer for some jobs until it is opened."""

    def __init__(self, bench: Bench, *names: str) -> None:
        self.bench, self.names, self.opened, self.collect = bench, names, threading.Event(), bench.provider.collect
        self.asked: list[Any] = []
        bench.provider.collect = self  # type: ignore[assignment, method-assign]

    def __call__(self, handle: Any) -> Any:
        self.asked.append(handle)
        if any(self.bench.job(name).id in handle for name in self.names):
            assert self.opened.wait(60)
        return self.collect(handle)


@pytest.fixture
def threads(bench: Bench) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        bench.world.calls._pool = bench.world.calls._left = pool
        yield pool


def until(bench: Bench, true: Callable[[], Any], most: int = 600) -> None:
    for _ in range(most):
        if true():
            return
        bench.turn(seconds=0.2)
        time.sleep(0.01)
    raise AssertionError(f"not so: {bench.states()}, {bench.alarms}")


def published(bench: Bench) -> set[str]:
    return {path.split("/")[1] for path in bench.results.content if path.endswith("manifest.json")}


def states(bench: Bench) -> dict[str, str]:
    return {row["task"]: row["state"] for row in bench.rows("SELECT task, state FROM jobs")}


def test_a_job_whose_artifacts_take_for_ever_delays_no_other_job_and_no_metric(
    bench: Bench, threads: ThreadPoolExecutor
) -> None:
    gate = Gate(bench, "slow")
    bench.push(slow=task())
    until(bench, lambda: gate.asked)
    bench.provider._story = Story(hangs=True, events=STORY.events, log=STORY.log)
    bench.push(running=task("r"))
    until(bench, lambda: bench.state("running") is State.RUNNING)
    until(bench, lambda: bench.rows("SELECT 1 FROM metrics JOIN jobs USING (job) WHERE task = 'running'"))
    bench.provider._story = STORY
    bench.push(other=task("o"))
    until(bench, lambda: "other" in published(bench))
    assert (bench.state("slow"), bench.state("other")) == (State.COMPLETE, State.COMPLETE)
    until(bench, lambda: states(bench)["slow"] == "COMPLETE")
    assert "slow" not in published(bench)
    assert bench.alarms == {}
    gate.opened.set()
    until(bench, lambda: "slow" in published(bench))
    assert bench.rows("SELECT path FROM artifacts JOIN jobs USING (job) WHERE task = 'slow'") == [{"path": "model.pt"}]


def test_no_more_calls_than_lanes_ask_one_provider_and_each_job_is_asked_once(
    bench: Bench, threads: ThreadPoolExecutor
) -> None:
    gate = Gate(bench, "a")
    bench.push(a=task(sweeps="{sweep_config: {x: [1, 2, 3, 4, 5, 6, 7, 8]}}"))
    gate.names = ()
    real, inside, most = gate.collect, [0], [0]
    lock = threading.Lock()

    def slowly(handle: Any) -> Any:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.02)
        with lock:
            inside[0] -= 1
        return real(handle)

    gate.collect = slowly  # type: ignore[assignment]
    until(bench, lambda: len([p for p in bench.results.content if p.endswith("manifest.json")]) == 8)
    assert len(gate.asked) == 8
    assert 1 < most[0] <= collect.LANES


def test_stopping_does_not_wait_for_what_takes_long_and_asks_for_no_more(
    bench: Bench, threads: ThreadPoolExecutor
) -> None:
    bench.world.calls._left = Left()
    gate = Gate(bench, "a")
    bench.push(a=task(sweeps="{sweep_config: {x: [1, 2, 3, 4, 5, 6, 7, 8]}}"))
    gate.names = ()
    real, answered = gate.collect, threading.Semaphore(0)

    def held(handle: Any) -> Any:
        assert gate.opened.wait(60)
        answered.release()
        return real(handle)

    gate.collect = held  # type: ignore[assignment]
    until(bench, lambda: len(gate.asked) == collect.LANES)
    bench.controller.close()
    gate.opened.set()
    for _ in range(collect.LANES):
        assert answered.acquire(timeout=60)
    assert len(gate.asked) == collect.LANES


def test_a_provider_that_cannot_be_asked_is_asked_again_with_longer_pauses_and_nothing_is_lost(bench: Bench) -> None:
    asked: list[Any] = []
    real = bench.provider.collect

    def away(handle: Any) -> Any:
        asked.append(bench.clock.now())
        if len(asked) <= 4:
            raise Unavailable("connection refused")
        return real(handle)

    bench.provider.collect = away  # type: ignore[assignment, method-assign]
    bench.push(a=task())
    bench.until(lambda: len(asked) == 2)
    bench.turn(1)
    assert bench.alarms == {"collecting from local": "connection refused; results of its jobs wait"}
    bench.until_idle(400)
    pauses = [(after - before).total_seconds() for before, after in pairwise(asked)]
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 8
    assert published(bench) == {"a"}
    assert bench.alarms == {}


def test_one_job_that_can_never_be_read_holds_back_no_other(bench: Bench) -> None:
    real, bad = bench.provider.collect, []

    def broken(handle: Any) -> Any:
        if bad and bad[0] in handle:
            raise OSError(5, "Input/output error")
        return real(handle)

    bench.provider.collect = broken  # type: ignore[assignment, method-assign]
    bench.push(a=task(sweeps=PAIR))
    bench.turn(2)
    bad.append(bench.jobs[0].id)
    bench.until(lambda: len(bench.results.content) == 2, 200)
    bench.push(b=task("y"))
    bench.until(lambda: "b" in published(bench), 200)
    assert "Input/output error" in bench.alarms["collecting from local"]
    bad.clear()
    bench.until(lambda: len([p for p in bench.results.content if p.endswith("manifest.json")]) == 3, 200)
    assert bench.alarms == {}


def test_what_a_provider_refuses_to_say_is_left_out_and_the_job_is_published(bench: Bench) -> None:
    def refused(handle: Any) -> Any:
        raise Refused("no such attempt")

    bench.provider.collect = refused  # type: ignore[method-assign]
    bench.push(a=task())
    bench.until_idle()
    assert published(bench) == {"a"}


@pytest.mark.parametrize("trouble", ["full", "gone"])
@pytest.mark.parametrize("after", range(6))
def test_a_ledger_that_fails_while_results_are_finished_loses_and_doubles_nothing(
    bench: Bench, after: int, trouble: str
) -> None:
    bench.push(a=task(sweeps=PAIR))
    bench.until(lambda: bench.states() and set(bench.states().values()) == {"COMPLETE"})
    bench.turn(after, seconds=0.3)
    setattr(bench.ledger, trouble, "disk full")
    bench.turn(4, seconds=3)
    setattr(bench.ledger, trouble, "")
    bench.turn(1, seconds=10)
    bench.until_idle()
    assert bench.rows("SELECT count(*) AS n FROM metrics") == [{"n": 2}]
    assert len([p for p in bench.results.content if p.endswith("manifest.json")]) == 2
    assert all(attempt.collected and attempt.published for attempt in bench.ledger.attempts())
    assert bench.controller.collector._under == {}


def test_records_that_cannot_be_written_hold_results_back_and_that_is_said(bench: Bench) -> None:
    bench.push(a=task())
    bench.until(lambda: bench.state("a") is State.COMPLETE)
    finish = bench.controller.collector.finisher.finish
    bench.controller.collector.finisher.finish = lambda batch: (_ for _ in ()).throw(OSError(28, "No space left"))  # type: ignore[method-assign]
    bench.until(lambda: "results" in bench.alarms)
    assert "No space left" in bench.alarms["results"]
    bench.turn(5)
    bench.controller.collector.finisher.finish = finish  # type: ignore[method-assign]
    bench.until_idle()
    assert published(bench) == {"a"}
    assert bench.alarms == {}


def test_what_the_script_said_of_its_failure_is_added_once_however_often_it_is_finished(bench: Bench) -> None:
    bench.provider._story = Story(code=1, events=b'{"t":1790000000,"e":"error","m":"out of tea"}\n')
    bench.results.broken = "no route to host"
    bench.push(a=task())
    bench.until(lambda: bench.outbox.waiting())
    bench.turn(3)
    bench.outbox.drop(bench.job("a").id)
    bench.results.broken = ""
    bench.until_idle(400)
    assert bench.job("a").reason == "exit code 1: out of tea"
    assert bench.rows("SELECT reason FROM jobs") == [{"reason": "exit code 1: out of tea"}]
