"""`lab run` and `lab rerun`: what a person asks for by name."""

from typing import Any

import pytest

from labwright.decide.run_plan import run_plan
from labwright.domain.errors import Refused
from labwright.domain.lifecycle import State
from labwright.domain.plan import Plan
from tests.unit.planning import Lab, launched, task

A, B, C = (f"experiments/{name}/task.yaml" for name in "abc")
SWEEP = "{sweep_config: {lr: [1, 2]}}"


def run(lab: Lab, files: dict[str, str], target: str, *, again: bool = False, **arguments: Any) -> Plan:
    made = run_plan(lab.ask(files, target), target, lab.ledger.jobs(), "main", "c", arguments, again=again)
    lab.apply(made)
    return made


def test_run_launches_a_task_once() -> None:
    lab = Lab()
    first = run(lab, {A: task()}, "a")
    assert launched(first) == ["a"]
    again = run(lab, {}, "a")
    assert again.empty
    assert [reuse.job for reuse in again.reuse] == [first.launch[0].job]


@pytest.mark.parametrize("end", [State.FAILED, State.STOPPED])
def test_run_launches_again_what_failed_or_was_stopped(end: State) -> None:
    lab = Lab()
    lab.run(run(lab, {A: task()}, "a").launch[0].job, end)
    assert [launch.generation for launch in run(lab, {}, "a").launch] == [1]


def test_rerun_launches_again_what_is_complete() -> None:
    lab = Lab()
    lab.run(run(lab, {A: task()}, "a").launch[0].job)
    assert run(lab, {}, "a").empty
    assert [launch.generation for launch in run(lab, {}, "a", again=True).launch] == [1]


def test_rerun_does_not_double_what_is_live() -> None:
    lab = Lab()
    lab.run(run(lab, {A: task()}, "a").launch[0].job, end=None)
    assert run(lab, {}, "a", again=True).empty


def test_what_is_being_stopped_does_not_stand_for_a_new_run() -> None:
    lab = Lab()
    job = run(lab, {A: task()}, "a").launch[0].job
    lab.ledger.amend([lab.job(job)], stop_asked="stopped by ada")
    assert [launch.generation for launch in run(lab, {}, "a").launch] == [1]


def test_what_is_needed_is_launched_first_and_pinned() -> None:
    made = run(Lab(), {A: task(), B: task(needs="[a]"), C: task(needs="[b, a]")}, "c")
    assert [launch.trial.task for launch in made.launch] == ["a", "b", "c"]
    assert made.launch[2].needs == (made.launch[1].job, made.launch[0].job)


def test_rerun_of_a_task_does_not_rerun_what_it_needs() -> None:
    lab = Lab()
    files = {A: task(), B: task(needs="[a]")}
    for launch in run(lab, files, "b").launch:
        lab.run(launch.job)
    assert launched(run(lab, {}, "b", again=True)) == ["b"]


def test_a_task_that_has_its_result_runs_nothing_that_it_needed() -> None:
    lab = Lab()
    jobs = {launch.trial.task: launch.job for launch in run(lab, {A: task(), B: task(needs="[a]")}, "b").launch}
    lab.run(jobs["b"])
    lab.run(jobs["a"], State.FAILED)
    assert run(lab, {}, "b").empty


def test_a_needed_task_that_failed_is_launched_again() -> None:
    lab = Lab()
    jobs = {launch.trial.task: launch.job for launch in run(lab, {A: task(), B: task(needs="[a]")}, "b").launch}
    lab.run(jobs["a"], State.FAILED)
    lab.become(jobs["b"], State.STOPPED)
    assert [(x.trial.task, x.generation) for x in run(lab, {}, "b").launch] == [("a", 1), ("b", 1)]


def test_a_needed_task_that_cannot_run_is_said_and_nothing_is_launched() -> None:
    lab = Lab()
    with pytest.raises(Refused, match="needs a, which cannot run: too many cores"):
        run(lab, {A: task(resources="{cpus: 1000}"), B: task(needs="[a]")}, "b")


def test_a_parameter_by_hand_makes_another_trial_and_equal_trials_are_one() -> None:
    lab = Lab()
    text = task(parameters="{n: {type: int, default: 1}}", sweeps=SWEEP)
    both = run(lab, {A: text}, "a", parameters={"n": 5})
    assert [launch.trial.parameters for launch in both.launch] == [{"n": 5, "lr": 1}, {"n": 5, "lr": 2}]
    one = run(lab, {}, "a", parameters={"lr": 7})
    assert [launch.trial.parameters for launch in one.launch] == [{"n": 1, "lr": 7}]


def test_a_parameter_by_hand_with_the_files_own_value_is_the_files_own_trial() -> None:
    lab = Lab()
    made = run(lab, {A: task(parameters="{n: 1}")}, "a")
    assert [reuse.job for reuse in run(lab, {}, "a", parameters={"n": 1}).reuse] == [made.launch[0].job]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"rate": 1}, "has no parameter rate"),
        ({"n": "many"}, "parameter n must be a whole number"),
        ({"n": 11}, "parameter n must be at most 10"),
        ({"lr": float("nan")}, "parameter lr must be finite"),
    ],
)
def test_a_parameter_by_hand_is_held_to_what_the_file_declares(parameters: dict[str, Any], words: str) -> None:
    text = task(parameters="{n: {type: int, default: 1, max: 10}, lr: 0.1}")
    with pytest.raises(Refused, match=words):
        run(Lab(), {A: text}, "a", parameters=parameters)


def test_another_provider_may_be_named() -> None:
    assert [launch.trial.provider for launch in run(Lab(), {A: task()}, "a", provider="cluster").launch] == ["cluster"]
