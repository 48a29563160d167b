"""What `lab doctor forge` asks GitHub: address, token, what it may do, labels, hook, branches, and how many requests are left."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from labwright.adapters.forges.api import Answer, NotThere
from labwright.adapters.forges.github import hooks
from labwright.adapters.forges.github.client import Client, read
from labwright.adapters.forges.github.tokens import AppTokens
from labwright.domain.errors import LabError
from labwright.domain.finding import FAIL, OK, WARN, Finding, told
from labwright.domain.forge import Person, Protection

NEEDED = {"metadata": "read", "contents": "read", "issues": "read", "pull_requests": "write", "checks": "write"}
"""Of an App's installation, as https://docs.github.com/rest/authentication/permissions-required-for-github-apps calls them."""
_RANK = {"read": 1, "write": 2, "admin": 3}
_NO_COMMIT = "0" * 40


def access(api: Client, app: AppTokens | None, me: Callable[[], Person]) -> Iterator[Finding]:
    name = api.repo.removeprefix("/repos/")
    try:
        who = me()
        answer = api.ask(api.repo)
        archived, private = read(lambda it: (it["archived"], it["private"]), answer.body)
    except LabError as error:
        yield told("forge", error)
        return
    if archived:
        yield Finding(
            "forge", FAIL, f"{name} is archived: nothing can be written there", "unarchive it, or watch another one"
        )
        return
    yield Finding("forge", OK, f"{api.what}: {name}, {'private' if private else 'public'}, as {who.login}")
    yield from _of_app(app) if app else _of_person(api, answer)


def _of_app(app: AppTokens) -> Iterator[Finding]:
    try:
        has = app.permissions()
    except LabError as error:
        yield told("permissions", error)
        return
    missing = [f"`{name}: {level}`" for name, level in NEEDED.items() if _RANK.get(has.get(name, ""), 0) < _RANK[level]]
    mend = "change them on the App's page, and accept the change on its installation's page"
    yield Finding(
        "permissions",
        FAIL if missing else OK,
        f"missing: {', '.join(missing)}" if missing else "all there",
        mend if missing else "",
    )
    if has.get("contents") == "write":
        yield Finding(
            "permissions", WARN, "it may write `contents`, and nothing here needs that", "`contents: read` is enough"
        )


def _of_person(api: Client, answer: Answer) -> Iterator[Finding]:
    scopes = answer.headers.get("x-oauth-scopes")
    if scopes is not None:
        own = {it.strip() for it in scopes.split(",")}
        enough = "repo" in own or ("public_repo" in own and not answer.body["private"])
        yield Finding(
            "token",
            WARN if enough else FAIL,
            f"a classic token with {scopes or 'no scope'}"
            + (": it reaches all that its owner reaches" if enough else ""),
            "use a GitHub App, or a fine-grained token for this repository alone",
        )
    if ends := answer.headers.get("github-authentication-token-expiration"):
        yield Finding("token", OK, f"good until {ends}")
    yield from _probed(api, "commit statuses", f"statuses/{_NO_COMMIT}", "Commit statuses: read and write")
    yield from _probed(api, "labels and comments", "labels", "Pull requests: read and write")


def _probed(api: Client, what: str, path: str, permission: str) -> Iterator[Finding]:
    """GitHub does not say what a token may do. Something that cannot be done shows it: 422 where it may, 403 or 404 where not."""
    try:
        api.send("POST", f"{api.repo}/{path}", {})
    except LabError as error:
        if "→ 422" in error.message:
            yield Finding("permissions", OK, f"{what} may be written")
        elif "→ 403" in error.message or isinstance(error, NotThere):
            yield Finding("permissions", FAIL, f"{what} may not be written", f"give the token `{permission}`")
        else:
            yield told("permissions", error)
        return
    yield Finding("permissions", WARN, f"whether {what} may be written cannot be told")


def labels(there: Callable[[], Mapping[str, str]], wanted: Collection[str]) -> Iterator[Finding]:
    """`there`: as GitHub spells them, by their names in lower case."""
    try:
        names = there()
    except LabError as error:
        yield told("labels", error)
        return
    if missing := sorted(name for name in wanted if name.casefold() not in names):
        yield Finding("labels", WARN, f"missing: {', '.join(missing)}", "`lab forge setup` makes them")
    for name in sorted(wanted):
        if (spelled := names.get(name.casefold(), name)) != name:
            yield Finding("labels", FAIL, f"lab.yaml says {name}, GitHub says {spelled}", "spell them alike")
    if not missing and all(names[name.casefold()] == name for name in wanted):
        yield Finding("labels", OK, "all there")


def hook(api: Client, app: AppTokens | None, url: str) -> Iterator[Finding]:
    try:
        yield _of_the_app(app, url) if app else _of_the_repository(api, url)
    except LabError as error:
        yield told("hook", error)


def _of_the_app(app: AppTokens, url: str) -> Finding:
    was = app.api.get("/app/hook/config").get("url") or "nowhere"
    if was != url:
        return Finding(
            "hook", WARN, f"the App sends its deliveries to {was}, not to {url}", "`lab forge setup` changes it"
        )
    if missing := hooks.missing_events(app):
        mend = "tick them under `Subscribe to events` on the App's page"
        return Finding("hook", WARN, f"the App is not subscribed to {', '.join(missing)}", mend)
    return Finding("hook", OK, f"the App's own, to {url}")


def _of_the_repository(api: Client, url: str) -> Finding:
    there = hooks.of_repository(api, url)
    if there is None:
        return Finding(
            "hook",
            WARN,
            f"there is none to {url}",
            "`lab forge setup` makes it; until then changes are seen by polling",
        )
    if wrong := read(hooks.wrong_with, there):
        return Finding("hook", WARN, f"the hook to {url} {wrong}", "`lab forge setup` mends it")
    last: Any = there.get("last_response") or {}
    if (code := last.get("code")) and not 200 <= code < 300:
        said = f"the last delivery to {url} was answered with {code}: {last.get('message') or 'no words'}"
        return Finding("hook", WARN, said, "is `lab serve` running there, and is the secret the same?")
    return Finding("hook", OK, f"to {url}")


def branch(ask: Callable[[str], Protection], name: str) -> Finding:
    what = f"branch {name}"
    try:
        found = ask(name)
    except LabError as error:
        return told(what, error)
    if found.on:
        return Finding(what, OK, found.words)
    said = "whoever may write may push to it" + (f" ({found.words})" if found.words else "")
    return Finding(what, WARN, said, "ask for a review in a ruleset; until then its pushes are no approval")


def rate(api: Client) -> Iterator[Finding]:
    try:
        core = read(lambda it: it["resources"]["core"], api.get("/rate_limit"))
    except NotThere:  # an Enterprise Server that has none
        return
    except LabError as error:
        yield told("requests", error)
        return
    few = core["remaining"] * 10 < core["limit"]
    yield Finding("requests", WARN if few else OK, f"{core['remaining']:,} of {core['limit']:,} left in this hour")
