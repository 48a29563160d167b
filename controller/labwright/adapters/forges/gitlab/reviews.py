"""Approvals of a merge request, each tied to the commit that it was given for. No I/O.

GitLab's approvals say who, and newer ones when (`approved_at`), never which commit. The system notes `approved this merge request`
say when, but a background job writes them: seconds after the click, and later than a push in between where the queue is long. The
versions of the merge request say which head was there since when. From these: the one commit that can have been meant, or none.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from labwright.adapters.forges.gitlab.parse import Json, Who, moment
from labwright.domain.forge import Opinion, Review

APPROVED, WITHDRAWN, CHANGES = "approved this merge request", "unapproved this merge request", "requested changes"
_READY, _AIMED = "marked this merge request as **ready**", "changed target branch from "
_BASE_GONE = re.compile(r"deleted the `.*` branch\. This merge request now targets the `.*` branch", re.DOTALL)

_CLOCKS = timedelta(seconds=2)  # by which the clocks of one GitLab's machines may differ
_LATE = timedelta(seconds=60)  # by which a system note may come after what it tells


@dataclass(frozen=True, slots=True)
class Version:
    """A head that the merge request had since then."""

    commit: str
    at: datetime


def versions(items: Iterable[Json]) -> tuple[Version, ...]:
    """Oldest first."""
    found = [Version(item["head_commit_sha"], moment(item["created_at"])) for item in items if item["head_commit_sha"]]
    return tuple(sorted(found, key=lambda version: version.at))


def tied(at: datetime, known: Sequence[Version], late: timedelta = _CLOCKS) -> str:
    """The head of `late` before until then, where it was one and the same; else empty."""
    since, until = at - late, at + _CLOCKS
    before = [version.commit for version in known if version.at <= since][-1:]
    meant = {*before, *(version.commit for version in known if since < version.at <= until)}
    return meant.pop() if len(meant) == 1 else ""


def reviews(approvals: Json, notes: Iterable[Json], known: Sequence[Version], who: Who) -> tuple[Review, ...]:
    """Oldest first. An approval counts while GitLab counts it: whoever is not in `approved_by` (withdrawn, reset by a push)
    has none. Only what GitLab itself wrote (`system`) tells anything: people can type these words, too."""
    told = sorted((n for n in notes if n["system"]), key=lambda n: (moment(n["created_at"]), n["id"]))
    given = {entry["user"]["id"]: entry for entry in approvals.get("approved_by") or ()}
    current = [found for entry in given.values() if (found := _current(entry, approvals, told, known, who))]
    standing = {review.id for review in current}
    past = [r for note in told if (r := _told(note, known, who)) and r.id not in standing and not _is_it(note, given)]
    return tuple(sorted([*past, *current], key=lambda review: (review.at, review.id)))


def _current(entry: Json, approvals: Json, told: Sequence[Json], known: Sequence[Version], who: Who) -> Review:
    user = entry["user"]
    if text := entry.get("approved_at"):
        at = moment(text)
        return Review(f"approval-{user['id']}-{text}", who(user), tied(at, known), Opinion.APPROVED, at)
    acts = [n for n in told if n["author"]["id"] == user["id"] and n["body"] in (APPROVED, WITHDRAWN)]
    if not acts or acts[-1]["body"] != APPROVED:  # given, and not told yet
        return Review(f"approval-{user['id']}", who(user), "", Opinion.APPROVED, moment(approvals["updated_at"]))
    at = moment(acts[-1]["created_at"])
    return Review(_id(acts[-1]), who(user), tied(at, known, _LATE), Opinion.APPROVED, at)


def _told(note: Json, known: Sequence[Version], who: Who) -> Review | None:
    """What a system note tells; an approval of the past is one that no longer counts."""
    opinion = {APPROVED: Opinion.DISMISSED, CHANGES: Opinion.CHANGES}.get(note["body"])
    if opinion is None:
        return None
    at = moment(note["created_at"])
    return Review(_id(note), who(note["author"]), tied(at, known, _LATE), opinion, at)


def _is_it(note: Json, given: Json) -> bool:
    """Whether this note tells of the approval that stands, as `approved_at` says."""
    if note["body"] != APPROVED or not (text := given.get(note["author"]["id"], {}).get("approved_at")):
        return False
    return moment(note["created_at"]) >= moment(text) - _CLOCKS


def _id(note: Json) -> str:
    return f"note-{note['id']}"


def reset(notes: Iterable[Json], states: Iterable[Json]) -> datetime | None:
    """When it was last reopened, taken out of draft or aimed at another branch; `states`: its resource_state_events."""
    told = [note["created_at"] for note in notes if note["system"] and _voids(note["body"])]
    told += [event["created_at"] for event in states if event["state"] == "reopened"]
    return max(map(moment, told), default=None)


def _voids(body: str) -> bool:
    return body == _READY or body.startswith(_AIMED) or _BASE_GONE.fullmatch(body) is not None
