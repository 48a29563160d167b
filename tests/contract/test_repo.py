"""The lab repository over real git, in every way it is reached; and its fake."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from labwright.testing.memory_repo import MemoryRepo
from labwright.testing.repo_suite import RepoSuite
from tests.contract.git_world import GitWorld

WAYS = {
    "in place": {},
    "fetched": {"url": "file://{}", "in_place": False},
    "in place, SHA-256": {"kind": "sha256"},
    "fetched, SHA-256": {"kind": "sha256", "in_place": False},
}


class TestGitRepo(RepoSuite):
    @pytest.fixture(params=WAYS, ids=lambda way: way.replace(" ", "-"))
    def world(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GitWorld]:
        world = GitWorld(tmp_path, **WAYS[request.param])
        yield world
        world.close()


class MemoryWorld(MemoryRepo):
    @property
    def repo(self) -> MemoryRepo:
        return self

    def take_down(self) -> None:
        self.broken = "down"


class TestMemoryRepo(RepoSuite):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld()
