"""A GitLab project's state as its REST API v4 shows it, and what people do to it. Rows are JSON as it is answered.

Times are the world's own: each act takes ten seconds. What GitLab does in the background is told by `note_lag`.
"""

import hashlib
import itertools
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]
HOST = "https://gitlab.example"
PROJECT, FORK = 42, 4242
LEVELS = {"guest": 10, "planner": 15, "reporter": 20, "developer": 30, "maintainer": 40, "owner": 50}

# Of GitLab's quick actions, those that would hurt; it takes carriage returns out first
_QUICK = re.compile(
    r"^/(close|merge|approve|label|unlabel|assign|reopen|draft|ready)(?: ([^\n]*))?\s*(?:\n|$)", re.MULTILINE
)


@dataclass
class Token:
    user: int
    scopes: tuple[str, ...] = ("api",)
    expires_at: str | None = "2026-12-31"


@dataclass
class World:
    path: str = "ml/labs/vision"
    note_lag: float = 0.0  # seconds from an approval to its system note
    tells_when: bool = True  # whether approvals have `approved_at`
    signs: bool = True  # 19.0 and newer: webhooks may have a signing token
    premium: bool = True
    reset_on_push: bool = False

    users: dict[int, Json] = field(default_factory=dict)
    members: dict[int, Json] = field(default_factory=dict)  # of the project, inherited ones too
    groups: dict[str, list[Json]] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    requests: dict[int, Json] = field(default_factory=dict)  # merge requests by iid
    approvals: dict[int, dict[int, str]] = field(default_factory=dict)  # iid → user id → when
    notes: dict[int, list[Json]] = field(default_factory=dict)
    versions: dict[int, list[Json]] = field(default_factory=dict)
    label_events: dict[int, list[Json]] = field(default_factory=dict)
    state_events: dict[int, list[Json]] = field(default_factory=dict)
    commits: dict[int, list[Json]] = field(default_factory=dict)
    events: list[Json] = field(default_factory=list)  # newest last
    protected: list[Json] = field(default_factory=list)
    rules: list[Json] = field(default_factory=list)  # of approvals
    statuses: list[Json] = field(default_factory=list)
    labels: list[Json] = field(default_factory=list)
    hooks: dict[int, Json] = field(default_factory=dict)
    secrets: dict[int, Json] = field(default_factory=dict)  # of hooks: GitLab never answers these
    obeyed: list[str] = field(default_factory=list)  # quick actions

    def __post_init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self._ids = itertools.count(1000)

    # time

    def tick(self, seconds: float = 10) -> str:
        self.now += timedelta(seconds=seconds)
        return self.time()

    def time(self, later: float = 0) -> str:
        return (self.now + timedelta(seconds=later)).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    # people

    def user(self, name: str, *, bot: bool = False, state: str = "active") -> int:
        number = next(self._ids)
        self.users[number] = {
            "id": number, "username": name, "name": name.title(), "state": state, "locked": False, "bot": bot,
            "avatar_url": "", "web_url": f"{HOST}/{name}", "created_at": "2020-01-01T00:00:00.000Z", "public_email": "",
        }  # fmt: skip
        return number

    def member(self, name: str, role: str | int, *, expires_at: str | None = None, **more: Any) -> int:
        number = self.id_of(name) or self.user(name)
        self.members[number] = self.membership(number, role, expires_at=expires_at, **more)
        return number

    def membership(self, number: int, role: str | int, *, expires_at: str | None = None, **more: Any) -> Json:
        level = LEVELS[role] if isinstance(role, str) else role
        return {
            **self.basic(number),
            "access_level": level,
            "expires_at": expires_at,
            "membership_state": "active",
            **more,
        }

    def id_of(self, name: str) -> int | None:
        return next((n for n, user in self.users.items() if user["username"].lower() == name.lower()), None)

    def one(self, name: str) -> int:
        found = self.id_of(name)
        return found if found is not None else self.user(name)

    def basic(self, number: int) -> Json:
        keys = ("id", "username", "name", "state", "locked", "avatar_url", "web_url", "public_email")
        return {key: self.users[number][key] for key in keys}

    # merge requests

    def open(self, iid: int, head: str, author: str, *, base: str = "main", fork: bool = False, **more: Any) -> Json:
        number, now = self.one(author), self.tick()
        self.requests[iid] = {
            "id": 7000 + iid, "iid": iid, "project_id": PROJECT, "title": f"Change {iid}", "description": "", "state": "opened",
            "created_at": now, "updated_at": now, "web_url": f"{HOST}/{self.path}/-/merge_requests/{iid}",
            "target_branch": base, "source_branch": f"change-{iid}", "author": self.basic(number), "labels": [], "draft": False,
            "work_in_progress": False, "sha": head, "user_notes_count": 0, "detailed_merge_status": "mergeable",
            "source_project_id": FORK if fork else PROJECT, "target_project_id": PROJECT, "merged_at": None, **more,
        }  # fmt: skip
        for rows in (self.notes, self.versions, self.label_events, self.state_events, self.commits):
            rows[iid] = []
        self.approvals[iid] = {}
        if head:
            self._version(iid, head)
            self.commit(iid, head, f"{author}@example.org")
            if not fork:
                self.pushed(f"change-{iid}", head, author)
        return self.requests[iid]

    def push(self, iid: int, head: str, by: str) -> None:
        self.tick()
        self.pushed(self.requests[iid]["source_branch"], head, by)
        self.commit(iid, head, f"{by}@example.org")
        self._version(iid, head)
        self._touch(iid, sha=head)
        if self.reset_on_push:
            for number in self.approvals[iid]:
                gone = self.users[number]["username"]
                self.note(iid, f"reset approvals from @{gone} by pushing to the branch", by, system=True)
            self.approvals[iid].clear()

    def aim(self, iid: int, base: str, by: str) -> None:
        self.tick()
        old = self.requests[iid]["target_branch"]
        self.note(iid, f"changed target branch from `{old}` to `{base}`", by, system=True)
        self._touch(iid, target_branch=base)

    def draft(self, iid: int, by: str, *, on: bool) -> None:
        self.tick()
        self.note(iid, f"marked this merge request as **{'draft' if on else 'ready'}**", by, system=True)
        self._touch(iid, draft=on, work_in_progress=on)

    def turn(self, iid: int, state: str, by: str) -> None:
        """To closed, merged or reopened."""
        event = {"id": next(self._ids), "user": self.basic(self.one(by)), "created_at": self.tick(), "state": state}
        self.state_events[iid].append({**event, "resource_type": "MergeRequest", "resource_id": 7000 + iid})
        self._touch(iid, state="opened" if state == "reopened" else state)

    def approve(self, iid: int, by: str) -> None:
        number, now = self.one(by), self.tick()
        self.approvals[iid][number] = now
        self.note(iid, "approved this merge request", by, system=True, lag=self.note_lag)
        self._touch(iid)

    def unapprove(self, iid: int, by: str) -> None:
        self.tick()
        self.approvals[iid].pop(self.one(by))
        self.note(iid, "unapproved this merge request", by, system=True)
        self._touch(iid)

    def label(self, iid: int, name: str, by: str, *, on: bool = True) -> None:
        now, labels = self.tick(), self.requests[iid]["labels"]
        self._touch(iid, labels=[*labels, name] if on else [label for label in labels if label != name])
        self.label_events[iid].append({
            "id": next(self._ids), "user": self.basic(self.one(by)), "created_at": now, "resource_type": "MergeRequest",
            "resource_id": 7000 + iid, "label": {"id": 1, "name": name, "color": "#6699cc", "description": None},
            "action": "add" if on else "remove",
        })  # fmt: skip

    def note(self, iid: int, body: str, by: str, *, system: bool = False, lag: float = 0) -> Json:
        if not system:
            self.tick()
            self._touch(iid, user_notes_count=self.requests[iid]["user_notes_count"] + 1)
        at = self.time(lag)
        made = {
            "id": next(self._ids), "type": None, "body": body if system else self._obey(body), "attachment": None,
            "author": self.basic(self.one(by)), "created_at": at, "updated_at": at, "system": system,
            "noteable_id": 7000 + iid, "noteable_type": "MergeRequest", "noteable_iid": iid, "project_id": PROJECT,
            "resolvable": False, "confidential": False, "internal": False,
        }  # fmt: skip
        self.notes[iid].append(made)
        return made

    def edit(self, iid: int, note: int, body: str) -> Json:
        found = next(n for n in self.notes[iid] if n["id"] == note)
        found.update(body=self._obey(body), updated_at=self.tick())
        self._touch(iid)
        return found

    def _obey(self, body: str) -> str:
        body = body.replace("\r", "")
        self.obeyed += [match[1] for match in _QUICK.finditer(body)]
        return _QUICK.sub("", body)

    def commit(self, iid: int, sha: str, email: str) -> None:
        self.commits[iid].append({
            "id": sha, "short_id": sha[:8], "title": "Work", "message": "Work\n", "author_name": "Somebody", "author_email": email,
            "committer_name": "Somebody", "committer_email": email, "created_at": self.time(),
        })  # fmt: skip

    def pushed(self, branch: str, commit: str | None, by: str, *, kind: str = "branch") -> None:
        number = self.one(by)
        push = {
            "commit_count": 1,
            "action": "pushed",
            "ref_type": kind,
            "commit_from": None,
            "commit_to": commit,
            "ref": branch,
        }
        self.events.append({
            "id": next(self._ids), "project_id": PROJECT, "action_name": "pushed to", "target_id": None, "target_type": None,
            "author_id": number, "target_title": None, "created_at": self.time(), "author": self.basic(number),
            "author_username": self.users[number]["username"], "push_data": {**push, "commit_title": "Work"},
        })  # fmt: skip

    def has(self, commit: str) -> bool:
        heads = {version["head_commit_sha"] for rows in self.versions.values() for version in rows}
        return commit in heads | {event["push_data"]["commit_to"] for event in self.events}

    def rule(self, reviews: int, *branches: str) -> None:
        self.rules.append({
            "id": next(self._ids), "name": "reviews", "rule_type": "regular", "approvals_required": reviews, "users": [],
            "groups": [], "eligible_approvers": [], "contains_hidden_groups": False,
            "protected_branches": [rule for rule in self.protected if rule["name"] in branches],
        })  # fmt: skip

    def protect(self, name: str, *levels: tuple[int, str], **more: Any) -> None:
        access = [
            {
                "id": next(self._ids),
                "access_level": level,
                "access_level_description": words,
                "user_id": None,
                "group_id": None,
            }
            for level, words in levels
        ]
        self.protected.append({
            "id": next(self._ids), "name": name, "push_access_levels": access, "merge_access_levels": [],
            "allow_force_push": False, "code_owner_approval_required": False, **more,
        })  # fmt: skip

    def etag(self, body: bytes) -> str:
        return f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'

    def _version(self, iid: int, head: str) -> None:
        base = hashlib.sha1(b"base").hexdigest()
        self.versions[iid].insert(0, {
            "id": next(self._ids), "head_commit_sha": head, "base_commit_sha": base, "start_commit_sha": base,
            "created_at": self.time(), "merge_request_id": 7000 + iid, "state": "collected", "real_size": "1",
        })  # fmt: skip

    def _touch(self, iid: int, **changes: Any) -> None:
        self.requests[iid].update(changes, updated_at=self.time())
