from collections.abc import Iterator

import pytest

from labwright.adapters.forges.gitlab import GitLabForge
from tests.forges.gitlab.fake import FakeGitLab
from tests.forges.gitlab.world import Token, World

TOKEN = "glpat-" + "x1Y2z3" * 4


def lab(world: World, role: str = "maintainer") -> None:
    """Our own user, its token, and some people."""
    ours = world.user("project_42_bot_8c1f", bot=True)
    world.member("project_42_bot_8c1f", role)
    world.tokens[TOKEN] = Token(ours)
    for name, level in {"alice": "developer", "bob": "maintainer", "carol": "reporter", "dave": "developer"}.items():
        world.member(name, level)


@pytest.fixture
def fake() -> FakeGitLab:
    made = FakeGitLab()
    lab(made.world)
    return made


@pytest.fixture
def world(fake: FakeGitLab) -> World:
    return fake.world


@pytest.fixture
def address(fake: FakeGitLab) -> Iterator[str]:
    with fake.serve() as url:
        yield url


@pytest.fixture
def forge(address: str, world: World) -> Iterator[GitLabForge]:
    made = GitLabForge(address, world.path, lambda: TOKEN)
    yield made
    made.close()
