"""Listens for a forge's deliveries, in a thread of its own: plain HTTP, behind whatever ends TLS.

Nobody on the other side is known before a signature was verified. So a connection carries one request and lasts ten seconds,
there are few at once, and nothing of X-Forwarded-* is believed.
"""

import asyncio
import errno
import logging
import re
import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import h11
import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from labwright.domain.errors import Refused, Unavailable
from labwright.web.delivery import Wake
from labwright.web.hooks import Hooks
from labwright.web.secrets import Ask
from labwright.web.tally import Tally

_ADDRESS = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:\s/@]*):)?(?P<port>[0-9]{1,5})")
_CLOSE = b"connection: close\r\ncontent-length: 0\r\n\r\n"
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 10\r\n" + _CLOSE
_LATE = b"HTTP/1.1 408 Request Timeout\r\n" + _CLOSE
_BACKLOG = 64  # connections that the kernel keeps for us, and the most that are accepted in one go
_STOP_S = 5.0  # that the thread may take to end


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Limits:
    connections: int = 32
    patience: float = 10.0  # seconds for a whole request
    head: int = 16 << 10  # bytes of a request line and its headers


def address_of(text: str) -> Address:
    """`HOST:PORT`, `[::1]:PORT`, or `PORT` for this machine alone; port 0 is any free one. Raises Refused."""
    found = _ADDRESS.fullmatch(text.strip())
    if not found or int(found["port"]) > 65535:
        raise Refused(f"{text!r} is no address to listen at", hint="such as 127.0.0.1:8600, [::1]:8600 or 8600")
    return Address((found["host"] or "").strip("[]") or "127.0.0.1", int(found["port"]))


class _OneRequest(H11Protocol):
    """A connection of a listener; subclassed for each, since uvicorn makes them."""

    tally: ClassVar[Tally]
    limits: ClassVar[Limits]
    defects: ClassVar[logging.Logger]
    _deadline: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.logger, self.access_log = self.defects, False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= self.limits.connections:
            self.transport = transport
            self.tally.refused("too many at once")
            transport.write(_BUSY)
            transport.close()
            return
        super().connection_made(transport)
        self._deadline = self.loop.call_later(self.limits.patience, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except h11.ProtocolError:
            self.send_400_response("")

    def send_400_response(self, msg: str) -> None:
        self.tally.refused("no HTTP")
        unanswered = self._abandon()
        if unanswered:
            with suppress(h11.ProtocolError):
                super().send_400_response(msg)
        self.transport.close()

    def _late(self) -> None:
        if self.transport.is_closing():
            self.transport.abort()  # it does not even read the answer
            return
        if self._abandon():
            self.tally.refused("too slow")
            self.transport.write(_LATE)
        self.transport.close()

    def _abandon(self) -> bool:
        """Ends the request that is being worked at. Whether nothing was answered yet."""
        if self.cycle is None:
            return True
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        return not self.cycle.response_started

    def shutdown(self) -> None:
        """An answer takes milliseconds; who has not sent all by now is not waited for."""
        self.loop.call_later(0.05, self.transport.abort)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.up.set()


class _Defects(logging.Handler):
    """What uvicorn calls an error is a defect of ours."""

    def __init__(self, log: Any) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._log.error("defect", doing="answering a delivery", error=repr(error or record.msg), exc_info=error)


class Listener:
    """A running one. `address` has the port that was taken."""

    def __init__(self, taken: socket.socket, hooks: Hooks, tally: Tally, limits: Limits, log: Any) -> None:
        host, port = taken.getsockname()[:2]
        self.address = Address(host, port)
        self._hooks, self._tally, self._log, self._socket = hooks, tally, log, taken
        self._server = _Server(_config(hooks, tally, limits, log))
        self._thread = threading.Thread(target=self._run, name="hooks", daemon=True)
        self._thread.start()
        if not self._server.up.wait(_STOP_S):
            self.close()
            raise Unavailable(f"the listener at {self.address} did not start")

    def counts(self) -> dict[str, Any]:
        """For `lab status`: as Tally.counts, and where it listens."""
        return {"address": str(self.address), "listening": self._thread.is_alive(), **self._tally.counts()}

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        with closing(self._socket):
            try:
                asyncio.run(self._serve())
            except Exception as error:  # noqa: BLE001  # polling goes on without it
                self._log.error("defect", doing="listening for deliveries", error=repr(error), exc_info=error)

    async def _serve(self) -> None:
        asyncio.get_running_loop().set_exception_handler(self._trouble)
        introduction = asyncio.create_task(self._hooks.secrets.introduce())
        await self._server.serve(sockets=[self._socket])
        introduction.cancel()

    def _trouble(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, ConnectionError):
            self._log.error("defect", doing="listening for deliveries", error=repr(error or context.get("message")))


def _config(hooks: Hooks, tally: Tally, limits: Limits, log: Any) -> uvicorn.Config:
    defects = logging.Logger("labwright.hooks", logging.ERROR)
    defects.addHandler(_Defects(log))
    made = type("Connection", (_OneRequest,), {"tally": tally, "limits": limits, "defects": defects})
    return uvicorn.Config(
        hooks.app,
        http=made,
        loop="asyncio",
        ws="none",
        lifespan="off",
        interface="asgi3",
        workers=1,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        headers=[("connection", "close")],
        backlog=_BACKLOG,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=limits.head,
    )


def listen(
    address: Address,
    wake: Wake,
    secrets: Ask,
    now: Callable[[], datetime],
    *,
    limits: Limits | None = None,
    log: Any = None,
) -> Listener:
    """Serves in a daemon thread. Raises Refused where the address cannot be had. `secrets` is called in threads, now and then;
    `wake` in the listener's."""
    taken = _take(address)
    log = log or structlog.get_logger("labwright")
    tally = Tally(log)
    listener = Listener(taken, Hooks(wake, secrets, now, tally, log), tally, limits or Limits(), log)
    log.info("listening for deliveries", url=f"http://{listener.address}/hooks")
    return listener


def _take(address: Address) -> socket.socket:
    try:
        family, *_, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        both = address.host == "::" and socket.has_dualstack_ipv6()
        taken = socket.create_server(where, family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        raise Refused(
            f"cannot listen at {address}: {_words(error)}", hint="`--listen HOST:PORT` names another"
        ) from None
    taken.setblocking(False)
    return taken


def _words(error: OSError | UnicodeError) -> str:
    if isinstance(error, socket.gaierror | UnicodeError):
        return "nobody knows that host"
    return {
        errno.EADDRINUSE: "another program listens there",
        errno.EACCES: "only root may have ports below 1024",
        errno.EADDRNOTAVAIL: "this machine does not have that address",
    }.get(error.errno or 0, error.strerror or repr(error))
