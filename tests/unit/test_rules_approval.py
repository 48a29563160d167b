"""What counts as somebody's yes, and for how long (docs/threat-model.md R2-R8, R12): the judge by itself, and the lane around it."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from labwright.control.permits import FRESH
from labwright.decide.approve import MOST_PEOPLE, Judgement, Offer, People, judge, who_matters
from labwright.domain.errors import Refused
from labwright.domain.forge import Comment, Labelling, Opinion, Person, Protection, Pull, Review, Role, Talk
from labwright.domain.job import ActKind
from labwright.domain.lifecycle import State
from labwright.domain.policy import Approve
from labwright.ports.provider import Submission
from tests.property.test_pulls_chaos import NoRecords
from tests.unit.pull_bench import LAB, PullBench, task_text

pytestmark = pytest.mark.slow

HEAD, DIGEST = "c" * 40, "d" * 64
T0 = datetime(2026, 3, 1, tzinfo=UTC)
KELVIN = "\u212aen"  # its first letter is a k in lower case
PULL = Pull(1, "t", Person("ada"), HEAD, "change", "refs/pull/1/head", "main", "", "1", frozenset({"lab:run"}))
ROLES = {"ada": Role.WRITE, "ben": Role.WRITE, "ken": Role.WRITE, "cleo": Role.WRITE}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PullBench]:
    bench = PullBench(tmp_path)
    yield bench
    bench.close()


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def reviewed(by: str, commit: str = HEAD, seconds: float = 2) -> Review:
    return Review(f"r{seconds}", Person(by), commit, Opinion.APPROVED, at(seconds))


def said(body: str, by: str, n: float = 3) -> Comment:
    return Comment(f"c{n}", Person(by), body, at(n))


def judged(
    *reviews: Review, comments: tuple[Comment, ...] = (), policy: Approve | None = None, offer: Offer | None = None
) -> Judgement:
    labelled = Labelling("l", "lab:run", Person("ada"), at(1), on=True)
    talk = Talk(PULL, reviews, (labelled,), comments, frozenset({"ada"}))
    offer = offer or Offer(DIGEST, frozenset({HEAD}))
    return judge(talk, policy or Approve(), offer, People("labwright", ROLES, {"@lab/leads": frozenset({"cleo"})}))


# who somebody is


def test_R5_a_login_that_only_looks_like_one_that_may_is_somebody_else() -> None:
    assert judged(reviewed("Ken"), policy=Approve(by=("ken",))).approved
    assert not judged(reviewed(KELVIN), policy=Approve(by=("ken",))).approved
    assert not judged(reviewed(KELVIN)).approved
    assert who_matters(Talk(PULL, (reviewed(KELVIN),)), Approve())[0] == {KELVIN}


def test_R5_an_author_does_not_approve_their_own_in_other_letters() -> None:
    assert not judged(reviewed("ADA")).approved


def test_R5_our_own_account_approves_nothing_in_other_letters() -> None:
    assert not judged(reviewed("LabWright")).approved


def test_R43_somebody_whose_account_is_gone_approves_nothing_and_nobody_is_asked_about_them() -> None:
    gone = Talk(PULL, (reviewed(""),), comments=(said("/lab run", ""),))
    assert who_matters(gone, Approve())[0] == set()
    assert "account is gone" in judged(reviewed("")).why_not


def test_R5_a_team_is_its_members_as_the_forge_has_them_now() -> None:
    policy = Approve(by=("@lab/leads",))
    assert judged(reviewed("cleo"), policy=policy).approved
    assert not judged(reviewed("ben"), policy=policy).approved


def test_R5_every_touched_path_needs_an_owner_of_its_own() -> None:
    owners = {"experiments/a/x": frozenset({"ben"}), "experiments/b/x": frozenset({"@lab/leads"})}
    policy, offer = Approve(by=("CODEOWNERS",)), Offer(DIGEST, frozenset({HEAD}), owners=owners)
    assert "experiments/b/x" in judged(reviewed("ben"), policy=policy, offer=offer).why_not
    assert judged(reviewed("ben"), reviewed("cleo", seconds=4), policy=policy, offer=offer).approved


def test_R5_a_path_that_belongs_to_nobody_is_approved_by_nobody() -> None:
    owners = {"experiments/a/x": frozenset({"ben"}), "secret": frozenset[str]()}
    policy, offer = Approve(by=("CODEOWNERS",)), Offer(DIGEST, frozenset({HEAD}), owners=owners)
    assert "nobody: it has no owner" in judged(reviewed("ben"), policy=policy, offer=offer).why_not


# what names a plan


@pytest.mark.parametrize("digits", [7, 12, 39])
def test_R2_a_few_digits_only_ask_for_somebody_can_make_a_commit_that_begins_so(digits: int) -> None:
    short = judged(comments=(said(f"/lab run {HEAD[:digits]}", "ben"),))
    assert not short.approved and short.asked_by == "ben"
    assert "asks only" in short.why_not


@pytest.mark.parametrize("whole", [HEAD, DIGEST, DIGEST[:40], HEAD.upper()])
def test_R2_all_digits_of_the_head_or_the_plan_approve(whole: str) -> None:
    assert judged(comments=(said(f"/lab run {whole}", "ben"),)).approved


def test_R2_digits_of_another_plan_neither_ask_nor_approve() -> None:
    assert not judged(comments=(said(f"/lab run {'e' * 40}", "ben"),)).approved


def test_R2_a_review_that_names_no_commit_approves_nothing() -> None:
    assert not judged(reviewed("ben", commit="")).approved


def test_R12_above_a_threshold_one_yes_more_is_needed() -> None:
    policy = Approve.model_validate({"one_more_above": {"gpu_hours": 10, "num_nodes": 2}})
    for offer in (Offer(DIGEST, frozenset({HEAD}), gpu_hours=11), Offer(DIGEST, frozenset({HEAD}), nodes=3)):
        assert not judged(reviewed("ben"), policy=policy, offer=offer).approved
        assert judged(reviewed("ben"), reviewed("cleo", seconds=4), policy=policy, offer=offer).approved
    assert judged(reviewed("ben"), policy=policy, offer=Offer(DIGEST, frozenset({HEAD}), gpu_hours=10)).approved


# bounded work


def test_R16_people_who_only_talk_are_not_asked_about() -> None:
    talk = Talk(PULL, comments=tuple(said("nice", f"user{n}", n) for n in range(5000)))
    assert who_matters(talk, Approve())[0] == set()


def test_R16_too_many_people_who_give_orders_close_a_pull_request() -> None:
    talk = Talk(PULL, comments=tuple(said("/lab run", f"user{n}", n) for n in range(MOST_PEOPLE + 1)))
    with pytest.raises(Refused, match="are asked about at most"):
        who_matters(talk, Approve())


def test_R16_thousands_of_comments_are_judged_in_a_moment() -> None:
    comments = tuple(said(f"nice work {n}\n" * 200, f"user{n}", n) for n in range(5000))
    before = time.process_time()
    assert judged(reviewed("ben"), comments=comments).approved
    assert time.process_time() - before < 1.0


def test_R43_a_pull_request_with_too_many_people_waits_and_others_go_on(bench: PullBench) -> None:
    bench.propose()
    bench.approve()
    for n in range(MOST_PEOPLE + 1):
        bench.at.write(1, "/lab run", f"user{n}")
    bench.propose(2, text="two")
    bench.approve(2)
    bench.until_idle()
    assert [job.branch for job in bench.pulled] == ["pull:2"]
    assert "at most" in bench.alarms["pull request 1"]


# the world moves between two turns


def _role(bench: PullBench) -> None:
    bench.at.people["ben"] = Role.READ


HAPPENINGS: dict[str, Callable[[PullBench], object]] = {
    "another push": lambda bench: bench.propose(text="two"),
    "the label comes off": lambda bench: bench.at.put_label(1, "lab:run", "tom", on=False),
    "the review is dismissed": lambda bench: bench.at.dismiss(1, bench.at.talks[1].reviews[0].id),
    "changes are asked for": lambda bench: bench.at.review(1, "cleo", Opinion.CHANGES),
    "it is closed": lambda bench: bench.at.shut(1),
    "it is reopened": lambda bench: (bench.at.shut(1), bench.at.reopen(1)),
    "it is ready": lambda bench: bench.at.ready(1),
    "it is aimed elsewhere": lambda bench: bench.at.aim(1, "other"),
    "the approver may only read": _role,
    "pull requests are watched no more": lambda bench: bench.push(lab=LAB.replace("pull_requests: true", "")),
}


class Lean(PullBench):
    """What SQL would answer is not looked at, and making DuckDB is most of the time."""

    make_records = NoRecords


def times_of_submission(bench: PullBench) -> list[datetime]:
    """Of jobs of the first pull request."""
    times: list[datetime] = []
    submit = bench.provider.submit

    def watched(them: Sequence[Submission]) -> Any:
        times.extend(bench.clock.now() for one in them if one.variables["LAB_BRANCH"] == "pull:1")
        return submit(them)

    bench.provider.submit = watched  # type: ignore[method-assign]
    return times


@pytest.mark.parametrize("hooks", [True, False], ids=["told", "not told"])
@pytest.mark.parametrize("what", HAPPENINGS)
def test_R3_whatever_happens_between_two_turns_what_is_not_approved_is_not_submitted(
    what: str, hooks: bool, tmp_path: Path
) -> None:
    for turns in range(6):
        (tmp_path / str(turns)).mkdir()
        bench = Lean(tmp_path / str(turns))
        submitted = times_of_submission(bench)
        bench.repo.branches["other"] = bench.repo.branches["main"]
        bench.propose()
        bench.settle()
        bench.approve()
        bench.turn(turns, seconds=0.1)
        HAPPENINGS[what](bench)
        when = bench.clock.now()
        if hooks:
            bench.hook()
        bench.turn(16, seconds=0.5)
        late = [one for one in submitted if one > when + FRESH]
        assert not late, (turns, what, late, when)
        bench.close()


@pytest.mark.parametrize("what", HAPPENINGS)
def test_R3_what_waits_for_room_is_not_submitted_when_the_yes_is_gone_by_then(bench: PullBench, what: str) -> None:
    bench.repo.branches["other"] = bench.repo.branches["main"]
    bench.capacity_is(0)
    bench.propose()
    bench.approve()
    bench.settle()
    assert [job.state for job in bench.pulled] == [State.QUEUED]
    HAPPENINGS[what](bench)
    bench.turn(16, seconds=0.5)
    bench.capacity_is(4)
    bench.turn(20)
    assert [job.state for job in bench.pulled if job.state not in (State.HELD, State.STOPPED)] == []


def test_R3_an_older_look_at_the_forge_never_outweighs_a_newer_one(bench: PullBench) -> None:
    """One that was asked for before the review was dismissed, and is answered after another look has seen that."""
    submitted, calls, on_their_way = times_of_submission(bench), bench.world.calls, list[Callable[[], None]]()
    start = calls.start

    def slow(key: str, call: Any, then: Any, failed: Any, **more: Any) -> None:
        if key == "verify pull:1":
            seen = call()
            on_their_way.append(lambda: then(seen))
        else:
            start(key, call, then, failed, **more)

    bench.capacity_is(0)
    bench.propose()
    review = bench.at.review(1, "ben")
    bench.label()
    bench.settle()
    calls.start = slow  # type: ignore[method-assign]
    bench.capacity_is(4)
    bench.clock.advance(5)
    bench.turn(4, seconds=0.1)
    assert on_their_way
    bench.at.dismiss(1, review)
    bench.settle(3)
    for answer in on_their_way:
        answer()
    bench.turn(3, seconds=0.1)
    assert not submitted and bench.world.permits.lanes["pull:1"]


def test_R3_a_submission_that_waited_for_a_thread_asks_the_forge_again(bench: PullBench) -> None:
    submitter, submitted = bench.controller.launcher.submitter, times_of_submission(bench)
    call, waited = submitter._call, list[datetime]()

    def late(*them: Any) -> Any:
        if not waited:
            waited.append(bench.clock.now())
            bench.clock.advance(30)
            bench.at.dismiss(1, bench.at.talks[1].reviews[0].id)
        return call(*them)

    submitter._call = late  # type: ignore[method-assign]
    bench.propose()
    bench.approve()
    bench.turn(30)
    assert waited and not submitted
    bench.approve()
    bench.until_idle()
    assert [job.state for job in bench.pulled] == [State.COMPLETE]


def test_R4_a_yes_to_a_later_push_lets_nothing_of_an_earlier_one_run(tmp_path: Path) -> None:
    bench = PullBench(tmp_path, LAB + "policy: {limits: {jobs_per_commit: 1}}\n")
    bench.capacity_is(0)
    bench.propose()
    bench.approve()
    bench.settle()
    (first,) = bench.pulled
    bench.propose(**{"alpha/train": task_text("two"), "alpha/more": task_text("more")})  # held by its size
    bench.settle()
    bench.approve()
    bench.settle()
    bench.capacity_is(4)
    bench.turn(10)
    assert bench.world.permits.lanes["pull:1"] == ""
    after = next(job for job in bench.jobs if job.id == first.id)
    assert after.state in (State.HELD, State.STOPPED)
    bench.close()


def test_R4_a_permit_is_for_the_content_that_was_approved_and_for_no_other(bench: PullBench) -> None:
    bench.capacity_is(0)
    bench.propose()
    bench.approve()
    bench.settle()
    (job,), permits, now = bench.pulled, bench.world.permits, bench.clock.now()
    permits.verified["pull:1"] = now
    assert permits.may_submit(job, now)
    for other in ({"spec": "x"}, {"bundle": "x"}, {"provider": "x"}, {"work": "x"}, {"branch": "pull:2"}):
        assert not permits.may_submit(replace(job, **other), now)  # type: ignore[arg-type]
    assert not permits.may_submit(job, now + FRESH + timedelta(seconds=1))
    assert not permits.may_submit(job, now - FRESH - timedelta(seconds=1)), "a clock that was set back"


def test_R4_where_a_job_runs_is_part_of_what_is_approved(bench: PullBench) -> None:
    bench.capacity_is(0)
    bench.propose(**{"alpha/train": task_text("one", "resources: {cpus: 4}\n")})
    bench.approve()
    bench.settle()
    (first,) = bench.pulled
    bench.propose(**{"alpha/train": task_text("one", "resources: {cpus: 1}\n")})
    bench.settle()
    bench.approve()
    bench.capacity_is(4)
    bench.until_idle()
    states = {job.id: job.state for job in bench.pulled}
    assert states.pop(first.id) is State.STOPPED
    assert list(states.values()) == [State.COMPLETE]


def test_R8_what_people_said_before_it_was_reopened_or_ready_or_aimed_elsewhere_does_not_count(tmp_path: Path) -> None:
    for n, reset in enumerate(("it is reopened", "it is ready", "it is aimed elsewhere")):
        (tmp_path / str(n)).mkdir()
        bench = PullBench(tmp_path / str(n), LAB.replace("watch: {", "watch: {branches: [main, other], "))
        bench.at.protected["other"] = Protection(True)
        bench.repo.branches["other"] = bench.repo.branches["main"]
        bench.propose()
        bench.approve()
        HAPPENINGS[reset](bench)
        bench.settle(20)
        assert bench.pulled == [], reset
        assert "before it was reopened" in bench.comment()
        bench.at.put_label(1, "lab:run", "ada", on=False)
        bench.approve()
        bench.until_idle()
        assert [job.state for job in bench.pulled] == [State.COMPLETE], reset
        bench.close()


# CODEOWNERS and bases


def codeowners(bench: PullBench, text: str, branch: str = "main") -> str:
    bench.world.pushed.set()
    return bench.repo.commit({"CODEOWNERS": text.encode()}, branch=branch)


def test_R5_codeowners_are_those_of_the_base_branch_whatever_the_pull_request_makes_of_them(tmp_path: Path) -> None:
    bench = PullBench(tmp_path, LAB + "policy: {approve: {by: [CODEOWNERS]}}\n")
    codeowners(bench, "* @cleo\n")
    bench.until_idle()
    bench.propose(author="mallory")
    head = codeowners(bench, "* @ben @mallory\n", "change-1")
    bench.repo.refs["refs/pull/1/head"] = head
    bench.at.push(1, head)
    bench.approve(by="ben")
    bench.settle(20)
    assert bench.pulled == []
    bench.approve(by="cleo")
    bench.until_idle()
    assert [job.state for job in bench.pulled] == [State.COMPLETE]
    bench.close()


def test_R5_a_team_in_codeowners_is_asked_for_and_its_members_may(tmp_path: Path) -> None:
    bench = PullBench(tmp_path, LAB + "policy: {approve: {by: [CODEOWNERS]}}\n")
    bench.at.teams["@lab/leads"] = frozenset({"Cleo"})
    codeowners(bench, "* @lab/leads\n")
    bench.until_idle()
    bench.propose()
    bench.approve(by="ben")
    bench.settle(20)
    assert bench.pulled == []
    bench.approve(by="cleo")
    bench.until_idle()
    assert [job.state for job in bench.pulled] == [State.COMPLETE]
    bench.close()


def test_R5_a_pull_request_into_a_branch_that_is_not_watched_launches_nothing(tmp_path: Path) -> None:
    """Whoever may push there writes the CODEOWNERS there."""
    bench = PullBench(tmp_path, LAB + "policy: {approve: {by: [CODEOWNERS]}}\n")
    codeowners(bench, "* @cleo\n")
    bench.until_idle()
    bench.repo.branches["mine"] = bench.repo.branches["main"]
    codeowners(bench, "* @ben\n", "mine")
    bench.propose()
    bench.at.aim(1, "mine")
    bench.approve(by="ben")
    bench.settle(20)
    assert bench.pulled == []
    assert "a base branch that lab.yaml watches" in bench.comment()
    bench.close()


def test_R11_pull_requests_that_are_watched_no_more_launch_nothing(bench: PullBench) -> None:
    bench.propose()
    bench.settle()
    HAPPENINGS["pull requests are watched no more"](bench)
    bench.settle(20)
    bench.approve()
    bench.settle(20)
    assert bench.pulled == []


# runs again


def test_R3_a_job_of_a_closed_pull_request_runs_again_when_the_controller_itself_is_asked(bench: PullBench) -> None:
    bench.propose()
    bench.approve()
    bench.until_idle()
    (job,) = bench.pulled
    bench.at.shut(1)
    bench.hook()
    bench.until_idle()
    bench.ask(ActKind.RERUN, job.id)
    bench.until_idle()
    again = bench.job("alpha/train", 1)
    assert (again.state, again.branch, again.work) == (State.COMPLETE, "main", job.work)


def test_R24_running_again_gives_a_closed_pull_request_no_secret_that_it_could_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "s3cret-value")
    with_token = LAB.replace("{FORGE: {env: FORGE}}", "{FORGE: {env: FORGE}, TOKEN: {env: TOKEN}}")
    bench = PullBench(tmp_path, with_token)
    bench.propose(**{"alpha/train": task_text("x", "envs: {T: '{{secret.TOKEN}}'}\n")})
    bench.approve()
    bench.until_idle()
    (job,) = bench.pulled
    bench.at.shut(1)
    bench.hook()
    bench.push(lab=with_token.replace("{env: TOKEN}", "{env: TOKEN, pull_requests: false}"))
    bench.until_idle()
    act = bench.ask(ActKind.RERUN, job.id)
    bench.until_idle()
    assert "not for pull requests" in bench.answer(act)
    assert len(bench.pulled) == 1
    bench.close()


def test_R8_running_again_by_comment_runs_it_as_it_was_approved_last(bench: PullBench) -> None:
    bench.propose(**{"alpha/train": task_text("one", "resources: {cpus: 4}\n")})
    bench.approve()
    bench.until_idle()
    bench.propose(**{"alpha/train": task_text("one", "resources: {cpus: 1}\n")})
    bench.settle()
    bench.approve()
    bench.at.write(1, "/lab rerun all", "cleo")
    bench.hook()
    bench.until_idle()
    first, again = bench.job("alpha/train", 0), bench.job("alpha/train", 1)
    assert again.state is State.COMPLETE
    assert again.spec != first.spec
