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


class Listing:
    """Forgejo knows no ETag. Newest first, whatever changes comes to the top of the first page: where that page and the number
    of all are what they were, so are the pages below it. Edits of comments alone change nothing in the list and are asked for
    separately, which is the second request of a look."""

    def __init__(self, api: Api, repo: str) -> None:
        self._api, self._repo = api, repo
        self._top: tuple[str, list[Any]] = ("", [])  # number of all, and the first page, as they were
        self._items: list[Any] = []
        self._edits: dict[int, str] = {}
        self._began: datetime | None = None
        self._until: datetime | None = None  # edits are known until then
        self._lock = threading.Lock()

    def look(self) -> Sequence[Pull]:
        with self._lock:
            return self._look()

    def _look(self) -> Sequence[Pull]:
        top = self._first()
        if self._seen(top) != self._top:
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
            items = {item["number"]: item for item in top.body or () if item}
            total, size = _total(top), len(top.body or ())
            for page in range(2, _PAGES + 1):
                if not size or (page - 1) * size >= total:
                    break
                items.update((item["number"], item) for item in self._page(page).body or () if item)
            again = self._first() if total > size else top
            if self._seen(again) == self._seen(top):
                self._top, self._items = self._seen(top), list(items.values())
                return again
            top = again
        raise Unavailable(f"{self._api.what}: pull requests change faster than they can be listed")

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

    def _first(self) -> Answer:
        return self._page(1)

    def _page(self, page: int) -> Answer:
        return self._api.ask(f"{self._repo}/pulls", state="open", sort="recentupdate", page=page, limit=PAGE)

    @staticmethod
    def _seen(top: Answer) -> tuple[str, list[Any]]:
        return top.headers.get("x-total-count", ""), top.body or []


def _total(answer: Answer) -> int:
    """For want of the header there is one page."""
    said = answer.headers.get("x-total-count", "")
    return int(said) if said.isdigit() else 0


def _time_of(answer: Answer) -> datetime:
    try:
        return parsedate_to_datetime(answer.headers["date"]).astimezone(UTC)
    except (KeyError, ValueError):
        # a proxy took it away: the newest change that it tells of, so that this one is taken for fresh
        newest = max((str(item["updated_at"]) for item in answer.body or () if item), default="1970-01-01T00:00:00Z")
        return parse.at(newest)
