from pathlib import Path

import pytest

from labwright.testing.process_suite import ProcessSuite
from labwright.testing.provider_suite import ProviderSuite
from tests.contract.local_bench import LocalBench


class TestLocalProvider(ProviderSuite, ProcessSuite):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> LocalBench:
        return LocalBench(tmp_path)
