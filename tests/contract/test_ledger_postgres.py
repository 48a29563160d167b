from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from labwright.adapters.ledgers.sql import SqlLedger
from labwright.domain.errors import Refused, Unavailable
from labwright.testing.ledger_suite import KeptLedgerSuite
from tests.contract.postgres import postgres_server, postgres_url  # noqa: F401

pytestmark = pytest.mark.real


@pytest.fixture
def again(postgres_url: str) -> Iterator[Callable[[], SqlLedger]]:  # noqa: F811
    with ExitStack() as stack:
        yield lambda **how: stack.enter_context(closing(SqlLedger.open(postgres_url, **how)))


@pytest.fixture
def ledger(again: Callable[[], SqlLedger]) -> SqlLedger:
    return again()


class TestSqlLedgerOnPostgres(KeptLedgerSuite):
    def test_a_read_only_one_is_not_made_and_cannot_write(self, again: Callable[..., SqlLedger]) -> None:
        with pytest.raises(Refused, match="no ledger yet"):
            again(read_only=True)
        again().set_cursor("a", "1")
        reader = again(read_only=True)
        assert reader.cursor("a") == "1"
        with pytest.raises(Unavailable, match="read-only"):
            reader.set_cursor("a", "2")


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"(?s)connection.*server is running"):
        SqlLedger.open("postgresql+psycopg://lab@127.0.0.1:1/lab")
