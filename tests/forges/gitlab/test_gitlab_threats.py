"""What a stranger, a server in between or a bad token can do to us at GitLab: nothing."""

import traceback
from collections.abc import Callable

import pytest

from labwright.adapters.forges.gitlab import GitLabForge
from labwright.domain.errors import LabError, OutcomeUnknown, Refused, Unavailable
from labwright.domain.forge import Light, Status
from tests.forges.gitlab.conftest import TOKEN
from tests.forges.gitlab.fake import FakeGitLab, Refuse
from tests.forges.gitlab.world import World

A = "a" * 40
SECRET = "s3cret" + "9f" * 8

CALLS: list[Callable[[GitLabForge], object]] = [
    lambda f: f.me(),
    lambda f: f.pulls(),
    lambda f: f.talk(7),
    lambda f: f.roles(["bob"]),
    lambda f: f.members("@ml/leads"),
    lambda f: f.protection("main"),
    lambda f: f.pusher("main", A),
    lambda f: f.comment(7, "x"),
    lambda f: f.set_status(A, Status("lab", Light.PENDING, "x")),
    lambda f: f.unlabel(7, "lab:run"),
    lambda f: f.add_labels({"x": "y"}),
    lambda f: f.add_hook("https://lab.example/hook", SECRET),
]


def said(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 422, 429, 500, 502])
@pytest.mark.parametrize("call", CALLS)
def test_no_error_tells_the_token_or_a_secret(
    forge: GitLabForge, fake: FakeGitLab, world: World, status: int, call: Callable[[GitLabForge], object]
) -> None:
    world.open(7, A, "alice")
    fake.break_with = lambda _: Refuse(status, f"{status} no", **{"Retry_After": "0"})
    with pytest.raises(LabError) as caught:
        call(forge)
    told = said(caught.value)
    assert TOKEN not in told and SECRET not in told
    assert "GitLab" in caught.value.message


@pytest.mark.parametrize("bad", ["glpat-one\r\nX-Evil: 1", "glpat two", "glpat-ünicode", "", "glpat-three\n"])
def test_a_token_with_strange_characters_is_refused_and_not_told(address: str, world: World, bad: str) -> None:
    forge = GitLabForge(address, world.path, lambda: bad)
    for call in CALLS:
        with pytest.raises(Refused, match="the token is empty, or has characters") as caught:
            call(forge)
        assert not bad or bad.strip() not in said(caught.value)
    forge.close()


def test_redirects_are_not_followed(forge: GitLabForge, fake: FakeGitLab, address: str, world: World) -> None:
    other = FakeGitLab()
    with other.serve() as elsewhere:
        fake.break_with = lambda _: Refuse(302, "moved", Location=f"{elsewhere}/api/v4/user")
        for call in CALLS:
            with pytest.raises(Refused, match="a redirect to 127"):
                call(forge)
        assert other.asked == []


def test_a_list_that_leads_to_another_host_stays_with_ours(forge: GitLabForge, fake: FakeGitLab, world: World) -> None:
    other = FakeGitLab()
    with other.serve() as elsewhere:
        fake.external = elsewhere
        for number in range(1, 120):
            world.open(number, A, "alice")
        assert len(forge.pulls()) == 119
        assert other.asked == []


def test_a_token_that_was_taken_back_is_refused(forge: GitLabForge, world: World) -> None:
    world.tokens.clear()
    with pytest.raises(Refused, match="401") as caught:
        forge.pulls()
    assert "token" in caught.value.hint


def test_a_token_that_may_only_read_writes_nothing(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice")
    world.tokens[TOKEN].scopes = ("read_api",)
    assert len(forge.pulls()) == 1
    with pytest.raises(Refused, match="insufficient_scope"):
        forge.comment(7, "x")


def test_a_token_is_asked_for_each_time(address: str, world: World) -> None:
    tokens = ["glpat-wrong", TOKEN]
    forge = GitLabForge(address, world.path, lambda: tokens[0])
    with pytest.raises(Refused):
        forge.me()
    tokens.pop(0)
    assert forge.me().bot
    forge.close()


def test_a_project_that_the_token_may_not_see_is_not_there(forge: GitLabForge, world: World) -> None:
    world.members.clear()
    with pytest.raises(Refused, match="404") as caught:
        forge.pulls()
    assert "forge.repo" in caught.value.hint


def test_reading_is_unavailable_and_writing_unknown_where_the_server_fails(
    forge: GitLabForge, fake: FakeGitLab, world: World
) -> None:
    world.open(7, A, "alice")
    fake.break_with = lambda _: Refuse(502, "bad gateway")
    with pytest.raises(Unavailable):
        forge.pulls()
    with pytest.raises(OutcomeUnknown):
        forge.comment(7, "x")
    with pytest.raises(OutcomeUnknown):
        forge.set_status(A, Status("lab", Light.PENDING, "x"))


def test_a_rate_limit_says_how_long_to_wait(forge: GitLabForge, fake: FakeGitLab) -> None:
    fake.break_with = lambda _: Refuse(429, "Retry later", Retry_After="37")
    with pytest.raises(Unavailable) as caught:
        forge.pulls()
    assert caught.value.retry_in == 37


def test_nobody_there_is_unavailable(world: World) -> None:
    forge = GitLabForge("http://127.0.0.1:9", world.path, lambda: TOKEN)
    with pytest.raises(Unavailable, match="nobody answers") as caught:
        forge.comment(7, "x")
    assert TOKEN not in said(caught.value)
    forge.close()


def test_a_user_whom_nobody_tells_about_counts_as_a_bot(forge: GitLabForge, world: World, fake: FakeGitLab) -> None:
    world.open(7, A, "alice")
    world.approve(7, "bob")
    fake.break_with = lambda call: Refuse(404, "404 User Not Found") if call.startswith("GET users/") else None
    assert forge.talk(7).reviews[0].by.bot


def test_names_in_paths_cannot_leave_their_place(forge: GitLabForge, fake: FakeGitLab, world: World) -> None:
    for call in (lambda: forge.members("@../../user"), lambda: forge.comment(7, "x", replaces="../../../user?")):
        with pytest.raises(Refused):
            call()
    assert not [path for path in fake.asked if path in ("GET user?", "GET groups/../../user/members/all")]
