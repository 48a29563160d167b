"""GitHub's JSON → what Labwright knows of a forge. Shapes: https://docs.github.com/rest (API version 2022-11-28).

Nothing here asks anybody. What is missing or unknown is read as what allows least: a review without a commit approves nothing, a
role of an unknown name counts as the most that its `permission` proves.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from labwright.domain.forge import Comment, Labelling, Opinion, Person, Protection, Pull, Review, Role

NOBODY = Person("")  # whose account is gone: GitHub says `null`, or shows `ghost`, who is nobody either

_OPINIONS = {
    "APPROVED": Opinion.APPROVED,
    "CHANGES_REQUESTED": Opinion.CHANGES,
    "DISMISSED": Opinion.DISMISSED,
}
_RESETS = {"reopened", "ready_for_review", "base_ref_changed", "automatic_base_change_succeeded"}
_ROLES = {
    "admin": Role.ADMIN,
    "maintain": Role.WRITE,
    "write": Role.WRITE,
    "triage": Role.TRIAGE,
    "read": Role.READ,
}
_CEILINGS = {"admin": Role.ADMIN, "write": Role.WRITE, "read": Role.TRIAGE}  # of `permission`: triage is told as read
_CERTAIN = {"admin": Role.WRITE, "write": Role.WRITE, "read": Role.READ}  # of a custom role: none of them is an admin


def when(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def person(user: Mapping[str, Any] | None) -> Person:
    if not user or user.get("login") in (None, "", "ghost"):
        return NOBODY
    login = str(user["login"])
    return Person(login, user.get("type") == "Bot" or login.endswith("[bot]"))


def pull(it: Mapping[str, Any]) -> Pull:
    """Of the list, of one alone, and of a delivery: `updated` is the same text in all of them."""
    head, base = it["head"], it["base"]
    made = Pull(
        number=it["number"],
        title=it["title"],
        author=person(it["user"]),
        head=head["sha"],
        head_branch=head["ref"],
        ref=f"refs/pull/{it['number']}/head",
        base=base["ref"],
        url=it["html_url"],
        updated="",
        labels=frozenset(label["name"] for label in it["labels"]),
        fork=not head["repo"] or head["repo"]["id"] != base["repo"]["id"],  # null: the fork was deleted
        draft=bool(it.get("draft")),
        open=it["state"] == "open",
        merged=bool(it.get("merged_at")),
    )
    return replace(made, updated=f"{it['updated_at']} {_digest(made)}")


def _digest(it: Pull) -> str:
    """`updated_at` has whole seconds, and two things may happen in one of them."""
    seen = [it.head, it.base, it.title, it.draft, it.open, it.merged, sorted(it.labels)]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:16]


def reviews(items: Iterable[Mapping[str, Any]]) -> tuple[Review, ...]:
    """Without those that are not sent yet (`PENDING`: only their author sees them)."""
    found = [
        Review(
            id=str(it["id"]),
            by=person(it["user"]),
            commit=it.get("commit_id") or "",
            opinion=_OPINIONS.get(it["state"].upper(), Opinion.COMMENT),
            at=when(it["submitted_at"]),
        )
        for it in items
        if it["state"].upper() != "PENDING" and it.get("submitted_at")
    ]
    return tuple(sorted(found, key=_order))


def labellings(events: Iterable[Mapping[str, Any]]) -> tuple[Labelling, ...]:
    """Of all events of a pull request."""
    found = [
        Labelling(
            str(it["id"]), it["label"]["name"], person(it["actor"]), when(it["created_at"]), it["event"] == "labeled"
        )
        for it in events
        if it["event"] in ("labeled", "unlabeled")
    ]
    return tuple(sorted(found, key=_order))


def reset(events: Iterable[Mapping[str, Any]]) -> datetime | None:
    """When it became another matter than what people looked at before, of all events of a pull request."""
    return max((when(it["created_at"]) for it in events if it["event"] in _RESETS), default=None)


def comments(items: Iterable[Mapping[str, Any]]) -> tuple[Comment, ...]:
    found = [
        Comment(
            id=str(it["id"]),
            by=person(it["user"]),
            body=it.get("body") or "",
            at=when(it["created_at"]),
            edited=it["updated_at"] != it["created_at"],
            url=it["html_url"],
        )
        for it in items
    ]
    return tuple(sorted(found, key=_order))


def committers(commits: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Who wrote or committed them, as far as GitHub knows whose e-mail addresses they are."""
    people = (person(it[who]) for it in commits for who in ("author", "committer"))
    return frozenset(one.login for one in people if one.login)


def role(answer: Mapping[str, Any]) -> Role:
    """Of `…/collaborators/{user}/permission`: `role_name` may be that of a custom role, `permission` is none, read, write or admin."""
    permission, name = answer.get("permission") or "none", answer.get("role_name") or ""
    if name in _ROLES:
        return min(_ROLES[name], _CEILINGS.get(permission, Role.NONE))
    return _CERTAIN.get(permission, Role.NONE)


def logins(members: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(it["login"] for it in members)


def rules(items: Sequence[Mapping[str, Any]]) -> Protection:
    """Rulesets, as they hold for one branch: `…/rules/branches/{branch}`."""
    words = []
    counts = [it["parameters"]["required_approving_review_count"] for it in items if it["type"] == "pull_request"]
    if counts and max(counts):
        words.append(_review_words(max(counts)))
    if any(it["type"] == "update" for it in items):
        words.append("pushes by those who may bypass the ruleset")
    if not words and counts:
        return Protection(False, "pull requests, without a review")
    return Protection(bool(words), " and ".join(words))


def branch_protection(it: Mapping[str, Any]) -> Protection:
    """The older kind: `…/branches/{branch}/protection`."""
    words = []
    asked = it.get("required_pull_request_reviews")
    if count := asked and asked.get("required_approving_review_count", 1):
        words.append(_review_words(count))
    if (pushers := it.get("restrictions")) is not None:
        words.append("pushes by " + (", ".join(_named(pushers)) or "nobody"))
    if it.get("lock_branch", {}).get("enabled"):
        words.append("no pushes at all")
    if not words:
        return Protection(False, "pull requests, without a review" if asked else "")
    admins = "" if it.get("enforce_admins", {}).get("enabled") else " (admins are free of it)"
    return Protection(True, " and ".join(words) + admins)


def _named(pushers: Mapping[str, Any]) -> list[str]:
    users = sorted(it["login"] for it in pushers.get("users", ()))
    return [*users, *sorted(f"@{it['slug']}" for kind in ("teams", "apps") for it in pushers.get(kind, ()))]


def _review_words(count: int) -> str:
    return f"{count} review{'s' if count > 1 else ''}"


def moved_by(activities: Iterable[Mapping[str, Any]], commit: str) -> str | None:
    """Login of who moved the branch to the commit last, of activities newest first; None where it is not among them."""
    for it in activities:
        if it["after"] == commit:
            return person(it["actor"]).login
    return None


def _order(it: Review | Labelling | Comment) -> tuple[datetime, int]:
    return it.at, int(it.id)
