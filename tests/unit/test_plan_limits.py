"""A change beyond the lab's limits is held as a whole; a plan's digest says what it would do and nothing else."""

from typing import Any

import pytest

from labwright.domain.job import Wanted
from labwright.domain.lifecycle import State
from tests.unit.planning import Lab, launched, task

A, B = "experiments/a/task.yaml", "experiments/b/task.yaml"
SWEEP = "{sweep_config: {lr: [1, 2, 3]}}"


def lab_with(**limits: Any) -> Lab:
    lab = Lab(f"policy: {{limits: {{{', '.join(f'{key}: {value}' for key, value in limits.items())}}}}}")
    lab.push({"README.md": "a lab"}, first=True)
    return lab


@pytest.mark.parametrize(("limit", "held"), [(2, True), (3, False)])
def test_more_jobs_than_the_limit_hold_the_plan(limit: int, held: bool) -> None:
    made = lab_with(jobs_per_commit=limit).push({A: task(sweeps=SWEEP)})
    assert bool(made.held) is held
    assert len(made.launch) == 3, "held, not cut"
    if held:
        assert (
            made.held == f"3 jobs, more than limits.jobs_per_commit = 2; confirm with `lab confirm {made.digest[:12]}`"
        )


@pytest.mark.parametrize(("limit", "held"), [(95, True), (96, False)])
def test_gpu_hours_are_gpus_nodes_and_hours(limit: int, held: bool) -> None:
    text = task(resources="{accelerators: 'A100:8', num_nodes: 2}", timeout="2h", sweeps=SWEEP)
    made = lab_with(gpu_hours_per_plan=limit).push({A: text})
    assert made.gpu_hours == 96
    assert bool(made.held) is held


def test_no_time_limit_counts_no_gpu_hours_for_nothing_is_known() -> None:
    assert lab_with(gpu_hours_per_plan=0).push({A: task(resources="{accelerators: 8}")}).held == ""


def test_more_stops_than_the_limit_hold_the_plan_and_nothing_stops() -> None:
    lab = lab_with(stops_per_commit=2)
    jobs = [launch.job for launch in lab.push({A: task(sweeps=SWEEP)}).launch]
    for job in jobs:
        lab.become(job, State.QUEUED)
    made = lab.push({A: None})
    assert "3 jobs to stop" in made.held
    assert {lab.job(job).stop_asked for job in jobs} == {""}


def test_jobs_that_were_never_admitted_cost_nothing_to_stop() -> None:
    lab = lab_with(stops_per_commit=0)
    lab.push({A: task(sweeps=SWEEP)})
    assert not lab.push({A: task("y")}).held


def test_a_commit_without_any_task_stops_nothing_by_itself() -> None:
    lab = lab_with()
    lab.become(lab.push({A: task()}).launch[0].job, State.QUEUED)
    assert lab.push({A: None}).held.startswith("the commit has no task any more")


def test_what_a_held_plan_would_stop_is_not_lost_from_sight() -> None:
    lab = lab_with(jobs_per_commit=3)
    first = lab.push({A: task()}).launch[0].job
    assert lab.push({A: task(sweeps="{sweep_config: {lr: [1, 2, 3, 4]}}")}).held
    assert first in {want.job for want in lab.ledger.wants("main", ["a"])}
    made = lab.push({A: task("y")})
    assert not made.held
    assert first in {stop.job for stop in made.stop}


def test_a_held_plan_that_is_taken_back_stops_its_jobs_and_launches_nothing() -> None:
    lab = lab_with(jobs_per_commit=2)
    job = lab.push({B: task()}).launch[0].job
    held = lab.push({A: task(sweeps=SWEEP)})
    made = lab.push({A: None})
    assert {stop.job for stop in made.stop} == {launch.job for launch in held.launch}
    assert lab.job(job).state is State.HELD


def test_a_plans_digest_does_not_depend_on_the_commit() -> None:
    lab = lab_with()
    one = lab.plan(lab.commit({A: task()}))
    other = lab.plan(lab.commit({"README.md": "rebased"}))
    assert one.commit != other.commit
    assert one.digest == other.digest


@pytest.mark.parametrize(
    "change", [{A: task("y")}, {A: task(timeout="9h")}, {B: task()}, {"experiments/a/x.py": "1"}, {A: task(rerun="1")}]
)
def test_whatever_would_be_submitted_otherwise_is_another_plan(change: dict[str, str]) -> None:
    lab = lab_with()
    before = lab.plan(lab.commit({A: task()})).digest
    assert lab.plan(lab.commit(change)).digest != before


def test_what_would_be_stopped_is_in_the_plans_digest() -> None:
    lab = lab_with()
    lab.push({A: task()})
    empty = lab.plan(lab.commit({"README.md": "x"})).digest
    assert lab.plan(lab.commit({A: None})).digest != empty


def test_a_want_names_the_commit_that_brought_it() -> None:
    lab = lab_with()
    made = lab.push({A: task()})
    lab.push({A: task(priority="1")})
    (want,) = lab.ledger.wants("main", ["a"])
    assert (want.commit, want.how, want.job) == (made.commit, Wanted.LAUNCHED, made.launch[0].job)
    assert launched(made) == ["a"]
