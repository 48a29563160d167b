"""The contract of every provider, on a real cluster."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from labwright.testing.process_suite import ProcessSuite
from labwright.testing.provider_suite import ProviderSuite
from tests.real.slurm.cluster import Cluster
from tests.real.slurm.slurm_bench import SlurmBench


class TestSlurmProvider(ProviderSuite, ProcessSuite):
    @pytest.fixture
    def bench(self, tmp_path: Path, cluster: Cluster) -> Iterator[SlurmBench]:
        made = SlurmBench(tmp_path, cluster)
        try:
            yield made
        finally:
            made.close()
