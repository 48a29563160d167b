"""The listener over real sockets (R30, R31): what it takes, what it refuses and in which words, and that it stays up."""

import hmac
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from labwright import __version__
from labwright.domain.errors import Refused, Unavailable
from labwright.web.listen import Address, Limits, Listener, address_of, listen

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECRET = "gehëim"
PULL = json.dumps({"action": "labeled", "pull_request": {"number": 7}}).encode()
JSON = {"Content-Type": "application/json"}


class Log:
    """structlog's face; what was said, by level."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda event, **more: self.said.append((level, event, more))

    def lines(self, event: str) -> list[dict[str, Any]]:
        return [more for _, said, more in self.said if said == event]


class Door:
    def __init__(
        self, host: str = "127.0.0.1", secrets: Any = None, limits: Limits | None = None, wake: Any = None
    ) -> None:
        self.log, self.woken = Log(), []
        self.listener: Listener = listen(
            Address(host, 0),
            wake or (lambda kind, number: self.woken.append((kind, number))),
            secrets or (lambda: [SECRET]),
            lambda: AT,
            limits=limits,
            log=self.log,
        )
        self.woken: list[tuple[str, int | None]]
        self.address = self.listener.address

    def connect(self) -> socket.socket:
        return socket.create_connection((self.address.host, self.address.port), timeout=20)

    def send(
        self, body: Any = PULL, headers: dict[str, str] | None = None, method: str = "POST", path: str = "/hooks"
    ) -> tuple[int, str]:
        with closing(http.client.HTTPConnection(self.address.host, self.address.port, timeout=20)) as connection:
            connection.request(method, path, body, headers if headers is not None else signed(body))
            response = connection.getresponse()
            return response.status, response.read().decode()

    def raw(self, data: bytes, *, end: bool = False) -> bytes:
        with self.connect() as sock:
            sock.sendall(data)
            if end:
                sock.shutdown(socket.SHUT_WR)
            return read_all(sock)

    @property
    def refused(self) -> dict[str, int]:
        found: dict[str, int] = self.listener.counts()["refused"]
        return found


def read_all(sock: socket.socket) -> bytes:
    parts = []
    try:
        while part := sock.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def signed(body: bytes = PULL, secret: str = SECRET, event: str = "pull_request") -> dict[str, str]:
    signature = hmac.new(secret.encode(), body, "sha256").hexdigest()
    return {**JSON, "X-Hub-Signature-256": f"sha256={signature}", "X-GitHub-Event": event}


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@contextmanager
def opened(**how: Any) -> Iterator[Door]:
    door = Door(**how)
    try:
        yield door
    finally:
        door.listener.close()
    assert door.log.lines("defect") == []


@pytest.fixture
def door() -> Iterator[Door]:
    with opened() as door:
        yield door


def test_a_signed_delivery_wakes_with_a_hint_of_where_to_look(door: Door) -> None:
    assert door.send() == (202, "")
    assert door.send(b"{}", signed(b"{}", event="push"), path="/hooks/") == (202, "")
    assert door.send(b"{}", signed(b"{}", event="ping")) == (202, "")
    assert door.woken == [("pull", 7), ("push", None), ("other", None)]
    counts = door.listener.counts()
    assert counts["accepted"] == counts["wakes"] == 3
    assert counts["last_accepted"] == AT.isoformat()
    assert counts["refused"] == {}


def test_a_signed_delivery_that_is_no_json_wakes_without_a_hint(door: Door) -> None:
    for body in (b"", b"no json", b"\xff" * 100, b"[" * 100_000):
        assert door.send(body, signed(body)) == (202, "")
    until(lambda: len(door.woken) == 4)
    assert set(door.woken) == {("pull", None)}


@pytest.mark.parametrize(
    ("headers", "status", "why"),
    [
        ({**JSON}, 401, "no signature"),
        (signed(secret="another"), 401, "wrong signature"),
        ({**JSON, "X-Hub-Signature": "sha1=" + hmac.new(SECRET.encode(), PULL, "sha1").hexdigest()}, 401, "SHA-1 only"),
        ({**signed(), "Content-Type": "application/x-www-form-urlencoded"}, 415, "not JSON"),
        ({**signed(), "Content-Type": "application/jsonx"}, 415, "not JSON"),
    ],
)
def test_what_is_not_signed_json_wakes_nobody_and_is_told_why(
    door: Door, headers: dict[str, str], status: int, why: str
) -> None:
    got, words = door.send(headers=headers)
    assert got == status
    assert words.strip()
    assert SECRET not in words
    assert door.refused == {why: 1}
    assert door.woken == []


def test_a_body_is_counted_before_it_is_believed(door: Door) -> None:
    large = b"x" * ((1 << 20) + 1)
    assert door.send(large, signed(large))[0] == 413
    head = "".join(f"{name}: {value}\r\n" for name, value in signed(b"").items())
    promised = f"POST /hooks HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 99999999999999999999\r\n\r\n"
    assert door.raw(promised.encode(), end=True).startswith(b"HTTP/1.1 413")
    assert door.send(iter([b"x" * 65536] * 17), signed(b""))[0] == 413
    just = b"x" * (1 << 20)
    assert door.send(just, signed(just))[0] == 202
    assert door.refused == {"too large": 3}


def test_elsewhere_is_nothing(door: Door) -> None:
    for method, path in [
        ("GET", "/hooks"),
        ("PUT", "/hooks"),
        ("POST", "/"),
        ("POST", "/hooks/x"),
        ("POST", "//hooks"),
        ("GET", "/healthz/"),
        ("POST", "/healthz"),
        ("GET", "/hooks/../../etc/passwd"),
    ]:
        assert door.send(method=method, path=path) == (404, "")
    assert door.woken == []


def test_health_tells_the_version_and_no_more(door: Door) -> None:
    status, words = door.send(b"", {}, "GET", "/healthz")
    assert (status, json.loads(words)) == (200, {"version": __version__})


@pytest.mark.parametrize("secrets", [[], ["", "  "]])
def test_a_lab_without_a_secret_says_so_and_refuses_every_delivery(secrets: list[str]) -> None:
    with opened(secrets=lambda: secrets) as door:
        until(lambda: door.log.lines("no hook secret: every delivery is refused") != [])
        for secret in ("", "  ", SECRET):
            assert door.send(headers=signed(secret=secret))[0] == 401
        assert door.send(headers={**JSON, "X-Gitlab-Token": ""})[0] == 401
        assert door.woken == []


def test_a_secret_may_be_replaced_while_it_listens() -> None:
    secrets = ["old"]
    with opened(secrets=lambda: secrets) as door:
        assert door.send(headers=signed(secret="old"))[0] == 202
        secrets[:] = ["new", "old"]
        # asked anew at the first that does not fit, ten seconds after the last question at the soonest
        assert door.listener._hooks.secrets._asked_at is not None
        door.listener._hooks.secrets._asked_at -= 11
        assert door.send(headers=signed(secret="new"))[0] == 202
        secrets[:] = ["new"]
        door.listener._hooks.secrets._asked_at -= 61  # and each minute anyway: what is revoked is not taken for ever
        assert door.send(headers=signed(secret="old"))[0] == 401


def test_secrets_that_cannot_be_had_let_nobody_in_and_are_not_told() -> None:
    def ask() -> list[str]:
        raise Refused("secret HOOK: the controller's environment has no variable HOOK")

    with opened(secrets=ask) as door:
        assert door.send()[0] == 401
        told = door.log.lines("hook secrets cannot be had: every delivery is refused")
        assert told == [{"why": "secret HOOK: the controller's environment has no variable HOOK"}]


def test_secrets_known_before_hold_while_they_cannot_be_asked() -> None:
    answers: list[Any] = [[SECRET], Unavailable("not now")]

    def ask() -> list[str]:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    with opened(secrets=ask) as door:
        assert door.send()[0] == 202
        door.listener._hooks.secrets._asked_at -= 61
        assert door.send()[0] == 202


def test_a_secret_that_takes_its_time_holds_up_nobody_else() -> None:
    free, asked = threading.Event(), threading.Event()

    def ask() -> list[str]:
        asked.set()
        free.wait(20)
        return [SECRET]

    with opened(secrets=ask) as door:
        asked.wait(20)
        assert door.send(b"", {}, "GET", "/healthz")[0] == 200
        free.set()
        until(lambda: door.send()[0] == 202)


def test_a_flood_wakes_a_few_times_and_at_least_once_after_its_last(door: Door) -> None:
    for number in range(100):
        body = json.dumps({"number": number + 1}).encode()
        assert door.send(body, signed(body))[0] == 202
    until(lambda: door.listener._hooks._timer is None)
    assert door.listener.counts()["accepted"] == 100
    assert 5 <= len(door.woken) < 60
    assert door.woken[:5] == [("pull", number) for number in range(1, 6)]
    assert door.woken[-1] in {("pull", 100), ("pull", None)}


def test_repetitions_are_counted_and_wake_all_the_same(door: Door) -> None:
    for _ in range(3):
        assert door.send(headers={**signed(), "X-GitHub-Delivery": "72d3162e"})[0] == 202
    assert door.listener.counts()["repeated"] == 2
    until(lambda: len(door.woken) == 3)


def test_refusals_are_told_as_a_count_and_never_in_the_senders_words(door: Door) -> None:
    for _ in range(20):
        door.send(headers={**signed(secret="x"), "X-GitHub-Event": "evil\x1b[31m"})
    assert door.log.lines("hook refused") == [{"why": "wrong signature", "count": 1}]
    assert door.refused == {"wrong signature": 20}
    assert SECRET not in repr(door.log.said)
    assert "evil" not in repr(door.log.said)


def test_who_sends_slowly_is_let_go() -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in signed().items())
    whole = f"POST /hooks HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(PULL)}\r\n\r\n".encode()
    with opened(limits=Limits(patience=0.3)) as door:
        for part in (b"", b"POST /hoo", whole[:-2], whole, whole + PULL[:-1]):
            assert door.raw(part).startswith(b"HTTP/1.1 408")
        assert door.refused == {"too slow": 5}
        assert door.raw(whole + PULL).startswith(b"HTTP/1.1 202")
        assert door.woken == [("pull", 7)]


def test_there_are_few_at_once_and_room_again_when_they_leave() -> None:
    with opened(limits=Limits(connections=4)) as door:
        idle = [door.connect() for _ in range(4)]
        until(lambda: len(door.listener._server.server_state.connections) == 4)
        assert read_all(door.connect()).startswith(b"HTTP/1.1 503")
        for sock in idle:
            sock.close()
        until(lambda: not door.listener._server.server_state.connections)
        assert door.send()[0] == 202
        assert door.refused == {"too many at once": 1}


def test_a_connection_carries_one_request(door: Door) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in signed().items())
    one = f"POST /hooks HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(PULL)}\r\n\r\n".encode() + PULL
    answer = door.raw(one * 3)
    assert answer.count(b"HTTP/1.1 202") == 1
    assert b"connection: close" in answer
    assert door.listener.counts()["accepted"] == 1


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /hooks HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /hooks HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /hooks HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /hooks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Gitlab-Token: x\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /hooks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nzz\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000,
        b"GET /healthz HTTP/1.1\r\n" + b"X: x\r\n" * 5_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET /%ff%00%2e%2e/ HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_whatever_comes_in_is_answered_or_cut_off_and_the_next_is_served(door: Door, data: bytes) -> None:
    answer = door.raw(data, end=True)
    assert not answer.startswith(b"HTTP/1.1 5")
    assert b"Traceback" not in answer
    assert door.send()[0] == 202


def test_what_a_proxy_may_add_changes_nothing(door: Door) -> None:
    forwarded = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "lab"}
    assert door.send(headers={**JSON, **forwarded})[0] == 401
    assert door.send(headers={**signed(), **forwarded})[0] == 202


def test_a_wake_that_fails_is_our_defect_and_not_the_senders() -> None:
    def wake(kind: str, number: int | None) -> None:
        raise RuntimeError("boom")

    door = Door(wake=wake)
    with closing(door.listener):
        assert door.send()[0] == 202
        assert door.send()[0] == 202
        assert len(door.log.lines("defect")) == 2


def test_it_listens_at_ipv6_literals_too() -> None:
    with opened(host="::1") as door:
        assert door.send()[0] == 202
        assert str(door.address) == f"[::1]:{door.address.port}"


def test_a_taken_port_is_refused_in_words_and_free_after_close(door: Door) -> None:
    with pytest.raises(Refused, match="another program listens there"):
        listen(door.address, lambda kind, number: None, lambda: [], lambda: AT)
    door.send()
    door.listener.close()
    with closing(listen(door.address, lambda kind, number: None, lambda: [], lambda: AT, log=Log())) as again:
        assert again.address == door.address
    assert not door.listener.counts()["listening"]


def test_an_address_that_is_not_ours_is_refused() -> None:
    with pytest.raises(Refused, match="does not have that address"):
        listen(Address("192.0.2.1", 0), lambda kind, number: None, lambda: [], lambda: AT)


def test_close_does_not_wait_for_who_is_slow(door: Door) -> None:
    with door.connect() as idle, door.connect() as slow:
        slow.sendall(b"POST /hooks HTTP/1.1\r\nHost: x\r\n")
        until(lambda: len(door.listener._server.server_state.connections) == 2)
        door.listener.close()
        assert not door.listener.counts()["listening"]
        assert read_all(idle) == read_all(slow) == b""


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8600", Address("127.0.0.1", 8600)),
        (":8600", Address("127.0.0.1", 8600)),
        ("0.0.0.0:0", Address("0.0.0.0", 0)),
        ("localhost:8600", Address("localhost", 8600)),
        ("[::1]:8600", Address("::1", 8600)),
    ],
)
def test_an_address_is_host_and_port(text: str, address: Address) -> None:
    assert address_of(text) == address


@pytest.mark.parametrize(
    "text", ["", "host", "::1:8600", "h:99999", "h:-1", "http://h:80", "h:80/hooks", "a b:1", "[::1]", "h:٣"]
)
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(Refused, match="no address to listen at"):
        address_of(text)
