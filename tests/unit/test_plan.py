"""What a push launches, reuses and stops: the rules of docs/adr/0003-identity.md and docs/spec/states.md, one by one."""

import pytest

from labwright.domain.job import Wanted
from labwright.domain.lifecycle import State
from tests.unit.planning import Lab, launched, task

A, B, C = (f"experiments/{name}/task.yaml" for name in "abc")
SWEEP = "{{sweep_config: {{lr: [{}]}}}}"


@pytest.fixture
def lab() -> Lab:
    """One that has been looked at before."""
    lab = Lab()
    lab.push({"README.md": "a lab"}, first=True)
    return lab


def sweep(*values: object, **more: str) -> str:
    return task(sweeps=SWEEP.format(", ".join(map(str, values))), **more)


# satisfied


def test_a_new_task_is_launched_and_the_next_push_launches_nothing(lab: Lab) -> None:
    assert launched(lab.push({A: task()})) == ["a"]
    assert lab.push({"README.md": "typo"}).empty


def test_complete_content_is_reused_wherever_the_commit_comes_from(lab: Lab) -> None:
    first = lab.push({A: task()}).launch[0]
    lab.run(first.job)
    lab.push({A: task("y")})
    back = lab.push({A: task()})
    assert not back.launch
    assert [reuse.job for reuse in back.reuse] == [first.job]


def test_what_changes_only_where_and_when_launches_nothing(lab: Lab) -> None:
    lab.push({A: task()})
    made = lab.push({A: task(timeout="2h", priority="5", resources="{cpus: 4}")})
    assert made.empty
    assert made.reuse


def test_another_branch_with_the_same_content_reuses_even_at_first_sight(lab: Lab) -> None:
    job = lab.push({A: task()}).launch[0].job
    made = lab.push({A: task()}, branch="dev", first=True)
    assert made.empty
    assert [reuse.job for reuse in made.reuse] == [job]


# failed, stopped, superseded


def test_failed_content_waits_for_a_change_or_a_rerun(lab: Lab) -> None:
    job = lab.push({A: task()}).launch[0].job
    lab.run(job, State.FAILED)
    assert not lab.plan(lab.commit({A: task(priority="1")})).launch
    assert launched(lab.push({A: task(rerun="1")})) == ["a"]


def test_what_a_human_stopped_is_not_relaunched(lab: Lab) -> None:
    job = lab.push({A: task()}).launch[0].job
    lab.become(job, State.STOPPED, "stopped by ada")
    assert lab.push({A: task(priority="1")}).empty


def test_newer_content_supersedes_what_waits_and_names_its_successor(lab: Lab) -> None:
    old = lab.push({A: task()}).launch[0].job
    made = lab.push({A: task("y")})
    assert [(stop.job, stop.reason) for stop in made.stop] == [(old, f"superseded by {made.launch[0].job}")]


def test_superseded_content_that_comes_back_is_the_next_generation(lab: Lab) -> None:
    old = lab.push({A: task()}).launch[0]
    newer = lab.push({A: task("y")}).launch[0].job
    back = lab.push({A: task()})
    assert [(x.generation, x.job != old.job) for x in back.launch] == [(1, True)]
    assert [stop.job for stop in back.stop] == [newer]


def test_running_jobs_finish_unless_the_task_says_otherwise(lab: Lab) -> None:
    job = lab.push({A: task()}).launch[0].job
    lab.run(job, end=None)
    assert not lab.plan(lab.commit({A: task("y")})).stop
    stops = lab.plan(lab.commit({A: task("y", concurrency="{supersede: running}")})).stop
    assert [stop.job for stop in stops] == [job]


def test_never_superseded_means_never(lab: Lab) -> None:
    lab.push({A: task()})
    assert not lab.push({A: task("y", concurrency="{supersede: never}")}).stop


def test_a_job_that_is_being_stopped_is_not_stopped_again(lab: Lab) -> None:
    job = lab.push({A: task()}).launch[0].job
    lab.ledger.amend([lab.job(job)], stop_asked="stopped by ada")
    assert not lab.push({A: task("y")}).stop


# rerun


def test_rerun_asks_for_a_generation_and_a_higher_one_satisfies_it(lab: Lab) -> None:
    lab.run(lab.push({A: task()}).launch[0].job)
    made = lab.push({A: task(rerun="3")})
    assert [launch.generation for launch in made.launch] == [3]
    lab.run(made.launch[0].job)
    assert lab.push({A: task(rerun="2")}).empty
    assert lab.push({A: task()}).empty


# sweeps and removed tasks


def test_an_edited_sweep_is_the_difference_of_its_trials(lab: Lab) -> None:
    first = {launch.trial.parameters["lr"]: launch.job for launch in lab.push({A: sweep(1, 2, 3)}).launch}
    made = lab.push({A: sweep(2, 3, 4)})
    assert [launch.trial.parameters["lr"] for launch in made.launch] == [4]
    assert {reuse.job for reuse in made.reuse} == {first[2], first[3]}
    assert [stop.job for stop in made.stop] == [first[1]]


def test_a_removed_task_stops_what_waits_lets_finish_what_runs_and_keeps_results(lab: Lab) -> None:
    jobs = [launch.job for launch in lab.push({A: sweep(1, 2, 3)}).launch]
    lab.run(jobs[0])
    lab.run(jobs[1], end=None)
    made = lab.push({A: None})
    assert [(stop.job, stop.reason) for stop in made.stop] == [(jobs[2], "superseded: the task is gone")]
    assert not lab.ledger.wants("main", ["a"])


def test_a_moved_folder_is_another_task(lab: Lab) -> None:
    job = lab.push({A: task()}).launch[0].job
    made = lab.push({A: None, B: task()})
    assert launched(made) == ["b"]
    assert [stop.job for stop in made.stop] == [job]


def test_jobs_that_another_branch_wants_are_never_stopped(lab: Lab) -> None:
    lab.push({A: task()})
    lab.push({A: task()}, branch="dev", first=True)
    assert not lab.push({A: task("y")}).stop
    assert lab.push({A: None}, branch="dev").stop


# invalid and refused


def test_an_invalid_file_is_invalid_for_itself_and_keeps_what_was_wanted(lab: Lab) -> None:
    job = lab.push({A: task()}).launch[0].job
    made = lab.push({A: "name: [", B: task()})
    assert launched(made) == ["b"]
    assert not made.stop
    assert [(p.path, p.line) for p in made.invalid] == [(A, 2)]
    assert {want.how: want.job for want in lab.ledger.wants("main", ["a"])} == {
        Wanted.LAUNCHED: job,
        Wanted.INVALID: None,
    }
    assert [stop.job for stop in lab.push({A: task("y")}).stop] == [job], "and once mended it can still be superseded"


def test_who_needs_an_invalid_task_is_invalid(lab: Lab) -> None:
    made = lab.push({A: "name: [", B: task(needs="[a]")})
    assert made.empty
    assert sorted(p.path for p in made.invalid) == [A, B]


def test_what_a_provider_cannot_honour_is_refused_and_others_proceed(lab: Lab) -> None:
    made = lab.push({A: task(resources="{cpus: 1000}"), B: task()})
    assert launched(made) == ["b"]
    assert [(refusal.task, refusal.reason) for refusal in made.refuse] == [("a", "too many cores")]
    assert [want.how for want in lab.ledger.wants("main", ["a"])] == [Wanted.REFUSED]


def test_a_refusal_stops_nothing_and_forgets_nothing(lab: Lab) -> None:
    job = lab.push({A: task()}).launch[0].job
    assert not lab.push({A: task("y", resources="{cpus: 1000}")}).stop
    assert [stop.job for stop in lab.push({A: task("z")}).stop] == [job]


def test_finished_work_is_reused_even_where_it_could_not_run_today(lab: Lab) -> None:
    lab.run(lab.push({A: task()}).launch[0].job)
    made = lab.push({A: task(resources="{cpus: 1000}")})
    assert made.reuse
    assert made.empty


def test_who_needs_a_refused_task_is_refused_and_does_not_run_without_it(lab: Lab) -> None:
    made = lab.push({A: task(resources="{cpus: 1000}"), B: task(needs="[a]"), C: task(needs="[b]")})
    assert made.empty
    assert {refusal.task: refusal.reason for refusal in made.refuse} == {
        "a": "too many cores",
        "b": "needs `a`, which cannot run",
        "c": "needs `b`, which cannot run",
    }


# where and when a task launches


def test_a_task_launches_only_on_its_branches(lab: Lab) -> None:
    assert lab.push({A: task(on="{branches: [release/*]}")}).empty
    lab.push({"x": "1"}, branch="release/1", first=True)
    assert launched(lab.push({A: task(on="{branches: [release/*]}")}, branch="release/1")) == ["a"]


def test_a_filter_that_no_longer_matches_stops_what_waits(lab: Lab) -> None:
    job = lab.push({A: task()}).launch[0].job
    assert [stop.job for stop in lab.push({A: task(on="{branches: [release]}")}).stop] == [job]


def test_a_manual_task_waits_for_a_person(lab: Lab) -> None:
    made = lab.push({A: task(on="{manual: true}")})
    assert made.empty
    assert made.baseline == 1


@pytest.mark.parametrize("on", ["{manual: true}", "{branches: [release]}"])
def test_what_a_launched_task_needs_is_launched_whatever_holds_it_back(lab: Lab, on: str) -> None:
    made = lab.push({A: task(on=on), B: task(needs="[a]")})
    jobs = {launch.trial.task: launch for launch in made.launch}
    assert list(jobs) == ["a", "b"]
    assert jobs["b"].needs == (jobs["a"].job,)
    assert lab.push({A: task(on=on, priority="1")}).empty, "and stays wanted"


# baseline


def test_the_first_sight_of_a_branch_launches_nothing(lab: Lab) -> None:
    made = lab.push({A: sweep(1, 2)}, branch="dev", first=True)
    assert made.empty
    assert made.baseline == 2
    assert lab.push({A: sweep(1, 2, priority="1")}, branch="dev").empty
    assert [launch.trial.parameters["lr"] for launch in lab.push({A: sweep(1, 2, 3)}, branch="dev").launch] == [3]


def test_a_rerun_of_what_was_there_at_first_sight_launches_it(lab: Lab) -> None:
    lab.push({A: task()}, branch="dev", first=True)
    assert launched(lab.push({A: task(rerun="1")}, branch="dev")) == ["a"]


def test_a_launched_task_brings_the_baseline_that_it_needs() -> None:
    lab = Lab()
    lab.push({A: task(), B: task(needs="[a]")}, first=True)
    made = lab.push({C: task(needs="[b]")})
    jobs = {launch.trial.task: launch for launch in made.launch}
    assert list(jobs) == ["a", "b", "c"]
    assert (jobs["b"].needs, jobs["c"].needs) == ((jobs["a"].job,), (jobs["b"].job,))
    assert lab.push({"README.md": "x"}).empty


def test_a_baseline_chain_of_a_thousand_is_launched_in_order() -> None:
    lab = Lab("policy: {limits: {jobs_per_commit: 5000}}")
    chain = {f"experiments/t{n}/task.yaml": task(needs=f"[t{n - 1}]" if n else "[]") for n in range(1500)}
    lab.push(chain, first=True)
    made = lab.push({A: task(needs="[t1499]")})
    assert [launch.trial.task for launch in made.launch] == [*(f"t{n}" for n in range(1500)), "a"]


def test_what_several_need_is_launched_once_and_before_them() -> None:
    lab = Lab()
    lab.push({A: task(), B: task(needs="[a]")}, first=True)
    made = lab.push({C: task(needs="[a, b]")})
    assert [launch.trial.task for launch in made.launch] == ["a", "b", "c"]
    assert len(made.launch[2].needs) == 2


def test_a_job_waits_for_every_trial_of_the_task_it_needs(lab: Lab) -> None:
    made = lab.push({A: sweep(1, 2), B: task(needs="[../a]")})
    assert made.launch[2].needs == (made.launch[0].job, made.launch[1].job)


def test_a_change_of_a_needed_task_runs_who_waits_for_it_again(lab: Lab) -> None:
    lab.push({A: task(), B: task(needs="[../a]")})
    assert launched(lab.push({A: task("y")})) == ["a", "b"]
