"""The forge in memory keeps the promises of the real ones: tests of the loop stand on it."""

import itertools
from collections.abc import Collection, Mapping, Sequence

import pytest

from labwright.domain.errors import Refused, Unavailable
from labwright.domain.forge import Opinion, Protection, Role, Status
from labwright.testing.forge_suite import ForgeSuite
from labwright.testing.memory_forge import US, MemoryForge

PEOPLE = {"ada": Role.ADMIN, "ben": Role.WRITE, "cleo": Role.WRITE, "dora": Role.WRITE, "mallory": Role.READ}


class MemoryWorld:
    def __init__(self) -> None:
        self.forge = MemoryForge(people=dict(PEOPLE))
        self._numbers, self._shas = itertools.count(1), itertools.count(1)

    def away(self) -> MemoryForge:
        return MemoryForge(away=Unavailable("nobody answers"))

    def stranger(self) -> MemoryForge:
        return MemoryForge(away=Refused("401", hint="the token is not taken"))

    def settle(self) -> None:
        pass

    def open(self, by: str = "cleo", *, title: str = "Change", base: str = "main", fork: bool = False) -> int:
        number = next(self._numbers)
        self.forge.open(number, self._sha(), by, base=base, title=title, fork=fork)
        return number

    def push(self, number: int, by: str) -> str:
        sha = self._sha()
        self.forge.push(number, sha, by)
        return sha

    def rename(self, number: int, title: str, by: str) -> None:
        self.forge.rename(number, title)

    def aim(self, number: int, base: str, by: str) -> None:
        self.forge.aim(number, base)

    def shut(self, number: int, by: str) -> None:
        self.forge.shut(number)

    def reopen(self, number: int, by: str) -> None:
        self.forge.reopen(number)

    def merge(self, number: int, by: str) -> None:
        self.forge.shut(number, merged=True)

    def put_label(self, number: int, label: str, by: str, *, on: bool = True) -> None:
        self.forge.put_label(number, label, by, on=on)

    def review(self, number: int, by: str, opinion: Opinion = Opinion.APPROVED) -> str:
        return self.forge.review(number, by, opinion)

    def dismiss(self, number: int, review: str, by: str) -> None:
        self.forge.dismiss(number, review)

    def write(self, number: int, body: str, by: str) -> str:
        return self.forge.write(number, body, by)

    def edit(self, number: int, comment: str, body: str, by: str) -> None:
        self.forge.edit(number, comment, body)

    def erase(self, number: int, comment: str, by: str) -> None:
        self.forge.erase(number, comment)

    def let(self, login: str, role: Role) -> None:
        self.forge.people[login] = role

    def make_team(self, name: str, members: Collection[str]) -> str:
        self.forge.teams[f"@acme/{name}"] = frozenset({*members, US.login})
        return f"@acme/{name}"

    def protect(self, branch: str, *, reviews: int = 0, pushers: Sequence[str] = ()) -> None:
        words = [f"{reviews} reviews"] * bool(reviews) + [f"pushes by {', '.join(pushers)}"] * bool(pushers)
        self.forge.protected[branch] = Protection(True, ", ".join(words))

    def commit(self, by: str, branch: str = "main") -> str:
        sha = self._sha()
        self.forge.pushers[branch, sha] = by
        return sha

    def statuses(self, commit: str) -> Mapping[str, Status]:
        return {context: status for (of, context), status in self.forge.statuses.items() if of == commit}

    def labels(self) -> Collection[str]:
        return list(self.forge.labels)

    def hooks(self) -> Sequence[str]:
        return list(self.forge.hooks)

    def _sha(self) -> str:
        return f"{next(self._shas):040x}"


class TestMemoryForge(ForgeSuite):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld()

    def test_it_counts_what_it_is_asked(self, world: MemoryWorld) -> None:
        number = world.open()
        world.forge.comment(number, "one")
        world.forge.talk(number)
        world.forge.unlabel(number, "x")
        assert world.forge.asked == {"comment": 1, "talk": 1, "unlabel": 1}
