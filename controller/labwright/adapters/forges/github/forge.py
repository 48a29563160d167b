"""The port `Forge` on GitHub: github.com, GHE.com and Enterprise Server."""

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

from labwright.adapters.forges.api import Answer, NotThere
from labwright.adapters.forges.github import examine, hooks, parse, statuses
from labwright.adapters.forges.github.client import Client, Token, part, read
from labwright.adapters.forges.github.tokens import AppTokens
from labwright.domain.errors import Refused, Unavailable
from labwright.domain.finding import Finding
from labwright.domain.forge import Features, Person, Protection, Pull, Role, Status, Talk

COMMENT_CHARS = 65_536
_LOGIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*)(?:\[bot\])?")
_TEAM = re.compile(r"@?([\w.-]+)/([\w.-]+)")
_COLOUR = "1f6feb"  # of the labels that we make
_SAME_SECOND = 2.0  # seconds in which `updated_at` may hide a second change
_LISTED_COMMITS = 250  # `pulls/{n}/commits` has no more
_MOVES = 1000  # of a branch: what lies further back is history, and nobody is asked about
_READINGS = 3  # of a pull request that changes while it is read


class GitHubForge:
    """`url` is the web address (`https://github.com`), `token` gives the token of now: an AppTokens, or that of a person. Only an
    App may make check runs."""

    def __init__(self, url: str, repo: str, token: Token) -> None:
        self._app = token if isinstance(token, AppTokens) else None
        self._api = Client(url, repo, token, self._app.forget if self._app else lambda: None)
        self._repo = self._api.repo
        page = f"{url.rstrip('/')}/{repo}"
        self.features = Features(
            checks=self._app is not None,
            comment_chars=COMMENT_CHARS,
            words_chars=statuses.WORDS_CHARS,
            links={"page": page + "/blob/{branch}/{path}", "raw": page + "/raw/{branch}/{path}"},
        )
        self._open: frozenset[int] = frozenset()  # those listed last
        self._secrets: dict[str, bytes] = {}  # of the hooks that we set, hashed

    def me(self) -> Person:
        if self._app:
            return Person(self._app.login(), bot=True)
        who = read(parse.person, self._api.get("/user"))
        if not who.login:  # else comments of people whose accounts are gone were ours
            raise Unavailable(f"{self._api.what} does not say whose token it is", retry_in=60)
        return who

    # pull requests

    def pulls(self) -> Sequence[Pull]:
        query = {"state": "open", "sort": "updated", "direction": "desc"}
        answers = list(self._api.numbered(f"{self._repo}/pulls", **query))
        found = {}
        for answer in answers:
            for it in read(lambda body: [(one["updated_at"], parse.pull(one)) for one in body], answer.body):
                found[it[1].number] = _aged(it[1], parse.when(it[0]).timestamp(), answer)
        if len(answers) > 1:  # one that changed while we turned the pages may be on none of those we saw
            for number in self._open - found.keys():
                if (still := self._alone(number)) and still.open:
                    found[number] = still
        self._open = frozenset(found)
        return [found[number] for number in sorted(found)]

    def _alone(self, number: int) -> Pull | None:
        try:
            return read(parse.pull, self._api.get(f"{self._repo}/pulls/{number}"))
        except NotThere:
            return None

    def talk(self, number: int) -> Talk:
        path = f"{self._repo}/pulls/{number}"
        for _ in range(_READINGS):
            whole = self._api.get(path)
            pull = read(parse.pull, whole)
            events = self._list(f"{self._repo}/issues/{number}/events")
            talk = Talk(
                pull,
                reviews=read(parse.reviews, self._list(f"{path}/reviews")),
                labellings=read(parse.labellings, events),
                comments=read(parse.comments, self._list(f"{self._repo}/issues/{number}/comments")),
                committers=read(parse.committers, self._commits(path, whole)),
                reset=read(parse.reset, events),
            )
            if read(parse.pull, self._api.get(path)) == pull:  # what belongs together was read together
                return talk
        raise Unavailable(f"pull request {number} changes faster than it can be read", retry_in=5)

    def _commits(self, path: str, pull: Mapping[str, Any]) -> list[Any]:
        if pull.get("commits", 0) <= _LISTED_COMMITS:
            return self._list(f"{path}/commits")
        span = read(lambda it: f"{it['base']['sha']}...{it['head']['sha']}", pull)
        answers = self._api.numbered(f"{self._repo}/compare/{part(span)}")
        return [commit for answer in answers for commit in read(lambda it: it["commits"], answer.body)]

    def _list(self, path: str) -> list[Any]:
        return list(self._api.pages(path, per_page=100))

    # who

    def roles(self, logins: Collection[str]) -> Mapping[str, Role]:
        return {login: self._role(login) for login in logins}

    def _role(self, login: str) -> Role:
        if not _LOGIN.fullmatch(login):
            return Role.NONE
        try:
            return read(parse.role, self._api.get(f"{self._repo}/collaborators/{part(login)}/permission"))
        except NotThere:
            return Role.NONE

    def members(self, team: str) -> frozenset[str]:
        named = _TEAM.fullmatch(team)
        if not named:
            raise Refused(f"`{team}` is no team", hint="GitHub's teams are called `@org/team`")
        try:
            return read(parse.logins, self._list(f"/orgs/{part(named[1])}/teams/{part(named[2])}/members"))
        except NotThere as error:
            hint = "is it spelled as in its page's address, and has the token the organisation's permission `Members: read`?"
            raise Refused(f"there is no team {team}, or it may not be read", hint=hint) from error

    def protection(self, branch: str) -> Protection:
        """Rulesets and `protected` may be read by all; only details of a branch protection rule need `Administration: read`."""
        by_rules = self._rules(branch)
        if by_rules.on:
            return by_rules
        path = f"{self._repo}/branches/{part(branch)}"
        try:
            if read(lambda it: it["protected"], self._api.get(path)) is False:
                return by_rules
        except NotThere as error:
            if "branch not found" in error.message.lower():
                return by_rules
            raise
        try:
            older = read(parse.branch_protection, self._api.get(f"{path}/protection"))
        except NotThere as error:
            if "branch not protected" in error.message.lower():
                return by_rules
            raise _may_not_read(branch) from error  # a classic token of a non-admin is told that there is nothing
        except Refused as error:
            if "upgrade to github" in error.message.lower():
                return by_rules
            raise _may_not_read(branch) from error
        return older if older.words else by_rules

    def _rules(self, branch: str) -> Protection:
        try:
            return read(parse.rules, self._list(f"{self._repo}/rules/branches/{part(branch)}"))
        except NotThere:  # an Enterprise Server before 3.11
            return Protection(False)
        except Refused as error:
            if "upgrade to github" in error.message.lower():  # private repositories of a free plan have neither kind
                return Protection(False, "not offered by this plan")
            raise

    def pusher(self, branch: str, commit: str) -> str:
        newest = self._api.pages(f"{self._repo}/activity", ref=f"refs/heads/{branch}", per_page=100)
        try:
            for it in itertools.islice(newest, _MOVES):
                if (login := read(parse.moved_by, [it], commit)) is not None:
                    return login
        except NotThere:  # an Enterprise Server that keeps none
            pass
        return ""

    # what we write

    def comment(self, number: int, body: str, replaces: str = "") -> str:
        if len(body) > COMMENT_CHARS:
            raise Refused(f"a comment has {COMMENT_CHARS} characters at most, this one {len(body)}")
        if not replaces:
            made = self._api.send("POST", f"{self._repo}/issues/{number}/comments", {"body": body})
            return read(lambda it: str(it["id"]), made)
        path = f"{self._repo}/issues/comments/{replaces}"
        if not replaces.isdecimal() or not self._is_ours(
            self._api.get(path), number
        ):  # GitHub would let us edit anybody's
            raise Refused(f"comment {replaces} of pull request {number} is not ours")
        self._api.send("PATCH", path, {"body": body})
        return replaces

    def _is_ours(self, comment: Any, number: int) -> bool:
        by, issue = read(lambda it: (parse.person(it["user"]), it["issue_url"]), comment)
        return by.login == self.me().login and issue.endswith(f"/issues/{number}")

    def set_status(self, commit: str, status: Status) -> None:
        if len(status.words) > statuses.WORDS_CHARS:
            raise Refused(f"a status has {statuses.WORDS_CHARS} characters at most, this one {len(status.words)}")
        if self._app:
            statuses.set_check(self._api, self._app.app, part(commit), status)
        else:
            statuses.set_status(self._api, part(commit), status)

    def unlabel(self, number: int, label: str) -> None:
        try:
            self._api.send("DELETE", f"{self._repo}/issues/{number}/labels/{part(label)}")
        except NotThere as error:
            if "label does not exist" not in error.message.lower():
                raise

    def add_labels(self, labels: Mapping[str, str]) -> Sequence[str]:
        """GitHub takes `Lab:Run` and `lab:run` for one label."""
        there = self._labels()
        new = [name for name in labels if name.casefold() not in there]
        for name in new:
            wanted = {"name": name, "color": _COLOUR, "description": labels[name][:100]}
            try:
                self._api.send("POST", f"{self._repo}/labels", wanted)
            except Refused:
                if name.casefold() not in self._labels():  # somebody else made it meanwhile
                    raise
        return new

    def _labels(self) -> dict[str, str]:
        names = read(lambda items: [it["name"] for it in items], self._list(f"{self._repo}/labels"))
        return {name.casefold(): name for name in names}

    def add_hook(self, url: str, secret: str) -> bool:
        """Secrets cannot be read back: the hook is written in any case, and what we wrote ourselves is remembered."""
        digest = hooks.digest(secret)
        known = self._secrets.get(url, digest)
        right = hooks.set_app_hook(self._app, url, secret) if self._app else hooks.set_hook(self._api, url, secret)
        self._secrets[url] = digest
        return not right or known != digest

    def examine(self, labels: Collection[str], hook: str, branches: Collection[str]) -> Sequence[Finding]:
        return [
            *examine.access(self._api, self._app, self.me),
            *examine.labels(self._labels, labels),
            *(examine.hook(self._api, self._app, hook) if hook else ()),
            *(examine.branch(self.protection, branch) for branch in branches),
            *examine.rate(self._api),
        ]

    def close(self) -> None:
        self._api.close()
        if self._app:
            self._app.close()


def _may_not_read(branch: str) -> Refused:
    return Refused(
        f"GitHub does not say how the branch {branch} is protected",
        hint="give the token `Administration: read`, or protect the branch by a ruleset, which everybody may read",
    )


def _aged(pull: Pull, changed: float, answer: Answer) -> Pull:
    """Times of GitHub's are whole seconds. What is seen in the second of its change counts as changed once more when that second has
    passed: whatever else happened in it is seen then."""
    try:
        said = parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return pull
    return replace(pull, updated=f"{pull.updated} ~") if said - changed < _SAME_SECOND else pull
