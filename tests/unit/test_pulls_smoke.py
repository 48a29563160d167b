"""`lab:smoke`: one trial of each task, for a short time, that never stands for the whole run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from labwright.domain.lifecycle import State
from labwright.domain.task import Task
from tests.unit.pull_bench import LAB, PullBench, task_text

SWEEP = "sweeps: {sweep_config: {x: [1, 2, 3]}}\ntimeout: 2h\n"
SMOKE = LAB + "policy: {approve: {smoke: {minutes: 5, review: false}}}\n"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PullBench]:
    bench = PullBench(tmp_path, SMOKE)
    yield bench
    bench.close()


def test_its_label_runs_one_trial_for_a_short_time_without_a_review(bench: PullBench) -> None:
    bench.propose(**{"alpha/train": task_text("one", SWEEP), "beta/train": task_text("two")})
    bench.label(name="lab:smoke")
    bench.until_idle()
    bench.settle(30)
    assert sorted((job.branch, job.task, job.state) for job in bench.pulled) == [
        ("smoke:1", "alpha/train", State.COMPLETE),
        ("smoke:1", "beta/train", State.COMPLETE),
    ]
    for job in bench.pulled:
        assert Task.from_json(bench.ledger.contents([job.spec])[job.spec]).limit_seconds == 300
    assert "`lab:smoke` by ada: 2 complete" in bench.comment()
    assert "lab:smoke" not in bench.at.talks[1].pull.labels, "it has done its work"


def test_a_smoke_run_never_stands_for_the_whole_one(bench: PullBench) -> None:
    bench.propose(**{"alpha/train": task_text("one", SWEEP)})
    bench.label(name="lab:smoke")
    bench.until_idle()
    bench.approve()
    bench.until_idle()
    whole = [job for job in bench.pulled if job.branch == "pull:1"]
    assert len(whole) == 3
    assert not {job.work for job in whole} & {job.work for job in bench.pulled if job.branch == "smoke:1"}


@pytest.mark.parametrize("who", ["tom", "mallory"])
def test_R6_its_label_takes_somebody_who_may_write(bench: PullBench, who: str) -> None:
    bench.propose()
    bench.label(by=who, name="lab:smoke")
    bench.settle(20)
    assert bench.pulled == []


def test_R7_not_of_a_fork(bench: PullBench) -> None:
    bench.propose(author="mallory", fork=True)
    bench.label(name="lab:smoke")
    bench.settle(20)
    assert bench.pulled == []


def test_it_takes_a_review_unless_the_policy_says_otherwise(tmp_path: Path) -> None:
    bench = PullBench(tmp_path, LAB + "policy: {approve: {smoke: {minutes: 5}}}\n")
    bench.propose()
    bench.label(name="lab:smoke")
    bench.settle(20)
    assert bench.pulled == []
    assert "1 approving review" in bench.comment()
    bench.at.review(1, "ben")
    bench.hook()
    bench.until_idle()
    assert [(job.branch, job.state) for job in bench.pulled] == [("smoke:1", State.COMPLETE)]
    bench.close()


def test_without_it_in_lab_yaml_the_label_is_any_label(tmp_path: Path) -> None:
    bench = PullBench(tmp_path)
    bench.propose()
    bench.at.review(1, "ben")
    bench.label(name="lab:smoke")
    bench.settle(20)
    assert bench.pulled == []
    bench.close()


def test_stop_stops_it_too(bench: PullBench) -> None:
    bench.capacity_is(0)
    bench.propose()
    bench.label(name="lab:smoke")
    bench.settle(10)
    assert [job.state for job in bench.pulled] == [State.QUEUED]
    bench.at.write(1, "/lab stop", "ben")
    bench.settle(10)
    assert [job.state for job in bench.pulled] == [State.STOPPED]


def test_needs_are_smoked_as_well(bench: PullBench) -> None:
    files = {"alpha/prep": task_text("prep", SWEEP), "alpha/train": task_text("one", "needs: [alpha/prep]\n")}
    bench.propose(**files)
    bench.label(name="lab:smoke")
    bench.until_idle()
    assert sorted((job.task, job.state) for job in bench.pulled) == [
        ("alpha/prep", State.COMPLETE),
        ("alpha/train", State.COMPLETE),
    ]


def test_R9_a_job_of_a_pull_request_is_not_let_run_by_an_unprotected_push(tmp_path: Path) -> None:
    bench = PullBench(tmp_path)
    bench.capacity_is(0)
    bench.propose()
    review = bench.at.review(1, "ben")
    bench.label()
    bench.settle()
    bench.at.dismiss(1, review)
    bench.settle()
    bench.at.protected.clear()
    bench.push(**{"alpha/train": task_text("one")})
    bench.capacity_is(4)
    bench.settle(20)
    assert [job.state for job in bench.pulled] == [State.HELD]
    bench.close()


def test_R24_what_nobody_approves_is_given_no_secret_wherever_it_runs(tmp_path: Path) -> None:
    lab = LAB.replace("{env: FORGE}}", "{env: FORGE}, KEY: {env: KEY}}")
    bench = PullBench(tmp_path, lab + "policy: {approve: {smoke: {review: false, provider: local}}}\n")
    bench.propose(**{"alpha/train": task_text("one", "envs: {KEY: '{{secret.KEY}}'}\n")})
    bench.label(name="lab:smoke")
    bench.settle(20)
    assert bench.pulled == []
    (refusal,) = bench.controller.pulls.of["smoke:1"].made.plan.refuse
    assert "not for smoke runs" in refusal.reason
    assert bench.controller.pulls.of["pull:1"].made.plan.refuse == ()
    bench.close()
