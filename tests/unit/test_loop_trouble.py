"""The loop when its own house burns: a ledger that cannot be written or read, a controller that dies, a defect in one job."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labwright.control.loop import MOST_FAILURES
from labwright.domain.errors import Refused, Unavailable
from labwright.domain.ids import Digest
from labwright.domain.job import ActKind, Move
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


# the ledger


@pytest.mark.parametrize("trouble", ["full", "gone"])
@pytest.mark.parametrize("after", range(0, 14))
def test_a_ledger_that_cannot_be_written_launches_nothing_loses_nothing_and_goes_on(
    bench: Bench, after: int, trouble: str
) -> None:
    bench.push(lab="name: lab", a=task(), b=task("y", needs="[a]"))
    bench.turn(after)
    known = set(bench.provider.accepted)
    setattr(bench.ledger, trouble, "disk full")
    bench.turn(3, seconds=6)
    assert set(bench.provider.accepted) == known
    if 2 <= after < 9:
        assert "disk full" in bench.alarms["ledger"]
    setattr(bench.ledger, trouble, "")
    bench.turn(1, seconds=6)
    bench.until_idle()
    assert {bench.state("a"), bench.state("b")} == {State.COMPLETE}
    assert len(bench.provider.accepted) == len(set(bench.provider.accepted)) == 2
    assert bench.rows("SELECT count(*) AS n FROM metrics") == [{"n": 2}]
    assert len([path for path in bench.results.content if path.endswith("manifest.json")]) == 2
    assert "ledger" not in bench.alarms


def test_a_plan_that_could_not_be_written_is_made_again_from_the_same_change(bench: Bench) -> None:
    """What was planned last is remembered only once it is written: else the change would look like none."""
    bench.push(a=task())
    bench.until_idle()
    bench.ledger.full = "disk full"
    bench.push(a=task("other"))
    bench.turn(3)
    bench.ledger.full = ""
    bench.until_idle()
    assert len(bench.jobs) == 2


def test_settings_that_could_not_be_written_are_read_again(bench: Bench) -> None:
    bench.push(lab="name: one", a=task(resources="{compute_provider: late}"))
    bench.until_idle()
    bench.ledger.full = "disk full"
    bench.providers["late"] = bench.provider
    bench.push(lab="providers: {local: {type: local}, late: {type: local}}")
    bench.turn(3)
    bench.ledger.full = ""
    bench.until_idle()
    assert bench.state("a") is State.COMPLETE, "it was refused before, and is launched now"


# death


@pytest.mark.parametrize("after", range(1, 16))
def test_a_new_controller_goes_on_where_the_last_one_died(bench: Bench, after: int) -> None:
    bench.push(a=task(sweeps=PAIR), b=task("y", needs="[a]"))
    bench.turn(after)
    bench.start()
    bench.until_idle()
    assert set(bench.states().values()) == {"COMPLETE"}
    assert len(bench.provider.accepted) == 3
    assert bench.rows("SELECT count(*) AS n FROM metrics") == [{"n": 3}]
    assert len(bench.results.content) == 6


def test_records_that_missed_the_end_of_a_job_catch_up_after_a_restart(bench: Bench) -> None:
    bench.provider._story = Story(hangs=True)
    bench.push(a=task(), b=task("y", needs="[a]"))
    bench.until(lambda: bench.rows("SELECT state FROM jobs WHERE task = 'b'") == [{"state": "HELD"}])
    write = bench.records.write
    bench.records.write = lambda batch: (_ for _ in ()).throw(Unavailable("locked"))  # type: ignore[method-assign]
    bench.ask(ActKind.STOP, "b")
    bench.until(lambda: bench.state("b") is State.STOPPED)
    bench.records.write = write  # type: ignore[method-assign]
    bench.start()
    bench.until(lambda: bench.rows("SELECT state FROM jobs WHERE task = 'b'") == [{"state": "STOPPED"}])


# defects


def spoil(bench: Bench, name: str) -> None:
    """A task's spec is in the ledger as nobody can read it."""
    job = bench.job(name)
    bench.ledger._t.contents[job.spec] = '{"name": 7}'
    bench.controller.launcher.contents._specs.pop(job.spec, None)


@pytest.mark.parametrize("after", [1, 2, 3, 4, 5, 6])
def test_a_job_that_nobody_can_read_stops_no_other(bench: Bench, after: int) -> None:
    bench.provider._story = Story(run=3, events=STORY.events)
    bench.push(a=task(), b=task("y"))
    bench.until(lambda: bench.jobs)
    bench.turn(after)
    spoil(bench, "a")
    bench.push(c=task("z"))
    bench.until(lambda: [bench.state(name) for name in "bc"] == [State.COMPLETE] * 2)
    bench.until(lambda: len({path.split("/")[1] for path in bench.results.content} & {"b", "c"}) == 2)
    assert "met a defect of Labwright" in bench.alarms[f"job {bench.job('a').id}"]
    assert [entry["job"] for entry in bench.logged if entry["event"] == "defect"] == [bench.job("a").id], "said once"


def only(handle_of: str, call: Any) -> Any:
    """The call with a defect that one job brings out."""

    def broken(items: Any, **more: Any) -> Any:
        if any(handle_of in str(getattr(item, "handle", getattr(item, "token", item))) for item in items):
            raise ZeroDivisionError("division by zero")
        return call(items, **more)

    return broken


@pytest.mark.parametrize("name", ["submit", "observe", "read"])
def test_a_defect_that_one_job_brings_out_in_its_provider_stops_no_other(bench: Bench, name: str) -> None:
    bench.push(a=task("x", sweeps="{sweep_config: {x: [1, 2, 3, 4]}}"))
    bench.turn(2)
    bad = bench.jobs[2]
    setattr(bench.provider, name, only(bad.id, getattr(bench.provider, name)))
    bench.until(lambda: list(bench.states().values()).count("COMPLETE") >= 3)
    bench.until(lambda: len([path for path in bench.results.content if path.endswith("manifest.json")]) == 3)
    assert any("ZeroDivisionError" in words for words in bench.alarms.values()), bench.alarms


def test_a_job_whose_results_cannot_be_collected_holds_back_no_other(bench: Bench) -> None:
    bench.push(a=task(sweeps=PAIR))
    bench.turn(2)
    bad, collect = bench.jobs[0], bench.provider.collect
    bench.provider.collect = lambda handle: 1 / 0 if bad.id in handle else collect(handle)  # type: ignore[assignment, method-assign, return-value]
    bench.until(lambda: [path for path in bench.results.content if path.endswith("manifest.json")])
    assert f"job {bad.id}" in bench.alarms
    bench.provider.collect = collect  # type: ignore[method-assign]
    bench.turn(70)
    assert len(bench.results.content) == 4
    assert bench.alarms == {}


def test_a_move_that_no_job_may_make_is_that_jobs_trouble_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from labwright.control import observe

    bench.push(a=task(), b=task("y"))
    bench.until(lambda: len(bench.provider.accepted) == 2)
    real = observe.reconcile

    def mad(job: Any, attempts: Any, seen: Any, now: Any, *rest: Any, **more: Any) -> Any:
        made = real(job, attempts, seen, now, *rest, **more)
        if job.task == "a" and job.state is State.RUNNING:
            return observe.Decision(Move(job, State.HELD, "mad", now))
        return made

    monkeypatch.setattr(observe, "reconcile", mad)
    bench.until(lambda: bench.state("b") is State.COMPLETE)
    assert "IllegalMove" in bench.alarms[f"job {bench.job('a').id}"]


@pytest.mark.parametrize("error", [ZeroDivisionError("division by zero"), Refused("took longer than 60 seconds")])
def test_a_page_that_cannot_be_rendered_holds_back_no_result(bench: Bench, error: Exception) -> None:
    def pages(experiments: Any) -> dict[str, bytes]:
        if "a" in experiments:
            raise error
        return {f"results/{name}/README.md": b"page" for name in experiments}

    bench.pages = pages
    bench.push(a=task(), b=task("y"))
    bench.until_idle()
    assert {path.split("/")[1] for path in bench.results.content if path.endswith("manifest.json")} == {"a", "b"}
    assert "results/b/README.md" in bench.results.content
    assert str(error) in bench.alarms["pages of a"]


def test_a_page_of_all_experiments_that_cannot_be_rendered_is_told(bench: Bench) -> None:
    def pages(experiments: Any) -> dict[str, bytes]:
        if not experiments:
            raise Refused("no")
        return {f"results/{name}/README.md": b"page" for name in experiments}

    bench.pages = pages
    bench.push(a=task())
    bench.until_idle()
    assert "results/a/README.md" in bench.results.content
    assert bench.alarms == {"page of all experiments": "not rendered: no"}
    bench.pages = lambda experiments: {}
    bench.push(b=task("y"))
    bench.until_idle()
    assert bench.alarms == {}


def test_an_act_that_meets_a_defect_is_answered_and_not_tried_for_ever(bench: Bench) -> None:
    bench.push(a=task())
    bench.until_idle()
    bench.controller.acts._by_kind = {**bench.controller.acts._by_kind, ActKind.STOP: lambda act, now: 1 / 0}  # type: ignore[dict-item, return-value]
    act = bench.ask(ActKind.STOP, "a")
    bench.turn(3)
    assert "ZeroDivisionError" in bench.answer(act)


def test_a_defect_in_planning_one_branch_stops_no_other(bench: Bench) -> None:
    lab = "watch: {branches: [main, dev]}"
    bench.push(lab=lab, a=task())
    bench.push(branch="dev", lab=lab, b=task("y"))
    evaluate = bench.controller.intake.evaluate

    def broken(tree: Any, names: Any, branch: str, **more: Any) -> Any:
        return 1 / 0 if branch == "dev" else evaluate(tree, names, branch, **more)

    bench.controller.intake.evaluate = broken  # type: ignore[method-assign]
    bench.until_idle()
    assert bench.state("a") is State.COMPLETE
    assert "ZeroDivisionError" in bench.alarms["branch dev"]


def test_a_defect_of_a_whole_turn_is_tried_again_and_in_the_end_raised(bench: Bench) -> None:
    bench.push(a=task())
    bench.until_idle()
    step = bench.controller.observer.step
    bench.controller.observer.step = lambda now: 1 / 0  # type: ignore[assignment, method-assign, return-value]
    bench.turn(MOST_FAILURES)
    assert "ZeroDivisionError" in bench.alarms["ledger"]
    with pytest.raises(ZeroDivisionError):
        bench.turn()
    bench.controller.observer.step = step  # type: ignore[method-assign]
    bench.push(b=task("y"))
    bench.until_idle()
    assert bench.state("b") is State.COMPLETE


def test_jobs_of_content_that_is_gone_from_the_ledger_are_said(bench: Bench) -> None:
    bench.provider._story = Story(hangs=True)
    bench.push(a=task())
    bench.until(lambda: bench.state("a") is State.RUNNING)
    job = bench.job("a")
    del bench.ledger._t.contents[Digest(job.spec)]
    bench.start()
    bench.turn(5)
    assert f"job {job.id}" in bench.alarms
    assert bench.state("a") is State.RUNNING
