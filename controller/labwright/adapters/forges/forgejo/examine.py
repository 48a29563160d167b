"""`lab doctor forge` for Forgejo and Gitea: each right is tried, not read from a list."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

from labwright.adapters.forges.api import Api, NotThere
from labwright.adapters.forges.forgejo.calls import understood
from labwright.adapters.forges.forgejo.hooks import amiss, hooks_of
from labwright.domain.errors import LabError, Refused
from labwright.domain.finding import FAIL, OK, WARN, Finding, told
from labwright.domain.forge import Protection

Wanted = tuple[Collection[str], str, Collection[str]]  # labels, hook's URL, branches
_SCOPES = "the token needs the scopes write:repository, write:issue, read:user (and read:organization for `@org/team`)"


def examine(
    api: Api, repo: str, labels: Callable[[], Collection[str]], protection: Callable[[str], Protection], wanted: Wanted
) -> list[Finding]:
    found = []
    try:
        with understood(api):
            for finding in (_server(api), *_account(api, repo)):
                found.append(finding)
    except LabError as error:
        return [*found, told("forge", error)]
    names, hook, branches = wanted
    found += [_tried(name, check) for name, check in _rights(api, repo)]
    found.append(_one("forge labels", lambda: _labels(labels, names)))
    if hook:
        found.append(_one("forge hook", lambda: _hook(api, repo, hook)))
    found += [_one(f"forge branch {branch}", lambda b=branch: _branch(protection, b)) for branch in sorted(branches)]  # type: ignore[misc]
    return found


def _server(api: Api) -> Finding:
    return Finding("forge", OK, f"{api.what}, version {api.get('/version')['version']}")


def _account(api: Api, repo: str) -> Iterator[Finding]:
    login = str(api.get("/user")["login"])
    try:
        lab = api.get(repo)
    except NotThere:
        yield Finding("forge repository", FAIL, f"{login} sees no {repo.removeprefix('/repos/')}",
                      "correct `forge.repo` in lab.yaml, or make the account a collaborator")  # fmt: skip
        return
    rights = lab.get("permissions") or {}
    if rights.get("admin"):
        yield Finding("forge account", OK, f"{login}, an administrator of {lab['full_name']}")
    else:
        can = "may write" if rights.get("push") else "may only read"
        yield Finding("forge account", FAIL, f"{login} {can} in {lab['full_name']}",
                      f"make {login} a collaborator with the right Administrator: nobody else is told what people may do")  # fmt: skip
    if not lab.get("has_pull_requests", True):
        yield Finding("forge repository", FAIL, "pull requests are switched off", "switch them on in its settings")


def _rights(api: Api, repo: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What is tried changes nothing: reads, and writes of what cannot be."""
    yield "forge reads pull requests", lambda: api.get(f"{repo}/pulls", state="open", limit=1)
    yield "forge reads what people did", lambda: api.get(f"{repo}/issues/comments", limit=1)
    yield (
        "forge reads what people may do",
        lambda: api.get(f"{repo}/collaborators/{api.get('/user')['login']}/permission"),
    )
    yield "forge reads hooks", lambda: api.get(f"{repo}/hooks", limit=1)
    yield "forge reads rules of branches", lambda: api.get(f"{repo}/branch_protections")
    yield "forge writes comments", lambda: api.send("DELETE", f"{repo}/issues/comments/0")
    # statuses take the same scope as hooks; one of a commit that is not there is answered with 500
    yield "forge writes hooks and statuses", lambda: api.send("DELETE", f"{repo}/hooks/0")


def _tried(name: str, check: Callable[[], Any]) -> Finding:
    try:
        check()
    except NotThere:
        pass  # of what cannot be: it would have been allowed
    except Refused as error:
        if "→ 403" in error.message or "→ 401" in error.message:
            return Finding(name, FAIL, error.message, _SCOPES)
    except LabError as error:
        return told(name, error)
    return Finding(name, OK, "allowed")


def _one(name: str, check: Callable[[], tuple[str, str, str]]) -> Finding:
    try:
        result, text, mend = check()
    except LabError as error:
        return told(name, error)
    return Finding(name, result, text, mend)


def _labels(there: Callable[[], Collection[str]], wanted: Collection[str]) -> tuple[str, str, str]:
    missing = sorted(set(wanted) - set(there()))
    if missing:
        return WARN, f"not there: {', '.join(missing)}", "`lab forge setup` makes them"
    return OK, ", ".join(sorted(wanted)) or "none is wanted", ""


def _hook(api: Api, repo: str, url: str) -> tuple[str, str, str]:
    found = hooks_of(api, repo, url)
    if not found:
        return (
            WARN,
            f"no hook to {url}: changes are seen when it is polled next",
            "`lab forge setup --hook URL` makes it",
        )
    wrong = [amiss(hook) for hook in found]
    if all(wrong):
        return WARN, f"the hook to {url}: {wrong[0]}", "`lab forge setup --hook URL` mends it"
    return OK, f"to {url} (its secret cannot be read back)", ""


def _branch(protection: Callable[[str], Protection], branch: str) -> tuple[str, str, str]:
    found = protection(branch)
    if found.on:
        return OK, found.words, ""
    mend = "protect it: pushes by listed people only, and at least one review before merging"
    return WARN, f"not protected{': ' * bool(found.words)}{found.words}", mend
