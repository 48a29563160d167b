"""JSON of GitLab's REST API v4 → what Labwright speaks of. No I/O.

Fields as in GitLab's `doc/api/merge_requests.md`, `notes.md`, `resource_label_events.md`, `members.md`, `protected_branches.md`.
"""

import binascii
import hashlib
import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from labwright.domain.errors import Unavailable
from labwright.domain.forge import Comment, Labelling, Person, Protection, Pull, Role

Json = Mapping[str, Any]
Who = Callable[[Json], Person]
"""A user, as any answer shows it → a person: whether it is a bot is told in another place."""

_BOT = re.compile(r"(project|group)_\d+_bot(\d*|_[0-9a-f]+)|service_account_.+|support-bot|alert-bot|ghost", re.ASCII)
_NOREPLY = re.compile(r"\d+-([A-Za-z0-9_.-]+)@users\.noreply\..+", re.ASCII)
_QUICK = re.compile(r"(\A|\n)([\r\t ]*)/(?=\S)")
_LEVELS = ((40, Role.ADMIN), (30, Role.WRITE), (20, Role.TRIAGE), (10, Role.READ))
# What an entry of the list of merge requests says of changes that may leave `updated_at` as it was
_TELLING = ("sha", "labels", "draft", "state", "title", "target_branch", "user_notes_count", "detailed_merge_status")


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Raises Unavailable for an answer in a form that is not GitLab's."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        words = f"GitLab: {what} cannot be read from its answer ({type(error).__name__})"
        raise Unavailable(words, hint="is `forge.url` the address of a GitLab server?", retry_in=60) from error


def moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"a time without a zone: {text}")
    return found


def looks_like_bot(username: str) -> bool:
    """Names that GitLab gives to access tokens' users and to its own; a human who takes one is no more than a bot."""
    return _BOT.fullmatch(username) is not None


def pull(item: Json, who: Who) -> Pull:
    number = int(item["iid"])
    return Pull(
        number=number,
        title=item["title"],
        author=who(item["author"]),
        head=item["sha"] or "",  # null while it has no commit
        head_branch=item["source_branch"],
        ref=f"refs/merge-requests/{number}/head",
        base=item["target_branch"],
        url=item["web_url"],
        updated=_updated(item),
        labels=frozenset(_label(label) for label in item["labels"]),
        # Null is a fork that is gone
        fork=item["source_project_id"] is None or item["source_project_id"] != item["target_project_id"],
        draft=bool(item["draft"]),
        open=item["state"] in ("opened", "locked"),  # locked: while it is being merged
        merged=item["state"] == "merged",
    )


def _label(label: str | Json) -> str:
    return label if isinstance(label, str) else str(label["name"])


def _updated(item: Json) -> str:
    told = json.dumps([item.get(name) for name in _TELLING], sort_keys=True, default=str)
    return f"{item['updated_at']} {hashlib.sha256(told.encode()).hexdigest()[:12]}"


def labellings(events: Iterable[Json], who: Who) -> tuple[Labelling, ...]:
    """Oldest first, without those of labels or people that are gone."""
    known = [event for event in events if event["user"] and event["label"]]
    found = [
        Labelling(str(e["id"]), e["label"]["name"], who(e["user"]), moment(e["created_at"]), e["action"] == "add")
        for e in sorted(known, key=lambda e: (moment(e["created_at"]), e["id"]))
        if e["action"] in ("add", "remove")
    ]
    return tuple(found)


def comments(notes: Iterable[Json], page: str, who: Who) -> tuple[Comment, ...]:
    """Oldest first; `page` is the merge request's. Notes of the system are nobody's words."""
    written = sorted((n for n in notes if not n["system"]), key=lambda n: (moment(n["created_at"]), n["id"]))
    return tuple(
        Comment(
            id=str(note["id"]),
            by=who(note["author"]),
            body=note["body"],
            at=moment(note["created_at"]),
            edited=_edited(note),
            url=f"{page}#note_{note['id']}",
        )
        for note in written
    )


def _edited(note: Json) -> bool:
    """`last_edited_at` where there is one. `updated_at` also moves when a thread is resolved: then a comment counts as edited
    that was not, which commands nothing and harms nobody."""
    return note.get("last_edited_at") is not None or moment(note["updated_at"]) != moment(note["created_at"])


def private_logins(commits: Iterable[Json]) -> frozenset[str]:
    """Logins in GitLab's private addresses (`7-alice@users.noreply.gitlab.com`): of other addresses it does not tell whose they are."""
    addresses = [str(c.get(f"{role}_email") or "") for c in commits for role in ("author", "committer")]
    return frozenset(found[1] for address in addresses if (found := _NOREPLY.fullmatch(address)))


def pushed(event: Json, branch: str) -> bool:
    data = event.get("push_data") or {}
    return data.get("ref_type") == "branch" and data.get("ref") == branch and bool(data.get("commit_to"))


def role(level: int) -> Role:
    """Guest and planner read, a reporter may label, a developer pushes. Below 10 is `minimal access`: nothing of a project."""
    return next((role for least, role in _LEVELS if level >= least), Role.NONE)


def active(member: Json, day: str) -> bool:
    """`day`: today as 2026-01-31. A membership ends when its day begins."""
    ends = member.get("expires_at")
    state = member["state"] == "active" and member.get("membership_state", "active") == "active"
    return state and (not ends or ends[:10] > day)


def matching(rules: Iterable[Json], branch: str) -> list[Json]:
    """Protected branches' rules that hold for this one; `*` in a name is any text, slashes too."""
    return [r for r in rules if re.fullmatch(".*".join(map(re.escape, r["name"].split("*"))), branch, re.DOTALL)]


def reviews_needed(rules: Iterable[Json], branch: str) -> int:
    """Of approval rules, those that hold for the branch: without a branch of its own a rule holds for all."""
    mine = [r for r in rules if not r.get("protected_branches") or matching(r["protected_branches"], branch)]
    return max((int(rule["approvals_required"] or 0) for rule in mine), default=0)


def protection(rules: Iterable[Json], branch: str, reviews: int = 0) -> Protection:
    """Several rules that match let in whoever any of them lets in (GitLab: the most permissive wins)."""
    found = matching(rules, branch)
    levels = [level for rule in found for level in rule["push_access_levels"]]
    if not found:
        return Protection(False)
    if any(_everybody(level) for level in levels):
        return Protection(False, "every developer may push")
    who = sorted({str(level["access_level_description"]) for level in levels if level["access_level"] != 0})
    words = f"pushes by {', '.join(who)}" if who else "nobody may push"
    return Protection(True, words + (f", {reviews} review{'s' if reviews > 1 else ''}" if reviews else ""))


def _everybody(level: Json) -> bool:
    """Not a rule for one user, group or deploy key: these carry an access level, too."""
    return (
        not any(level.get(key) for key in ("user_id", "group_id", "deploy_key_id")) and 0 < level["access_level"] <= 30
    )


def signs(secret: str) -> bool:
    """Whether it has the form that GitLab wants of a signing token: `whsec_` and the base64 of 32 bytes."""
    try:
        return secret.startswith("whsec_") and len(b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    except binascii.Error:
        return False


def hook_secret(secret: str) -> Json:
    return {"signing_token": secret} if signs(secret) else {"token": secret}


def tame(body: str) -> str:
    """GitLab obeys lines of a comment that begin with a slash (`/merge`), and with our rights: a backslash or a space ends that.

    It takes carriage returns out before it looks. A space would be stripped from the beginning of the whole.
    """
    return _QUICK.sub(lambda m: f"{m[1]}{m[2]} /" if m[1] else f"{m[2]}\\/", body)
