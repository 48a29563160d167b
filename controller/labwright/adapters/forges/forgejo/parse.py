"""What Forgejo's JSON means. Shapes: its own /api/swagger, and what 1.21 was seen to answer."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from labwright.domain.forge import Comment, Labelling, Opinion, Person, Protection, Pull, Review, Role

Item = Mapping[str, Any]

_ROLES = {
    "none": Role.NONE,
    "read": Role.READ,
    "write": Role.WRITE,
    "admin": Role.ADMIN,
    "owner": Role.ADMIN,  # of the repository, of its organisation, or of the whole site
}
_OPINIONS = {
    "APPROVED": Opinion.APPROVED,
    "REQUEST_CHANGES": Opinion.CHANGES,
    "COMMENT": Opinion.COMMENT,
}
_DRAFT = ("wip:", "[wip]")  # how a title begins: Forgejo's default; 1.21 has no field for it
_SETTLES = timedelta(seconds=2)  # times have whole seconds: what is younger may change once more within its second


def person(user: Item | None) -> Person:
    """Accounts that are gone are `Ghost`, the site's own ones have negative ids."""
    user = user or {}
    return Person(str(user.get("login") or "Ghost"), bot=int(user.get("id") or -1) < 0)


def pull(item: Item, updated: str = "") -> Pull:
    head, base = item["head"], item["base"]
    number = int(item["number"])
    title = str(item.get("title") or "")
    return Pull(
        number=number,
        title=title,
        author=person(item.get("user")),
        head=str(head["sha"]),
        head_branch=str(head.get("label") or head.get("ref") or ""),
        ref=f"refs/pull/{number}/head",
        base=str(base["ref"]),
        url=str(item.get("html_url") or ""),
        updated=updated or str(item.get("updated_at") or ""),
        labels=labels(item),
        fork=bool(item.get("flow")) or not _lies_here(head, base),
        draft=bool(item.get("draft", _drafted(title))),
        open=item.get("state") == "open",
        merged=bool(item.get("merged")),
    )


def labels(item: Item) -> frozenset[str]:
    return frozenset(str(label["name"]) for label in item.get("labels") or ())


def _lies_here(head: Item, base: Item) -> bool:
    """Whether the head is a branch of the lab repository, which took a writer to make. A push to refs/for/main (AGit) takes no
    more than reading, and is told as of this repository, but with an empty label (newer versions: and with `flow` 1)."""
    there = head.get("repo")
    return there is not None and there.get("id") == (base.get("repo") or {}).get("id") and bool(head.get("label"))


@dataclass(frozen=True, slots=True)
class Clock:
    """The forge's own, as its answers tell it: its time, and the one at which we began to look."""

    now: datetime
    began: datetime


def updated(item: Item, edited: str, clock: Clock) -> str:
    """Another text whenever something may have changed. `updated_at` is of whole seconds and knows labels, reviews, dismissals,
    comments, pushes, titles, bases, closing and reopening (of 1.21, by experiment); not edits of comments (`edited`: the time
    of the newest one, all since `clock.began`), and not a review that is no longer dismissed, which changes whose review is
    asked for. What changed just now gets another text when it is looked at later."""
    newest = max(str(item.get("updated_at") or ""), edited)
    asked = sorted(str(user.get("login")) for user in item.get("requested_reviewers") or ())
    head, base = item["head"]["sha"], item["base"]["ref"]
    parts = [newest, clock.began.isoformat(), str(item.get("comments", 0)), head, base, *sorted(labels(item)), *asked]
    if not newest or not settled(newest, clock.now):
        parts.append(clock.now.isoformat())
    return " ".join(parts)


def settled(time: str, now: datetime) -> bool:
    return at(time) <= now - _SETTLES


def edits(items: Iterable[Item]) -> dict[int, str]:
    """Pull request → time of the newest edit of a comment there, of a repository's comments."""
    found: dict[int, str] = {}
    for item in items:
        number = str(item.get("pull_request_url") or "").rpartition("/")[2]
        if number.isdigit() and _edited(item):
            found[int(number)] = max(found.get(int(number), ""), str(item["updated_at"]))
    return found


def reviews(items: Iterable[Item]) -> tuple[Review, ...]:
    """Without drafts of reviews, and without requests for one."""
    made = [
        Review(
            id=str(item["id"]),
            by=person(item.get("user")),
            commit=str(item.get("commit_id") or ""),
            opinion=Opinion.DISMISSED if item.get("dismissed") else _OPINIONS[item["state"]],
            at=at(item["submitted_at"]),
        )
        for item in items
        if item.get("state") in _OPINIONS
    ]
    return tuple(sorted(made, key=lambda review: (review.at, int(review.id))))


def comments(items: Iterable[Item]) -> tuple[Comment, ...]:
    made = [
        Comment(
            id=str(item["id"]),
            by=person(item.get("user")),
            body=str(item.get("body") or ""),
            at=at(item["created_at"]),
            edited=_edited(item),
            url=str(item.get("html_url") or ""),
        )
        for item in items
    ]
    return tuple(sorted(made, key=lambda comment: (comment.at, int(comment.id))))


def _edited(item: Item) -> bool:
    """By whomever: an administrator may write other people's comments anew. Within the second of its making it cannot be told."""
    return item.get("created_at") != item.get("updated_at")


def labellings(timeline: Iterable[Item]) -> tuple[Labelling, ...]:
    """In the timeline, a label that was put on has the body `1`."""
    made = [
        Labelling(
            id=str(item["id"]),
            label=str((item.get("label") or {}).get("name") or ""),
            by=person(item.get("user")),
            at=at(item["created_at"]),
            on=item.get("body") == "1",
        )
        for item in timeline
        if item.get("type") == "label"
    ]
    return tuple(sorted(made, key=lambda labelling: (labelling.at, int(labelling.id))))


def pushes(timeline: Iterable[Item]) -> tuple[frozenset[str], frozenset[str]]:
    """Logins of who pushed to the pull request, and the commits: an author's name is anybody's to write, a push is not."""
    who: set[str] = set()
    what: set[str] = set()
    for item in timeline:
        if item.get("type") == "pull_push":
            who.add(person(item.get("user")).login)
            what.update(_object(item.get("body")).get("commit_ids") or ())
    return frozenset(who), frozenset(what)


def since_opened(made: Iterable[Labelling], pull: Item) -> tuple[Labelling, ...]:
    """Without labels that it was opened with, which Forgejo tells as put on by its author in that second: a template or a script
    may have chosen them (R6)."""
    opened = at(pull["created_at"])
    return tuple(one for one in made if one.at > opened)


def reset(timeline: Iterable[Item]) -> datetime | None:
    """When it was last reopened, aimed at another base, or taken out of draft."""
    times = [
        at(item["created_at"])
        for item in timeline
        if item.get("type") in ("reopen", "change_target_branch")
        or (
            item.get("type") == "change_title"
            and _drafted(item.get("old_title"))
            and not _drafted(item.get("new_title"))
        )
    ]
    return max(times, default=None)


def _drafted(title: Any) -> bool:
    return str(title or "").lower().startswith(_DRAFT)


def adds_up(timeline: Sequence[Item], pull: Pull) -> bool:
    """Whether these events explain the labels and the head: if not, there are more of them."""
    now: set[str] = set()
    for made in labellings(timeline):
        (now.add if made.on else now.discard)(made.label)
    return now >= pull.labels and pull.head in pushes(timeline)[1]


def committers(commits: Iterable[Item]) -> frozenset[str]:
    """Authors and committers, as far as their addresses are of somebody here."""
    people = (commit.get(role) for commit in commits for role in ("author", "committer"))
    return frozenset(str(user["login"]) for user in people if user and user.get("login"))


def role(item: Item) -> Role | None:
    """None for a word that is not known. Whether the account is locked is told to administrators of the site alone."""
    return _ROLES.get(str(item.get("permission")))


def protection(rule: Item) -> Protection:
    """There are two ways into a branch, and both must be kept: pushes, and pull requests that anybody who may write merges."""
    pushers = _names(rule, "push_whitelist_usernames", "push_whitelist_teams")
    mergers = _names(rule, "merge_whitelist_usernames", "merge_whitelist_teams")
    reviews = int(rule.get("required_approvals") or 0)
    if rule.get("enable_push") and not rule.get("enable_push_whitelist"):
        return Protection(False, "pushes by everybody who may write")
    if files := str(rule.get("unprotected_file_patterns") or ""):
        return Protection(False, f"pushes of {files} by everybody who may write")
    said = []
    if reviews:
        said.append(f"{reviews} review{'s' * (reviews > 1)}")
    if rule.get("enable_push"):
        said.append(f"pushes by {', '.join(pushers) or 'nobody'}")
        if rule.get("push_whitelist_deploy_keys"):
            said.append("pushes with deploy keys")
    if rule.get("enable_merge_whitelist"):
        said.append(f"merges by {', '.join(mergers) or 'nobody'}")
    if not reviews and not rule.get("enable_merge_whitelist"):
        return Protection(False, ", ".join([*said, "merges without a review by everybody who may write"]))
    return Protection(True, ", ".join(said))


def _names(rule: Item, users: str, teams: str) -> Collection[str]:
    return [*(rule.get(users) or ()), *(f"@{team}" for team in rule.get(teams) or ())]


def pusher(feed: Iterable[Item], branch: str, commit: str) -> str:
    """Of a repository's activities, newest first; empty where none of them moved the branch there."""
    for item in feed:
        if (
            item.get("op_type") not in ("commit_repo", "mirror_sync_push")
            or item.get("ref_name") != f"refs/heads/{branch}"
        ):
            continue
        if (_object(item.get("content")).get("HeadCommit") or {}).get("Sha1") == commit:
            return str((item.get("act_user") or {}).get("login") or "")
    return ""


def _object(text: Any) -> Mapping[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def at(text: Any) -> datetime:
    return datetime.fromisoformat(str(text)).astimezone(UTC)
