from pathlib import Path

import pytest

from labwright.testing.artifacts_suite import ArtifactsSuite
from labwright.testing.memory_artifacts import MemoryArtifacts


class TestMemoryArtifacts(ArtifactsSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> MemoryArtifacts:
        return MemoryArtifacts()
