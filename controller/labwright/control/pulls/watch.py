"""What goes on at the forge: asked often for the list, and in full only where something changed."""

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from labwright.control.world import World, later
from labwright.decide.approve import People, folded, who_matters
from labwright.domain.errors import LabError, Unavailable
from labwright.domain.forge import Pull, Talk
from labwright.domain.lab import Lab
from labwright.ports.forge import Forge

AT_ONCE = 20  # pull requests that are read in one call
PATIENCE = 10.0  # seconds until one that could not be read is tried again
REFRESH_S = 300.0  # a role or a team may change without any trace at the pull request


@dataclass(frozen=True, slots=True)
class Seen:
    """One pull request as the forge had it at one moment."""

    talk: Talk
    people: People
    at: datetime


class _NoHead(LabError):
    """Its head cannot be had from git at the moment."""


class Watch:
    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: dict[int, Seen] = {}
        self.news: set[int] = set()  # seen anew since somebody looked
        self.listed = False  # at least once since the start
        self.failing = 0
        self._unread: dict[int, None] = {}
        self._list: Mapping[int, Pull] = {}  # as it was last
        self._asking: Mapping[int, Pull | None] = {}  # what the list said when these were asked about
        self._read_as: dict[
            int, Pull | None
        ] = {}  # and of those that are seen: `updated` may differ from a list to one alone
        self._again: dict[int, datetime] = {}  # of those that could not be read: when they are tried again
        self._pushers: dict[int, dict[str, str]] = {}  # pull request → head → who pushed it
        self._teams: dict[
            int, frozenset[str]
        ] = {}  # owners of touched paths: teams to know besides those of the policy
        self._next = self._refresh = self._read_next = world.now()
        self._forge: Forge | None = None
        self._me: tuple[Forge | None, str] = (None, "")  # whose token it is

    def step(self, now: datetime) -> datetime | None:
        forge, calls = self.world.forge, self.world.calls
        if forge is not self._forge:
            self._start_over(forge, now)
        if forge is None:
            return None
        hooked = self.world.hooked.is_set()
        if (hooked or now >= self._next) and not calls.busy("forge list"):
            self.world.hooked.clear()
            self._next = later(now, self._every() * random.uniform(0.8, 1.2))  # noqa: S311  # jitter, not a secret
            calls.start("forge list", forge.pulls, partial(self._listed, now), self._unreachable)
        for number in [number for number, at in self._again.items() if at <= now]:
            del self._again[number]
            self.read_soon(number)
        if self._unread and now >= self._read_next and not calls.busy("forge read"):
            numbers = list(self._unread)[:AT_ONCE]
            self._asking = {number: self._list.get(number) for number in numbers}
            read = partial(self._read_all, forge, numbers)
            calls.start("forge read", read, self._read, self._unreachable)
        waiting = [self._read_next] if self._unread and now < self._read_next else []
        return min([self._next, *waiting, *self._again.values()])

    def read_soon(self, number: int) -> None:
        self._unread[number] = None

    def know_teams(self, number: int, teams: Collection[str]) -> None:
        if not self._teams.get(number, frozenset()) >= set(teams):
            self._teams[number] = frozenset(teams)
            self.read_soon(number)

    def reading(self, number: int) -> partial["Seen"]:
        """What a call does to see a pull request as it is at that moment."""
        forge, lab = self.world.forge, self.world.lab
        assert forge is not None and lab is not None  # noqa: S101  # there are pull requests only with a forge
        teams = self._teams.get(number, frozenset())
        return partial(self._look, forge, lab, number, teams)

    def _look(self, forge: Forge, lab: Lab, number: int, teams: Collection[str]) -> Seen:
        """Off the loop's thread. The moment is the one before the first question: what comes later is seen again."""
        at = self.world.now()
        talk = self._with_pushers(forge, forge.talk(number))
        me = self._me[1] if self._me[0] is forge else forge.me().login
        self._me = (forge, me)
        logins, named = who_matters(talk, lab.policy.approve, teams)
        members = {team: frozenset(folded(login) for login in forge.members(team)) for team in sorted(named)}
        asked = sorted(logins - {folded(me)})
        roles = {folded(login): role for login, role in forge.roles(asked).items()} if asked else {}
        if talk.pull.open:
            try:
                self.world.repo.bring(talk.pull.ref, talk.pull.head)
            except (
                Unavailable
            ) as error:  # of this one alone: a push a moment ago, or git is away where the forge is not
                raise _NoHead(str(error)) from error
        return Seen(talk, People(me, roles, members), at)

    def _with_pushers(self, forge: Forge, talk: Talk) -> Talk:
        """Whoever pushed a head wrote it, whatever name its commits bear (R5): of all heads that were seen here."""
        pull = talk.pull
        if pull.fork or not pull.open:
            return talk
        known = self._pushers.get(pull.number, {})
        if pull.head not in known:
            known = {**known, pull.head: forge.pusher(pull.head_branch, pull.head)}
            self._pushers[pull.number] = known
        return replace(talk, committers=talk.committers | {login for login in known.values() if login})

    def take_in(self, seen: Seen) -> Seen:
        """What is known of it now: this, or what another look saw later."""
        number = seen.talk.pull.number
        known = self.seen.get(number)
        if known is not None and known.at > seen.at:
            return known
        self.seen[number] = seen
        self.news.add(number)
        return seen

    def forget(self, number: int) -> None:
        for known in (self.seen, self._unread, self._again, self._teams, self._pushers, self._read_as):
            known.pop(number, None)

    def _start_over(self, forge: Forge | None, now: datetime) -> None:
        self._forge, self.listed, self._next = forge, False, now
        for known in (self.seen, self._unread, self._pushers, self._read_as):
            known.clear()

    def _every(self) -> float:
        lab = self.world.lab
        return lab.forge.poll_s if lab is not None and lab.forge is not None else 60.0

    def _listed(self, now: datetime, pulls: Collection[Pull]) -> None:
        self.failing, self.listed = 0, True
        self.world.alarms.clear("forge")
        watching = self.world.lab is not None and self.world.lab.watch.pull_requests
        there = {pull.number: pull for pull in pulls} if watching else {}
        self._list = there
        refresh = now >= self._refresh
        if refresh:
            self._refresh = later(now, REFRESH_S)
        for number, pull in there.items():
            known = self.seen.get(number)
            if known is None or self._read_as.get(number) != pull or refresh:
                self.read_soon(number)
        for number, known in self.seen.items():
            if number not in there and known.talk.pull.open:
                self.read_soon(number)

    def _read_all(self, forge: Forge, numbers: Collection[int]) -> Mapping[int, "Seen | Exception"]:
        found: dict[int, Seen | Exception] = {}
        for number in numbers:
            try:
                found[number] = self.reading(number)()
            except Unavailable as error:
                found[number] = error
                break  # the forge may be away; it is asked about the others in a call of their own
            except Exception as error:  # noqa: BLE001  # one that cannot be read must not hide the others
                found[number] = error
        return found

    def _read(self, found: Mapping[int, "Seen | Exception"]) -> None:
        for number, seen in found.items():
            self._unread.pop(number, None)
            if isinstance(seen, Unavailable):  # behind the others: one that changes all the time holds up none of them
                self._again[number] = later(self.world.now(), seen.retry_in)
                self.world.alarms.raise_(f"pull request {number}", f"not read: {seen}; its jobs wait")
                continue
            if isinstance(seen, Seen):
                self.world.alarms.clear(f"pull request {number}")
                self.take_in(seen)
                self._read_as[number] = self._asking.get(number)
                continue
            if not isinstance(seen, LabError):
                self.world.log.error("defect", doing=f"reading pull request {number}", error=repr(seen), exc_info=seen)
            self.world.alarms.raise_(f"pull request {number}", f"cannot be read: {seen}; its jobs wait")
            self._again[number] = later(self.world.now(), PATIENCE)
            self.seen.pop(number, None)  # what is not known is not approved
            self.news.add(number)

    def _unreachable(self, error: Exception) -> None:
        if not isinstance(error, LabError):
            self.world.log.error("forge failed", error=repr(error), exc_info=error)
        self.failing += 1
        wait = error.retry_in if isinstance(error, Unavailable) else 60.0
        self._next = self._read_next = later(self.world.now(), min(wait * 2 ** min(self.failing - 1, 5), 300.0))
        words = str(error) if isinstance(error, LabError) else repr(error)
        self.world.alarms.raise_("forge", f"{words}; jobs of pull requests wait")
