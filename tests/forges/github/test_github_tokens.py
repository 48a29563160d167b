"""Tokens of a GitHub App's installation."""

from datetime import timedelta

import pytest

from labwright.adapters.forges.github.forge import GitHubForge
from labwright.adapters.forges.github.tokens import AppTokens
from labwright.domain.errors import Refused, Unavailable
from tests.forges.github.bench import APP, INSTALLATION, KEY, WorldClock, app_tokens, as_app, repo_of
from tests.forges.github.fake import FakeGitHub
from tests.forges.github.routes import Reply
from tests.forges.github.world import World


def bought(github: FakeGitHub) -> int:
    return len(github.requests("POST", "access_tokens"))


def test_a_token_is_bought_for_this_repository_alone_and_kept_until_shortly_before_it_ends(
    github: FakeGitHub, world: World, app_forge: GitHubForge
) -> None:
    app_forge.pulls()
    world.now += timedelta(minutes=49)
    app_forge.pulls()
    assert bought(github) == 1
    assert github.requests("POST", "access_tokens")[0].body == {"repositories": ["vision"]}
    world.now += timedelta(minutes=2)
    app_forge.pulls()
    assert bought(github) == 2
    assert not [it for it in github.log if it.status == 401]


def test_a_slow_clock_never_makes_us_use_a_token_that_has_ended(github: FakeGitHub, world: World) -> None:
    """A clock so slow that a kept token outlives its end cannot sign a JWT that GitHub takes."""

    class Slow(WorldClock):
        behind = timedelta(minutes=8, seconds=50)

        def now(self):  # type: ignore[no-untyped-def]
            return self.world.now - self.behind

    clock = Slow(world)
    tokens = AppTokens(github.url, repo_of(github), APP, INSTALLATION, lambda: KEY, clock)
    forge = GitHubForge(github.url, repo_of(github), tokens)
    for _ in range(20):
        forge.pulls()
        world.now += timedelta(minutes=7)
    assert not [it for it in github.log if it.status == 401]
    clock.behind = timedelta(minutes=10)
    tokens.forget()
    with pytest.raises(Refused) as refused:
        forge.pulls()
    assert "clock" in refused.value.hint
    forge.close()


def test_a_token_that_is_not_taken_is_not_kept(github: FakeGitHub, world: World, app_forge: GitHubForge) -> None:
    app_forge.pulls()
    for token in [it for it in world.tokens if it.startswith("ghs_")]:
        del world.tokens[token]  # revoked
    with pytest.raises(Refused):
        app_forge.pulls()
    app_forge.pulls()
    assert bought(github) == 2


@pytest.mark.parametrize(
    "key", ["", "no key", KEY[:-80], "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----\n"]
)
def test_a_wrong_key_is_refused_without_a_word_of_it(github: FakeGitHub, key: str) -> None:
    with pytest.raises(Refused, match="no RSA key in PEM") as refused:
        app_tokens(github, key)()
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    assert "forge.app.key" in refused.value.hint
    assert "c2VjcmV0" not in str(refused.value)
    assert not github.log


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"id": 78}, "App 77 an installation 4711"),
        ({"installation": 1}, "App 77 an installation 4711"),
        ({"suspended": True}, "not suspended"),
        ({"public_key": "other"}, "key of App 77"),
    ],
)
def test_what_is_wrong_with_an_app_is_said(
    github: FakeGitHub, world: World, change: dict[str, object], hint: str
) -> None:
    world.app |= change
    with pytest.raises(Refused) as refused:
        app_tokens(github)()
    assert hint in refused.value.hint


def test_an_app_that_is_not_installed_here_is_refused(github: FakeGitHub, world: World) -> None:
    world.name = "other"
    tokens = AppTokens(github.url, "ml/vision", APP, INSTALLATION, lambda: KEY, WorldClock(world))
    with pytest.raises(Refused) as refused:
        tokens()
    assert "installed for the repository vision" in refused.value.hint


def test_a_purchase_without_an_answer_is_tried_again(github: FakeGitHub, app_forge: GitHubForge) -> None:
    """Nothing is unknown about it: a token that nobody has harms nobody."""
    github.fail("POST", "access_tokens", Reply(502, {"message": "Bad gateway"}))
    with pytest.raises(Unavailable):
        app_forge.comment(7, "hello")
    assert bought(github) == 1


def test_two_threads_buy_one_token(github: FakeGitHub) -> None:
    from concurrent.futures import ThreadPoolExecutor

    tokens = app_tokens(github)
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: tokens(), range(32)))) == 1
    assert bought(github) == 1
    tokens.close()


def test_an_app_is_asked_for_its_name_once(github: FakeGitHub) -> None:
    forge = as_app(github)
    assert [forge.me().login for _ in range(3)] == ["labwright[bot]"] * 3
    assert len(github.requests("GET", "/app")) == 1
    forge.close()
