"""Merge requests as pull requests, and what people did about them."""

from datetime import datetime

import pytest

from labwright.adapters.forges.gitlab import GitLabForge
from labwright.domain.errors import Refused, Unavailable
from labwright.domain.forge import Person
from tests.forges.gitlab.fake import FakeGitLab
from tests.forges.gitlab.world import World

A, B = "a" * 40, "b" * 40


def test_a_merge_request_is_a_pull_request(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice", title="Wider layers", draft=True)
    world.label(7, "lab:run", "bob")
    pull = forge.pulls()[0]
    assert (pull.number, pull.title, pull.author) == (7, "Wider layers", Person("alice"))
    assert (pull.head, pull.head_branch, pull.base) == (A, "change-7", "main")
    assert pull.ref == "refs/merge-requests/7/head"
    assert pull.url == "https://gitlab.example/ml/labs/vision/-/merge_requests/7"
    assert pull.labels == {"lab:run"}
    assert pull.draft and pull.open and not pull.merged and not pull.fork
    assert forge.talk(7).pull == pull


def test_only_open_ones_are_listed_and_closed_ones_can_be_talked_about(forge: GitLabForge, world: World) -> None:
    for number in (3, 1, 2):
        world.open(number, A, "alice")
    world.turn(1, "closed", "alice")
    world.turn(2, "merged", "bob")
    assert [pull.number for pull in forge.pulls()] == [3]
    closed, merged = forge.talk(1).pull, forge.talk(2).pull
    assert (closed.open, closed.merged) == (False, False)
    assert (merged.open, merged.merged) == (False, True)


def test_one_without_a_commit_is_not_listed(forge: GitLabForge, world: World) -> None:
    world.open(7, "", "alice", sha=None)
    assert forge.pulls() == []
    assert forge.talk(7).pull.head == ""


@pytest.mark.parametrize("source", [4242, None])
def test_the_source_in_another_project_is_a_fork(forge: GitLabForge, world: World, source: int | None) -> None:
    world.open(7, A, "eve", fork=True, source_project_id=source)
    assert forge.pulls()[0].fork


def test_nothing_changed_is_one_request(forge: GitLabForge, world: World, fake: FakeGitLab) -> None:
    world.open(7, A, "alice")
    first = forge.pulls()
    fake.asked.clear()
    assert forge.pulls() == first
    assert len(fake.asked) == 1


def test_a_look_at_one_is_eight_requests(forge: GitLabForge, world: World, fake: FakeGitLab) -> None:
    world.open(7, A, "alice")
    forge.pulls()
    fake.asked.clear()
    forge.talk(7)
    assert len(fake.asked) == 8


def test_all_pages_are_read(forge: GitLabForge, world: World, fake: FakeGitLab) -> None:
    fake.external = "http://gitlab.inside:8080"  # a server that knows itself by another name keeps the token
    for number in range(1, 231):
        world.open(number, A, "alice")
    assert [pull.number for pull in forge.pulls()] == list(range(1, 231))


def test_whatever_people_do_changes_the_mark_of_a_change(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice")
    marks = [forge.pulls()[0].updated]
    for act in (
        lambda: world.push(7, B, "alice"),
        lambda: world.label(7, "lab:run", "bob"),
        lambda: world.note(7, "hello", "bob"),
        lambda: world.approve(7, "bob"),
        lambda: world.requests[7].update(labels=[]),  # a label that was removed from the project: no time moves
    ):
        act()
        marks.append(forge.pulls()[0].updated)
    assert len(set(marks)) == len(marks)


def test_labellings_say_who_when_and_which_way(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice")
    world.label(7, "lab:run", "carol")
    put = world.now
    world.label(7, "lab:run", "bob", on=False)
    made = forge.talk(7).labellings
    assert [(x.label, x.by.login, x.on) for x in made] == [("lab:run", "carol", True), ("lab:run", "bob", False)]
    assert made[0].at == put < made[1].at
    assert len({x.id for x in made}) == 2


def test_events_of_labels_and_people_that_are_gone_are_nobodys(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice")
    world.label(7, "old", "bob")
    world.label(7, "lab:run", "bob")
    world.label_events[7][0]["label"] = None
    world.label_events[7][1]["user"] = None
    assert forge.talk(7).labellings == ()


def test_comments_are_told_without_the_systems(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice")
    note = world.note(7, "/lab run", "bob")
    world.note(7, "added 1 commit", "alice", system=True)
    (comment,) = forge.talk(7).comments
    assert (comment.id, comment.by, comment.body, comment.edited) == (str(note["id"]), Person("bob"), "/lab run", False)
    assert comment.at == datetime.fromisoformat(note["created_at"])
    assert comment.url.endswith(f"/-/merge_requests/7#note_{note['id']}")


def test_an_edited_comment_is_told_as_one(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice")
    note = world.note(7, "/lab run", "bob")
    world.edit(7, note["id"], "/lab run everything")
    assert forge.talk(7).comments[0].edited


def test_where_gitlab_tells_when_it_was_edited_that_counts(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice")
    note = world.note(7, "/lab run", "bob")
    note["last_edited_at"] = None
    assert not forge.talk(7).comments[0].edited
    note["last_edited_at"] = note["created_at"]
    assert forge.talk(7).comments[0].edited


def test_committers_are_who_opened_it_who_pushed_to_it_and_private_addresses(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice")
    world.push(7, B, "dave")
    world.commit(7, "c" * 40, "11-erin@users.noreply.gitlab.example")
    world.commit(7, "d" * 40, "frank@example.org")  # nobody knows whose address it is
    world.pushed("another", B, "bob")
    world.pushed("change-7", None, "heidi")
    world.pushed("change-7", B, "grace", kind="tag")
    assert forge.talk(7).committers == {"alice", "dave", "erin"}


def test_a_fork_s_branch_of_the_same_name_is_not_ours(forge: GitLabForge, world: World) -> None:
    world.pushed("change-7", B, "dave")
    world.open(7, A, "eve", fork=True)
    assert forge.talk(7).committers == {"eve"}


def test_bots_are_told_by_gitlab_or_by_the_names_that_it_gives_them(
    forge: GitLabForge, world: World, fake: FakeGitLab
) -> None:
    world.user("renovate", bot=True)
    world.user("group_9_bot_12ab")
    world.open(7, A, "renovate")
    world.note(7, "hi", "group_9_bot_12ab")
    world.note(7, "hi", "bob")
    talk = forge.talk(7)
    assert talk.pull.author == Person("renovate", bot=True)
    assert [comment.by.bot for comment in talk.comments] == [True, False]


def test_one_that_is_not_there_is_refused(forge: GitLabForge) -> None:
    with pytest.raises(Refused, match="404"):
        forge.talk(99)


def test_an_answer_in_another_form_is_unavailable(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice")
    del world.requests[7]["source_branch"]
    with pytest.raises(Unavailable, match="merge request 7 cannot be read"):
        forge.talk(7)
    with pytest.raises(Unavailable, match="list of merge requests cannot be read"):
        forge.pulls()
