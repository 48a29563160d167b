from pathlib import Path

import pytest
from tests.contract.local_bench import LocalBench

from labwright.testing.process_suite import ProcessSuite
from labwright.testing.provider_suite import ProviderSuite


class TestLocalProvider(ProviderSuite, ProcessSuite):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> LocalBench:
        return LocalBench(tmp_path)
