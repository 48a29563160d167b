"""How many deliveries the listener takes in a second, beside a floor: an endpoint of the same server that reads and answers.

    python -m benchmarks.hooks [--seconds 2]

Each delivery is a connection of its own, as the listener wants it, from another process; 8 KB, the size of a push of a few commits.
Client and listener share the machine: the cost of one is the listener's own CPU time.
"""

import argparse
import hmac
import multiprocessing
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from labwright.web.listen import Address, listen

SECRET = "the secret of the hook"
BODY = b'{"number": 7, "pad": "%s"}' % (b"x" * 8_000)
Measure = tuple[float, float]  # a second, CPU microseconds of one


def request(secret: str) -> bytes:
    signature = hmac.new(secret.encode(), BODY, "sha256").hexdigest()
    return (
        "POST /hooks HTTP/1.1\r\nHost: lab\r\nContent-Type: application/json\r\nX-GitHub-Event: pull_request\r\n"
        f"X-Hub-Signature-256: sha256={signature}\r\nContent-Length: {len(BODY)}\r\n\r\n"
    ).encode() + BODY


def send(port: int, data: bytes, status: bytes, seconds: float, out: "multiprocessing.Queue[int]") -> None:
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(data)
            answer = b""
            while part := sock.recv(65536):
                answer += part
        assert answer.startswith(b"HTTP/1.1 " + status), answer
        count += 1
    out.put(count)


def measure(port: int, data: bytes, status: bytes, seconds: float) -> Measure:
    """From two clients at a time; the CPU time is this process's, which does nothing but serve."""
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    clients = [context.Process(target=send, args=(port, data, status, seconds, out)) for _ in range(2)]
    for client in clients:
        client.start()
    cpu = time.process_time()
    count = sum(out.get(timeout=60 + seconds) for _ in clients)
    cpu = time.process_time() - cpu
    for client in clients:
        client.join()
    return count / seconds, cpu / count * 1e6


@contextmanager
def bare() -> Iterator[int]:
    async def answer(request: Request) -> Response:
        await request.body()
        return Response(status_code=202)

    app = Starlette(routes=[Route("/hooks", answer, methods=["POST"])])
    taken = socket.create_server(("127.0.0.1", 0), backlog=32)
    how = {"loop": "asyncio", "http": "h11", "ws": "none", "lifespan": "off", "headers": [("connection", "close")]}
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, proxy_headers=False, **how))
    thread = threading.Thread(target=server.run, args=([taken],), daemon=True)
    thread.start()
    yield taken.getsockname()[1]
    server.should_exit = True
    thread.join(5)


def run(seconds: float = 2.0) -> str:
    structlog.configure(processors=[lambda *_: (_ for _ in ()).throw(structlog.DropEvent)])
    rows: list[tuple[str, Measure]] = []
    with bare() as port:
        rows.append(("bare endpoint: read and answer", measure(port, request(SECRET), b"202", seconds)))
    hooks = listen(Address("127.0.0.1", 0), lambda kind, number: None, lambda: [SECRET], lambda: datetime.now(UTC))  # noqa: TID251
    with closing(hooks):
        port = hooks.address.port
        rows.append(("good signature", measure(port, request(SECRET), b"202", seconds)))
        rows.append(("wrong signature", measure(port, request("another"), b"401", seconds)))
        unsigned = request(SECRET).replace(b"X-Hub-Signature-256", b"X-Nothing")
        rows.append(("no signature", measure(port, unsigned, b"401", seconds)))
        wakes = hooks.counts()["wakes"]
    structlog.reset_defaults()
    floor = rows[0][1][1]
    table = "\n".join(f"| {what} | {rate:,.0f} | {cpu:,.0f} µs | {cpu / floor:.2f} × |" for what, (rate, cpu) in rows)
    return (
        "| a delivery of 8 KB | a second | CPU of one | to the floor |\n|---|---|---|---|\n"
        f"{table}\n\nThe flood of good ones woke the loop {wakes} times in {seconds:g} s.\n"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2.0)
    print(run(parser.parse_args().seconds))
