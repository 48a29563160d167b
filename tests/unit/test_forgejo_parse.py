"""What Forgejo's JSON means, where a real one of the version at hand does not say it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from labwright.adapters.forges.api import Answer
from labwright.adapters.forges.forgejo import ForgejoForge, parse
from labwright.domain.errors import Refused, Unavailable

NOW = datetime(2026, 11, 20, 12, 0, 10, tzinfo=UTC)
REPO = {"id": 1, "full_name": "ada/vision"}


def item(**more: Any) -> dict[str, Any]:
    return {
        "number": 7,
        "title": "Change",
        "state": "open",
        "user": {"id": 3, "login": "cleo"},
        "head": {"sha": "a" * 40, "ref": "change", "label": "change", "repo": REPO},
        "base": {"sha": "b" * 40, "ref": "main", "label": "main", "repo": REPO},
        "updated_at": "2026-11-20T12:00:00Z",
        "comments": 1,
        **more,
    }


def text(now: datetime = NOW, edited: str = "", **more: Any) -> str:
    return parse.updated(item(**more), edited, parse.Clock(now, NOW - timedelta(hours=1)))


def test_a_push_for_review_is_a_fork_where_only_its_flow_tells() -> None:
    assert not parse.pull(item()).fork
    assert parse.pull(item(flow=1)).fork


def test_a_head_whose_repository_is_gone_is_a_fork() -> None:
    assert parse.pull(item(head={"sha": "a" * 40, "ref": "refs/pull/7/head", "label": "change", "repo": None})).fork


def test_the_field_draft_counts_more_than_the_title() -> None:
    assert parse.pull(item(title="[WIP] x")).draft
    assert parse.pull(item(draft=True)).draft
    assert not parse.pull(item(title="WIP: x", draft=False)).draft


def test_an_account_that_is_gone_and_the_forges_own_ones_are_no_humans() -> None:
    assert parse.person(None).bot and parse.person(None).login == "Ghost"
    assert parse.person({"id": -2, "login": "forgejo-actions"}).bot
    assert not parse.person({"id": 3, "login": "cleo"}).bot


def test_what_is_older_than_its_second_keeps_its_text() -> None:
    assert text() == text(NOW + timedelta(minutes=5))


@pytest.mark.parametrize(
    "more",
    [
        {"updated_at": "2026-11-20T12:00:01Z"},
        {"comments": 2},
        {"labels": [{"name": "lab:run"}]},
        {"requested_reviewers": [{"login": "ben"}]},
        {"edited": "2026-11-20T12:00:02Z"},
    ],
    ids=lambda more: next(iter(more)),
)
def test_each_of_these_changes_the_text(more: dict[str, Any]) -> None:
    assert text(**more) != text()


def test_what_changed_within_this_second_is_looked_at_once_more() -> None:
    """Whatever else happens in that second leaves `updated_at` as it is."""
    just = "2026-11-20T12:00:09Z"
    assert text(updated_at=just) != text(NOW + timedelta(seconds=3), updated_at=just)
    assert text(NOW + timedelta(seconds=3), updated_at=just) == text(NOW + timedelta(seconds=9), updated_at=just)


def test_drafts_of_reviews_and_requests_for_one_are_no_reviews() -> None:
    made = {"id": 1, "user": {"id": 2, "login": "ben"}, "commit_id": "a" * 40, "submitted_at": "2026-11-20T12:00:00Z"}
    assert parse.reviews([{**made, "state": state} for state in ("PENDING", "REQUEST_REVIEW", "")]) == ()


def test_a_review_that_does_not_say_its_commit_approves_nothing() -> None:
    (review,) = parse.reviews(
        [{"id": 1, "user": None, "state": "APPROVED", "commit_id": None, "submitted_at": "2026-11-20T12:00:00Z"}]
    )
    assert review.commit == ""


def test_whoever_moved_another_branch_to_the_same_commit_is_not_the_pusher() -> None:
    content = '{"HeadCommit": {"Sha1": "%s"}}' % ("c" * 40)
    feed = [
        {
            "op_type": "commit_repo",
            "ref_name": "refs/heads/topic",
            "content": content,
            "act_user": {"login": "mallory"},
        },
        {"op_type": "commit_repo", "ref_name": "refs/heads/main", "content": "not JSON", "act_user": {"login": "dora"}},
        {"op_type": "commit_repo", "ref_name": "refs/heads/main", "content": content, "act_user": {"login": "ben"}},
    ]
    assert parse.pusher(feed, "main", "c" * 40) == "ben"
    assert parse.pusher(feed, "main", "d" * 40) == ""


@pytest.mark.parametrize("answer", [[], {}, "text", 7, [{"number": 1}], [None]])
def test_an_answer_of_another_shape_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch, answer: object) -> None:
    forge = ForgejoForge("http://127.0.0.1:9", "ada/vision", lambda: "0" * 40)
    monkeypatch.setattr(forge._api, "get", lambda path, **query: answer)
    with pytest.raises(Unavailable, match="not understood"):
        forge.talk(1)


@pytest.mark.parametrize("body", [None, {}, "text", {"message": "hello"}])
def test_what_is_no_list_is_not_an_empty_one(monkeypatch: pytest.MonkeyPatch, body: object) -> None:
    forge = ForgejoForge("http://127.0.0.1:9", "ada/vision", lambda: "0" * 40)
    monkeypatch.setattr(forge._api, "ask", lambda path, **query: Answer(200, {}, body))
    with pytest.raises(Unavailable, match="not understood"):
        forge.pulls()


def test_a_role_that_is_not_known_is_refused_and_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    forge = ForgejoForge("http://127.0.0.1:9", "ada/vision", lambda: "0" * 40)
    monkeypatch.setattr(forge._api, "get", lambda path, **query: {"permission": "superb"})
    with pytest.raises(Refused, match="superb"):
        forge.roles(["ada"])
