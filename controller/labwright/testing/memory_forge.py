"""A forge in memory, held to the same suite as the real ones. People act on it through its methods; `asked` counts requests."""

import itertools
import threading
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from labwright.domain.errors import LabError, Refused
from labwright.domain.finding import OK, WARN, Finding, told
from labwright.domain.forge import (
    Comment,
    Features,
    Labelling,
    Opinion,
    Person,
    Protection,
    Pull,
    Review,
    Role,
    Status,
    Talk,
)

US = Person("labwright", bot=True)


@dataclass
class MemoryForge:
    features: Features = field(default_factory=Features)
    people: dict[str, Role] = field(default_factory=dict)
    teams: dict[str, frozenset[str]] = field(default_factory=dict)
    protected: dict[str, Protection] = field(default_factory=dict)
    pushers: dict[tuple[str, str], str] = field(default_factory=dict)
    statuses: dict[tuple[str, str], Status] = field(default_factory=dict)  # (commit, context) → the newest
    labels: dict[str, str] = field(default_factory=dict)
    hooks: dict[str, str] = field(default_factory=dict)
    away: LabError | None = None  # what every call raises

    def __post_init__(self) -> None:
        self.talks: dict[int, Talk] = {}
        self.asked: Counter[str] = Counter()
        self._ids = itertools.count(1)
        self._lock = threading.RLock()

    # what people do

    def open(self, number: int, head: str, author: str, *, base: str = "main", **more: object) -> Pull:
        pull = Pull(
            number=number,
            title=f"Change {number}",
            author=Person(author),
            head=head,
            head_branch=f"change-{number}",
            ref=f"refs/pull/{number}/head",
            base=base,
            url=f"https://forge.example/lab/pulls/{number}",
            updated=self._tick(),
        )
        self.talks[number] = Talk(replace(pull, **more), committers=frozenset({author}))  # type: ignore[arg-type]
        return self.talks[number].pull

    def push(self, number: int, head: str, by: str = "") -> None:
        self._change(number, head=head)
        if by:
            talk = self.talks[number]
            self.talks[number] = replace(talk, committers=talk.committers | {by})

    def put_label(self, number: int, label: str, by: Person | str, *, on: bool = True) -> None:
        person = Person(by) if isinstance(by, str) else by
        labels = self.talks[number].pull.labels
        self._change(number, labels=labels | {label} if on else labels - {label})
        talk = self.talks[number]
        made = Labelling(self._id(), label, person, self._now(), on)
        self.talks[number] = replace(talk, labellings=(*talk.labellings, made))

    def review(self, number: int, by: str, opinion: Opinion = Opinion.APPROVED, commit: str = "") -> str:
        self._change(number)
        talk = self.talks[number]
        made = Review(self._id(), Person(by), commit or talk.pull.head, opinion, self._now())
        self.talks[number] = replace(talk, reviews=(*talk.reviews, made))
        return made.id

    def dismiss(self, number: int, review: str) -> None:
        self._change(number)
        talk = self.talks[number]
        reviews = [replace(r, opinion=Opinion.DISMISSED) if r.id == review else r for r in talk.reviews]
        self.talks[number] = replace(talk, reviews=tuple(reviews))

    def write(self, number: int, body: str, by: Person | str, *, edited: bool = False) -> str:
        self._change(number)
        talk = self.talks[number]
        person = Person(by) if isinstance(by, str) else by
        made = Comment(self._id(), person, body, self._now(), edited, f"{talk.pull.url}#{body[:4]}")
        self.talks[number] = replace(talk, comments=(*talk.comments, made))
        return made.id

    def edit(self, number: int, comment: str, body: str) -> None:
        self._change(number)
        talk = self.talks[number]
        comments = [replace(c, body=body, edited=True) if c.id == comment else c for c in talk.comments]
        self.talks[number] = replace(talk, comments=tuple(comments))

    def erase(self, number: int, comment: str) -> None:
        self._change(number)
        talk = self.talks[number]
        self.talks[number] = replace(talk, comments=tuple(c for c in talk.comments if c.id != comment))

    def rename(self, number: int, title: str) -> None:
        self._change(number, title=title)

    def aim(self, number: int, base: str) -> None:
        self._change(number, base=base)
        self._reset(number)

    def ready(self, number: int) -> None:
        """No draft any more."""
        self._change(number, draft=False)
        self._reset(number)

    def shut(self, number: int, *, merged: bool = False) -> None:
        self._change(number, open=False, merged=merged)

    def reopen(self, number: int) -> None:
        self._change(number, open=True)
        self._reset(number)

    # the port

    def me(self) -> Person:
        self._ask("me")
        return US

    def pulls(self) -> Sequence[Pull]:
        self._ask("pulls")
        with self._lock:
            return [talk.pull for _, talk in sorted(self.talks.items()) if talk.pull.open]

    def talk(self, number: int) -> Talk:
        self._ask("talk")
        return self._talk(number)

    def roles(self, logins: Collection[str]) -> Mapping[str, Role]:
        self._ask("roles")
        return {login: self.people.get(login, Role.NONE) for login in logins}

    def members(self, team: str) -> frozenset[str]:
        self._ask("members")
        if team not in self.teams:
            raise Refused(f"there is no team {team}, or it may not be read")
        return self.teams[team]

    def protection(self, branch: str) -> Protection:
        self._ask("protection")
        return self.protected.get(branch, Protection(False))

    def pusher(self, branch: str, commit: str) -> str:
        self._ask("pusher")
        return self.pushers.get((branch, commit), "")

    def comment(self, number: int, body: str, replaces: str = "") -> str:
        self._ask("comment")
        if len(body) > self.features.comment_chars:
            raise Refused(f"a comment has {self.features.comment_chars} characters at most")
        with self._lock:
            if not replaces:
                return self.write(number, body, US)
            ours = {c.id for c in self._talk(number).comments if c.by == US}
            if replaces not in ours:
                raise Refused(f"comment {replaces} is gone, or not ours")
            self.edit(number, replaces, body)
            return replaces

    def set_status(self, commit: str, status: Status) -> None:
        self._ask("set_status")
        if len(status.words) > self.features.words_chars:
            raise Refused(f"a status has {self.features.words_chars} characters at most")
        self.statuses[commit, status.context] = status

    def unlabel(self, number: int, label: str) -> None:
        self._ask("unlabel")
        if label in self._talk(number).pull.labels:
            self.put_label(number, label, US, on=False)

    def add_labels(self, labels: Mapping[str, str]) -> Sequence[str]:
        self._ask("add_labels")
        new = [name for name in labels if name not in self.labels]
        self.labels.update(labels)
        return new

    def add_hook(self, url: str, secret: str) -> bool:
        self._ask("add_hook")
        there = self.hooks.get(url) == secret
        self.hooks[url] = secret
        return not there

    def examine(self, labels: Collection[str], hook: str, branches: Collection[str]) -> Sequence[Finding]:
        try:
            self._ask("examine")
        except LabError as error:
            return [told("forge", error)]
        missing = sorted(set(labels) - self.labels.keys())
        return [
            Finding("forge", OK, "in memory"),
            Finding("labels", WARN if missing else OK, ", ".join(missing) or "all there"),
        ]

    def close(self) -> None:
        pass

    def _ask(self, what: str) -> None:
        self.asked[what] += 1
        if self.away is not None:
            raise self.away

    def _talk(self, number: int) -> Talk:
        if number not in self.talks:
            raise Refused(f"there is no pull request {number}")
        return self.talks[number]

    def _reset(self, number: int) -> None:
        self.talks[number] = replace(self.talks[number], reset=self._now())

    def _change(self, number: int, **changes: object) -> None:
        with self._lock:
            talk = self._talk(number)
            self.talks[number] = replace(talk, pull=replace(talk.pull, updated=self._tick(), **changes))  # type: ignore[arg-type]

    def _id(self) -> str:
        return str(next(self._ids))

    def _tick(self) -> str:
        return self._now().isoformat()

    def _now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(self._ids))
