from collections.abc import Iterator
from contextlib import closing

import pytest

from labwright.adapters.forges.github.forge import GitHubForge
from tests.forges.github.bench import a_github, as_app, as_person
from tests.forges.github.fake import FakeGitHub
from tests.forges.github.world import World


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with a_github().running() as fake:
        yield fake


@pytest.fixture
def world(github: FakeGitHub) -> World:
    return github.world


@pytest.fixture
def forge(github: FakeGitHub) -> Iterator[GitHubForge]:
    """With a fine-grained token of the user `robot`."""
    with closing(as_person(github)) as made:
        yield made


@pytest.fixture
def app_forge(github: FakeGitHub) -> Iterator[GitHubForge]:
    with closing(as_app(github)) as made:
        yield made
