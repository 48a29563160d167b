"""The forge suite on GitLab's adapter, against the fake of tests/forges/gitlab."""

import hashlib
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack

import pytest

from labwright.adapters.forges.gitlab import GitLabForge
from labwright.domain.forge import Light, Opinion, Role, Status
from labwright.testing.forge_suite import ForgeSuite
from tests.forges.gitlab.conftest import TOKEN
from tests.forges.gitlab.fake import FakeGitLab
from tests.forges.gitlab.world import Token

pytestmark = pytest.mark.slow

LEVELS = {Role.READ: "guest", Role.TRIAGE: "reporter", Role.WRITE: "developer", Role.ADMIN: "maintainer"}
PEOPLE = {"ada": Role.ADMIN, "ben": Role.WRITE, "cleo": Role.WRITE, "dora": Role.WRITE, "mallory": Role.READ}
LIGHTS = {"pending": Light.PENDING, "running": Light.PENDING, "success": Light.SUCCESS, "failed": Light.FAILURE}


class GitLabWorld:
    def __init__(self, url: str, fake: FakeGitLab, stack: ExitStack) -> None:
        self.gitlab, self._url, self._stack = fake.world, url, stack
        self._numbers = itertools.count(1)
        self.gitlab.member("project_42_bot_8c1f", "maintainer")
        ours = self.gitlab.one("project_42_bot_8c1f")
        self.gitlab.users[ours]["bot"] = True
        self.gitlab.tokens[TOKEN] = Token(ours)
        for login, role in PEOPLE.items():
            self.let(login, role)
        self.commit("ada")
        self.forge = self._forge()

    def _forge(self, url: str = "", token: str = TOKEN) -> GitLabForge:
        made = GitLabForge(url or self._url, self.gitlab.path, lambda: token)
        self._stack.callback(made.close)
        return made

    def away(self) -> GitLabForge:
        return self._forge(url="http://127.0.0.1:9")

    def stranger(self) -> GitLabForge:
        return self._forge(token="glpat-unknown")

    def settle(self) -> None:
        self.gitlab.tick(120)

    def _sha(self) -> str:
        return hashlib.sha1(f"commit {next(self._numbers)}".encode()).hexdigest()

    def open(self, by: str = "cleo", *, title: str = "Change", base: str = "main", fork: bool = False) -> int:
        number = len(self.gitlab.requests) + 1
        self.gitlab.open(number, self._sha(), by, base=base, fork=fork, title=title)
        return number

    def push(self, number: int, by: str) -> str:
        self.gitlab.push(number, head := self._sha(), by)
        return head

    def rename(self, number: int, title: str, by: str) -> None:
        self.gitlab.note(number, "changed title", by, system=True)
        self.gitlab.requests[number].update(title=title, updated_at=self.gitlab.tick())

    def aim(self, number: int, base: str, by: str) -> None:
        self.gitlab.aim(number, base, by)

    def shut(self, number: int, by: str) -> None:
        self.gitlab.turn(number, "closed", by)

    def reopen(self, number: int, by: str) -> None:
        self.gitlab.turn(number, "reopened", by)

    def merge(self, number: int, by: str) -> None:
        self.gitlab.turn(number, "merged", by)

    def put_label(self, number: int, label: str, by: str, *, on: bool = True) -> None:
        self.gitlab.label(number, label, by, on=on)

    def review(self, number: int, by: str, opinion: Opinion = Opinion.APPROVED) -> str:
        if opinion is Opinion.APPROVED:
            self.gitlab.approve(number, by)
            user = self.gitlab.one(by)
            return f"approval-{user}-{self.gitlab.approvals[number][user]}"
        if opinion is Opinion.CHANGES:
            self.gitlab.tick()
            return f"note-{self.gitlab.note(number, 'requested changes', by, system=True)['id']}"
        return self.write(number, "looks like a start", by)

    def dismiss(self, number: int, review: str, by: str) -> None:
        """Nobody can take another's approval back, but one's own."""
        user = int(review.split("-")[1])
        self.gitlab.unapprove(number, self.gitlab.users[user]["username"])

    def write(self, number: int, body: str, by: str) -> str:
        return str(self.gitlab.note(number, body, by)["id"])

    def edit(self, number: int, comment: str, body: str, by: str) -> None:
        self.gitlab.edit(number, int(comment), body)

    def erase(self, number: int, comment: str, by: str) -> None:
        notes = self.gitlab.notes[number]
        notes[:] = [note for note in notes if note["id"] != int(comment)]

    def let(self, login: str, role: Role) -> None:
        self.gitlab.member(login, LEVELS[role])

    def make_team(self, name: str, members: Collection[str]) -> str:
        people = [self.gitlab.membership(self.gitlab.one(login), "developer") for login in members]
        self.gitlab.groups[f"acme/{name}"] = people
        return f"@acme/{name}"

    def protect(self, branch: str, *, reviews: int = 0, pushers: Sequence[str] = ()) -> None:
        levels = [(40, login) for login in pushers] or [(0, "No one")]
        self.gitlab.protect(branch, *levels)
        for level, login in zip(self.gitlab.protected[-1]["push_access_levels"], pushers, strict=False):
            level["user_id"] = self.gitlab.one(login)
        if reviews:
            self.gitlab.rule(reviews, branch)

    def commit(self, by: str, branch: str = "main") -> str:
        self.gitlab.tick()
        self.gitlab.pushed(branch, head := self._sha(), by)
        return head

    def statuses(self, commit: str) -> Mapping[str, Status]:
        rows = [row for row in self.gitlab.statuses if row["sha"] == commit]
        return {row["name"]: Status(row["name"], LIGHTS[row["status"]], row["description"]) for row in rows}

    def labels(self) -> Collection[str]:
        return [label["name"] for label in self.gitlab.labels]

    def hooks(self) -> Sequence[str]:
        return [hook["url"] for hook in self.gitlab.hooks.values()]


class TestGitLab(ForgeSuite):
    @pytest.fixture
    def world(self) -> Iterator[GitLabWorld]:
        fake = FakeGitLab()
        with ExitStack() as stack:
            yield GitLabWorld(stack.enter_context(fake.serve()), fake, stack)
