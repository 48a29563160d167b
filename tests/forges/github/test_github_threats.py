"""The threat model's rules (R1–R44) as far as they are the adapter's for GitHub."""

from typing import Any

import pytest

from labwright.adapters.forges.github import parse
from labwright.adapters.forges.github.client import api_of
from labwright.adapters.forges.github.forge import GitHubForge
from labwright.domain.errors import LabError, Refused, Unavailable
from labwright.domain.forge import Person, Role
from tests.forges.github.bench import PAT, a_github, as_person, repo_of
from tests.forges.github.fake import FakeGitHub
from tests.forges.github.routes import Reply
from tests.forges.github.world import World

A = "a" * 40


@pytest.mark.parametrize("status", [301, 302, 307])
@pytest.mark.parametrize("write", [False, True])
def test_a_redirect_never_carries_the_token_to_another_host(
    forge: GitHubForge, github: FakeGitHub, status: int, write: bool
) -> None:
    """R32."""
    with a_github().running() as elsewhere:
        where = {"Location": f"{elsewhere.url}/api/v3/repos/ml/vision/pulls"}
        github.fail("", "/", Reply(status, {"message": "Moved Permanently"}, where))
        github.faults[0] = ("POST" if write else "GET", "/", github.faults[0][2])
        with pytest.raises(Refused, match="redirect to 127") as refused:
            forge.comment(7, "x") if write else forge.pulls()
        assert "forge.repo" in refused.value.hint
        assert not elsewhere.log


def test_pages_of_a_list_stay_with_the_host_of_lab_yaml(forge: GitHubForge, github: FakeGitHub, world: World) -> None:
    """R32: a forge behind a proxy may name another host in its links."""
    world.open(7, A, "alice")
    with a_github().running() as elsewhere:
        link = {"Link": f'<{elsewhere.url}/api/v3/repos/ml/vision/labels?page=2>; rel="next"'}
        github.fail("GET", "/labels", Reply(200, [], link))
        forge.add_labels({"x": ""})
        assert not elsewhere.log


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 502])
def test_a_token_is_in_no_words_of_an_error(forge: GitHubForge, github: FakeGitHub, status: int) -> None:
    """R23, R41."""
    for method in ("GET", "POST"):
        github.fail(method, "/", Reply(status, {"message": "no"}))
        with pytest.raises(LabError) as raised:
            forge.pulls() if method == "GET" else forge.comment(7, "x")
        error: BaseException | None = raised.value
        while error is not None:
            assert PAT not in f"{error} {getattr(error, 'hint', '')} {error!r}"
            error = error.__cause__ or error.__context__


@pytest.mark.parametrize("token", ["", "two\nlines", "späce", "a b"])
def test_a_token_that_is_none_is_refused_and_not_quoted(github: FakeGitHub, token: str) -> None:
    """http.client would quote the whole header."""
    forge = as_person(github, token)
    with pytest.raises(Refused, match="token is empty or has characters") as refused:
        forge.pulls()
    assert not token or token not in str(refused.value)
    forge.close()


def test_a_newline_at_the_end_of_a_token_is_what_files_have(github: FakeGitHub) -> None:
    forge = as_person(github, PAT + "\n")
    assert forge.pulls() == []
    forge.close()


def test_a_wrong_token_is_refused(github: FakeGitHub) -> None:
    forge = as_person(github, "wrong")
    with pytest.raises(Refused, match="401: Bad credentials"):
        forge.pulls()
    forge.close()


def test_a_review_that_names_no_commit_approves_none(forge: GitHubForge, world: World) -> None:
    """R2: GitHub forgets the commit of a review when that is gone."""
    world.open(7, A, "alice")
    world.review(7, "bob", commit=None)
    assert [it.commit for it in forge.talk(7).reviews] == [""]


@pytest.mark.parametrize(
    ("permission", "role_name", "role"),
    [
        ("admin", "admin", Role.ADMIN),
        ("write", "maintain", Role.WRITE),
        ("read", "triage", Role.TRIAGE),
        ("write", "deployer", Role.WRITE),  # custom roles
        ("read", "labeller", Role.READ),
        ("admin", "overlord", Role.WRITE),
        ("read", "admin", Role.TRIAGE),  # they disagree: the lesser one
        ("none", "admin", Role.NONE),
        ("everything", "emperor", Role.NONE),
        ("everything", "write", Role.NONE),
        ("read", "", Role.READ),  # before GitHub told `role_name`
        ("none", "", Role.NONE),
        ("", "", Role.NONE),
    ],
)
def test_a_role_of_an_unknown_name_is_the_least_that_is_certain(permission: str, role_name: str, role: Role) -> None:
    """R6, R43."""
    assert parse.role({"permission": permission, "role_name": role_name}) is role


def test_somebody_whose_account_is_gone_is_nobody_and_may_nothing(forge: GitHubForge, world: World) -> None:
    world.grant("ghost", "admin")  # what GitHub shows in their place is an account too
    world.open(7, A, "ghost")
    world.review(7, None)
    world.put_label(7, "lab:run", None)
    world.write(7, "/lab approve", None)
    talk = forge.talk(7)
    people = [talk.pull.author, talk.reviews[0].by, talk.labellings[0].by, talk.comments[0].by]
    assert people == [Person("")] * 4
    assert forge.roles([it.login for it in people]) == {"": Role.NONE}
    with pytest.raises(Refused, match="not ours"):
        forge.comment(7, "mine", replaces=talk.comments[0].id)


@pytest.mark.parametrize("body", [{}, {"login": None}, {"login": ""}, None, []])
def test_we_are_never_nobody(forge: GitHubForge, github: FakeGitHub, world: World, body: Any) -> None:
    """Else comments of those whose accounts are gone were ours to change, and their commands nobody's."""
    world.open(7, A, "alice")
    theirs = world.write(7, "hello", None)
    github.fail("GET", "/user", Reply(200, body))
    with pytest.raises(LabError):
        forge.comment(7, "mine", replaces=str(theirs["id"]))
    assert theirs["body"] == "hello"


def test_bots_are_told_by_their_kind(forge: GitHubForge, world: World) -> None:
    """R5, R34."""
    assert parse.person({"login": "ci", "type": "Bot"}) == Person("ci", bot=True)
    assert parse.person({"login": "ci[bot]"}) == Person("ci[bot]", bot=True)
    assert parse.person({"login": "bot", "type": "User"}) == Person("bot")


def test_a_login_is_never_a_path(forge: GitHubForge, github: FakeGitHub) -> None:
    asked = ["../../labels", "a/b", "a?x=1", "a#b", "a b", "%2e", "."]
    assert set(forge.roles(asked).values()) == {Role.NONE}
    assert not github.log


@pytest.mark.parametrize("repo", ["vision", "a/b/c", "../..", "ml/..", "ml/vision?x", "ml/vi sion", ""])
def test_a_repository_is_an_owner_and_a_name(github: FakeGitHub, repo: str) -> None:
    with pytest.raises(Refused, match="owner/name"):
        GitHubForge(github.url, repo, lambda: PAT)


@pytest.mark.parametrize("body", [None, [], {"number": 7}, [1], [{}], {"message": "ok"}, "text"])
def test_an_answer_of_another_shape_is_no_empty_list(forge: GitHubForge, github: FakeGitHub, body: Any) -> None:
    """R43: an unreadable answer is never "everything was closed"."""
    if body == []:
        assert forge.pulls() == []
        return
    github.fail("GET", "/pulls", Reply(200, body))
    with pytest.raises(Unavailable):
        forge.pulls()


@pytest.mark.parametrize("path", ["/reviews", "/events", "/comments", "/commits"])
@pytest.mark.parametrize("body", [{"message": "ok"}, [{"id": 1}], None])
def test_half_a_talk_is_none(forge: GitHubForge, github: FakeGitHub, world: World, path: str, body: Any) -> None:
    world.open(7, A, "alice")
    github.fail("GET", path, Reply(200, body))
    with pytest.raises(Unavailable):
        forge.talk(7)


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("https://github.com", "https://api.github.com"),
        ("https://github.com/", "https://api.github.com"),
        ("https://acme.ghe.com", "https://api.acme.ghe.com"),
        ("https://git.example.org", "https://git.example.org/api/v3"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/api/v3"),
        ("https://evilghe.com", "https://evilghe.com/api/v3"),
    ],
)
def test_the_api_is_where_the_address_says(url: str, api: str) -> None:
    assert api_of(url) == api


def test_every_request_says_which_version_it_means(forge: GitHubForge, github: FakeGitHub) -> None:
    forge.pulls()
    assert {it.authorization for it in github.log} == {f"Bearer {PAT}"}
    assert repo_of(github) in github.log[0].at
