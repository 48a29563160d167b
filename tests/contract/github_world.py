"""The forge suite's people on the fake GitHub, for a person's token and for an App."""

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta

from labwright.adapters.forges.github.forge import GitHubForge
from labwright.adapters.forges.github.tokens import AppTokens
from labwright.domain.forge import Light, Opinion, Role, Status
from labwright.ports.forge import Forge
from tests.forges.github.bench import INSTALLATION, KEY, PAT, WorldClock, a_github, as_app, as_person, repo_of
from tests.forges.github.fake import FakeGitHub
from tests.forges.github.world import Branch, World

_STATES = {Opinion.APPROVED: "APPROVED", Opinion.CHANGES: "CHANGES_REQUESTED", Opinion.COMMENT: "COMMENTED"}
_ROLES = {Role.ADMIN: "admin", Role.WRITE: "write", Role.TRIAGE: "triage", Role.READ: "read", Role.NONE: "none"}
_LIGHTS = {"success": Light.SUCCESS, "failure": Light.FAILURE, "action_required": Light.ERROR, None: Light.PENDING}


class GitHubWorld:
    def __init__(self, stack: ExitStack, make: Callable[[FakeGitHub], GitHubForge], *, app: bool) -> None:
        self._stack, self._make, self._app = stack, make, app
        self._fake = stack.enter_context(a_github("acme").running())
        self._world: World = self._fake.world
        self._world.tokens[PAT].permissions |= {"repository_hooks": "write"}  # type: ignore[operator]
        self.forge: Forge = self._closed(make(self._fake))
        self._numbers, self._commits = itertools.count(1), itertools.count(100)
        for login, role in {"ada": Role.ADMIN, "ben": Role.WRITE, "cleo": Role.WRITE, "dora": Role.WRITE}.items():
            self.let(login, role)
        self.let("mallory", Role.READ)

    def _closed(self, forge: GitHubForge) -> GitHubForge:
        self._stack.callback(forge.close)
        return forge

    def away(self) -> Forge:
        gone = a_github("acme")
        gone._server.server_close()
        return self._closed(self._make(gone))

    def stranger(self) -> Forge:
        if self._app:
            tokens = AppTokens(
                self._fake.url, repo_of(self._fake), 4712, INSTALLATION, lambda: KEY, WorldClock(self._world)
            )
            return self._closed(GitHubForge(self._fake.url, repo_of(self._fake), tokens))
        return self._closed(as_person(self._fake, "nobody"))

    def settle(self) -> None:
        self._world.now += timedelta(seconds=5)

    # pull requests

    def open(self, by: str = "cleo", *, title: str = "Change", base: str = "main", fork: bool = False) -> int:
        return self._world.open(next(self._numbers), self._commit(), by, base=base, fork=fork, title=title)

    def push(self, number: int, by: str) -> str:
        head = self._commit()
        self._world.change(number, head=head, by=by)
        return head

    def rename(self, number: int, title: str, by: str) -> None:
        self._world.change(number, title=title)

    def aim(self, number: int, base: str, by: str) -> None:
        self._world.branches.setdefault(base, Branch(self._commit()))
        self._world.change(number, base=base)

    def shut(self, number: int, by: str) -> None:
        self._world.change(number, state="closed")

    def reopen(self, number: int, by: str) -> None:
        self._world.change(number, state="open")

    def merge(self, number: int, by: str) -> None:
        self._world.change(number, state="closed", merged_at=self._world.stamp())

    # what is said about them

    def put_label(self, number: int, label: str, by: str, *, on: bool = True) -> None:
        self._world.put_label(number, label, by, on=on)

    def review(self, number: int, by: str, opinion: Opinion = Opinion.APPROVED) -> str:
        return str(self._world.review(number, by, _STATES[opinion]))

    def dismiss(self, number: int, review: str, by: str) -> None:
        self._world.dismiss(number, int(review), by)

    def write(self, number: int, body: str, by: str) -> str:
        return str(self._world.write(number, body, by)["id"])

    def edit(self, number: int, comment: str, body: str, by: str) -> None:
        self._world.edit(int(comment), body)

    def erase(self, number: int, comment: str, by: str) -> None:
        self._world.erase(int(comment))

    # who may do what

    def let(self, login: str, role: Role) -> None:
        self._world.grant(login, _ROLES[role])

    def make_team(self, name: str, members: Collection[str]) -> str:
        self._world.teams["acme", name] = list(members)
        return f"@acme/{name}"

    def protect(self, branch: str, *, reviews: int = 0, pushers: Sequence[str] = ()) -> None:
        there = self._world.branches[branch]
        if reviews:
            self._world.require_reviews(branch, reviews)
        if pushers:
            there.older = {"restrictions": {"users": [{"login": one} for one in pushers], "teams": [], "apps": []}}

    def commit(self, by: str, branch: str = "main") -> str:
        made = self._commit()
        self._world.push(branch, made, by)
        return made

    # what the forge shows

    def statuses(self, commit: str) -> Mapping[str, Status]:
        shown = {}
        for it in self._world.statuses:
            if it["sha"] == commit:
                url = it["target_url"] or ""
                shown[it["context"]] = Status(it["context"], Light(it["state"]), it["description"], url)
        for it in self._world.checks.values():
            if it["head_sha"] == commit:
                light, output = _LIGHTS[it["conclusion"]], it["output"]
                shown[it["name"]] = Status(
                    it["name"], light, output["title"], it["details_url"] or "", output["summary"]
                )
        return shown

    def labels(self) -> Collection[str]:
        return list(self._world.labels)

    def hooks(self) -> Sequence[str]:
        if self._app:
            return [self._world.app["hook"]["url"]]
        return [it["config"]["url"] for it in self._world.hooks.values()]

    def _commit(self) -> str:
        return f"{next(self._commits):040x}"


def of_a_person(stack: ExitStack) -> GitHubWorld:
    return GitHubWorld(stack, as_person, app=False)


def of_an_app(stack: ExitStack) -> GitHubWorld:
    return GitHubWorld(stack, as_app, app=True)
