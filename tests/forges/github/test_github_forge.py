"""The adapter for GitHub, in front of the fake one."""

from dataclasses import replace
from datetime import timedelta

import pytest

from labwright.adapters.forges.github.forge import GitHubForge
from labwright.domain.errors import OutcomeUnknown, Refused, Unavailable
from labwright.domain.forge import Opinion, Person, Protection, Role
from tests.forges.github.bench import BOT
from tests.forges.github.fake import FakeGitHub
from tests.forges.github.routes import Reply
from tests.forges.github.world import World

A, B = "a" * 40, "b" * 40


def texts(forge: GitHubForge) -> dict[int, str]:
    return {pull.number: pull.updated for pull in forge.pulls()}


def test_each_thing_that_happens_to_a_pull_request_is_seen_in_its_list(forge: GitHubForge, world: World) -> None:
    world.open(7, A, "alice")
    seen = [texts(forge)[7]]
    review = world.review(7, "bob")
    seen.append(texts(forge)[7])
    for act in (
        lambda: world.dismiss(7, review, "carol"),
        lambda: world.put_label(7, "lab:run", "bob"),
        lambda: world.put_label(7, "lab:run", "bob", on=False),
        lambda: world.write(7, "/lab plan", "bob"),
        lambda: world.change(7, head=B),
        lambda: world.change(7, base="release"),
        lambda: world.change(7, draft=True),
    ):
        act()
        seen.append(texts(forge)[7])
    assert len(set(seen)) == len(seen)


def test_a_second_change_in_the_second_of_a_look_is_not_lost(forge: GitHubForge, world: World) -> None:
    """`updated_at` has whole seconds: an approval that is dismissed in the second in which it was seen leaves no other trace."""
    world.tick = 0
    world.open(7, A, "alice")
    review = world.review(7, "bob")
    first = texts(forge)[7]
    assert forge.talk(7).reviews[0].opinion is Opinion.APPROVED
    world.dismiss(7, review, "carol")
    world.now += timedelta(seconds=3)
    assert texts(forge)[7] != first  # so it is read again
    assert forge.talk(7).reviews[0].opinion is Opinion.DISMISSED
    settled = texts(forge)[7]
    world.now += timedelta(seconds=60)
    assert texts(forge)[7] == settled


def test_when_nothing_changed_all_pull_requests_cost_one_request_that_does_not_count(
    forge: GitHubForge, github: FakeGitHub, world: World
) -> None:
    for number in range(1, 60):
        world.open(number, A, "alice")
    first, spent = forge.pulls(), world.spent["robot"]
    github.log.clear()
    assert forge.pulls() == first
    assert [it.status for it in github.log] == [304]
    assert world.spent["robot"] == spent


def test_lists_of_several_pages_are_whole(forge: GitHubForge, world: World) -> None:
    for number in range(1, 251):
        world.open(number, A, "alice")
    assert [pull.number for pull in forge.pulls()] == list(range(1, 251))
    for count in range(205):
        world.write(7, f"comment {count}", "bob")
    assert [it.body for it in forge.talk(7).comments] == [f"comment {count}" for count in range(205)]


def test_one_that_changes_while_pages_are_turned_is_not_taken_for_closed(
    forge: GitHubForge, github: FakeGitHub, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 151):
        world.open(number, A, "alice")
    assert len(forge.pulls()) == 150
    answer, turned = github.answer, []

    def between(method: str, target: str, *rest: object) -> object:
        if "page=2" in target and not turned:
            turned.append(target)
            world.write(3, "up", "bob")  # from the second page to the first, which was read already
        return answer(method, target, *rest)

    monkeypatch.setattr(github, "answer", between)
    assert 3 in texts(forge)
    assert turned
    world.change(4, state="closed")
    assert 4 not in texts(forge)


def test_a_talk_tells_who_did_what_to_which_commit(forge: GitHubForge, world: World) -> None:
    world.open(7, A, "alice")
    world.put_label(7, "lab:run", "bob")
    world.put_label(7, "lab:run", "dependabot[bot]", on=False)
    world.review(7, "bob")
    world.change(7, head=B, by="mallory")
    world.review(7, "carol", "CHANGES_REQUESTED")
    world.review(7, "dora", "PENDING")
    edited = world.write(7, "/lab approve", "bob")
    world.edit(edited["id"], "/lab approve everything")
    talk = forge.talk(7)
    assert [(it.by.login, it.commit, it.opinion) for it in talk.reviews] == [
        ("bob", A, Opinion.APPROVED),
        ("carol", B, Opinion.CHANGES),
    ]
    assert [(it.label, it.by, it.on) for it in talk.labellings] == [
        ("lab:run", Person("bob"), True),
        ("lab:run", Person("dependabot[bot]", bot=True), False),
    ]
    assert [(it.by.login, it.edited) for it in talk.comments] == [("bob", True)]
    assert talk.committers == {"alice", "mallory"}
    assert (talk.pull.head, talk.pull.labels, talk.reset) == (B, frozenset(), None)


@pytest.mark.parametrize("changes", [{"base": "release"}, {"draft": False}, {"state": "open"}])
def test_what_becomes_another_matter_says_since_when(
    forge: GitHubForge, world: World, changes: dict[str, object]
) -> None:
    world.open(7, A, "alice", draft=True, state="closed")
    world.review(7, "bob")
    world.change(7, **changes)
    talk = forge.talk(7)
    assert talk.reset is not None
    assert talk.reset > talk.reviews[0].at


def test_people_of_more_than_250_commits_are_all_known(forge: GitHubForge, world: World) -> None:
    """The list of a pull request's commits ends there: who wrote the others could approve their own work."""
    world.open(
        7, A, "alice", commits=[(f"{n:040x}", "alice", "alice") for n in range(300)] + [(A, "mallory", "mallory")]
    )
    assert forge.talk(7).committers == {"alice", "mallory"}


def test_a_pull_request_that_changes_while_it_is_read_is_read_again(
    forge: GitHubForge, github: FakeGitHub, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.open(7, A, "alice")
    world.review(7, "bob")
    answer, pushed = github.answer, []

    def between(method: str, target: str, *rest: object) -> object:
        if "/events" in target and not pushed:
            pushed.append(target)
            world.change(7, head=B)
        return answer(method, target, *rest)

    monkeypatch.setattr(github, "answer", between)
    assert forge.talk(7).pull.head == B


def test_forks_closed_merged_and_deleted_ones_are_told_apart(forge: GitHubForge, world: World) -> None:
    world.open(1, A, "alice")
    world.open(2, A, "eve", fork=True)
    world.open(3, A, "eve", fork=True, fork_deleted=True)
    world.open(4, A, "alice", state="closed")
    world.open(5, A, "alice", state="closed", merged_at="2026-01-01T00:00:00Z")
    assert {pull.number: pull.fork for pull in forge.pulls()} == {1: False, 2: True, 3: True}
    assert [(it.open, it.merged) for it in (forge.talk(4).pull, forge.talk(5).pull)] == [(False, False), (False, True)]
    with pytest.raises(Refused, match="404"):
        forge.talk(99)


def test_roles_are_those_of_now(forge: GitHubForge, world: World) -> None:
    for login, role in [("a", "admin"), ("m", "maintain"), ("w", "write"), ("t", "triage"), ("r", "read")]:
        world.grant(login, role)
    world.person("stranger")
    asked = ["a", "m", "w", "t", "r", "stranger", "nobody", "", "x/../../y", "ci[bot]"]
    assert forge.roles(asked) == dict(
        zip(asked, [Role.ADMIN, Role.WRITE, Role.WRITE, Role.TRIAGE, Role.READ, *[Role.NONE] * 5], strict=True)
    )
    world.grant("w", "read")
    assert forge.roles(["w"]) == {"w": Role.READ}


def test_members_of_a_team_are_all_of_its_pages_and_none_is_no_team(forge: GitHubForge, world: World) -> None:
    world.teams["ml", "leads"] = [f"lead{n}" for n in range(130)]
    assert forge.members("@ml/leads") == frozenset(world.teams["ml", "leads"])
    with pytest.raises(Refused, match="no team @ml/nobody"):
        forge.members("@ml/nobody")
    with pytest.raises(Refused, match="@org/team"):
        forge.members("leads")


def test_a_branch_is_protected_by_reviews_or_named_pushers_of_either_kind_of_rule(
    forge: GitHubForge, world: World
) -> None:
    main = world.branches["main"]
    assert forge.protection("main") == Protection(False)
    main.rules = [{"type": "deletion"}, {"type": "non_fast_forward"}]
    world.tokens["github_pat_of_robot"].permissions["administration"] = "read"  # type: ignore[index]
    assert not forge.protection("main").on
    world.require_reviews("main", 0)
    assert forge.protection("main") == Protection(False, "pull requests, without a review")
    world.require_reviews("main", 2)
    assert forge.protection("main") == Protection(True, "2 reviews")
    main.rules = []
    main.older = {
        "required_pull_request_reviews": {"required_approving_review_count": 1},
        "enforce_admins": {"enabled": True},
    }
    assert forge.protection("main") == Protection(True, "1 review")
    main.older = {"restrictions": {"users": [{"login": "bob"}], "teams": [{"slug": "leads"}], "apps": []}}
    assert forge.protection("main") == Protection(True, "pushes by bob, @leads (admins are free of it)")
    main.older = {"required_pull_request_reviews": {"required_approving_review_count": 0}}
    assert forge.protection("main") == Protection(False, "pull requests, without a review")
    main.older = {"required_status_checks": {"contexts": ["ci"]}}
    assert not forge.protection("main").on


def test_protection_that_may_not_be_read_is_never_taken_for_none(forge: GitHubForge, world: World) -> None:
    world.branches["main"].older = {"required_pull_request_reviews": {"required_approving_review_count": 1}}
    with pytest.raises(Refused, match="does not say how the branch main is protected") as refused:
        forge.protection("main")
    assert "Administration: read" in refused.value.hint
    world.tokens[
        "github_pat_of_robot"
    ].permissions = None  # a classic one of a writer: GitHub says that there is nothing
    with pytest.raises(Refused, match="does not say"):
        forge.protection("main")


def test_a_plan_without_protected_branches_protects_none(forge: GitHubForge, world: World) -> None:
    world.free_plan = True
    assert forge.protection("main") == Protection(False, "not offered by this plan")


def test_who_pushed_is_who_moved_the_branch_there_last(forge: GitHubForge, world: World) -> None:
    world.push("main", A, "alice")
    for n in range(150):
        world.push("main", f"{n:040x}", "robot")
    world.push("main", B, "bob", kind="pr_merge")
    world.push("main", B[:-1] + "c", None)
    world.push("other", A, "mallory")
    assert forge.pusher("main", A) == "alice"
    assert forge.pusher("main", B) == "bob"
    assert forge.pusher("main", B[:-1] + "c") == ""
    assert forge.pusher("main", "d" * 40) == ""
    world.push("main", A, "carol", kind="force_push")
    assert forge.pusher("main", A) == "carol"


def test_a_comment_is_written_once_and_then_written_anew(forge: GitHubForge, world: World) -> None:
    world.open(7, A, "alice")
    world.open(8, A, "alice")
    own = forge.comment(7, "plan")
    assert forge.comment(7, "results", replaces=own) == own
    assert [(it.body, it.by.login) for it in forge.talk(7).comments] == [("results", "robot")]
    theirs = str(world.write(7, "hello", "alice")["id"])
    for wrong in (theirs, "9", "../7"):
        with pytest.raises(Refused):
            forge.comment(7, "mine now", replaces=wrong)
    with pytest.raises(Refused, match="not ours"):
        forge.comment(8, "elsewhere", replaces=own)
    assert [it.body for it in forge.talk(7).comments] == ["results", "hello"]


def test_the_longest_comment_fits_and_a_longer_one_is_refused(forge: GitHubForge, world: World) -> None:
    world.open(7, A, "alice")
    forge.comment(7, "ä" * forge.features.comment_chars)
    with pytest.raises(Refused, match="65536 characters at most"):
        forge.comment(7, "ä" * (forge.features.comment_chars + 1))


def test_a_label_comes_off_once_and_its_absence_is_no_error(
    forge: GitHubForge, github: FakeGitHub, world: World
) -> None:
    world.open(7, A, "alice")
    world.put_label(7, "lab:run now/ä", "bob")
    forge.unlabel(7, "lab:run now/ä")
    forge.unlabel(7, "lab:run now/ä")
    assert forge.talk(7).pull.labels == frozenset()
    with pytest.raises(Refused):
        forge.unlabel(99, "lab:run")
    for dots in (".", "..", ""):  # `labels/.` are all of them
        sent = len(github.log)
        with pytest.raises(Refused, match="nothing that is called"):
            forge.unlabel(7, dots)
        assert len(github.log) == sent


def test_labels_are_made_unless_there_in_whatever_spelling(forge: GitHubForge, world: World) -> None:
    world.a_label("Lab:Run")
    assert forge.add_labels({"lab:run": "runs", "lab:hold": "w" * 300}) == ["lab:hold"]
    assert forge.add_labels({"lab:run": "runs", "lab:hold": ""}) == []
    assert world.labels["lab:hold"]["description"] == "w" * 100


def test_an_answer_that_never_comes_may_have_happened(forge: GitHubForge, github: FakeGitHub, world: World) -> None:
    world.open(7, A, "alice")
    github.fail("POST", "/comments", Reply(500, {"message": "Server Error"}))
    with pytest.raises(OutcomeUnknown):
        forge.comment(7, "one")
    github.fail("POST", "/comments", Reply(0, None, drop=True))
    with pytest.raises(OutcomeUnknown):
        forge.comment(7, "two")
    assert [it.body for it in forge.talk(7).comments] == ["two"]


@pytest.mark.parametrize(
    ("reply", "wait"),
    [
        (Reply(403, {"message": "You have exceeded a secondary rate limit."}, {"Retry-After": "17"}), 17),
        (Reply(403, {"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}), 60),
        (Reply(429, {"message": "Too many requests"}), 60),
        (Reply(503, {"message": "unicorn"}), 15),
    ],
)
def test_a_forge_that_wants_rest_gets_it(forge: GitHubForge, github: FakeGitHub, reply: Reply, wait: float) -> None:
    github.fail("GET", "/pulls", replace(reply))
    with pytest.raises(Unavailable) as gone:
        forge.pulls()
    assert gone.value.retry_in == wait


def test_a_used_up_hour_says_when_it_ends(forge: GitHubForge, github: FakeGitHub) -> None:
    reset = int(github.world.now.timestamp()) + 900
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)}
    github.fail("GET", "/pulls", Reply(403, {"message": "API rate limit exceeded"}, headers))
    with pytest.raises(Unavailable) as gone:
        forge.pulls()
    assert gone.value.retry_in == 900


def test_we_are_whose_token_it_is(forge: GitHubForge, app_forge: GitHubForge) -> None:
    assert forge.me() == Person("robot")
    assert app_forge.me() == Person(BOT, bot=True)
