"""What people said about one pull request, by tags and commits that they signed."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from labwright.adapters.forges.git.refs import APPROVE, DENY, RERUN, SMOKE, STOP, Listing, kind_of
from labwright.adapters.forges.git.signatures import Signatures
from labwright.adapters.forges.git.store import Store, Tag
from labwright.adapters.repos.git import commits
from labwright.domain.errors import Refused
from labwright.domain.forge import Comment, Labelling, Opinion, Person, Review
from labwright.domain.signers import OURS
from labwright.domain.snapshot import CommitInfo

MOST_TAGS, MOST_COMMITS, MOST_SAID = 500, 500, 200  # of one pull request; beyond, it is not read at all
ME = Person(OURS)
_TAG = "T={kind}/{{number}}/$(date +%s); git tag -s -m {kind} $T {{head}} && git push origin $T"  # a name of its own each time
COMMANDS = (
    (_TAG.format(kind=APPROVE), "approves and launches this plan"),
    (_TAG.format(kind=DENY), "asks for changes"),
    (_TAG.format(kind=STOP), "stops what was launched"),
    (_TAG.format(kind=RERUN), "runs failed jobs again"),
)
_APPROVES, _DENIES = "lab-approve", "lab-deny"
_DIGEST = re.compile(r"[0-9a-f]{16,64}")  # shorter ones can be met by trying


@dataclass(frozen=True, slots=True)
class Labels:
    """What lab.yaml calls what a kind of tag stands for."""

    run: str = "lab:run"
    stop: str = "lab:stop"
    rerun: str = "lab:rerun"
    smoke: str = ""  # empty: lab.yaml has no smoke runs

    def of(self, kind: str) -> str:
        return {APPROVE: self.run, STOP: self.stop, RERUN: self.rerun, SMOKE: self.smoke}.get(kind, "")


@dataclass(frozen=True, slots=True)
class Word:
    """A tag that somebody known signed, and that is where its signature says."""

    id: str
    kind: str
    by: Person
    tag: Tag


class Words:
    def __init__(self, store: Store, signatures: Signatures) -> None:
        self._store, self._signatures = store, signatures

    def tags(self, now: Listing, number: int) -> Sequence[Word]:
        """Oldest first. Raises Refused for more than anybody could look through: one `deny` among them could be missed."""
        there = now.tags.get(number, {})
        if len(there) > MOST_TAGS:
            raise Refused(
                f"pull request {number} has {len(there):,} tags, and more than {MOST_TAGS} are not read",
                hint="delete old ones: git push --delete origin <tag> …",
            )
        read = self._store.tags(set(there.values()))
        found = []
        for name, sha in there.items():
            tag = read.get(sha)
            if tag is None or tag.name != name:  # signed for another name: somebody moved it
                continue
            if by := self._signatures.of_tag(sha, tag.at):
                found.append(Word(sha, kind_of(name), Person(by), tag))
        return sorted(found, key=lambda word: (word.tag.at, word.id))

    def own(self, base: str | None, head: str, number: int) -> Sequence[CommitInfo]:
        """The pull request's commits, oldest first. Raises Refused for too many: who signed one of them must be known."""
        found = commits.between(self._store.mirror, base, head, MOST_COMMITS + 1, {})
        if len(found) > MOST_COMMITS:
            raise Refused(
                f"pull request {number} has more than {MOST_COMMITS} commits",
                hint="squash them, or make several pull requests of it",
            )
        return found

    def committers(self, made: Sequence[CommitInfo]) -> Mapping[str, str]:
        return self._signatures.of_commits([commit.sha for commit in made])

    def said(self, base: str | None, now: Listing, number: int) -> Sequence[tuple[CommitInfo, str]]:
        """Signed commits of approvals/<number> with who signed them, oldest first."""
        tip = now.approvals.get(number)
        if tip is None:
            return ()
        found = commits.between(self._store.mirror, base, tip, MOST_SAID + 1, {})
        if len(found) > MOST_SAID:
            raise Refused(
                f"approvals/{number} has more than {MOST_SAID} commits of its own", hint="begin that branch anew"
            )
        telling = [commit for commit in found if {_APPROVES, _DENIES} & {key.lower() for key, _ in commit.trailers}]
        signed = self._signatures.of_commits([commit.sha for commit in telling])
        return [(commit, signed[commit.sha]) for commit in telling if signed[commit.sha]]


def reviews_of(words: Sequence[Word], said: Sequence[tuple[CommitInfo, str]], head: str) -> tuple[Review, ...]:
    """An approval that names a plan approves that plan, and no commit."""
    found = []
    for word in words:
        named = _APPROVES in word.tag.trailers
        if word.kind == DENY or _DENIES in word.tag.trailers:
            found.append(Review(word.id, word.by, word.tag.commit, Opinion.CHANGES, word.tag.at))
        elif word.kind == APPROVE and not named:
            found.append(Review(word.id, word.by, word.tag.commit, Opinion.APPROVED, word.tag.at))
    for commit, by in said:
        if any(key.lower() == _DENIES for key, _ in commit.trailers):
            found.append(Review(commit.sha, Person(by), head, Opinion.CHANGES, commit.at))
    return tuple(sorted(found, key=lambda review: (review.at, review.id)))


def comments_of(words: Sequence[Word], said: Sequence[tuple[CommitInfo, str]], url: str) -> tuple[Comment, ...]:
    """A digest that somebody signed is the command that names it."""
    named = [
        (word.id, word.by, word.tag.trailers[_APPROVES], word.tag.at)
        for word in words
        if word.kind == APPROVE and _APPROVES in word.tag.trailers and _DENIES not in word.tag.trailers
    ]
    for commit, by in said:
        trailers = {key.lower(): value for key, value in commit.trailers}
        if _APPROVES in trailers and _DENIES not in trailers:
            named.append((commit.sha, Person(by), trailers[_APPROVES], commit.at))
    found = [
        Comment(id, by, f"/lab run {digest.lower()}", at, url=url)
        for id, by, digest, at in named
        if _DIGEST.fullmatch(digest.lower())
    ]
    return tuple(sorted(found, key=lambda comment: (comment.at, comment.id)))


def labellings_of(words: Sequence[Word], labels: Labels, spent: Collection[str]) -> tuple[Labelling, ...]:
    found = []
    for word in words:
        if label := labels.of(word.kind):
            found.append(Labelling(word.id, label, word.by, word.tag.at, on=True))
            if word.id in spent:
                found.append(Labelling(f"{word.id}-off", label, ME, word.tag.at, on=False))
    return tuple(found)


def on(words: Sequence[Word], labels: Labels, spent: Collection[str]) -> frozenset[str]:
    return frozenset(labels.of(word.kind) for word in words if word.id not in spent) - {""}
