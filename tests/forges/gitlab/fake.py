"""The routes of GitLab's REST API v4 that the adapter uses, over HTTP on loopback: auth, roles, pages, ETags and refusals as GitLab's."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from tests.forges.gitlab.world import HOST, LEVELS, PROJECT, Json, Token, World


class Refuse(Exception):
    def __init__(self, status: int, message: Any, key: str = "message", **headers: str) -> None:
        super().__init__(status, message)
        self.status, self.body, self.headers = status, {key: message}, headers


@dataclass
class Call:
    """One request: who asks, and for what."""

    world: World
    method: str
    path: str
    query: dict[str, str]
    body: Json
    token: Token

    @property
    def level(self) -> int:
        return int(self.world.members.get(self.token.user, {}).get("access_level", 0))

    def needs(self, role: str) -> None:
        if self.level < LEVELS[role]:
            raise Refuse(403, "403 Forbidden")

    def request(self, iid: str) -> int:
        if int(iid) not in self.world.requests:
            raise Refuse(404, "404 Not found")
        return int(iid)

    def me(self) -> str:
        return str(self.world.users[self.token.user]["username"])


Route = Callable[..., Any]
ROUTES: list[tuple[str, str, str, Route]] = []  # method, template, pattern, what answers


def route(method: str, template: str) -> Callable[[Route], Route]:
    """`:name` is one part of a path."""

    def add(function: Route) -> Route:
        ROUTES.append((method, template, re.sub(r":\w+", "([^/]+)", template), function))
        return function

    return add


@route("GET", "user")
def user(call: Call) -> Json:
    return {**call.world.users[call.token.user], "email": "", "is_admin": False}


@route("GET", "users")
def users(call: Call) -> list[Json]:
    name = call.query["username"]
    return [call.world.basic(n) for n, found in call.world.users.items() if found["username"].lower() == name.lower()]


@route("GET", "users/:user_id")
def one_user(call: Call, number: str) -> Json:
    if int(number) not in call.world.users:
        raise Refuse(404, "404 User Not Found")
    return call.world.users[int(number)]


@route("GET", "metadata")
def metadata(call: Call) -> Json:
    return {"version": "19.2.1-ee", "revision": "abcdef0", "enterprise": True}


@route("GET", "personal_access_tokens/self")
def own_token(call: Call) -> Json:
    token = call.token
    return {"id": 1, "name": "labwright", "revoked": False, "created_at": "2026-01-01T00:00:00.000Z", "scopes": list(token.scopes),
            "user_id": token.user, "last_used_at": None, "active": True, "expires_at": token.expires_at}  # fmt: skip


@route("GET", "projects/:id")
def project(call: Call) -> Json:
    access = {"access_level": call.level, "notification_level": 3}
    return {"id": PROJECT, "path_with_namespace": call.world.path, "web_url": f"{HOST}/{call.world.path}", "archived": False,
            "default_branch": "main", "permissions": {"project_access": access, "group_access": None}}  # fmt: skip


@route("GET", "projects/:id/approvals")
def project_approvals(call: Call) -> Json:
    if not call.world.premium:
        raise Refuse(404, "404 Not Found", "error")
    return {"approvals_before_merge": 0, "reset_approvals_on_push": call.world.reset_on_push,
            "disable_overriding_approvers_per_merge_request": False, "merge_requests_author_approval": False,
            "merge_requests_disable_committers_approval": False, "require_password_to_approve": False}  # fmt: skip


@route("GET", "projects/:id/approval_rules")
def approval_rules(call: Call) -> list[Json]:
    if not call.world.premium:
        raise Refuse(404, "404 Not Found", "error")
    return call.world.rules


@route("GET", "projects/:id/merge_requests")
def merge_requests(call: Call) -> list[Json]:
    state = call.query.get("state", "all")
    rows = [row for row in call.world.requests.values() if state in ("all", row["state"])]
    assert call.query.get("order_by", "created_at") == "created_at"
    return sorted(
        rows, key=lambda row: (row["created_at"], row["id"]), reverse=call.query.get("sort", "desc") == "desc"
    )


@route("GET", "projects/:id/merge_requests/:merge_request_iid")
def merge_request(call: Call, iid: str) -> Json:
    return call.world.requests[call.request(iid)]


@route("PUT", "projects/:id/merge_requests/:merge_request_iid")
def change(call: Call, iid: str) -> Json:
    call.needs("developer")
    for label in call.body.get("remove_labels", "").split(","):
        if label in call.world.requests[call.request(iid)]["labels"]:
            call.world.label(int(iid), label, call.me(), on=False)
    return call.world.requests[call.request(iid)]


@route("GET", "projects/:id/merge_requests/:merge_request_iid/approvals")
def approvals(call: Call, iid: str) -> Json:
    world, row = call.world, call.world.requests[call.request(iid)]
    keys = ("id", "iid", "project_id", "title", "description", "state", "created_at", "updated_at")
    given = [
        {"user": world.basic(number), **({"approved_at": at} if world.tells_when else {})}
        for number, at in world.approvals[int(iid)].items()
    ]
    more = {"approvals_required": 0, "approvals_left": 0} if world.premium else {}
    return {**{key: row[key] for key in keys}, "merge_status": "can_be_merged", "approved_by": given, **more}


@route("GET", "projects/:id/merge_requests/:merge_request_iid/notes")
def notes(call: Call, iid: str) -> list[Json]:
    now = call.world.time()  # a note of later is not written yet
    rows = sorted(
        (n for n in call.world.notes[call.request(iid)] if n["created_at"] <= now), key=lambda n: n["created_at"]
    )
    return rows if call.query.get("sort", "desc") == "asc" else rows[::-1]


@route("POST", "projects/:id/merge_requests/:merge_request_iid/notes")
def add_note(call: Call, iid: str) -> Json:
    return call.world.note(call.request(iid), _body(call), call.me())


@route("GET", "projects/:id/merge_requests/:merge_request_iid/notes/:note_id")
def one_note(call: Call, iid: str, note: str) -> Json:
    found = [n for n in call.world.notes[call.request(iid)] if str(n["id"]) == note]
    if not found:
        raise Refuse(404, "404 Note Not Found")
    return dict(found[0])


@route("PUT", "projects/:id/merge_requests/:merge_request_iid/notes/:note_id")
def edit_note(call: Call, iid: str, note: str) -> Json:
    if one_note(call, iid, note)["author"]["id"] != call.token.user and call.level < LEVELS["maintainer"]:
        raise Refuse(403, "403 Forbidden")
    return call.world.edit(int(iid), int(note), _body(call))


def _body(call: Call) -> str:
    body = str(call.body.get("body", ""))
    if not body.strip():
        raise Refuse(400, '400 Bad request - Note {:note=>["can\'t be blank"]}')
    if len(body) > 1_000_000:
        raise Refuse(400, '400 Bad request - Note {:note=>["is too long (maximum is 1000000 characters)"]}')
    return body


@route("GET", "projects/:id/merge_requests/:merge_request_iid/versions")
def versions(call: Call, iid: str) -> list[Json]:
    return call.world.versions[call.request(iid)]


@route("GET", "projects/:id/merge_requests/:merge_request_iid/commits")
def commits(call: Call, iid: str) -> list[Json]:
    return call.world.commits[call.request(iid)]


@route("GET", "projects/:id/merge_requests/:merge_request_iid/resource_label_events")
def label_events(call: Call, iid: str) -> list[Json]:
    return call.world.label_events[call.request(iid)]


@route("GET", "projects/:id/merge_requests/:merge_request_iid/resource_state_events")
def state_events(call: Call, iid: str) -> list[Json]:
    return call.world.state_events[call.request(iid)]


@route("GET", "projects/:id/events")
def events(call: Call) -> list[Json]:
    assert call.query.get("action") == "pushed"
    return call.world.events[::-1]


@route("GET", "projects/:id/members/all/:user_id")
def member(call: Call, number: str) -> Json:
    if int(number) not in call.world.members:
        raise Refuse(404, "404 Not found")
    return call.world.members[int(number)]


@route("GET", "groups/:id/members/all")
def group_members(call: Call, group: str) -> list[Json]:
    if group not in call.world.groups:
        raise Refuse(404, "404 Group Not Found")
    return call.world.groups[group]


@route("GET", "projects/:id/protected_branches")
def protected_branches(call: Call) -> list[Json]:
    call.needs("maintainer")
    return call.world.protected


@route("GET", "projects/:id/repository/branches/:branch")
def branch(call: Call, name: str) -> Json:
    rules = [r for r in call.world.protected if r["name"] == name]
    open_ = any(level["access_level"] == 30 for rule in rules for level in rule["push_access_levels"])
    return {"name": name, "protected": bool(rules), "developers_can_push": open_, "developers_can_merge": False}


@route("POST", "projects/:id/statuses/:sha")
def set_status(call: Call, sha: str) -> Json:
    """A status that is pending or running is moved on, else another record is made."""
    call.needs("developer")
    world, state, name = call.world, call.body["state"], call.body.get("name", "default")
    if state not in ("pending", "running", "success", "failed", "canceled", "skipped"):
        raise Refuse(400, "state does not have a valid value", "error")
    for key in ("description", "target_url"):
        if len(call.body.get(key) or "") > 255:
            raise Refuse(400, {key: ["is too long (maximum is 255 characters)"]})
    if not world.has(sha):
        raise Refuse(404, "404 Commit Not Found")
    current = [
        s for s in world.statuses if (s["sha"], s["name"]) == (sha, name) and s["status"] in ("pending", "running")
    ]
    event = {"pending": "enqueue", "running": "run"}.get(state)
    if current and event and not (state == "running" and current[-1]["status"] == "pending"):
        raise Refuse(
            400,
            f'Cannot transition status via :{event} from :{current[-1]["status"]} (Reason(s): Status cannot transition via "{event}")',
        )
    told = {"description": call.body.get("description"), "target_url": call.body.get("target_url"), "status": state}
    if current:
        current[-1].update(told)
        return current[-1]
    made = {"id": len(world.statuses) + 1, "sha": sha, "ref": "main", "name": name, "created_at": world.time(), **told}
    world.statuses.append({**made, "allow_failure": False, "author": world.basic(call.token.user)})
    return world.statuses[-1]


@route("GET", "projects/:id/labels")
def labels(call: Call) -> list[Json]:
    return call.world.labels


@route("POST", "projects/:id/labels")
def add_label(call: Call) -> Json:
    if any(label["name"] == call.body["name"] for label in call.world.labels):
        raise Refuse(409, "Label already exists")
    made = {"id": len(call.world.labels) + 1, "name": call.body["name"], "color": call.body["color"]}
    call.world.labels.append({**made, "description": call.body.get("description"), "text_color": "#FFFFFF"})
    return call.world.labels[-1]


@route("GET", "projects/:id/hooks")
def hooks(call: Call) -> list[Json]:
    call.needs("maintainer")
    return list(call.world.hooks.values())


@route("POST", "projects/:id/hooks")
def add_hook(call: Call) -> Json:
    call.needs("maintainer")
    number = len(call.world.hooks) + 1
    call.world.hooks[number] = {"id": number, "url": "", "push_events": True, "merge_requests_events": False, "note_events": False,
                                "enable_ssl_verification": True, "alert_status": "executable", "created_at": call.world.time()}  # fmt: skip
    return _set_hook(call, number)


@route("PUT", "projects/:id/hooks/:hook_id")
def edit_hook(call: Call, number: str) -> Json:
    call.needs("maintainer")
    return _set_hook(call, int(number))


def _set_hook(call: Call, number: int) -> Json:
    secrets = call.world.secrets.setdefault(number, {})
    given = dict(call.body)
    for key in ("token", "signing_token"):
        value = given.pop(key, None)
        if value is not None and (key == "token" or call.world.signs):
            secrets[key] = value
    hook = call.world.hooks[number]
    hook.update(given)
    if call.world.signs:
        hook.update(token_present="token" in secrets, signing_token_present="signing_token" in secrets)
    return hook


@dataclass
class FakeGitLab:
    world: World = field(default_factory=World)
    asked: list[str] = field(default_factory=list)  # `GET projects/…`, without the query
    break_with: Callable[[str], Refuse | None] = lambda _: None  # of a request, what it is answered with instead
    seen: set[tuple[str, str]] = field(default_factory=set)  # (method, template) that were answered
    external: str = ""  # the address it believes to have, in Link headers

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Its address."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": self}))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def answer(self, method: str, target: str, token: str, body: Json) -> Any:
        path, _, query = target.removeprefix("/api/v4/").partition("?")
        self.asked.append(f"{method} {path}")
        if broken := self.break_with(self.asked[-1]):
            raise broken
        if token not in self.world.tokens:
            raise Refuse(401, "401 Unauthorized")
        call = Call(
            self.world, method, path, dict(parse_qsl(query, keep_blank_values=True)), body, self.world.tokens[token]
        )
        if not {"api", "read_api"} & set(call.token.scopes) or (method != "GET" and "api" not in call.token.scopes):
            raise Refuse(403, "insufficient_scope", "error")
        for of, template, pattern, function in ROUTES:
            if of == method and (match := re.fullmatch(pattern, path)):
                parts = [unquote(part) for part in match.groups()]
                self.seen.add((method, template))
                if template.startswith("projects/:id"):
                    self._may_see(call, parts.pop(0))
                return function(call, *parts)
        raise Refuse(404, "404 Not Found", "error")

    def _may_see(self, call: Call, name: str) -> None:
        """A private project is not there for whoever is no member."""
        if name not in (self.world.path, str(PROJECT)) or call.token.user not in self.world.members:
            raise Refuse(404, "404 Project Not Found")


class _Handler(BaseHTTPRequestHandler):
    fake: FakeGitLab
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._do()

    do_POST = do_PUT = do_DELETE = do_GET

    def _do(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            answer = self.fake.answer(
                self.command, self.path, self.headers.get("PRIVATE-TOKEN", ""), json.loads(raw or b"{}")
            )
            headers: dict[str, str] = {}
            if isinstance(answer, list):
                answer, headers = self._page(answer)
            status = 201 if self.command == "POST" else 200
        except Refuse as refused:
            status, answer, headers = refused.status, refused.body, refused.headers
        self._send(status, json.dumps(answer).encode(), headers)

    def _page(self, rows: list[Json]) -> tuple[list[Json], dict[str, str]]:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        page, per_page = int(query.get("page", 1)), min(int(query.get("per_page", 20)), 100)
        more = page * per_page < len(rows)
        headers = {"X-Page": str(page), "X-Per-Page": str(per_page), "X-Next-Page": str(page + 1) if more else ""}
        if more:
            base = self.fake.external or f"http://{self.headers['Host']}"
            following = urlencode({**query, "page": page + 1, "per_page": per_page})
            headers["Link"] = f'<{base}{parts.path}?{following}>; rel="next", <{base}{parts.path}?page=1>; rel="first"'
        return rows[(page - 1) * per_page : page * per_page], headers

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        etag = self.fake.world.etag(body)
        if status == 200 and self.command == "GET":
            headers = {"ETag": etag, **headers}
            if self.headers.get("If-None-Match") == etag:
                status, body = 304, b""
        self.send_response_only(status)
        self.send_header("Date", format_datetime(self.fake.world.now, usegmt=True))
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def project_path(world: World) -> str:
    return f"projects/{quote(world.path, safe='')}"
