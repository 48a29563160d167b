"""GitHub's REST API as an Enterprise Server has it, on a loopback port: tokens, permissions, ETags, pages, limits and its 404s.

What it leaves out is in docs/spec/forge-github.md. tests/forges/github/test_github_spec.py compares its answers with GitHub's own
OpenAPI description.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import jwt

from tests.forges.github.routes import ROUTES, Call, Reply, Route, Wrong
from tests.forges.github.shapes import Shapes
from tests.forges.github.world import Token, World

_PREFIX = "/api/v3"
_RANK = {"read": 1, "write": 2}


@dataclass
class Asked:
    """A request, and what it was answered."""

    method: str
    path: str  # as the OpenAPI description has it
    at: str  # as it was asked for
    body: Any
    reply: Reply
    status: int
    authorization: str


@dataclass
class FakeGitHub:
    world: World = field(default_factory=World)

    def __post_init__(self) -> None:
        self.log: list[Asked] = []
        self.faults: list[
            tuple[str, str, Reply]
        ] = []  # (method, part of the path, what is answered instead), each once
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.shapes = Shapes(self.world, self.url)

    @contextmanager
    def running(self) -> Iterator["FakeGitHub"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def fail(self, method: str, path: str, reply: Reply) -> None:
        self.faults.append((method, path, reply))

    def answer(self, method: str, target: str, headers: Any, body: Any) -> tuple[Reply, dict[str, str]]:
        """The reply, and headers that every answer has."""
        parts = urlsplit(target)
        path = parts.path.removeprefix(_PREFIX)
        query = dict(parse_qsl(parts.query))
        with self.world.lock:
            authorization = headers.get("Authorization", "")
            always = {"Date": format_datetime(self.world.now, usegmt=True), "X-GitHub-Request-Id": "F0:0"}
            found, names = _find(method, path)
            try:
                reply = self._do(found, names, query, body, authorization, always, (method, path))
            except Wrong as wrong:
                reply = wrong.reply
            if method == "GET" and reply.status == 200:
                reply = self._paged(reply, parts.path, query)
                etag = f'W/"{hashlib.sha256(json.dumps(reply.body).encode()).hexdigest()}"'
                reply.headers["ETag"] = etag
                if headers.get("If-None-Match") == etag:
                    reply = Reply(304, None, {"ETag": etag})
            self._count(reply, authorization, always)
            self.log.append(
                Asked(method, found.path if found else path, target, body, reply, reply.status, authorization)
            )
            return reply, always

    def _do(
        self, found: Route | None, names: Any, query: Any, body: Any, authorization: str, always: Any, asked: Any
    ) -> Reply:
        for fault in self.faults:
            if fault[0] == asked[0] and fault[1] in asked[1]:
                self.faults.remove(fault)
                if fault[2].drop and found:
                    found.do(Call(self.world, self.shapes, names, query, body, self._who(found, authorization, always)))
                return fault[2]
        token = self._who(found, authorization, always)
        if found is None:
            raise Wrong(404, "Not Found")
        if (
            names.get("owner", self.world.owner) != self.world.owner
            or names.get("repo", self.world.name) != self.world.name
        ):
            raise Wrong(404, "Not Found")
        if token:
            self._may(found, token)
        return found.do(Call(self.world, self.shapes, names, query, body, token))

    def _who(self, found: Route | None, authorization: str, always: dict[str, str]) -> Token | None:
        value = authorization.removeprefix("Bearer ")
        if found and found.app:
            self._signed(value)
            return None
        token = self.world.tokens.get(value)
        if token is None or (token.ends and token.ends <= self.world.now):
            raise Wrong(401, "Bad credentials")
        if token.permissions is None:
            always["X-OAuth-Scopes"] = token.scopes
        if token.ends:
            always["GitHub-Authentication-Token-Expiration"] = token.ends.strftime("%Y-%m-%d %H:%M:%S UTC")
        return token

    def _signed(self, value: str) -> None:
        app, now = self.world.app, int(self.world.now.timestamp())
        try:
            options: Any = {"verify_exp": False, "verify_iat": False, "require": ["exp", "iat", "iss"]}
            claims = jwt.decode(value, app["public_key"], algorithms=["RS256"], options=options)
        except (jwt.PyJWTError, KeyError) as error:
            raise Wrong(401, "A JSON web token could not be decoded") from error
        if claims["iss"] != str(app["id"]):
            raise Wrong(404, "Integration not found")
        if claims["iat"] > now:
            raise Wrong(
                401, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
            )
        if not now < claims["exp"] <= now + 600:
            raise Wrong(401, "'Expiration time' claim ('exp') must be a numeric value representing the future time")

    def _may(self, found: Route, token: Token) -> None:
        if token.permissions is not None:
            has = {"metadata": "read", **token.permissions}
            if not any(_RANK.get(has.get(name, ""), 0) >= _RANK[level] for name, level in found.needs):
                by = "integration" if token.app else "personal access token"
                raise Wrong(403, f"Resource not accessible by {by}")
        elif found.admin and self.world.roles.get(token.login, ("", ""))[0] != "admin":
            raise Wrong(404, "Not Found")  # classic tokens are not told that there is something

    def _paged(self, reply: Reply, path: str, query: dict[str, str]) -> Reply:
        if not reply.pages:
            return reply
        items = reply.body if reply.pages == "-" else reply.body[reply.pages]
        size, page = min(int(query.get("per_page", 30)), 100), int(query.get("page", 1))
        part = items[(page - 1) * size : page * size]
        if page * size < len(items):
            following = urlencode({**query, "page": page + 1})
            reply.headers["Link"] = f'<{self.url}{path}?{following}>; rel="next"'
        body = part if reply.pages == "-" else {**reply.body, reply.pages: part}
        return Reply(reply.status, body, reply.headers)

    def _count(self, reply: Reply, authorization: str, always: dict[str, str]) -> None:
        token = self.world.tokens.get(authorization.removeprefix("Bearer "))
        if token is None:
            return
        if reply.status != 304:
            self.world.spent[token.login] += 1
        left = max(self.world.limit - self.world.spent[token.login], 0)
        reset = int(self.world.now.timestamp()) + 1800
        always |= {
            "X-RateLimit-Limit": str(self.world.limit),
            "X-RateLimit-Remaining": str(left),
            "X-RateLimit-Reset": str(reset),
        }

    def requests(self, method: str = "", path: str = "") -> list[Asked]:
        return [it for it in self.log if method in ("", it.method) and path in it.path]


def _find(method: str, path: str) -> tuple[Route | None, dict[str, str]]:
    """Of a part that is quoted, `/` stays quoted while it is searched for."""
    for one in ROUTES:
        if one.method == method and (found := one.pattern.fullmatch(path)):
            return one, {name: unquote(value) for name, value in found.groupdict().items()}
    return None, {}


def _handler(fake: FakeGitHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            reply, always = fake.answer(self.command, self.path, self.headers, json.loads(raw) if raw else {})
            if reply.drop:
                self.close_connection = True
                return
            data = b"" if reply.body is None else json.dumps(reply.body).encode()
            self.send_response_only(reply.status)
            for name, value in {**always, **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _serve

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
