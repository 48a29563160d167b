import pytest

from labwright.testing.ledger_suite import LedgerSuite
from labwright.testing.memory_ledger import MemoryLedger


class TestMemoryLedger(LedgerSuite):
    @pytest.fixture
    def ledger(self) -> MemoryLedger:
        return MemoryLedger()
