"""R30, R31. Whatever the network does to deliveries: a valid one leads to a wake after it, an invalid one to none, and nothing breaks."""

import asyncio
import hmac
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from labwright.web.hooks import Hooks
from labwright.web.listen import Address, Limits, Listener, listen
from labwright.web.pace import Pace
from labwright.web.tally import Tally

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECRETS = ["current-secret", "older-secret"]

hints = st.tuples(st.sampled_from(["push", "pull", "other"]), st.none() | st.integers(1, 3))


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.001, 0.1, 0.2, 5.0]), hints), max_size=60))
def test_no_wake_is_lost_and_few_pass(story: list[tuple[float, tuple[str, int | None]]]) -> None:
    pace, now, passed = Pace(rate=5.0, most=5.0), 1000.0, list[tuple[float, str, int | None]]()
    arrived: list[tuple[float, str, int | None]] = []

    def pass_until(end: float) -> float:
        at = now
        while (wait := pace.wait(at)) is not None and at + wait <= end:
            at += wait
            passed.extend((at, *hint) for hint in pace.take(at))
        return end

    for gap, (kind, number) in story:
        now = pass_until(now + gap)
        arrived.append((now, kind, number))
        pace.add(kind, number)
        passed.extend((now, *hint) for hint in pace.take(now))
    now = pass_until(now + 2.0)
    assert pace.wait(now) is None
    for at, kind, number in arrived:
        assert any(told >= at and told <= at + 1.0 and k == kind and n in {number, None} for told, k, n in passed)
    for at, *_ in passed:
        assert sum(1 for told, *_ in passed if at <= told < at + 1.0) <= 10.01  # five at once, and five a second


class Delivery:
    """One as it is sent: valid, or broken in one of the ways that a stranger or a bad line has."""

    def __init__(self, number: int, secret: str, fault: str) -> None:
        self.fault = fault
        body = json.dumps({"number": number}).encode()
        signed = hmac.new(("no-" if fault == "forged" else "").encode() + secret.encode(), body, "sha256").hexdigest()
        self.body = body[:-1] if fault == "cut" else body + b" " if fault == "changed" else body
        self.headers = [(b"content-type", b"text/plain" if fault == "type" else b"application/json")]
        self.headers += [(b"x-gitea-event", b"pull_request"), (b"x-gitea-delivery", str(number).encode())]
        if fault != "unsigned":
            self.headers.append((b"x-hub-signature" if fault == "sha1" else b"x-gitea-signature", signed.encode()))

    def __repr__(self) -> str:
        return f"Delivery({self.fault or 'valid'}, {self.body!r})"


faults = st.sampled_from(["", "", "forged", "unsigned", "sha1", "changed", "cut", "type"])
deliveries = st.builds(Delivery, st.integers(1, 9), st.sampled_from(SECRETS), faults)


class Quiet:
    def __init__(self) -> None:
        self.errors: list[Any] = []

    def warning(self, *_: Any, **__: Any) -> None: ...

    def error(self, *said: Any, **more: Any) -> None:
        self.errors.append((said, more))


async def answer(hooks: Hooks, delivery: Delivery, chunk: int) -> int:
    parts = [delivery.body[i : i + chunk] for i in range(0, len(delivery.body), chunk)]
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    incoming, told = iter(messages), list[Any]()
    scope = {"type": "http", "method": "POST", "path": "/hooks", "headers": delivery.headers, "query_string": b""}

    async def receive() -> Any:
        return next(incoming, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        told.append(message)

    await hooks.app(scope, receive, send)
    return next(m["status"] for m in told if m["type"] == "http.response.start")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(deliveries, st.integers(1, 40), st.booleans()), max_size=25))
def test_whatever_happens_to_deliveries_only_valid_ones_wake(story: list[tuple[Delivery, int, bool]]) -> None:
    """Each in any order, perhaps lost, perhaps twice."""

    async def play() -> None:
        log, woken = Quiet(), list[tuple[int, str, int | None]]()
        step = 0
        hooks = Hooks(
            lambda kind, number: woken.append((step, kind, number)),
            lambda: SECRETS,
            lambda: AT,
            Tally(log),
            log,
            Pace(rate=2000.0, most=3.0),
        )
        valid = []
        for step, (delivery, chunk, twice) in enumerate(story):  # wakes read it
            for _ in range(2 if twice else 1):
                status = await answer(hooks, delivery, chunk)
                assert (status == 202) == (delivery.fault == "")
                assert status < 500
            valid += [(step, json.loads(delivery.body)["number"])] if delivery.fault == "" else []
        while hooks._timer is not None:
            await asyncio.sleep(0.001)
        for at, number in valid:
            assert any(told >= at and n in {number, None} for told, _, n in woken)
        assert {n for *_, n in woken} <= {number for _, number in valid} | {None}
        assert bool(woken) == bool(valid)
        assert {kind for _, kind, _ in woken} <= {"pull"}
        assert log.errors == []
        assert hooks_counts(hooks) == sum(1 + twice for delivery, _, twice in story if delivery.fault == "")

    asyncio.run(play())


def hooks_counts(hooks: Hooks) -> int:
    accepted: int = hooks._tally.counts()["accepted"]
    return accepted


class Loud(Quiet):
    def info(self, *_: Any, **__: Any) -> None: ...


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[Listener, Loud, list[Any]]]:
    log, woken = Loud(), list[Any]()
    listener = listen(
        Address("127.0.0.1", 0),
        lambda kind, number: woken.append((kind, number)),
        lambda: SECRETS,
        lambda: AT,
        limits=Limits(patience=0.5),
        log=log,
    )
    with closing(listener):
        yield listener, log, woken


GRAMMAR = [b"POST /hooks HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\n", b"Host: x\r\n", b"\r\n", b"Content-Length: 4\r\n"]
GRAMMAR += [b"Transfer-Encoding: chunked\r\n", b"4\r\nwake\r\n", b"0\r\n\r\n", b"Expect: 100-continue\r\n", b"zz\r\n"]
GRAMMAR += [b"Content-Type: application/json\r\n", b"X-Gitlab-Token: x\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(
    [b"POST /hooks HTTP/1.1\r\nHost: x\r\n", b"Transfer-Encoding: chunked\r\n\r\n", b"4\r\nwake\r\n", b"zz\r\n"], True
)
@given(st.lists(st.sampled_from(GRAMMAR) | st.binary(max_size=30), max_size=14), st.booleans())
def test_any_bytes_are_answered_or_cut_off(
    listener: tuple[Listener, Loud, list[Any]], parts: list[bytes], apart: bool
) -> None:
    server, log, woken = listener
    with socket.create_connection((server.address.host, server.address.port), timeout=20) as sock:
        try:
            for data in parts if apart else [b"".join(parts)]:
                sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            told = b""
            while part := sock.recv(65536):
                told += part
        except TimeoutError:
            raise
        except OSError:  # cut off, at whatever moment
            told = b""
    assert not told.startswith(b"HTTP/1.1 5")
    assert b"Traceback" not in told
    assert log.errors == []
    assert woken == []
    assert server.counts()["listening"]
