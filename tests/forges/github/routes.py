"""What the fake answers to which request. Paths are those of GitHub's OpenAPI description; `needs` is what a token must be allowed."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.forges.github.shapes import Shapes
from tests.forges.github.world import Token, World

REPO = "/repos/{owner}/{repo}"
_ANY: tuple[tuple[str, str], ...] = (("metadata", "read"),)
_TALKING = (("pull_requests", "write"), ("issues", "write"))


@dataclass
class Call:
    world: World
    shapes: Shapes
    names: dict[str, str]  # of the path
    query: dict[str, str]
    body: Any
    token: Token | None  # None: signed by the App


@dataclass
class Reply:
    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    pages: str = ""  # key of a list inside of the body; "-": the body is the list
    drop: bool = False  # done, and never answered


class Wrong(Exception):
    def __init__(self, status: int, message: str, **more: Any) -> None:
        self.reply = Reply(status, {"message": message, "documentation_url": "https://docs.github.com/rest", **more})


@dataclass
class Route:
    method: str
    path: str
    needs: tuple[tuple[str, str], ...]  # any of them
    app: bool
    admin: bool
    do: Callable[[Call], Reply]

    def __post_init__(self) -> None:
        names = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        self.pattern = re.compile(names)


ROUTES: list[Route] = []


def route(method: str, path: str, *needs: tuple[str, str], app: bool = False, admin: bool = False) -> Any:
    def add(do: Callable[[Call], Reply]) -> Callable[[Call], Reply]:
        ROUTES.append(Route(method, path, needs or _ANY, app, admin, do))
        return do

    return add


def _pull(c: Call, name: str = "pull_number") -> dict[str, Any]:
    number = c.names[name]
    if not number.isdecimal() or int(number) not in c.world.pulls:
        raise Wrong(404, "Not Found")
    return c.world.pulls[int(number)]


@route("GET", "/user")
def user(c: Call) -> Reply:
    assert c.token
    if c.token.app:
        raise Wrong(403, "Resource not accessible by integration")
    return Reply(200, c.shapes.whole_user(c.token.login))


@route("GET", "/rate_limit")
def rate_limit(c: Call) -> Reply:
    assert c.token
    used = c.world.spent[c.token.login]
    rate = {
        "limit": c.world.limit,
        "remaining": c.world.limit - used,
        "reset": int(c.world.now.timestamp()) + 1800,
        "used": used,
    }
    return Reply(200, {"resources": {"core": rate, "search": rate}, "rate": rate})


@route("GET", REPO)
def repo(c: Call) -> Reply:
    return Reply(200, c.shapes.repo())


@route("GET", f"{REPO}/pulls", ("pull_requests", "read"))
def pulls(c: Call) -> Reply:
    wanted = c.query.get("state", "open")
    found = [it for it in c.world.pulls.values() if wanted in ("all", it["state"])]
    key = {"created": "created", "updated": "updated"}[c.query.get("sort", "created")]
    found.sort(key=lambda it: (it[key], it["number"]), reverse=c.query.get("direction", "desc") == "desc")
    return Reply(200, [c.shapes.pull(it) for it in found], pages="-")


@route("GET", f"{REPO}/pulls/{{pull_number}}", ("pull_requests", "read"))
def pull(c: Call) -> Reply:
    return Reply(200, c.shapes.pull(_pull(c), whole=True))


@route("GET", f"{REPO}/pulls/{{pull_number}}/reviews", ("pull_requests", "read"))
def reviews(c: Call) -> Reply:
    it = _pull(c)
    return Reply(200, [c.shapes.review(it["number"], review) for review in it["reviews"]], pages="-")


@route("GET", f"{REPO}/pulls/{{pull_number}}/commits", ("pull_requests", "read"))
def commits(c: Call) -> Reply:
    return Reply(200, [c.shapes.commit(*one) for one in _pull(c)["commits"][:250]], pages="-")


@route("GET", f"{REPO}/compare/{{basehead}}", ("contents", "read"))
def compare(c: Call) -> Reply:
    base, _, head = c.names["basehead"].partition("...")
    it = next((it for it in c.world.pulls.values() if (it["base_sha"], it["head"]) == (base, head)), None)
    if it is None:
        raise Wrong(404, "Not Found")
    count, page = len(it["commits"]), f"{c.shapes.page}/compare/{base}...{head}"
    own = f"{c.shapes.repo_url}/compare/{base}...{head}"
    urls = {
        "url": own,
        "html_url": page,
        "permalink_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
    }
    counts = {"status": "ahead", "ahead_by": count, "behind_by": 0, "total_commits": count}
    ends = {"base_commit": c.shapes.commit(base), "merge_base_commit": c.shapes.commit(base)}
    return Reply(
        200, {**urls, **counts, **ends, "commits": [c.shapes.commit(*one) for one in it["commits"]]}, pages="commits"
    )


@route("GET", f"{REPO}/issues/{{issue_number}}/events", ("issues", "read"))
def events(c: Call) -> Reply:
    return Reply(200, [c.shapes.event(it) for it in _pull(c, "issue_number")["events"]], pages="-")


@route("GET", f"{REPO}/issues/{{issue_number}}/comments", ("pull_requests", "read"), ("issues", "read"))
def comments(c: Call) -> Reply:
    return Reply(200, [c.shapes.comment(it) for it in _pull(c, "issue_number")["comments"]], pages="-")


@route("POST", f"{REPO}/issues/{{issue_number}}/comments", *_TALKING)
def write(c: Call) -> Reply:
    assert c.token
    number = _pull(c, "issue_number")["number"]
    return Reply(201, c.shapes.comment(c.world.write(number, _body_of(c), c.token.login)))


def _body_of(c: Call) -> str:
    text = c.body.get("body") or ""
    if not text.strip() or len(text) > 65_536:
        said = "body is too long (maximum is 65536 characters)" if text.strip() else "body can't be blank"
        raise Wrong(422, "Validation Failed", errors=[{"resource": "IssueComment", "code": "custom", "message": said}])
    return str(text)


def _comment(c: Call) -> dict[str, Any]:
    every = (it for pull in c.world.pulls.values() for it in pull["comments"])
    found = next((it for it in every if str(it["id"]) == c.names["comment_id"]), None)
    if found is None:
        raise Wrong(404, "Not Found")
    return found


@route("GET", f"{REPO}/issues/comments/{{comment_id}}", ("pull_requests", "read"), ("issues", "read"))
def comment(c: Call) -> Reply:
    return Reply(200, c.shapes.comment(_comment(c)))


@route("PATCH", f"{REPO}/issues/comments/{{comment_id}}", *_TALKING)
def rewrite(c: Call) -> Reply:
    return Reply(200, c.shapes.comment(c.world.edit(_comment(c)["id"], _body_of(c))))


@route("DELETE", f"{REPO}/issues/{{issue_number}}/labels/{{name}}", *_TALKING)
def unlabel(c: Call) -> Reply:
    assert c.token
    it = _pull(c, "issue_number")
    name = next((one for one in it["labels"] if one.casefold() == c.names["name"].casefold()), None)
    if name is None:
        raise Wrong(404, "Label does not exist")
    c.world.put_label(it["number"], name, c.token.login, on=False)
    return Reply(200, [c.shapes.label(one) for one in it["labels"]])


@route("GET", f"{REPO}/labels", ("pull_requests", "read"), ("issues", "read"))
def labels(c: Call) -> Reply:
    return Reply(200, [c.shapes.label(name) for name in c.world.labels], pages="-")


@route("POST", f"{REPO}/labels", *_TALKING)
def make_label(c: Call) -> Reply:
    name, color, description = (c.body.get(key, "") for key in ("name", "color", "description"))
    wrong = (
        "missing_field"
        if not name
        else "invalid"
        if not re.fullmatch(r"[0-9a-f]{6}|", color) or len(description) > 100
        else ""
    )
    if name.casefold() in {one.casefold() for one in c.world.labels}:
        wrong = "already_exists"
    if wrong:
        raise Wrong(422, "Validation Failed", errors=[{"resource": "Label", "code": wrong, "field": "name"}])
    c.world.a_label(name, description, color)
    return Reply(201, c.shapes.label(name))


@route("GET", f"{REPO}/collaborators/{{username}}/permission")
def permission(c: Call) -> Reply:
    login = next((one for one in c.world.people if one.casefold() == c.names["username"].casefold()), None)
    if login is None or login.endswith("[bot]"):
        raise Wrong(404, f"{c.names['username']} is not a user")
    least = ("none", "") if c.world.private else ("read", "read")
    base, role = c.world.roles.get(login, least)
    return Reply(200, {"permission": base, "role_name": role, "user": {**c.shapes.user(login), "role_name": role}})


@route("GET", "/orgs/{org}/teams/{team_slug}/members", ("members", "read"))
def members(c: Call) -> Reply:
    found = c.world.teams.get((c.names["org"], c.names["team_slug"]))
    if found is None:
        raise Wrong(404, "Not Found")
    return Reply(200, [c.shapes.user(login) for login in found], pages="-")


def _branch(c: Call) -> Any:
    if c.names["branch"] not in c.world.branches:
        raise Wrong(404, "Branch not found")
    return c.world.branches[c.names["branch"]]


@route("GET", f"{REPO}/branches/{{branch}}", ("contents", "read"))
def branch(c: Call) -> Reply:
    it, name = _branch(c), c.names["branch"]
    own = f"{c.shapes.repo_url}/branches/{name}"
    shown = {
        "name": name,
        "commit": c.shapes.commit(it.commit),
        "_links": {"html": f"{c.shapes.page}/tree/{name}", "self": own},
    }
    protected = bool(it.older or it.rules)
    return Reply(
        200,
        {**shown, "protected": protected, "protection": {"enabled": protected}, "protection_url": f"{own}/protection"},
    )


@route("GET", f"{REPO}/branches/{{branch}}/protection", ("administration", "read"), admin=True)
def protection(c: Call) -> Reply:
    it = _branch(c)
    if c.world.free_plan:
        raise Wrong(403, "Upgrade to GitHub Pro or make this repository public to enable this feature.")
    if it.older is None:
        raise Wrong(404, "Branch not protected")
    return Reply(200, {"url": f"{c.shapes.repo_url}/branches/{c.names['branch']}/protection", **it.older})


@route("GET", f"{REPO}/rules/branches/{{branch}}")
def rules(c: Call) -> Reply:
    if c.world.free_plan:
        raise Wrong(403, "Upgrade to GitHub Pro or make this repository public to enable this feature.")
    it = c.world.branches.get(c.names["branch"])
    of = {"ruleset_source_type": "Repository", "ruleset_source": f"{c.world.owner}/{c.world.name}", "ruleset_id": 42}
    return Reply(200, [{**rule, **of} for rule in (it.rules if it else [])], pages="-")


@route("GET", f"{REPO}/activity", ("contents", "read"))
def activity(c: Call) -> Reply:
    """Its pages have cursors, not numbers."""
    found = [it for it in c.world.activity if c.query.get("ref") in (None, f"refs/heads/{it['branch']}", it["branch"])]
    size, after = int(c.query.get("per_page", 30)), int(c.query.get("after", 0))
    more = {}
    if len(found) > after + size:
        query = "&".join(f"{key}={value}" for key, value in {**c.query, "after": str(after + size)}.items())
        more["Link"] = f'<{c.shapes.repo_url}/activity?{query}>; rel="next"'
    return Reply(200, [c.shapes.move(it) for it in found[after : after + size]], more)


@route("GET", f"{REPO}/commits/{{ref}}/status", ("statuses", "read"))
def combined(c: Call) -> Reply:
    sha = c.names["ref"]
    newest = {it["context"]: it for it in c.world.statuses if it["sha"] == sha}
    states = {it["state"] for it in newest.values()}
    state = "failure" if states & {"failure", "error"} else "success" if states == {"success"} else "pending"
    own = f"{c.shapes.repo_url}/commits/{sha}"
    shown = {"sha": sha, "state": state, "total_count": len(newest), "commit_url": own, "url": f"{own}/status"}
    found = [c.shapes.status(it) for it in newest.values()]
    return Reply(200, {**shown, "repository": c.shapes.repo(), "statuses": found}, pages="statuses")


@route("POST", f"{REPO}/statuses/{{sha}}", ("statuses", "write"))
def make_status(c: Call) -> Reply:
    assert c.token
    sha, body = c.names["sha"], c.body
    if sha == "0" * 40:
        raise Wrong(422, f"No commit found for SHA: {sha}")
    if body.get("state") not in ("error", "failure", "pending", "success") or len(body.get("description") or "") > 140:
        raise Wrong(
            422, "Validation Failed", errors=[{"resource": "Status", "code": "invalid", "field": "description"}]
        )
    context = body.get("context", "default")
    if sum((it["sha"], it["context"]) == (sha, context) for it in c.world.statuses) >= 1000:
        raise Wrong(422, "This SHA and context has reached the maximum number of statuses.")
    rest = {"description": body.get("description"), "target_url": body.get("target_url"), "at": c.world.stamp()}
    made = {"id": next(c.world.ids), "sha": sha, "context": context, "state": body["state"], **rest}
    c.world.statuses.append(made)
    return Reply(201, {**c.shapes.status(made), "creator": c.shapes.user(c.token.login)})


@route("GET", f"{REPO}/commits/{{ref}}/check-runs", ("checks", "read"))
def checks(c: Call) -> Reply:
    found = [it for it in c.world.checks.values() if it["head_sha"] == c.names["ref"]]
    if name := c.query.get("check_name"):
        found = [it for it in found if it["name"] == name]
    if app := c.query.get("app_id"):
        found = found if app == str(c.world.app["id"]) else []
    if c.query.get("filter", "latest") == "latest":
        found = list({it["name"]: it for it in found}.values())
    return Reply(
        200, {"total_count": len(found), "check_runs": [c.shapes.check(it) for it in found]}, pages="check_runs"
    )


@route("POST", f"{REPO}/check-runs", ("checks", "write"))
def make_check(c: Call) -> Reply:
    _app_only(c)
    made = {
        "id": next(c.world.ids),
        "at": c.world.stamp(),
        "status": "queued",
        "conclusion": None,
        "details_url": None,
        "annotations": [],
    }
    made |= {"name": c.body["name"], "head_sha": c.body["head_sha"], "output": {}}
    _run_of(c, made)
    c.world.checks[made["id"]] = made
    return Reply(201, c.shapes.check(made))


@route("PATCH", f"{REPO}/check-runs/{{check_run_id}}", ("checks", "write"))
def change_check(c: Call) -> Reply:
    _app_only(c)
    it = _check(c)
    _run_of(c, it)
    return Reply(200, c.shapes.check(it))


def _app_only(c: Call) -> None:
    if not (c.token and c.token.app):
        raise Wrong(403, "You must authenticate via a GitHub App.")


def _check(c: Call) -> dict[str, Any]:
    found = c.world.checks.get(int(c.names["check_run_id"]))
    if found is None:
        raise Wrong(404, "Not Found")
    return found


def _run_of(c: Call, it: dict[str, Any]) -> None:
    output = dict(c.body.get("output", {}))
    remarks = output.pop("annotations", [])
    if (
        len(remarks) > 50
        or len(output.get("summary", "")) > 65_535
        or (output and not {"title", "summary"} <= output.keys())
    ):
        raise Wrong(422, "Invalid request.\n\nOnly 50 items are allowed; 51 were supplied.")
    it["output"] |= output
    it["annotations"] += remarks
    it |= {key: c.body[key] for key in ("status", "conclusion", "details_url", "name") if key in c.body}
    if "conclusion" in c.body:
        it["status"] = "completed"
    elif it["status"] == "completed":
        raise Wrong(422, "Invalid request.\n\nmissing required key: conclusion")


@route("GET", f"{REPO}/check-runs/{{check_run_id}}/annotations", ("checks", "read"))
def annotations(c: Call) -> Reply:
    return Reply(200, [c.shapes.annotation(it) for it in _check(c)["annotations"]], pages="-")


@route("GET", f"{REPO}/hooks", ("repository_hooks", "read"), admin=True)
def hooks(c: Call) -> Reply:
    return Reply(200, [c.shapes.hook(it) for it in c.world.hooks.values()], pages="-")


@route("POST", f"{REPO}/hooks", ("repository_hooks", "write"), admin=True)
def make_hook(c: Call) -> Reply:
    if any(it["config"]["url"] == c.body["config"]["url"] for it in c.world.hooks.values()):
        said = "Hook already exists on this repository"
        raise Wrong(422, "Validation Failed", errors=[{"resource": "Hook", "code": "custom", "message": said}])
    unused = {"code": None, "status": "unused", "message": None}
    made = {
        "id": next(c.world.ids),
        "at": c.world.stamp(),
        "active": True,
        "events": ["push"],
        "last": unused,
        **c.body,
    }
    c.world.hooks[made["id"]] = made
    return Reply(201, c.shapes.hook(made))


@route("PATCH", f"{REPO}/hooks/{{hook_id}}", ("repository_hooks", "write"), admin=True)
def change_hook(c: Call) -> Reply:
    it = c.world.hooks[int(c.names["hook_id"])]
    it |= {key: c.body[key] for key in ("active", "events", "config") if key in c.body}
    return Reply(200, c.shapes.hook(it))


@route("GET", "/app", app=True)
def app(c: Call) -> Reply:
    return Reply(200, c.shapes.app())


@route("GET", "/app/hook/config", app=True)
def app_hook(c: Call) -> Reply:
    config = dict(c.world.app["hook"])
    return Reply(200, {**config, "secret": "********"} if config.get("secret") else config)


@route("PATCH", "/app/hook/config", app=True)
def change_app_hook(c: Call) -> Reply:
    c.world.app["hook"] |= c.body
    return app_hook(c)


@route("POST", "/app/installations/{installation_id}/access_tokens", app=True)
def buy(c: Call) -> Reply:
    it = c.world.app
    if c.names["installation_id"] != str(it["installation"]):
        raise Wrong(404, "Not Found")
    if it.get("suspended"):
        raise Wrong(403, "This installation has been suspended")
    if any(name != c.world.name for name in c.body.get("repositories", ())):
        said = "There is at least one repository that does not exist or is not accessible to the parent installation."
        raise Wrong(422, said)
    ends: datetime = c.world.now + timedelta(hours=1)
    value = f"ghs_{next(c.world.ids)}"
    c.world.tokens[value] = Token(f"{it['slug']}[bot]", dict(it["permissions"]), ends=ends, app=True)
    told = {"token": value, "expires_at": ends.strftime("%Y-%m-%dT%H:%M:%SZ"), "permissions": it["permissions"]}
    return Reply(201, {**told, "repository_selection": "selected", "repositories": [c.shapes.repo()]})
