"""The results branch over real git, and its fake."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from labwright.testing.memory_results import MemoryResults
from labwright.testing.results_suite import ResultsSuite
from tests.contract.git_world import GitResultsWorld


class TestGitResults(ResultsSuite):
    @pytest.fixture(params=["sha1", "sha256"])
    def world(self, request: pytest.FixtureRequest, tmp_path: Path) -> GitResultsWorld:
        return GitResultsWorld(tmp_path, kind=request.param)


@dataclass
class MemoryWorld:
    branch: MemoryResults = field(default_factory=MemoryResults)

    def other(self) -> MemoryResults:
        return self.branch

    def reopen(self) -> MemoryResults:
        return self.branch

    def commits(self) -> int:
        return len(self.branch.messages)

    def reachable(self, yes: bool) -> None:
        self.branch.broken = "" if yes else "down"


class TestMemoryResults(ResultsSuite):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld()
