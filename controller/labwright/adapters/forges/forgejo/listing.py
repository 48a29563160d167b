"""The list of open pull requests, and when each one changed."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from labwright.adapters.forges.api import Answer, Api
from labwright.adapters.forges.forgejo import parse
from labwright.adapters.forges.forgejo.calls import PAGE, everything
from labwright.domain.errors import Unavailable
from labwright.domain.forge import Pull

_TRIES = 3
_PAGES = 200
_OVERLAP = timedelta(seconds=5)
_ANYWAY = timedelta(minutes=5)  # a review that is no longer dismissed moves nothing to the top

Key = tuple[str, Any]  # number of all, and the one that changed last


class Listing:
    """Forgejo knows no ETag, and takes some 15 ms for each pull request that it lists. Whatever changes comes to the top: where the
    first one and the number of all are what they were, so are the others. Edits of comments alone change nothing in the list and
    are asked for separately, which is the second request of a look."""

    def __init__(self, api: Api, repo: str) -> None:
        self._api, self._repo = api, repo
        self._known: Key | None = None  # of `_items`; None where they may have changed once more within their second
        self._items: list[Any] = []
        self._read_at = datetime.min.replace(tzinfo=UTC)
        self._edits: dict[int, str] = {}
        self._began: datetime | None = None
        self._until: datetime | None = None  # edits are known until then
        self._lock = threading.Lock()

    def look(self) -> Sequence[Pull]:
        with self._lock:
            return self._look()

    def _look(self) -> Sequence[Pull]:
        top = self._page(1, 1)
        if _key(top) != self._known or _time_of(top) - self._read_at > _ANYWAY:
            top = self._read(top)
        now = _time_of(top)
        self._began = self._began or now
        self._learn_edits(now)
        clock = parse.Clock(now, self._began)
        items = sorted(self._items, key=lambda item: int(item["number"]))
        return [parse.pull(item, parse.updated(item, self._edit(item), clock)) for item in items]

    def _read(self, top: Answer) -> Answer:
        """Every page, such that nothing changed while they were read: else a pull request could move from a page that is not
        read yet to one that was, and seem to be closed."""
        for _ in range(_TRIES):
            items, whole = self._all()
            after = self._page(1, 1)
            if whole and _key(after) == _key(top):
                self._items, self._read_at = items, _time_of(top)
                newest = max((str(item["updated_at"]) for item in items), default="")
                self._known = _key(top) if not newest or parse.settled(newest, _time_of(top)) else None
                return after
            top = after
        raise Unavailable(f"{self._api.what}: pull requests change faster than they can be listed")

    def _all(self) -> tuple[list[Any], bool]:
        """And whether these are as many as there are."""
        items: dict[int, Any] = {}
        seen = broken = 0
        for page in range(1, _PAGES + 1):
            answer = self._page(page, PAGE)
            rows = answer.body or []
            seen += len(rows)
            broken += rows.count(None)  # those that it cannot tell of, such as of a base that is gone
            items.update((int(row["number"]), row) for row in rows if row)
            total = answer.headers.get("x-total-count", "")
            if not rows or (total.isdigit() and seen >= int(total)):
                return list(items.values()), not total.isdigit() or len(items) + broken == int(total)
        raise Unavailable(f"{self._api.what}: the list of pull requests does not end", retry_in=300)

    def _learn_edits(self, now: datetime) -> None:
        since = (self._until or now) - _OVERLAP
        path = f"{self._repo}/issues/comments"
        for number, when in parse.edits(everything(self._api, path, since=f"{since:%Y-%m-%dT%H:%M:%SZ}")).items():
            self._edits[number] = max(self._edits.get(number, ""), when)
        self._until = now
        there = {int(item["number"]) for item in self._items}
        self._edits = {number: when for number, when in self._edits.items() if number in there}

    def _edit(self, item: Any) -> str:
        return self._edits.get(int(item["number"]), "")

    def _page(self, page: int, limit: int) -> Answer:
        answer = self._api.ask(f"{self._repo}/pulls", state="open", sort="recentupdate", page=page, limit=limit)
        if not isinstance(answer.body, list):  # never taken for an empty one: everything would seem to be closed
            raise TypeError("a list of pull requests that is no list")
        return answer


def _key(top: Answer) -> Key:
    return top.headers.get("x-total-count", ""), (top.body or [None])[0]


def _time_of(answer: Answer) -> datetime:
    try:
        return parsedate_to_datetime(answer.headers["date"]).astimezone(UTC)
    except (KeyError, ValueError):
        # a proxy took it away: the newest change that it tells of, so that this one is taken for fresh
        newest = max((str(item["updated_at"]) for item in answer.body or () if item), default="1970-01-01T00:00:00Z")
        return parse.at(newest)
