"""A forge as Labwright sees it, whichever it is: pull requests, who may do what, what people did."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum

LANE, SMOKE = "pull:", "smoke:"  # no branch can be called so: git allows no `:` in a ref's name


def lane_of(number: int, *, smoke: bool = False) -> str:
    """What stands for a branch in the wants, plans and jobs of a pull request, or of its smoke run."""
    return f"{SMOKE if smoke else LANE}{number}"


def number_of(lane: str) -> int | None:
    """None for a branch."""
    kind, colon, rest = lane.partition(":")
    ours = kind + colon in (LANE, SMOKE)
    return int(rest) if ours and rest.isascii() and rest.isdigit() else None


def is_smoke(lane: str) -> bool:
    return lane.startswith(SMOKE)


class Role(IntEnum):
    """What a forge lets a person do in the lab repository."""

    NONE = 0
    READ = 1
    TRIAGE = 2  # may put labels on, and no more
    WRITE = 3
    ADMIN = 4


@dataclass(frozen=True, slots=True)
class Person:
    login: str
    bot: bool = False


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request (GitLab: merge request), as a list of them shows it."""

    number: int
    title: str
    author: Person
    head: str  # commit
    head_branch: str
    ref: str  # where git finds the head: refs/pull/7/head
    base: str  # branch
    url: str  # of its page
    updated: str  # another text whenever something about it may have changed
    labels: frozenset[str] = frozenset()
    fork: bool = False  # the head is in another repository
    draft: bool = False
    open: bool = True
    merged: bool = False


class Opinion(StrEnum):
    APPROVED = "approved"
    CHANGES = "changes requested"
    COMMENT = "comment"
    DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True)
class Review:
    id: str
    by: Person
    commit: str  # that was looked at; empty where the forge does not say, which approves nothing
    opinion: Opinion
    at: datetime


@dataclass(frozen=True, slots=True)
class Labelling:
    """Somebody put a label on, or took it off."""

    id: str
    label: str
    by: Person
    at: datetime
    on: bool


@dataclass(frozen=True, slots=True)
class Comment:
    id: str
    by: Person
    body: str
    at: datetime
    edited: bool = False  # since it was written; such a one commands nothing
    url: str = ""


@dataclass(frozen=True, slots=True)
class Talk:
    """A pull request with all that people did about it, oldest first."""

    pull: Pull
    reviews: tuple[Review, ...] = ()
    labellings: tuple[Labelling, ...] = ()
    comments: tuple[Comment, ...] = ()
    committers: frozenset[str] = frozenset()  # logins of who wrote its commits, as far as the forge knows them
    reset: datetime | None = None  # when it was last reopened, aimed at another base or taken out of draft: what people
    # approved and asked for before does not count


@dataclass(frozen=True, slots=True)
class Protection:
    """What keeps anybody from pushing to a branch."""

    on: bool
    words: str = ""  # such as `1 review` or `pushes by alice, bob`


class Light(StrEnum):
    """Of a commit status."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"  # what was asked for did not come to be
    ERROR = "error"  # it cannot be told, or somebody must do something


@dataclass(frozen=True, slots=True)
class Annotation:
    """A remark at a line, where the forge has a place for it (`Features.checks`)."""

    path: str
    line: int
    message: str
    failure: bool = True


@dataclass(frozen=True, slots=True)
class Status:
    context: str  # its name: one status a commit and context
    light: Light
    words: str  # one line
    url: str = ""
    summary: str = ""  # Markdown, and below it annotations: shown where `Features.checks`, else in the comment only
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True, slots=True)
class Features:
    """What a forge can do, stated by its adapter."""

    checks: bool = False  # statuses with a page and annotations
    comment_chars: int = 60_000  # of the longest comment that it takes
    words_chars: int = 140  # of a status's one line
    reviews_by_commit: bool = True  # a review says which commit was looked at
    hooks: bool = True
    links: Mapping[str, str] | None = None  # of files: {"page": "https://…/{branch}/{path}", "raw": …}
    commands: tuple[tuple[str, str], ...] = ()  # in place of `/lab …` where nobody writes comments, and what each does;
    # `{number}` and `{head}` in them are the pull request's
