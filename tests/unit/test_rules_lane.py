"""The lane of pull requests where the world is hostile or away (docs/threat-model.md): forged hooks and names, records of who said
yes, pushes that nobody protects, permissions that cannot be read."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labwright.control.pulls.orders import MOST_REFUSED
from labwright.domain.errors import Refused, Unavailable
from labwright.domain.forge import Person
from labwright.domain.job import Act, ActKind
from labwright.domain.lifecycle import State
from labwright.testing.fake_provider import Story
from labwright.testing.memory_forge import US
from tests.unit.pull_bench import LAB, PullBench, task_text


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PullBench]:
    bench = PullBench(tmp_path)
    yield bench
    bench.close()


# the record


def approvals(bench: PullBench) -> list[Act]:
    return [act for act in bench.ledger.acts(pending=False) if act.kind is ActKind.APPROVE]


def test_R1_R40_what_ran_has_a_record_of_who_said_yes_to_what_on_which_evidence(bench: PullBench) -> None:
    head = bench.propose()
    review = bench.at.review(1, "ben")
    bench.label()
    bench.until_idle()
    (act,), (job,) = approvals(bench), bench.pulled
    said = act.arguments
    assert (act.by, said["roles"], said["asked_by"], said["author"]) == ("ben", {"ben": "write"}, "ada", "ada")
    assert (said["pull"], said["head"], said["base"]) == (1, head, bench.repo.branches["main"])
    assert said["evidence"] == [f"review {review}"]
    assert "approval: approved by ben" in said["gates"] and "request: asked for by ada" in said["gates"]
    assert act.target == job.plan == next(p.digest for p in bench.ledger.plans() if p.branch == "pull:1")
    (row,) = bench.rows("SELECT id, target, author, created, arguments FROM approvals WHERE kind = 'approve'")
    assert (row["id"], row["target"], row["author"]) == (act.id, act.target, "ben")
    assert json.loads(row["arguments"])["evidence"] == [f"review {review}"]


def test_R1_no_job_of_a_pull_request_is_there_without_a_record(bench: PullBench) -> None:
    bench.propose()
    bench.settle(20)
    assert bench.pulled == [] and approvals(bench) == []


def test_R40_an_order_that_was_refused_is_recorded_too(bench: PullBench) -> None:
    bench.propose()
    bench.settle()
    bench.at.write(1, "/lab stop", "mallory")
    bench.settle(20)
    (row,) = bench.rows("SELECT kind, author, answer FROM approvals WHERE id LIKE 'pull:1#comment%'")
    assert (row["kind"], row["author"]) == ("stop", "mallory")
    assert row["answer"].startswith("refused: ")


def test_R1_an_act_that_somebody_forged_under_an_approvals_name_lets_nothing_run(bench: PullBench) -> None:
    head = bench.propose()
    bench.settle()
    (plan,) = [plan for plan in bench.ledger.plans() if plan.branch == "pull:1"]
    act = Act(f"approve:pull:1:{plan.digest[:16]}:{head}:x", ActKind.APPROVE, plan.digest, "ben", bench.clock.now())
    bench.ledger.put_act(act)
    bench.world.asked.set()
    bench.settle(20)
    assert bench.pulled == []
    assert "pull:1" not in bench.world.permits.verified


def test_R34_an_order_keeps_its_effect_when_another_pull_request_has_one_of_the_same_number(bench: PullBench) -> None:
    bench.propose()
    bench.propose(2, text="two")
    bench.settle()
    comment = bench.at.write(2, "/lab why", "ben")
    line = Act(f"pull:1#comment:{comment}:1", ActKind.ASK, "pull:1", "x", bench.clock.now(), {"lane": "pull:1"})
    bench.ledger.put_act(line)
    bench.ledger.finish_act(line.id, bench.clock.now(), "")
    bench.start()
    bench.settle(20)
    assert any(act.id == f"pull:2#comment:{comment}:1" for act in bench.ledger.acts(pending=False))


def test_R16_orders_of_people_who_may_give_none_are_not_recorded_without_end(bench: PullBench) -> None:
    bench.propose()
    bench.settle()
    for n in range(MOST_REFUSED + 30):
        bench.at.write(1, "/lab stop", f"stranger{n}")
    bench.settle(20)
    bench.start()
    bench.at.write(1, "/lab stop", "mallory")
    comment = bench.at.write(1, "/lab why", "ben")
    bench.settle(20)
    orders = [act for act in bench.ledger.acts(pending=False) if act.id.startswith("pull:1#")]
    assert len([act for act in orders if act.by != "ben"]) == MOST_REFUSED
    assert any(act.id == f"pull:1#comment:{comment}:1" for act in orders)


# hooks


def test_R31_any_number_of_hooks_and_repetitions_is_one_look_and_changes_nothing(bench: PullBench) -> None:
    bench.propose()
    bench.approve()
    bench.until_idle()
    before, jobs = bench.at.asked["pulls"], bench.states()
    for _ in range(500):
        bench.hook()
    bench.turn(3, seconds=0.1)
    assert bench.at.asked["pulls"] - before == 1
    bench.settle(20)
    assert bench.states() == jobs


def test_R31_without_a_single_hook_all_is_seen_by_the_next_poll(bench: PullBench) -> None:
    bench.propose()
    bench.at.review(1, "ben")
    bench.at.put_label(1, "lab:run", "ada")
    bench.world.hooked.clear()
    bench.turn(60)
    assert [job.state for job in bench.pulled] == [State.COMPLETE]


# pushes


def test_R9_a_trailer_runs_nothing_where_anybody_may_have_pushed_it(bench: PullBench) -> None:
    bench.at.protected.clear()
    bench.push(trailers=[("Lab-Rerun", "alpha/train"), ("Lab-Rerun", "base")], **{"alpha/train": task_text("pushed")})
    bench.until_idle()
    assert {job.task: job.state for job in bench.jobs} == {"base": State.COMPLETE, "alpha/train": State.HELD}
    answers = [act.answer for act in bench.ledger.acts(pending=False) if act.kind is ActKind.RERUN]
    assert len(answers) == 2 and all("main is not protected" in answer for answer in answers)


def test_R9_a_trailer_runs_again_on_a_protected_branch(bench: PullBench) -> None:
    bench.push(trailers=[("Lab-Rerun", "base")], **{"alpha/train": task_text("pushed")})
    bench.until_idle()
    assert bench.job("base", 1).state is State.COMPLETE


def test_R9_a_push_that_anybody_may_have_made_is_no_yes_to_a_pull_requests_job(bench: PullBench) -> None:
    bench.capacity_is(0)
    bench.propose()
    review = bench.at.review(1, "ben")
    bench.label()
    bench.settle()
    bench.at.dismiss(1, review)
    bench.at.protected.clear()
    bench.push(**{"alpha/train": task_text("one")})
    bench.settle(20)
    bench.capacity_is(4)
    bench.turn(10)
    assert [job.state for job in bench.pulled] == [State.HELD]


def test_R38_a_commit_in_the_controllers_name_is_a_commit_like_any_other(bench: PullBench) -> None:
    at = bench.push(
        message="Results\n\n[skip ci]", trailers=[("Lab-Writer", US.login)], **{"alpha/train": task_text("x")}
    )
    bench.at.pushers["main", at] = "mallory"
    bench.until_idle()
    job = bench.job("alpha/train")
    assert (job.state, job.author) == (State.COMPLETE, "mallory")
    bench.at.protected.clear()
    bench.push(message="Results\n\n[skip ci]", **{"alpha/train": task_text("y")})
    bench.until_idle()
    assert bench.job("alpha/train").state is State.HELD


def test_R38_the_results_branch_is_watched_by_no_pattern(tmp_path: Path) -> None:
    bench = PullBench(tmp_path, LAB.replace("watch: {", "watch: {branches: ['*'], "))
    bench.push(branch=bench.repo.results_branch or "lab-results", **{"evil/task": task_text("x")})
    bench.until_idle()
    assert [job.task for job in bench.jobs] == ["base"]
    bench.close()


def test_R5_whoever_pushed_it_wrote_it_whatever_name_its_commits_bear(bench: PullBench) -> None:
    bench.at.pushers["change-1", bench.propose()] = "cleo"
    bench.settle()
    head = bench.propose(text="two")  # and somebody else something on top
    bench.at.pushers["change-1", head] = "ada"
    bench.settle()
    bench.approve(by="cleo")
    bench.settle(20)
    assert bench.pulled == []
    assert "who wrote it" in bench.comment()
    bench.approve(by="ben")
    bench.until_idle()
    assert [job.state for job in bench.pulled] == [State.COMPLETE]


# words


def test_R33_what_people_call_things_is_text_in_the_comment(bench: PullBench) -> None:
    bench.propose(**{"a/x ```@org": task_text("x"), "a/bad": "name: '<img src=x>'\nrun: echo\nrunn: '@all'\n"})
    bench.at.write(1, "/lab stop `@org/all`", "ben")
    bench.settle(20)
    body = bench.comment()
    assert "<img" not in body
    assert "````a/x ```@org````" in body and "@org" not in re.sub("````.*?````", "", body)
    assert all(not line.startswith("/lab") for line in body.splitlines())


def test_R34_what_we_wrote_ourselves_is_no_command_even_where_it_reads_like_one(bench: PullBench) -> None:
    bench.propose()
    bench.at.review(1, "ben")
    for by in (US, Person("LABWRIGHT", bot=True), Person("labwright")):
        bench.at.write(1, "/lab run\n\n/lab stop", by)
    bench.settle(20)
    assert bench.pulled == []
    assert not [act for act in bench.ledger.acts(pending=False) if act.id.startswith("pull:1#")]


def test_R34_a_bot_gives_no_orders_unless_it_is_listed(tmp_path: Path) -> None:
    bench = PullBench(tmp_path, LAB + "policy: {approve: {bots: [renovate]}}\n")
    bench.at.people.update(renovate=bench.at.people["ben"], robot=bench.at.people["ben"])
    bench.propose()
    bench.at.review(1, "ben")
    bench.at.write(1, "/lab run", Person("robot", bot=True))
    bench.settle(20)
    assert bench.pulled == []
    bench.at.write(1, "/lab run", Person("renovate", bot=True))
    bench.hook()
    bench.until_idle()
    assert [job.state for job in bench.pulled] == [State.COMPLETE]
    bench.close()


# what cannot be known


@pytest.mark.parametrize("what", ["roles", "members", "talk", "me", "pulls"])
@pytest.mark.parametrize(
    "error", [Unavailable("away", retry_in=1), Refused("may not be read")], ids=["away", "refused"]
)
def test_R43_what_the_forge_does_not_tell_is_no_yes(what: str, error: Exception, tmp_path: Path) -> None:
    bench = PullBench(tmp_path, LAB + "policy: {approve: {by: ['@lab/leads']}}\n")
    bench.at.teams["@lab/leads"] = frozenset({"ben"})

    def fail(*_: Any) -> Any:
        raise error

    setattr(bench.at, what, fail)
    bench.propose()
    bench.approve()
    bench.settle(30)
    assert bench.pulled == []
    assert bench.alarms
    delattr(bench.at, what)
    bench.turn(90)
    assert [job.state for job in bench.pulled] == [State.COMPLETE]
    bench.close()


def test_R43_a_protection_that_cannot_be_read_launches_nothing(bench: PullBench) -> None:
    def fail(branch: str) -> Any:
        raise Refused("the token may not read protections")

    bench.at.protection = fail  # type: ignore[method-assign]
    bench.push(**{"alpha/train": task_text("pushed")})
    bench.turn(10)
    assert [job.task for job in bench.jobs] == ["base"]


def test_R43_a_ledger_that_takes_nothing_lets_nothing_run_and_what_runs_goes_on(bench: PullBench) -> None:
    bench.provider._story = Story(hangs=True)
    bench.propose()
    bench.approve()
    bench.until(lambda: [job.state for job in bench.pulled] == [State.RUNNING])
    there = len(bench.provider.submitted) if hasattr(bench.provider, "submitted") else None
    bench.ledger.full = "disk full"
    bench.propose(2, text="two")
    bench.approve(2)
    bench.turn(10)
    assert [(job.branch, job.state) for job in bench.pulled] == [("pull:1", State.RUNNING)]
    assert "nothing new is launched" in bench.alarms["ledger"]
    assert there is None or len(bench.provider.submitted) == there  # type: ignore[attr-defined]
    bench.ledger.full = ""
    bench.settle(30)
    assert {job.branch for job in bench.pulled} == {"pull:1", "pull:2"}


def test_R43_rules_that_cannot_be_read_leave_the_old_ones_in_force(bench: PullBench) -> None:
    bench.push(lab=LAB + "policy: {approve: {approvals: none}}\n")
    bench.propose(author="mallory")
    bench.at.review(1, "mallory")
    bench.label()
    bench.settle(20)
    assert bench.pulled == []
    assert bench.alarms


def test_R43_one_that_changes_faster_than_it_can_be_read_holds_up_no_other(bench: PullBench) -> None:
    talk = bench.at.talk

    def restless(number: int) -> Any:
        if number == 1:
            raise Unavailable("pull request 1 changes faster than it can be read", retry_in=1)
        return talk(number)

    bench.at.talk = restless  # type: ignore[method-assign]
    for number in (1, 2, 3):
        bench.propose(number, text=str(number))
        bench.approve(number)
    bench.turn(20)
    assert {job.branch: job.state for job in bench.pulled} == {"pull:2": State.COMPLETE, "pull:3": State.COMPLETE}


# what a task may ask for


def test_R10_a_pull_request_may_name_no_provider_that_lab_yaml_has_not(bench: PullBench) -> None:
    bench.propose(**{"alpha/train": task_text("x", "resources: {compute_provider: mine}\n")})
    bench.approve()
    bench.settle(20)
    assert bench.pulled == []
    assert "mine" in bench.comment()


def test_R10_what_a_provider_refuses_is_refused_whoever_approves_it(bench: PullBench) -> None:
    bench.provider.refuse = lambda task: ["no more than 4 GPUs here"]  # type: ignore[method-assign]
    bench.propose()
    bench.approve()
    bench.settle(20)
    assert bench.pulled == []
    assert "no more than 4 GPUs here" in bench.comment()


def test_R10_a_pull_request_has_a_size_beyond_which_a_yes_is_not_enough(tmp_path: Path) -> None:
    bench = PullBench(tmp_path, LAB + "policy: {limits: {jobs_per_commit: 1}}\n")
    bench.propose(**{"alpha/one": task_text("one"), "alpha/two": task_text("two")})
    bench.approve()
    bench.until_idle()
    assert {job.state for job in bench.pulled} == {State.HELD}
    bench.ask(ActKind.CONFIRM, bench.pulled[0].plan)
    bench.until_idle()
    assert {job.state for job in bench.pulled} == {State.COMPLETE}
    bench.close()


def test_R29_suspended_nothing_of_a_pull_request_is_submitted(bench: PullBench) -> None:
    bench.ask(ActKind.SUSPEND, "")
    bench.propose()
    bench.approve()
    bench.settle(20)
    assert {job.state for job in bench.pulled} == {State.HELD}
    bench.ask(ActKind.RESUME, "")
    bench.until_idle()
    assert {job.state for job in bench.pulled} == {State.COMPLETE}
