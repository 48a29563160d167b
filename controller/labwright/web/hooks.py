"""What the listener answers: `POST /hooks` takes a forge's deliveries, `GET /healthz` says that it is there.

A delivery only wakes the loop. It is never state: whoever forges, repeats, holds back or reorders deliveries changes when
something is looked at, and nothing else.
"""

import asyncio
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from labwright import __version__
from labwright.web.delivery import Wake, id_of, kind_of, number_of
from labwright.web.pace import Pace
from labwright.web.secrets import Ask, Secrets
from labwright.web.signature import Headers, Verdict, is_signed, values, verify
from labwright.web.tally import Tally

BODY = 1 << 20  # bytes
_LINGER_S, _LINGER_BYTES = 2.0, 8 << 20  # for the rest of a body that nobody reads: a reset would swallow the answer

NOT_JSON, TOO_LARGE = "not JSON", "too large"
_JSON = re.compile(rb"application/json[ \t]*(;.*)?", re.IGNORECASE | re.DOTALL)
_ANSWERS = {
    NOT_JSON: (415, "set this hook's content type to application/json"),
    TOO_LARGE: (413, f"a delivery has at most {BODY} bytes"),
    Verdict.NONE_KNOWN: (401, "this lab has no secret for deliveries: set forge.hook_secrets in lab.yaml"),
    Verdict.UNSIGNED: (401, "not signed: give this hook the secret that lab.yaml names in forge.hook_secrets"),
    Verdict.SHA1: (401, "signed with SHA-1 only: X-Hub-Signature-256 is needed"),
    Verdict.WRONG: (
        401,
        "the signature does not fit: is the secret the one that lab.yaml names in forge.hook_secrets?",
    ),
    Verdict.OLD: (401, "signed more than five minutes ago or ahead: a repetition, or a clock is wrong"),
}


class Hooks:
    """The ASGI application is `app`; everything of it happens in one event loop."""

    def __init__(
        self, wake: Wake, ask: Ask, now: Callable[[], datetime], tally: Tally, log: Any, pace: Pace | None = None
    ) -> None:
        self._wake, self._now, self._tally, self._log = wake, now, tally, log
        self._pace = pace or Pace()
        self._timer: asyncio.TimerHandle | None = None
        self.secrets = Secrets(ask, log)
        routes = [
            Route("/hooks", self._deliver, methods=["POST"]),
            Route("/hooks/", self._deliver, methods=["POST"]),
            Route("/healthz", self._health, methods=["GET"]),
        ]
        self.app = Starlette(routes=routes, exception_handlers={404: _nothing, 405: _nothing})
        self.app.router.redirect_slashes = False

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"version": __version__})

    async def _deliver(self, request: Request) -> Response:
        headers: Headers = request.headers.raw
        if why := self._unfit(headers):
            return self._refuse(why, unread=True)
        try:
            body = await _body(request)
        except ClientDisconnect:
            return Response(status_code=408)  # to nobody
        if body is None:
            return self._refuse(TOO_LARGE, unread=True)
        verdict = await self._verdict(headers, body)
        if verdict != Verdict.GOOD:
            return self._refuse(verdict)
        self._tally.accepted(id_of(headers), self._now())
        kind = kind_of(headers)
        self._pace.add(kind, number_of(body) if kind == "pull" else None)
        self._pass()
        return Response(status_code=202)

    def _unfit(self, headers: Headers) -> str | None:
        """What is wrong before a byte of the body was read."""
        if not any(_JSON.fullmatch(value) for value in values(headers, b"content-type")):
            return NOT_JSON
        if any(len(value) > 9 or int(value) > BODY for value in values(headers, b"content-length") if value.isdigit()):
            return TOO_LARGE
        return is_signed(headers)

    async def _verdict(self, headers: Headers, body: bytes) -> Verdict:
        known = await self.secrets.current()
        verdict = verify(headers, body, known, self._now().timestamp())
        if verdict != Verdict.WRONG or (renewed := await self.secrets.renewed()) == known:
            return verdict
        return verify(headers, body, renewed, self._now().timestamp())

    def _refuse(self, why: str, *, unread: bool = False) -> Response:
        self._tally.refused(str(why))
        status, words = _ANSWERS[why]
        return (_Parting if unread else Response)(f"{words}\n", status, media_type="text/plain")

    def _pass(self) -> None:
        """Wakes what may be woken, and comes back for the rest."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            return
        for kind, number in self._pace.take(loop.time()):
            self._tally.woken()
            try:
                self._wake(kind, number)
            except Exception as error:  # noqa: BLE001  # the sender did nothing wrong
                self._log.error("defect", doing="a wake", error=repr(error), exc_info=error)
        if (wait := self._pace.wait(loop.time())) is not None:
            self._timer = loop.call_later(wait, self._pass_later)

    def _pass_later(self) -> None:
        self._timer = None
        self._pass()


class _Parting(Response):
    """Answers at once, then reads away what is still sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": bytes(self.body), "more_body": True})
        if not _waits_for_leave(scope):
            await _read_away(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _waits_for_leave(scope: Scope) -> bool:
    return any(value.lower() == b"100-continue" for value in values(scope["headers"], b"expect"))


async def _read_away(receive: Receive) -> None:
    left = _LINGER_BYTES
    try:
        async with asyncio.timeout(_LINGER_S):
            while left > 0:
                message: Message = await receive()
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
                left -= len(message.get("body", b""))
    except TimeoutError:
        return


async def _body(request: Request) -> bytes | None:
    """None where it is too large."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > BODY:
            return None
        parts.append(part)
    return b"".join(parts)


async def _nothing(request: Request, error: Exception) -> Response:
    return Response(status_code=404)
