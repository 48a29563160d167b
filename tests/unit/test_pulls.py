"""Pull requests in the loop: what is planned, what may run, and what happens when the world moves between two looks."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labwright.domain.errors import Unavailable
from labwright.domain.forge import Features, Light, Role
from labwright.domain.job import ActKind
from labwright.domain.lifecycle import State
from labwright.testing.fake_provider import Story
from labwright.testing.memory_forge import US
from tests.unit.loop_bench import STORY
from tests.unit.pull_bench import LAB, PullBench, task_text


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PullBench]:
    bench = PullBench(tmp_path)
    yield bench
    bench.close()


def test_an_open_pull_request_is_planned_and_launches_nothing(bench: PullBench) -> None:
    bench.propose()
    bench.settle()
    assert bench.pulled == []
    assert "alpha/train" in bench.comment()
    assert "1 job to launch" in bench.comment()


def test_R2_a_label_alone_only_requests(bench: PullBench) -> None:
    bench.propose()
    bench.label()
    bench.settle()
    assert bench.pulled == []
    assert "1 approving review" in bench.comment()


def test_an_approved_and_asked_for_plan_runs_and_its_results_come_back(bench: PullBench) -> None:
    bench.propose()
    bench.approve()
    bench.until_idle()
    (job,) = bench.pulled
    assert (job.state, job.branch, job.author) == (State.COMPLETE, "pull:1", "ada")
    assert job.id in bench.comment()


def test_merging_runs_nothing_again(bench: PullBench) -> None:
    bench.propose()
    bench.approve()
    bench.until_idle()
    bench.push(**{"alpha/train": task_text("one")})
    bench.at.shut(1, merged=True)
    bench.hook()
    bench.until_idle()
    assert [job.task for job in bench.jobs] == ["base", "alpha/train"]


# pushes (R9)


def test_R9_a_push_to_an_unprotected_branch_waits_for_confirmation(tmp_path: Path) -> None:
    bench = PullBench(tmp_path)
    bench.at.protected.clear()
    bench.push(**{"alpha/train": task_text("pushed")})
    bench.until_idle()
    job = bench.job("alpha/train")
    assert job.state is State.HELD
    assert "main is not protected at the forge" in job.reason
    bench.ask(ActKind.CONFIRM, job.plan[:12])
    bench.until_idle()
    assert bench.job("alpha/train").state is State.COMPLETE
    bench.close()


def test_R9_policy_may_trust_every_push(tmp_path: Path) -> None:
    bench = PullBench(tmp_path, LAB + "policy: {push: any}\n")
    bench.at.protected.clear()
    bench.push(**{"alpha/train": task_text("pushed")})
    bench.until_idle()
    assert bench.job("alpha/train").state is State.COMPLETE
    bench.close()


def test_R9_the_acting_person_is_whom_the_forge_names_and_never_an_author_field(bench: PullBench) -> None:
    one = bench.push(**{"alpha/train": task_text("pushed")})
    bench.at.pushers["main", one] = "cleo"
    bench.until_idle()
    assert bench.job("alpha/train").author == "cleo"
    bench.push(**{"alpha/train": task_text("again")})
    bench.until_idle()
    assert bench.job("alpha/train").author == "unknown"


def test_R43_a_push_is_not_launched_while_the_forge_cannot_be_asked(bench: PullBench) -> None:
    bench.at.away = Unavailable("down", retry_in=5)
    bench.push(**{"alpha/train": task_text("pushed")})
    bench.turn(5)
    assert [job.task for job in bench.jobs] == ["base"]
    assert "not known" in bench.alarms["forge push"]
    bench.at.away = None
    bench.until(lambda: bench.state("alpha/train") is State.COMPLETE)


# the approval and what voids it


def test_R3_a_push_between_approval_and_launch_runs_nothing(bench: PullBench) -> None:
    bench.propose()
    bench.approve()
    bench.turn(2, seconds=0.1)
    bench.propose(text="two")
    bench.settle(20)
    assert not [job for job in bench.pulled if job.state is not State.STOPPED]
    assert "lab:run" not in bench.at.talks[1].pull.labels
    assert "what was approved is not what is there now" in bench.comment()


def test_R4_the_same_content_keeps_its_approval(bench: PullBench) -> None:
    bench.propose()
    bench.at.review(1, "ben")
    bench.settle()
    bench.propose(text="two")
    bench.settle()
    bench.propose(text="one")  # back to what was approved, in another commit
    bench.label()
    bench.until_idle()
    assert [job.state for job in bench.pulled] == [State.COMPLETE]


def test_R5_nobody_approves_their_own(bench: PullBench) -> None:
    bench.propose(author="ben")
    bench.approve(by="ben")
    bench.settle()
    assert bench.pulled == []
    assert "who wrote it" in bench.comment()


def test_R5_nor_a_branch_that_they_pushed_to(bench: PullBench) -> None:
    bench.propose()
    bench.at.push(1, bench.at.talks[1].pull.head, by="cleo")
    bench.approve(by="cleo")
    bench.settle()
    assert bench.pulled == []


@pytest.mark.parametrize("who", ["tom", "mallory", "stranger"])
def test_R6_a_label_of_somebody_who_may_not_write_asks_for_nothing(bench: PullBench, who: str) -> None:
    bench.propose()
    bench.approve(label_by=who)
    bench.settle()
    assert bench.pulled == []
    assert f"put on by {who}" in bench.comment()


def test_R6_a_label_that_was_there_from_the_start_asks_for_nothing(bench: PullBench) -> None:
    head = bench.propose()
    bench.at.talks.clear()
    bench.at.open(1, head, "ada", labels=frozenset({"lab:run"}))
    bench.at.review(1, "ben")
    bench.settle()
    assert bench.pulled == []


def test_R7_a_fork_never_launches(bench: PullBench) -> None:
    bench.propose(author="mallory", fork=True)
    bench.approve()
    bench.settle()
    assert bench.pulled == []
    assert "fork" in bench.comment()


def test_R3_a_dismissed_review_holds_what_is_not_submitted(bench: PullBench) -> None:
    bench.capacity_is(0)
    bench.propose()
    review = bench.at.review(1, "ben")
    bench.label()
    bench.settle()
    assert [job.state for job in bench.pulled] == [State.QUEUED]
    bench.at.dismiss(1, review)
    bench.settle()
    (job,) = bench.pulled
    assert job.state is State.HELD
    assert job.reason.startswith("approval: waits for 1 approving review")


def test_R3_a_role_that_was_taken_away_is_noticed_at_submission(bench: PullBench) -> None:
    bench.propose()
    bench.settle()
    bench.approve()
    bench.at.people["ben"] = Role.READ
    bench.settle()
    assert bench.pulled == []


def test_R43_an_unreachable_forge_lets_nothing_run_and_stops_nothing(bench: PullBench) -> None:
    bench.provider._story = Story(hangs=True)
    bench.propose()
    bench.approve()
    bench.until(lambda: [job.state for job in bench.pulled] == [State.RUNNING])
    bench.propose(2, text="two")
    bench.approve(2)
    bench.at.away = Unavailable("down", retry_in=5)
    bench.turn(10)
    assert [job.state for job in bench.pulled] == [State.RUNNING]
    assert "down" in bench.alarms["forge"]


def test_R8_closing_stops_what_waits_and_lets_run_what_runs(bench: PullBench) -> None:
    bench.provider._story = Story(hangs=True)
    bench.propose()
    bench.approve()
    bench.until(lambda: [job.state for job in bench.pulled] == [State.RUNNING])
    bench.capacity_is(0)
    bench.propose(2, text="two")
    bench.approve(2)
    bench.settle()
    bench.at.shut(1)
    bench.at.shut(2)
    bench.settle()
    assert {job.branch: job.state for job in bench.pulled} == {"pull:1": State.RUNNING, "pull:2": State.STOPPED}


def test_R34_our_own_comment_is_never_a_command(bench: PullBench) -> None:
    bench.propose()
    bench.at.review(1, "ben")
    bench.at.write(1, "/lab run", US)
    bench.settle()
    assert bench.pulled == []


def test_R8_an_edited_comment_commands_nothing(bench: PullBench) -> None:
    bench.propose()
    bench.at.review(1, "ben")
    comment = bench.at.write(1, "looks good", "cleo")
    bench.at.edit(1, comment, "/lab run")
    bench.settle()
    assert bench.pulled == []


def test_a_command_asks_as_a_label_does(bench: PullBench) -> None:
    bench.propose()
    bench.at.review(1, "ben")
    bench.at.write(1, "/lab run", "cleo")
    bench.hook()
    bench.until_idle()
    assert [job.state for job in bench.pulled] == [State.COMPLETE]


def test_R2_naming_the_digest_approves_it(bench: PullBench) -> None:
    head = bench.propose()
    bench.at.write(1, f"/lab run {head}", "cleo")
    bench.hook()
    bench.until_idle()
    assert [job.state for job in bench.pulled] == [State.COMPLETE]


def test_stop_and_rerun_are_obeyed_once_and_answered(bench: PullBench) -> None:
    bench.provider._story = Story(code=1)
    bench.propose()
    bench.approve()
    bench.until_idle()
    assert [job.state for job in bench.pulled] == [State.FAILED]
    bench.provider._story = STORY
    bench.at.write(1, "/lab rerun", "ben")
    bench.hook()
    bench.until_idle()
    assert sorted((job.generation, str(job.state)) for job in bench.pulled) == [(0, "FAILED"), (1, "COMPLETE")]
    bench.start()
    bench.until_idle()
    assert len(bench.pulled) == 2
    assert "launched 1 again" in bench.comment()


def test_R12_two_persons_above_a_threshold(tmp_path: Path) -> None:
    bench = PullBench(tmp_path, LAB + "policy: {approve: {one_more_above: {jobs: 0}}}\n")
    bench.propose()
    bench.approve(by="ben")
    bench.settle()
    assert bench.pulled == []
    bench.at.review(1, "cleo")
    bench.hook()
    bench.until_idle()
    assert [job.state for job in bench.pulled] == [State.COMPLETE]
    bench.close()


def test_R11_a_change_of_the_rules_is_judged_by_the_old_ones(bench: PullBench) -> None:
    bench.propose(
        author="mallory", **{"alpha/train": task_text("x"), "lab": LAB + "policy: {approve: {by: [mallory]}}\n"}
    )
    bench.at.review(1, "mallory")
    bench.label(by="mallory")
    bench.settle()
    assert bench.pulled == []


def test_a_restart_takes_up_everything_and_runs_nothing_twice(bench: PullBench) -> None:
    bench.propose()
    bench.approve()
    bench.until(lambda: bench.pulled)
    bench.start()
    bench.hook()
    bench.until_idle()
    assert [job.state for job in bench.pulled] == [State.COMPLETE]
    assert len([c for c in bench.at.talks[1].comments if c.by == US]) == 1


def test_nothing_changed_is_one_request(bench: PullBench) -> None:
    for number in range(1, 6):
        bench.propose(number, text=str(number))
    bench.settle(20)
    bench.settle(20)  # it reads its own comments, once
    before = bench.at.asked.total()
    bench.hook()
    bench.turn(3, seconds=0.1)
    assert bench.at.asked.total() - before == 1


# what is told


@pytest.mark.parametrize(("bar", "light"), [("base + 0.01", Light.SUCCESS), ("base - 0.2", Light.FAILURE)])
def test_results_stand_beside_the_base_branchs_and_are_held_to_what_is_required(
    bench: PullBench, bar: str, light: Light
) -> None:
    bench.push(**{"alpha/train": task_text("zero")})
    bench.until_idle()
    head = bench.propose(**{"alpha/train": task_text("one", f"require: loss <= {bar}\n")})
    bench.approve()
    bench.until_idle()
    bench.settle(30)
    assert "Results against `main`" in bench.comment()
    assert "`loss`" in bench.comment()
    assert bench.at.statuses[head, "labwright/require"].light is light
    assert bench.at.statuses[head, "labwright"].light is light


def test_a_pull_request_without_tasks_gets_a_good_status_and_no_comment(bench: PullBench) -> None:
    bench.repo.branches["change-1"] = bench.repo.branches["main"]
    head = bench.repo.commit({"README.md": b"words"}, branch="change-1")
    bench.repo.refs["refs/pull/1/head"] = head
    bench.at.open(1, head, "ada")
    bench.settle()
    assert bench.at.statuses[head, "labwright"].light is Light.SUCCESS
    assert bench.at.talks[1].comments == ()


def test_R33_names_of_people_and_tasks_bring_no_markup_into_the_comment(bench: PullBench) -> None:
    bench.propose(**{"alpha/x": "name: '``` @org/all <!-- labwright:pull:1:0 --> | ![a](http://e/x)'\nrun: echo x\n"})
    bench.at.write(1, "/lab stop @org/all![a](http://e/x)", "ada")
    bench.settle(30)
    assert bench.comment().count("<!--") == 1
    assert "![" not in bench.comment()
    assert "\n/lab" not in bench.comment()


def test_a_comment_that_somebody_removed_is_written_anew(bench: PullBench) -> None:
    bench.propose()
    bench.settle(20)
    talk = bench.at.talks[1]
    bench.at.talks[1] = replace(talk, comments=())
    bench.propose(text="two")
    bench.settle(20)
    assert "alpha/train" in bench.comment()


def test_a_lost_state_folder_finds_its_comment_again(bench: PullBench) -> None:
    bench.propose()
    bench.settle(20)
    bench.ledger = type(bench.ledger)()
    bench.start()
    bench.settle(20)
    assert "alpha/train" in bench.comment()


def test_progress_is_told_at_a_humane_rate(tmp_path: Path) -> None:
    bench = PullBench(tmp_path, LAB.replace("update: 1s", "update: 60s"), cpus=1)
    sweep = "sweeps: {sweep_config: {x: [1, 2, 3, 4, 5, 6]}}\n"
    bench.propose(**{"alpha/train": task_text("one", sweep)})
    bench.approve()
    bench.settle(20)
    before = bench.at.asked["comment"]
    bench.until(lambda: len([j for j in bench.pulled if j.state is State.COMPLETE]) == 6)
    assert bench.at.asked["comment"] - before <= 2
    bench.turn(3, seconds=60)
    assert "6 complete" in bench.comment()
    bench.close()


def test_a_commit_that_launched_jobs_says_how_they_went(bench: PullBench) -> None:
    bench.provider._story = Story(code=1)
    bad = bench.push(**{"alpha/train": task_text("pushed")})
    bench.until_idle()
    bench.turn(5)
    status = bench.at.statuses[bad, "labwright"]
    assert (status.light, status.words) == (Light.FAILURE, "1 failed")
    bench.provider._story = STORY
    good = bench.push(**{"alpha/train": task_text("better")})
    bench.until_idle()
    bench.turn(5)
    assert bench.at.statuses[good, "labwright"].light is Light.SUCCESS


def test_a_merge_says_what_it_reused(bench: PullBench) -> None:
    bench.propose()
    bench.approve()
    bench.until_idle()
    merge = bench.push(**{"alpha/train": task_text("one")})
    bench.at.shut(1, merged=True)
    bench.hook()
    bench.until_idle()
    bench.turn(5)
    assert bench.at.statuses[merge, "labwright"].words == "1 complete; 1 reused"


def test_the_whole_plan_is_on_the_results_branch(bench: PullBench) -> None:
    bench.propose()
    bench.settle(20)
    assert b"alpha/train" in bench.results.content["pulls/1/plan.md"]
    assert json.loads(bench.results.content["pulls/1/plan.json"])["number"] == 1


def test_where_there_is_room_each_experiment_has_a_status(tmp_path: Path) -> None:
    bench = PullBench(tmp_path)
    bench.at.features = Features(checks=True)
    head = bench.propose(**{"alpha/train": task_text("one"), "beta/bad": "name: x\nrunn: y\n"})
    bench.settle(20)
    lights = {context: status.light for (commit, context), status in bench.at.statuses.items() if commit == head}
    assert lights == {"labwright": Light.FAILURE, "labwright/alpha": Light.PENDING, "labwright/beta": Light.FAILURE}
    notes = bench.at.statuses[head, "labwright/beta"].annotations
    assert ("experiments/beta/bad/task.yaml", 2) in {(note.path, note.line) for note in notes}
    bench.close()


def test_what_two_pull_requests_ask_for_goes_on_when_one_of_them_closes(bench: PullBench) -> None:
    bench.capacity_is(0)
    bench.propose(1)
    bench.approve(1)
    bench.settle()
    bench.propose(2)
    bench.approve(2)
    bench.settle()
    assert [(job.branch, job.state) for job in bench.pulled] == [("pull:1", State.QUEUED)]
    bench.at.shut(1)
    bench.settle()
    bench.capacity_is(4)
    bench.until_idle()
    assert [(job.branch, job.state) for job in bench.pulled] == [("pull:1", State.COMPLETE)]


def test_R1_a_record_that_somebody_put_into_the_ledger_is_answered_and_lets_nothing_run(bench: PullBench) -> None:
    act = bench.ask(ActKind.APPROVE, "0" * 64)
    bench.turn(3)
    assert "it is a record" in bench.answer(act)
