"""`lab doctor forge` for GitLab: address, token, what it may do, and what of the project's settings counts."""

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, date
from email.utils import parsedate_to_datetime
from typing import Any

from labwright.adapters.forges.api import Answer, Api
from labwright.adapters.forges.gitlab.parse import Json, readable
from labwright.domain.errors import LabError, Refused
from labwright.domain.finding import FAIL, OK, WARN, Finding, told
from labwright.domain.forge import Protection

HOOK_EVENTS = ("push_events", "merge_requests_events", "note_events")

_DEVELOPER, _MAINTAINER = 30, 40
_ROLES = {50: "Owner", 40: "Maintainer", 30: "Developer", 20: "Reporter", 15: "Planner", 10: "Guest"}
_SOON = 14  # days


def hook_is_right(hook: Json) -> bool:
    """As far as GitLab shows it: not the secret."""
    events = all(hook.get(name) for name in HOOK_EVENTS)
    secret = hook.get("token_present", True) or hook.get("signing_token_present")  # both are told from 19.0 on
    able = hook.get("alert_status", "executable") == "executable" and hook.get("enable_ssl_verification", True)
    return bool(events and secret and able)


class Examiner:
    def __init__(self, api: Api, project: str, protection: Callable[[str], Protection]) -> None:
        self._api, self._project, self._protection = api, project, protection

    def examine(self, labels: Collection[str], hook: str, branches: Collection[str]) -> list[Finding]:
        found = [*self._checked("forge", self._address)]
        if found[0].result == FAIL:
            return found  # the rest would say the same
        found += self._checked("token", self._token)
        found += self._checked("role", lambda: self._role(hook))
        found += self._checked("labels", lambda: self._labels(labels))
        if hook:
            found += self._checked("hook", lambda: self._hook(hook))
        for branch in branches:
            found += self._checked(f"branch {branch}", lambda branch=branch: self._branch(branch))  # type: ignore[misc]
        return [*found, *self._checked("approvals", self._approvals)]

    def _checked(self, check: str, look: Callable[[], Iterator[Finding]]) -> list[Finding]:
        try:
            with readable(check):
                return list(look())
        except LabError as error:
            return [told(check, error)]

    def _address(self) -> Iterator[Finding]:
        project = self._api.get(self._project)
        version = self._version()
        yield Finding(
            "forge", OK, f"{project['path_with_namespace']} at {self._api.url.removesuffix('/api/v4')}{version}"
        )
        if project.get("archived"):
            yield Finding(
                "forge",
                FAIL,
                "the project is archived: nothing can be written",
                "unarchive it, or correct `forge.repo`",
            )

    def _version(self) -> str:
        try:
            return f", GitLab {self._api.get('/metadata')['version']}"
        except LabError:
            return ""  # some tokens may not ask: nothing hangs on it

    def _token(self) -> Iterator[Finding]:
        answer = self._api.ask("/personal_access_tokens/self")
        token = answer.body
        scopes = set(token["scopes"])
        if "api" not in scopes:
            mend = "make a project access token with the scope `api`"
            yield Finding("token", FAIL, f"its scopes are {', '.join(sorted(scopes)) or 'none'}: it cannot write", mend)
        elif more := scopes - {"api"}:
            yield Finding(
                "token", WARN, f"may more than it needs: {', '.join(sorted(more))}", "the scope `api` is enough"
            )
        else:
            yield Finding("token", OK, f"`{token['name']}`, scope api")
        yield from _expiry(token, answer)

    def _role(self, hook: str) -> Iterator[Finding]:
        permissions = self._api.get(self._project).get("permissions") or {}
        parts = [permissions.get(key) or {} for key in ("project_access", "group_access")]
        level = max(int(part.get("access_level") or 0) for part in parts)
        name = _ROLES.get(level, f"level {level}")
        if level < _DEVELOPER:
            text = f"the token's role is {name}: it may neither set a status nor take a label off"
            yield Finding("role", FAIL, text, "give it the role Developer")
        elif hook and level < _MAINTAINER:
            text = f"the token's role is {name}: it cannot look after the webhook"
            yield Finding(
                "role",
                WARN,
                text,
                "add the webhook by hand (docs/spec/forge-gitlab.md), or give the token the role Maintainer",
            )
        elif level > _MAINTAINER:
            yield Finding(
                "role", WARN, f"the token's role is {name}, more than it needs", "Developer is enough without a webhook"
            )
        else:
            yield Finding("role", OK, name)

    def _labels(self, labels: Collection[str]) -> Iterator[Finding]:
        there = {label["name"] for label in self._api.pages(f"{self._project}/labels", per_page=100)}
        missing = sorted(set(labels) - there)
        if missing:
            yield Finding("labels", WARN, f"not there: {', '.join(missing)}", "`lab forge setup` makes them")
        else:
            yield Finding("labels", OK, ", ".join(sorted(labels)) or "none is wanted")

    def _hook(self, url: str) -> Iterator[Finding]:
        found = [hook for hook in self._api.pages(f"{self._project}/hooks", per_page=100) if hook["url"] == url]
        if not found:
            yield Finding(
                "hook",
                WARN,
                f"none for {url}: changes are seen at the next poll only",
                "`lab forge setup` adds it",
            )
        elif (status := found[0].get("alert_status", "executable")) != "executable":
            text = f"GitLab switched it off ({status}) after deliveries that failed"
            yield Finding("hook", FAIL, text, "see Settings → Webhooks → its recent events, mend that, and press Test")
        elif not hook_is_right(found[0]):
            missing = [name for name in HOOK_EVENTS if not found[0].get(name)]
            text = (
                f"is not as it should be: {', '.join(missing) or 'no secret token, or certificates are not verified'}"
            )
            yield Finding("hook", FAIL, text, "`lab forge setup` corrects it")
        else:
            yield Finding("hook", OK, url)

    def _branch(self, branch: str) -> Iterator[Finding]:
        found = self._protection(branch)
        if found.on:
            yield Finding(f"branch {branch}", OK, found.words)
        else:
            mend = "protect it (Settings → Repository), with pushes by maintainers or nobody; else its pushes wait for a word"
            yield Finding(f"branch {branch}", WARN, found.words or "not protected", mend)

    def _approvals(self) -> Iterator[Finding]:
        """Premium. Without it approvals still count: Labwright ties each to the version that it was given for."""
        try:
            rules: dict[str, Any] = self._api.get(f"{self._project}/approvals")
        except Refused:
            text = "no approval rules here (they need GitLab Premium): GitLab demands none, `policy.approve` does"
            yield Finding("approvals", OK, text)
            return
        if rules.get("reset_approvals_on_push"):
            yield Finding("approvals", OK, "a push takes approvals away, at GitLab too")
        else:
            text = "GitLab keeps approvals when somebody pushes; Labwright does not count these for the new commit"
            yield Finding("approvals", OK, text)


def _expiry(token: Json, answer: Answer) -> Iterator[Finding]:
    ends = token.get("expires_at")
    if not ends or "date" not in answer.headers:
        return
    left = (date.fromisoformat(ends[:10]) - parsedate_to_datetime(answer.headers["date"]).astimezone(UTC).date()).days
    if left <= _SOON:
        yield Finding(
            "token",
            WARN,
            f"runs out in {left} days, on {ends}",
            "rotate it, and replace the secret that `forge.token` names",
        )
