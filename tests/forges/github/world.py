"""What lies in the fake: one repository, its people and their pull requests. People act on it through methods, as on github.com.

`tick` seconds pass at each act, half of them before it is written down and half after, so that two acts never share a second unless
a test wants it (`tick = 0`).
"""

import itertools
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any


@dataclass
class Token:
    """Of a person: fine-grained where `permissions` is given, else classic with `scopes`."""

    login: str
    permissions: dict[str, str] | None = None
    scopes: str = "repo"
    ends: datetime | None = None
    app: bool = False  # of the installation


@dataclass
class Branch:
    commit: str
    rules: list[dict[str, Any]] = field(default_factory=list)
    older: dict[str, Any] | None = None  # the branch protection rule


@dataclass
class World:
    owner: str = "ml"
    name: str = "vision"
    private: bool = True
    archived: bool = False
    free_plan: bool = False
    tick: float = 4.0
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.ids = itertools.count(1001)
        self.people: dict[str, dict[str, Any]] = {}
        self.roles: dict[str, tuple[str, str]] = {}  # login → (permission, role_name)
        self.teams: dict[tuple[str, str], list[str]] = {}
        self.tokens: dict[str, Token] = {}
        self.pulls: dict[int, dict[str, Any]] = {}
        self.labels: dict[str, dict[str, Any]] = {}
        self.branches: dict[str, Branch] = {"main": Branch("0" * 39 + "1")}
        self.activity: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = []
        self.checks: dict[int, dict[str, Any]] = {}
        self.hooks: dict[int, dict[str, Any]] = {}
        self.app: dict[str, Any] = {}
        self.asked: Counter[str] = Counter()
        self.spent: Counter[str] = Counter()  # requests of a token that count: a 304 does not
        self.limit = 5000

    # acts

    def person(self, login: str, type: str = "User") -> dict[str, Any]:
        return self.people.setdefault(login, {"login": login, "id": next(self.ids), "type": type})

    def grant(self, login: str, role_name: str, permission: str = "") -> None:
        self.person(login)
        base = {"maintain": "write", "triage": "read"}.get(role_name, role_name)
        self.roles[login] = (permission or base, role_name)

    def open(self, number: int, head: str, author: str, *, base: str = "main", fork: bool = False, **more: Any) -> int:
        at = self._begin()
        self.person(author)
        self.pulls[number] = {
            "number": number,
            "title": f"Change {number}",
            "author": author,
            "head": head,
            "head_branch": f"change-{number}",
            "base": base,
            "base_sha": self.branches[base].commit,
            "fork": fork,
            "draft": False,
            "state": "open",
            "merged_at": None,
            "created": at,
            "updated": at,
            "labels": [],
            "reviews": [],
            "events": [],
            "comments": [],
            "commits": [(head, author, author)],
            **more,
        }
        self._end()
        return number

    def change(self, number: int, **changes: Any) -> None:
        """A push (`head=`), another base, title, draft or state."""
        pull = self._touch(number)
        kinds = {
            "base_ref_changed": changes.get("base", pull["base"]) != pull["base"],
            "ready_for_review": pull["draft"] and changes.get("draft") is False,
            "reopened": pull["state"] == "closed" and changes.get("state") == "open",
        }
        for kind in [kind for kind, happened in kinds.items() if happened]:
            pull["events"].append({"id": next(self.ids), "event": kind, "by": pull["author"], "at": pull["updated"]})
        if head := changes.get("head"):
            pull["commits"].append((head, changes.pop("by", pull["author"]), pull["author"]))
        pull.update(changes)
        self._end()

    def put_label(self, number: int, label: str, by: str | None, *, on: bool = True) -> None:
        pull = self._touch(number)
        if by:
            self.person(by)
        if on != (label in pull["labels"]):
            (pull["labels"].append if on else pull["labels"].remove)(label)
            kind = "labeled" if on else "unlabeled"
            pull["events"].append(
                {"id": next(self.ids), "event": kind, "label": label, "by": by, "at": pull["updated"]}
            )
        self._end()

    def review(self, number: int, by: str | None, state: str = "APPROVED", commit: str | None = "") -> int:
        pull = self._touch(number)
        if by:
            self.person(by)
        made = {"id": next(self.ids), "by": by, "state": state, "at": pull["updated"]}
        pull["reviews"].append({**made, "commit": pull["head"] if commit == "" else commit})
        self._end()
        return int(made["id"])

    def dismiss(self, number: int, review: int, by: str) -> None:
        pull = self._touch(number)
        for it in pull["reviews"]:
            if it["id"] == review:
                it["state"] = "DISMISSED"
        made = {"id": next(self.ids), "event": "review_dismissed", "review": review, "by": by, "at": pull["updated"]}
        pull["events"].append(made)
        self._end()

    def write(self, number: int, body: str, by: str | None) -> dict[str, Any]:
        pull = self._touch(number)
        if by:
            self.person(by)
        at = pull["updated"]
        made = {"id": next(self.ids), "number": number, "body": body, "by": by, "at": at, "edited": at}
        pull["comments"].append(made)
        self._end()
        return made

    def edit(self, comment: int, body: str) -> dict[str, Any]:
        it = next(it for pull in self.pulls.values() for it in pull["comments"] if it["id"] == comment)
        it["edited"] = self._touch(it["number"])["updated"]
        it["body"] = body
        self._end()
        return it

    def erase(self, comment: int) -> None:
        it = next(it for pull in self.pulls.values() for it in pull["comments"] if it["id"] == comment)
        self._touch(it["number"])["comments"].remove(it)
        self._end()

    def push(self, branch: str, commit: str, by: str | None, kind: str = "push") -> None:
        at = self._begin()
        if by:
            self.person(by)
        there = self.branches.setdefault(branch, Branch("0" * 40))
        made = {"id": next(self.ids), "before": there.commit, "after": commit, "branch": branch, "by": by, "kind": kind}
        self.activity.insert(0, {**made, "at": at})
        there.commit = commit
        self._end()

    def a_label(self, name: str, description: str = "", color: str = "ededed") -> dict[str, Any]:
        made = {"id": next(self.ids), "name": name, "description": description, "color": color}
        return self.labels.setdefault(name, made)

    def require_reviews(self, branch: str, count: int) -> None:
        """By a ruleset."""
        parameters = {
            "required_approving_review_count": count,
            "dismiss_stale_reviews_on_push": False,
            "require_code_owner_review": False,
            "require_last_push_approval": False,
            "required_review_thread_resolution": False,
        }
        self.branches[branch].rules.append({"type": "pull_request", "parameters": parameters})

    def stamp(self) -> str:
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _begin(self) -> str:
        self.now += timedelta(seconds=self.tick / 2)
        return self.stamp()

    def _end(self) -> None:
        self.now += timedelta(seconds=self.tick / 2)

    def _touch(self, number: int) -> dict[str, Any]:
        at = self._begin()
        self.pulls[number]["updated"] = at
        return self.pulls[number]
