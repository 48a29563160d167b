"""The forge suite on GitHub, with a person's token and as an App."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from labwright.testing.forge_suite import ForgeSuite
from labwright.testing.forge_world import ForgeWorld
from tests.contract.github_world import of_a_person, of_an_app

pytestmark = pytest.mark.slow


class TestGitHubForge(ForgeSuite):
    @pytest.fixture
    def world(self) -> Iterator[ForgeWorld]:
        with ExitStack() as stack:
            yield of_a_person(stack)


class TestGitHubForgeAsAnApp(ForgeSuite):
    @pytest.fixture
    def world(self) -> Iterator[ForgeWorld]:
        with ExitStack() as stack:
            yield of_an_app(stack)
