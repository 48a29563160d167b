"""Who somebody is at GitLab, and what they may do in the project, as it is now."""

import re
from collections.abc import Collection, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from labwright.adapters.forges.api import Answer, Api, NotThere
from labwright.adapters.forges.gitlab import parse
from labwright.adapters.forges.gitlab.parse import Json, readable
from labwright.domain.errors import Refused, Unavailable
from labwright.domain.forge import Person, Role

_GROUP = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*")


class People:
    """Keeps who is a bot, by user id: no user of GitLab's becomes one, or ceases to be."""

    def __init__(self, api: Api, project: str) -> None:
        self._api, self._project = api, project
        self._bots: dict[int, bool] = {}

    def who(self, user: Json) -> Person:
        login = str(user["username"])
        return Person(login, parse.looks_like_bot(login) or self._bot(int(user["id"])))

    def _bot(self, user: int) -> bool:
        if user not in self._bots:
            try:
                self._bots[user] = bool(self._api.get(f"/users/{user}").get("bot"))
            except NotThere:  # nobody says that this is a human
                return True
        return self._bots[user]

    def me(self) -> Person:
        user = self._api.get("/user")
        return Person(str(user["username"]), bool(user.get("bot")) or parse.looks_like_bot(str(user["username"])))

    def roles(self, logins: Collection[str]) -> Mapping[str, Role]:
        with readable("roles of people"):
            return {login: self._role(login) for login in dict.fromkeys(logins)}

    def _role(self, login: str) -> Role:
        user = self._user(login)
        if user is None or user["state"] != "active":
            return Role.NONE
        try:
            answer = self._api.ask(f"{self._project}/members/all/{user['id']}")
        except NotThere:
            return Role.NONE
        member = answer.body
        if not _same(member["username"], login) or not parse.active(member, _today(answer, member)):
            return Role.NONE
        return parse.role(int(member["access_level"]))

    def _user(self, login: str) -> Json | None:
        """GitLab's names are ASCII, and one name whatever its letters' case; what it finds for others is nobody."""
        if not login.isascii() or not login:
            return None
        found = [user for user in self._api.get("/users", username=login) if _same(user["username"], login)]
        return found[0] if len(found) == 1 else None

    def members(self, team: str) -> frozenset[str]:
        name = team.removeprefix("@")
        if not _GROUP.fullmatch(name):
            raise Refused(f"{team!r} is no group of GitLab's", hint="write it as `@group` or `@group/sub`")
        try:
            with readable(f"the members of {team}"):
                answer = self._api.ask(path := f"/groups/{quote(name, safe='')}/members/all", per_page=100)
                everybody = [*self._api.pages(path, per_page=100)]
                now = {m["username"] for m in everybody if parse.active(m, _today(answer, m))}
                some = {m["username"] for m in everybody if parse.role(int(m["access_level"])) > Role.NONE}
        except NotThere as error:
            hint = f"is it `@group/sub`, and is the token's user a member there? ({error.message})"
            raise Refused(f"there is no group {name} at GitLab, or the token may not see it", hint=hint) from error
        return frozenset(now & some)


def _same(found: str, login: str) -> bool:
    return found.isascii() and found.lower() == login.lower()


def _today(answer: Answer, member: Json) -> str:
    """By GitLab's own clock. Raises Unavailable where it does not tell and a membership ends some day."""
    try:
        return parsedate_to_datetime(answer.headers["date"]).astimezone(UTC).date().isoformat()
    except (KeyError, ValueError) as error:
        if not member.get("expires_at"):
            return ""  # no matter which day it is
        raise Unavailable("GitLab: an answer without a date: whose membership has ended cannot be told") from error
