"""What people do on a real Forgejo, for the forge suite and for whoever needs a forge: each world is a repository of its own."""

import base64
import itertools
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from labwright.adapters.clock import SystemClock
from labwright.adapters.forges.forgejo import ForgejoForge
from labwright.domain.forge import Light, Opinion, Role, Status
from tests.real.forge.server import ForgejoServer

WRITERS = ("ben", "cleo", "dora")
ROLES = {Role.READ: "read", Role.WRITE: "write", Role.ADMIN: "admin"}
_VERDICTS = {Opinion.APPROVED: "APPROVED", Opinion.CHANGES: "REQUEST_CHANGES", Opinion.COMMENT: "COMMENT"}
_names = itertools.count(1)


class ForgejoWorld:
    """ada's; `owner` may be an organisation that is there."""

    def __init__(self, server: ForgejoServer, *, owner: str = "ada", name: str = "") -> None:
        self.server = server
        self.repo = f"{owner}/{name or f'vision-{next(_names)}'}"
        body = {"name": self.repo.partition("/")[2], "auto_init": True, "default_branch": "main"}
        server.api("POST", "/user/repos" if owner == "ada" else f"/orgs/{owner}/repos", body, who="ada")
        self.let("labwright", Role.ADMIN)
        for who in WRITERS:
            self.let(who, Role.WRITE)
        self.forge = self.with_token(server.tokens["labwright"])
        self._label_ids: dict[str, int] = {}
        self._branches: dict[int, tuple[str, str]] = {}  # of each pull request: repository and branch

    def with_token(self, token: str) -> ForgejoForge:
        return ForgejoForge(self.server.url, self.repo, lambda: token)

    def away(self) -> ForgejoForge:
        return ForgejoForge("http://127.0.0.1:9", self.repo, lambda: "0" * 40)

    def stranger(self) -> ForgejoForge:
        return self.with_token("0" * 40)

    def settle(self) -> None:
        time.sleep(3.1)  # its times have whole seconds

    def api(self, method: str, path: str, body: Any = None, *, who: str = "ada") -> Any:
        """Below the repository."""
        return self.server.api(method, f"/repos/{self.repo}{path}", body, who=who)

    def open(self, by: str = "cleo", *, title: str = "Change", base: str = "main", fork: bool = False) -> int:
        branch, repo = f"change-{next(_names)}", self.repo
        if fork:
            repo = self._fork(by)
        self._commit(repo, by, base, branch)
        head = f"{by}:{branch}" if fork else branch
        made = self.api("POST", "/pulls", {"title": title, "head": head, "base": base}, who=by)
        self._branches[made["number"]] = (repo, branch)
        return int(made["number"])

    def push(self, number: int, by: str) -> str:
        repo, branch = self._branches[number]
        sha = self._commit(repo, by, branch)
        self.wait_for_head(number, sha)
        return sha

    def wait_for_head(self, number: int, sha: str) -> None:
        """Forgejo tells itself of a push a little later."""
        deadline = time.monotonic() + 20
        while self.api("GET", f"/pulls/{number}")["head"]["sha"] != sha:
            assert time.monotonic() < deadline, "the push does not reach the pull request"
            time.sleep(0.02)
        self._wait_for_event(number, sha)

    def rename(self, number: int, title: str, by: str) -> None:
        self.api("PATCH", f"/pulls/{number}", {"title": title}, who=by)

    def aim(self, number: int, base: str, by: str) -> None:
        if base not in {branch["name"] for branch in self.api("GET", "/branches")}:
            self.api("POST", "/branches", {"new_branch_name": base, "old_branch_name": "main"})
        self.api("PATCH", f"/pulls/{number}", {"base": base}, who=by)

    def shut(self, number: int, by: str) -> None:
        self.api("PATCH", f"/pulls/{number}", {"state": "closed"}, who=by)

    def reopen(self, number: int, by: str) -> None:
        self.api("PATCH", f"/pulls/{number}", {"state": "open"}, who=by)

    def merge(self, number: int, by: str) -> None:
        deadline = time.monotonic() + 20
        while self.api("GET", f"/pulls/{number}")["mergeable"] is not True:
            assert time.monotonic() < deadline, "it is never found mergeable"
            time.sleep(0.05)
        self.api("POST", f"/pulls/{number}/merge", {"Do": "merge"}, who=by)

    def put_label(self, number: int, label: str, by: str, *, on: bool = True) -> None:
        if on:
            self._outlive_its_first_second(number)
            self.api("POST", f"/issues/{number}/labels", {"labels": [self._label(label)]}, who=by)
        else:
            self.api("DELETE", f"/issues/{number}/labels/{self._label(label)}", who=by)

    def review(self, number: int, by: str, opinion: Opinion = Opinion.APPROVED) -> str:
        body = {"event": _VERDICTS[opinion], "body": "looked at it"}
        return str(self.api("POST", f"/pulls/{number}/reviews", body, who=by)["id"])

    def dismiss(self, number: int, review: str, by: str) -> None:
        self.api("POST", f"/pulls/{number}/reviews/{review}/dismissals", {"message": "no"}, who=by)

    def write(self, number: int, body: str, by: str) -> str:
        return str(self.api("POST", f"/issues/{number}/comments", {"body": body}, who=by)["id"])

    def edit(self, number: int, comment: str, body: str, by: str) -> None:
        self.api("PATCH", f"/issues/comments/{comment}", {"body": body}, who=by)

    def erase(self, number: int, comment: str, by: str) -> None:
        self.api("DELETE", f"/issues/comments/{comment}", who=by)

    def let(self, login: str, role: Role) -> None:
        path = f"/collaborators/{login}"
        if role == Role.NONE:
            self.api("DELETE", path)
        else:
            self.api("PUT", path, {"permission": ROLES[role]})

    def make_team(self, name: str, members: Collection[str]) -> str:
        org, api = f"acme-{next(_names)}", self.server.api
        api("POST", "/orgs", {"username": org})
        body = {"name": name, "permission": "write", "units": ["repo.code", "repo.pulls"]}
        team = api("POST", f"/orgs/{org}/teams", body)["id"]
        for login in (*members, "labwright"):
            api("PUT", f"/teams/{team}/members/{login}")
        return f"@{org}/{name}"

    def protect(self, branch: str, *, reviews: int = 0, pushers: Sequence[str] = ()) -> None:
        body = {
            "rule_name": branch,
            "required_approvals": reviews,
            "enable_push": bool(pushers),
            "enable_push_whitelist": bool(pushers),
            "push_whitelist_usernames": list(pushers),
        }
        self.api("POST", "/branch_protections", body)

    def commit(self, by: str, branch: str = "main") -> str:
        names = {each["name"] for each in self.api("GET", "/branches")}
        sha = self._commit(self.repo, by, *((branch,) if branch in names else ("main", branch)))
        self._wait_for_feed(sha)
        return sha

    def statuses(self, commit: str) -> Mapping[str, Status]:
        shown = self.api("GET", f"/commits/{commit}/status")["statuses"] or ()
        return {
            each["context"]: Status(each["context"], Light(each["status"]), each["description"], each["target_url"])
            for each in shown
        }

    def labels(self) -> Collection[str]:
        return [label["name"] for label in self.api("GET", "/labels")]

    def hooks(self) -> Sequence[str]:
        return [hook["config"]["url"] for hook in self.api("GET", "/hooks")]

    def _outlive_its_first_second(self, number: int) -> None:
        """Nobody puts a label on so fast, and what comes so early is taken for what it was opened with."""
        opened = datetime.fromisoformat(self.api("GET", f"/pulls/{number}")["created_at"])
        time.sleep(max(0.0, 1.05 - (SystemClock().now() - opened).total_seconds()))

    def _label(self, name: str) -> int:
        if name not in self._label_ids:
            there = {label["name"]: label["id"] for label in self.api("GET", "/labels")}
            body = {"name": name, "color": "#00ff00"}
            self._label_ids[name] = there.get(name) or self.api("POST", "/labels", body)["id"]
        return self._label_ids[name]

    def _commit(self, repo: str, by: str, branch: str, new: str = "") -> str:
        body = {"content": base64.b64encode(b"text").decode(), "message": "change", "branch": branch}
        path = f"/repos/{repo}/contents/{quote(f'notes/{next(_names)}.md')}"
        return str(self.server.api("POST", path, body | ({"new_branch": new} if new else {}), who=by)["commit"]["sha"])

    def _fork(self, by: str) -> str:
        name = self.repo.partition("/")[2]
        self.api("POST", "/forks", {}, who=by)
        return f"{by}/{name}"

    def _wait_for_event(self, number: int, sha: str) -> None:
        deadline = time.monotonic() + 20
        while not any(
            sha in (each["body"] or "") for each in self.api("GET", f"/issues/{number}/timeline?limit=50&page=1") or ()
        ):
            if time.monotonic() > deadline:
                return  # further down
            time.sleep(0.02)

    def _wait_for_feed(self, sha: str) -> None:
        deadline = time.monotonic() + 20
        while not any(sha in each["content"] for each in self.api("GET", "/activities/feeds?limit=20")):
            assert time.monotonic() < deadline, "the push does not reach the activities"
            time.sleep(0.02)
