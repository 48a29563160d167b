"""policy.retention: what may go goes, a few at a time; what is young, unpublished, needed or not kept stays."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from labwright.control import keep, retention
from labwright.decide.keeping import may_go
from labwright.domain.errors import Unavailable
from labwright.domain.job import ActKind
from labwright.domain.lifecycle import Outcome, State
from labwright.testing.fake_provider import Story
from tests.unit.loop_bench import STORY, Bench
from tests.unit.planning import task

pytestmark = pytest.mark.slow

DAY = 86400.0
LAB = "policy: {retention: 30d}"
PAIR = "{sweep_config: {x: [1, 2]}}"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    bench.provider._story = STORY
    yield bench
    bench.close()


def ran(bench: Bench, lab: str = LAB, **tasks: str) -> None:
    bench.push(lab=lab, **tasks)
    bench.until_idle()


def wait(bench: Bench, days: float) -> None:
    bench.turn(1, seconds=days * DAY)
    bench.turn(12, seconds=2)


def handles(bench: Bench, name: str) -> list[Any]:
    return [a.handle for a in bench.ledger.attempts([bench.job(name).id])]


def test_a_folder_goes_once_its_time_is_over_and_what_was_published_stays(bench: Bench) -> None:
    ran(bench, a=task())
    before = dict(bench.results.content), bench.rows("SELECT * FROM jobs"), bench.rows("SELECT * FROM artifacts")
    wait(bench, 29)
    assert bench.provider.forgotten == []
    wait(bench, 1.01)
    assert len(bench.provider.forgotten) == 1
    assert handles(bench, "a") == [None]
    assert bench.job("a").state is State.COMPLETE
    assert (
        dict(bench.results.content),
        bench.rows("SELECT * FROM jobs"),
        bench.rows("SELECT * FROM artifacts"),
    ) == before
    assert list(bench.store.content.values()) == [b"weights"]
    commits = bench.ledger.commits
    wait(bench, 1)
    assert len(bench.provider.forgotten) == 1
    assert bench.ledger.commits == commits, "asked for once"
    assert bench.alarms == {}


def test_without_a_word_in_lab_yaml_nothing_ever_goes(bench: Bench) -> None:
    ran(bench, lab="name: lab", a=task())
    wait(bench, 3650)
    assert bench.provider.forgotten == bench.provider.tidied == []


def test_a_forgotten_job_is_not_run_again(bench: Bench) -> None:
    ran(bench, a=task())
    wait(bench, 31)
    bench.push(a=task(), b=task("y"))
    bench.until_idle()
    assert len(bench.provider.accepted) == 2
    assert bench.state("b") is State.COMPLETE


def test_what_is_not_published_yet_stays(bench: Bench) -> None:
    bench.results.broken = "no route to host"
    ran(bench, a=task())
    wait(bench, 60)
    assert bench.provider.forgotten == []
    bench.results.broken = ""
    bench.until(lambda: bench.provider.forgotten, 8000)
    assert len([path for path in bench.results.content if path.endswith("manifest.json")]) == 1


def test_where_nothing_is_published_what_is_collected_may_go(bench: Bench) -> None:
    ran(bench, lab=LAB + "\nresults: {push: false}", a=task())
    wait(bench, 31)
    assert len(bench.provider.forgotten) == 1
    assert bench.outbox.waiting() == [bench.job("a").id]


def test_what_a_job_that_is_not_over_needs_stays_until_it_is_over(bench: Bench) -> None:
    ran(bench, a=task())
    bench.provider._story = Story(hangs=True)
    bench.push(b=task("y", needs="[a]"), c=task("z"))
    bench.until(lambda: bench.state("b") is State.RUNNING)
    wait(bench, 31)
    assert bench.provider.forgotten == []
    bench.ask(ActKind.STOP, "b")
    bench.until(lambda: bench.state("b") is State.STOPPED)
    wait(bench, 1)
    assert handles(bench, "a") == [None]
    assert handles(bench, "c") != [None]


def test_a_job_that_waits_for_the_rerun_of_a_failed_one_keeps_what_may_answer_it(bench: Bench) -> None:
    bench.provider._story = Story(code=1)
    ran(bench, a=task(), b=task("y", needs="[a]"))
    assert bench.state("b") is State.HELD
    wait(bench, 31)
    assert bench.provider.forgotten == []


def test_earlier_attempts_of_a_job_that_is_not_over_stay(bench: Bench) -> None:
    stories = iter([Story(outcome=Outcome.PREEMPTED), Story(hangs=True)])
    bench.provider._story = lambda submission: next(stories)
    bench.push(lab=LAB, a=task())
    bench.until(lambda: bench.state("a") is State.RUNNING and bench.job("a").attempt == 2, 200)
    wait(bench, 31)
    assert bench.provider.forgotten == []
    bench.ask(ActKind.STOP, "a")
    bench.until_idle()
    wait(bench, 1)
    assert handles(bench, "a")[0] is None
    wait(bench, 31)
    assert handles(bench, "a") == [None, None]


def test_a_folder_goes_only_after_its_smaller_artifacts_were_kept(bench: Bench) -> None:
    ran(bench, lab="results: {keep_artifacts: 0}", a=task())
    assert bench.store.content == {}
    bench.turn(1, seconds=(keep.DAYS + 24) * DAY)
    bench.provider.fail("fetch", Unavailable("no route to host"), times=1)
    bench.push(lab=LAB)
    bench.turn(8, seconds=2)
    assert bench.provider.forgotten == []
    bench.until(lambda: bench.provider.forgotten, 4000)
    assert list(bench.store.content.values()) == [b"weights"]


def test_artifacts_that_can_never_be_kept_hold_no_folder_back(bench: Bench) -> None:
    bench.provider.fetch = lambda handle, path, into: into.write_bytes(b"changed since")  # type: ignore[method-assign]
    ran(bench, a=task())
    wait(bench, 31)
    assert len(bench.provider.forgotten) == 1


def test_a_provider_that_is_away_is_asked_in_the_next_pass_and_the_others_go_on(bench: Bench) -> None:
    other = type(bench.provider)(bench.clock, STORY, name="other", capacity=bench.capacity)
    bench.providers["other"] = other
    lab = LAB + "\nproviders: {local: {type: local}, other: {type: local}}\ndefault_provider: local"
    ran(bench, lab=lab, a=task(), b=task("y", resources="{compute_provider: other}"))
    bench.provider.fail("forget", Unavailable("no route to host"))
    wait(bench, 31)
    assert (len(bench.provider.forgotten), len(other.forgotten)) == (0, 1)
    assert handles(bench, "a") != [None]
    bench.turn(4, seconds=retention.EVERY)
    assert len(bench.provider.forgotten) == 1
    assert handles(bench, "a") == [None]


def test_what_a_provider_could_not_remove_is_asked_for_again(bench: Bench) -> None:
    forget = bench.provider.forget
    ran(bench, a=task())
    bench.provider.forget = lambda handles: None  # type: ignore[method-assign]
    wait(bench, 31)
    assert handles(bench, "a") != [None]
    bench.provider.forget = forget  # type: ignore[method-assign]
    bench.turn(4, seconds=retention.EVERY)
    assert handles(bench, "a") == [None]


def test_many_go_a_batch_at_a_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    ran(bench, a=task(sweeps="{sweep_config: {x: [1, 2, 3, 4, 5]}}"))
    bench.turn(1, seconds=31 * DAY)
    counts = []
    for _ in range(8):
        bench.turn(1, seconds=2)
        counts.append(len(bench.provider.forgotten))
    assert counts[-1] == 5
    assert all(after - before <= 2 for before, after in pairwise([0, *counts]))


@pytest.mark.parametrize("trouble", ["full", "gone"])
@pytest.mark.parametrize("after", range(5))
def test_a_ledger_that_fails_meanwhile_lets_go_later(bench: Bench, after: int, trouble: str) -> None:
    ran(bench, a=task(sweeps=PAIR))
    bench.turn(1, seconds=31 * DAY)
    bench.turn(after, seconds=0.5)
    setattr(bench.ledger, trouble, "disk full")
    bench.turn(4, seconds=3)
    setattr(bench.ledger, trouble, "")
    bench.turn(8, seconds=retention.EVERY)
    assert [a.handle for a in bench.ledger.attempts()] == [None, None]
    assert len(bench.provider.forgotten) == 2


@pytest.mark.parametrize("after", range(6))
def test_a_controller_that_dies_meanwhile_lets_go_after_its_next_start(bench: Bench, after: int) -> None:
    ran(bench, a=task(sweeps=PAIR))
    bench.turn(1, seconds=31 * DAY)
    bench.turn(after, seconds=0.5)
    bench.start()
    bench.turn(8, seconds=2)
    assert [a.handle for a in bench.ledger.attempts()] == [None, None]


def test_what_jobs_shared_is_tidied_after_each_pass_with_the_same_time(bench: Bench) -> None:
    ran(bench, a=task())
    bench.provider.tidied.clear()
    bench.turn(1, seconds=retention.EVERY)
    bench.turn(4, seconds=2)
    assert bench.provider.tidied == [30 * DAY]
    bench.provider.fail("tidy", Unavailable("no route to host"))
    bench.turn(1, seconds=retention.EVERY)
    bench.turn(4, seconds=2)
    assert bench.alarms == {}


def test_a_shorter_time_in_lab_yaml_is_heeded_at_once(bench: Bench) -> None:
    ran(bench, a=task())
    wait(bench, 8)
    bench.push(lab="policy: {retention: 7d}")
    bench.turn(6)
    assert len(bench.provider.forgotten) == 1


def test_a_job_that_needs_what_is_gone_says_how_to_mend_it(bench: Bench) -> None:
    ran(bench, a=task())
    wait(bench, 31)
    bench.push(b=task("y", needs="[a]"))
    bench.until_idle()
    assert bench.state("b") is State.FAILED
    assert "whose files are at no provider any more (`lab rerun a` makes them again" in bench.job("b").reason


def test_an_attempt_that_is_not_over_collected_and_published_may_not_go(bench: Bench) -> None:
    ran(bench, a=task())
    job = bench.job("a")
    (done,) = bench.ledger.attempts()
    assert may_go([done], {job.id: job}, []) == [done]
    for change in ({"outcome": None}, {"collected": False}, {"published": False}):
        assert not may_go([replace(done, **change)], {job.id: job}, [])  # type: ignore[arg-type]
    assert not may_go([done], {}, [])
    assert not may_go([done], {job.id: replace(job, state=State.RUNNING)}, [])
    assert not may_go([done], {job.id: job}, [replace(job, generation=3)])
    assert not may_go([done], {job.id: job}, [], [job.id])
