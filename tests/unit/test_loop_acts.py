"""What people ask of the loop: stop, suspend, resume, confirm, run, rerun, and a trailer in a commit."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labwright.domain.errors import Unavailable
from labwright.domain.job import ActKind
from labwright.domain.lifecycle import State
from labwright.testing.fake_provider import Story
from tests.unit.loop_bench import STORY, Bench
from tests.unit.planning import task


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    bench.provider._story = STORY
    yield bench
    bench.close()


def test_stop_of_held_queued_and_running(bench: Bench) -> None:
    bench.provider._story = Story(hangs=True)
    bench.push(a=task(), b=task(needs="[a]"), c=task("z", resources="{cpus: 4}"))
    bench.until(lambda: bench.state("a") is State.RUNNING)
    assert (bench.state("b"), bench.state("c")) == (State.HELD, State.QUEUED)
    for name in "bca":
        bench.ask(ActKind.STOP, name)
    bench.until_idle()
    assert set(bench.states().values()) == {"STOPPED"}
    assert {job.reason for job in bench.jobs} == {"stopped by ada"}


def test_a_stop_while_a_submission_is_unsettled_wins_once_it_is_settled(bench: Bench) -> None:
    bench.provider._story = Story(hangs=True)
    bench.provider.fail("submit", Unavailable("maintenance"), times=2)
    bench.push(a=task())
    bench.turn(4)
    bench.ask(ActKind.STOP, "a")
    bench.until_idle()
    assert bench.state("a") is State.STOPPED
    assert bench.provider.accepted == []


def test_suspended_nothing_is_submitted_and_resumed_it_goes_on(bench: Bench) -> None:
    bench.turn(2)
    bench.ask(ActKind.SUSPEND, "")
    bench.push(a=task())
    bench.turn(10)
    assert bench.job("a").reason.startswith("suspended: by ada")
    assert bench.provider.accepted == []
    bench.ask(ActKind.RESUME, "")
    bench.until_idle()
    assert bench.state("a") is State.COMPLETE


def test_whoever_suspends_may_have_any_name(bench: Bench) -> None:
    bench.turn(2)
    act = bench.ask(ActKind.SUSPEND, "local")
    bench.ledger._t.acts[act] = replace(bench.ledger._t.acts[act], by="a\nb\tc")
    bench.turn(2)
    assert bench.world.suspended == {"local": "by a b c at 2026-01-01 00:00 UTC"}


def test_a_held_plan_waits_for_its_confirmation(bench: Bench) -> None:
    bench.push(lab="policy: {limits: {jobs_per_commit: 1}}", a=task(sweeps="{sweep_config: {x: [1, 2]}}"))
    bench.until_idle()
    assert {job.reason.partition(";")[0] for job in bench.jobs} == {
        "limit: 2 jobs, more than limits.jobs_per_commit = 1"
    }
    act = bench.ask(ActKind.CONFIRM, bench.jobs[0].plan[:12])
    bench.until_idle()
    assert bench.answer(act) == "confirmed: 2 jobs"
    assert set(bench.states().values()) == {"COMPLETE"}


def test_run_rerun_and_their_answers(bench: Bench) -> None:
    bench.push(a=task(on="{manual: true}"))
    bench.until_idle()
    assert bench.jobs == []
    run = bench.ask(ActKind.RUN, "a")
    bench.until_idle()
    assert bench.answer(run) == f"launched {bench.job('a', 0).id}"
    again = bench.ask(ActKind.RERUN, "a")
    bench.until_idle()
    assert bench.answer(again) == f"launched {bench.job('a', 1).id}"
    one = bench.ask(ActKind.RERUN, bench.job("a", 0).id)
    bench.until_idle()
    assert bench.answer(one) == f"launched {bench.job('a', 2).id}"
    retry = bench.ask(ActKind.RETRY, bench.job("a", 2).id)
    bench.until_idle()
    assert bench.answer(retry).startswith(f"refused: {bench.job('a', 2).id} is COMPLETE")
    assert set(bench.states().values()) == {"COMPLETE"}


@pytest.mark.parametrize(
    ("kind", "target", "arguments", "words"),
    [
        (ActKind.RUN, "nothing", {}, "refused: there is no task nothing at main"),
        (ActKind.RUN, "a", {"branch": "gone"}, "refused: there is no branch gone"),
        (ActKind.RUN, "a", {"provider": "mars"}, "refused: there is no provider `mars` in lab.yaml (it has: local)"),
        (ActKind.RUN, "a", {"parameters": {"n": 1}}, "refused: a has no parameter n (it has: none)"),
        (ActKind.RUN, "a", {"parameters": 7}, "failed, by a defect of Labwright"),
        (ActKind.STOP, "nothing", {}, "refused: no live job or task is called nothing"),
        (ActKind.CONFIRM, "abc", {}, "refused: no held plan has a digest that starts with abc"),
        (ActKind.SUSPEND, "mars", {}, "refused: there is no provider mars"),
        (ActKind.RESUME, "", {}, "was not suspended"),
    ],
)
def test_what_cannot_be_done_is_answered(bench: Bench, kind: ActKind, target: str, arguments: dict[str, object], words: str) -> None:  # fmt: skip
    bench.push(a=task(on="{manual: true}"))
    bench.until_idle()
    act = bench.ask(kind, target, **arguments)
    bench.until_idle()
    assert bench.answer(act).startswith(words)
    assert bench.jobs == []


def test_a_trailer_reruns_what_stands_on_its_branch_and_does_not_double_what_it_launches(bench: Bench) -> None:
    lab = "watch: {branches: [main, dev]}"
    bench.push(lab=lab, a=task("main"))
    bench.push(branch="dev", lab=lab, a=task("dev"))
    bench.until_idle()
    bench.push(branch="dev", trailers=[("Lab-Rerun", "a")], lab=f"{lab} # seen")
    bench.until_idle()
    rerun = bench.job("a", 1)
    assert (rerun.branch, rerun.work) == ("dev", next(j.work for j in bench.jobs if j.branch == "dev"))
    bench.push(branch="dev", trailers=[("Lab-Rerun", "a")], a=task("newer"))
    bench.until_idle()
    assert len(bench.jobs) == 4
