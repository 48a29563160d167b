import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from labwright.adapters.records.duckdb import DuckDbRecords
from labwright.domain.errors import Refused, Unavailable
from labwright.ports.records import Batch, QueryLimits
from labwright.testing.records_suite import points
from labwright.web.address import short_path
from labwright.web.client import ask_sql, status, wake
from labwright.web.socket import Server, serve_socket

LIMITS = QueryLimits()


class Lab:
    def __init__(self, path: Path) -> None:
        self.records, self.path, self.woken = DuckDbRecords(), path, 0
        self.server: Server = serve_socket(path, self.records.query, self.wake, lambda: {"jobs": 3}, at_once=2)

    def wake(self) -> None:
        self.woken += 1

    def ask(self, sql: str, limits: QueryLimits = LIMITS) -> list[dict[str, Any]]:
        return [row for batch in ask_sql(self.path, sql, limits).batches() for row in batch.to_pylist()]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path / "state" / "lab.sock")
    yield lab
    lab.server.close()
    lab.records.close()


def raw(path: Path, data: bytes) -> http.client.HTTPResponse:
    """One request, byte for byte as given."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        with short_path(path) as address:
            sock.connect(address)
        sock.sendall(data)
        response = http.client.HTTPResponse(sock)
        response.begin()
        response.read()
        return response


def test_only_its_user_may_open_the_socket(lab: Lab) -> None:
    assert lab.path.stat().st_mode & 0o777 == 0o600
    assert lab.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_query_is_answered_with_its_types(lab: Lab) -> None:
    lab.records.write(Batch(jobs=[{"job": "a", "params": {"lr": 1}}], points=points("a", "loss", [1.0, float("nan")])))
    answer = ask_sql(lab.path, "SELECT job, params, now() AS t FROM jobs", LIMITS)
    assert [str(field.type) for field in answer.schema] == ["string", "string", "timestamp[us, tz=UTC]"]
    assert answer.schema.field("params").metadata == {b"type": b"JSON"}
    assert len(list(answer.batches())) == 1
    assert [str(row["value"]) for row in lab.ask("SELECT value FROM metrics ORDER BY step")] == ["1.0", "nan"]
    assert lab.ask("SELECT * FROM jobs WHERE false") == []


def test_large_answers_stream_and_say_when_they_are_cut(lab: Lab) -> None:
    answer = ask_sql(lab.path, "SELECT * FROM range(200000)", QueryLimits(rows=150_000))
    assert sum(batch.num_rows for batch in answer.batches()) == 150_000
    assert answer.truncated
    answer = ask_sql(lab.path, "SELECT * FROM range(200000)", LIMITS)
    assert sum(batch.num_rows for batch in answer.batches()) == 200_000
    assert not answer.truncated


def test_what_is_wrong_with_a_query_is_said_by_the_client_as_by_the_records(lab: Lab) -> None:
    with pytest.raises(Refused, match="Did you mean"):
        lab.ask("SELECT * FROM metricz")
    with pytest.raises(Refused) as refusal:
        lab.ask("DROP TABLE jobs")
    assert "SELECT" in refusal.value.hint
    with pytest.raises(Refused, match="stopped after"):
        lab.ask("SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b", QueryLimits(seconds=0.2))


def test_an_error_in_the_middle_of_an_answer_is_no_end_of_it(lab: Lab) -> None:
    """Rows flow before the cast fails; a client that misses the message still sees a broken stream."""
    sql = "SELECT CASE WHEN range > 150000 THEN error('too far') ELSE 'x' END FROM range(200000)"
    answer = ask_sql(lab.path, sql, LIMITS)
    with pytest.raises(Refused, match="too far"):
        list(answer.batches())
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(lab.path))
    connection.request("POST", "/sql", json.dumps({"sql": sql}))
    with pytest.raises(http.client.IncompleteRead):
        connection.getresponse().read()
    connection.close()


def test_wake_and_status_reach_the_controller(lab: Lab) -> None:
    wake(lab.path)
    wake(lab.path)
    assert lab.woken == 2
    assert status(lab.path) == {"jobs": 3}


def test_requests_that_are_none_are_refused(lab: Lab) -> None:
    for request in (
        b"GET /nonsense HTTP/1.1\r\n\r\n",
        b"POST /nonsense HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /sql HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /sql HTTP/1.1\r\nContent-Length: 3\r\n\r\n[1]",
        b"POST /sql HTTP/1.1\r\nContent-Length: 2\r\n\r\n{x",
        b"POST /sql HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        b"POST /sql HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b'POST /sql HTTP/1.1\r\nContent-Length: 25\r\n\r\n{"sql":"FROM a","rows":[]}',
    ):
        assert raw(lab.path, request).status == 400, request
    assert raw(lab.path, b"DELETE / HTTP/1.1\r\n\r\n").status == 501
    assert status(lab.path) == {"jobs": 3}


def test_a_client_that_goes_away_leaves_nothing_running(lab: Lab) -> None:
    for _ in range(5):  # more than may run at once
        answer = ask_sql(lab.path, "SELECT repeat('x', 1000) FROM range(1000000)", LIMITS)
        next(answer.batches())
        answer.close()
    assert lab.ask("SELECT 1 AS one") == [{"one": 1}]


def test_many_ask_at_once_while_the_controller_writes(lab: Lab) -> None:
    failures: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(10):
                lab.ask("SELECT job, count(*) FROM metrics GROUP BY job")
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(6)]
    for reader in readers:
        reader.start()
    for i in range(20):
        lab.records.write(Batch(points=points(f"j{i}", "loss", [1.0] * 50)))
    for reader in readers:
        reader.join()
    assert failures == []
    assert lab.ask("SELECT count(*) AS n FROM metrics") == [{"n": 1000}]


def test_when_nobody_listens_the_client_says_so(tmp_path: Path, lab: Lab) -> None:
    with pytest.raises(Unavailable, match="No controller answers"):
        status(tmp_path / "nothing.sock")
    lab.server.close()
    assert not lab.path.exists()
    with pytest.raises(Unavailable):
        lab.ask("SELECT 1")


def test_a_socket_that_a_dead_controller_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "lab.sock"
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(path))
    assert path.exists()
    lab = Lab(path)
    assert status(path) == {"jobs": 3}
    with pytest.raises(Refused, match="answers here already"):
        Lab(path)
    assert status(path) == {"jobs": 3}
    lab.server.close()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "lab.sock"
    path.write_text("precious")
    with pytest.raises(Refused, match="not a socket"):
        Lab(path)
    assert path.read_text() == "precious"


def test_a_path_longer_than_a_socket_address_works(tmp_path: Path) -> None:
    lab = Lab(tmp_path / ("x" * 120) / "lab.sock")
    assert status(lab.path) == {"jobs": 3}
    assert lab.path.stat().st_mode & 0o777 == 0o600
    lab.server.close()
