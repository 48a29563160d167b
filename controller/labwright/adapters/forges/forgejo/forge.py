"""Which calls are made of Forgejo and Gitea.

The token's account must be an administrator of the lab repository: only those may read other people's rights, the rules of
branches, and hooks. Its scopes: write:repository, write:issue, read:user, and read:organization where `@org/team` is used, of
which the account must then be a member, or an owner of the organisation.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlsplit

from labwright.adapters.forges.api import Api, NotThere
from labwright.adapters.forges.forgejo import parse
from labwright.adapters.forges.forgejo.calls import PAGE, everything, understood
from labwright.adapters.forges.forgejo.examine import examine
from labwright.adapters.forges.forgejo.hooks import is_right, put_hook
from labwright.adapters.forges.forgejo.listing import Listing
from labwright.domain.errors import Refused
from labwright.domain.finding import Finding
from labwright.domain.forge import Features, Person, Protection, Pull, Role, Status, Talk

_COLOR = "#1d76db"
_KEPT = 500  # pull requests whose committers are kept
_EMPTY = 4  # empty pages of a timeline that are passed over before it is taken for over
_FEED_PAGES = 4


class ForgejoForge:
    """`url` is the server's address, `repo` is owner/name there; the token is asked for at each call: it may be renewed."""

    def __init__(self, url: str, repo: str, token: Callable[[], str]) -> None:
        owner, _, name = repo.partition("/")
        if not owner or not name or "/" in name:
            raise Refused(f"`forge.repo` is {repo!r}", hint="give owner/name, such as `ml/vision`")
        self._url, self._full_name, self._owner = url.rstrip("/"), repo, owner
        self._repo = f"/repos/{quote(owner, safe='')}/{quote(name, safe='')}"
        self._api = Api(f"{self._url}/api/v1", lambda: _headers(token()), f"Forgejo at {urlsplit(url).netloc}")
        self._listing = Listing(self._api, self._repo)
        self._me: tuple[str, Person] | None = None
        self._committers: dict[tuple[int, str, str], frozenset[str]] = {}
        self._ours: set[str] = set()  # comments
        self._hooked: dict[str, str] = {}  # url → secret that we gave
        self._token = token

    @property
    def features(self) -> Features:
        page = f"{self._url}/{self._full_name}"
        files = {"page": f"{page}/src/branch/{{branch}}/{{path}}", "raw": f"{page}/raw/branch/{{branch}}/{{path}}"}
        return Features(links=files)

    def me(self) -> Person:
        token = self._token()
        if self._me is None or self._me[0] != token:
            with understood(self._api):
                self._me = (token, parse.person(self._api.get("/user")))
        return self._me[1]

    def pulls(self) -> Sequence[Pull]:
        with understood(self._api):
            return self._listing.look()

    def talk(self, number: int) -> Talk:
        here, there = f"{self._repo}/pulls/{number}", f"{self._repo}/issues/{number}"
        with understood(self._api):
            item = self._api.get(here)
            pull = parse.pull(item)
            timeline = self._timeline(there, pull)
            return Talk(
                pull=pull,
                reviews=parse.reviews(everything(self._api, f"{here}/reviews")),
                labellings=parse.since_opened(parse.labellings(timeline), item),
                comments=parse.comments(everything(self._api, f"{there}/comments")),
                committers=self._committers_of(item) | parse.pushes(timeline)[0],
                reset=parse.reset(timeline),
            )

    def roles(self, logins: Collection[str]) -> Mapping[str, Role]:
        return {login: self._role(login) for login in logins}

    def members(self, team: str) -> frozenset[str]:
        org, _, name = team.removeprefix("@").partition("/")
        hint = f"{self.me().login} must be a member of {team}, or an owner of {org}; the token needs read:organization"
        try:
            teams = everything(self._api, f"/orgs/{quote(org, safe='')}/teams")
            ids = [found["id"] for found in teams if str(found["name"]).lower() == name.lower()]
            if not ids:
                raise Refused(f"there is no team {team} at {self._api.what}", hint=hint)
            return frozenset(str(member["login"]) for member in everything(self._api, f"/teams/{ids[0]}/members"))
        except Refused as error:
            raise Refused(f"the members of {team} cannot be read: {error.message}", hint=hint) from error

    def protection(self, branch: str) -> Protection:
        with understood(self._api):
            try:
                state = self._api.get(f"{self._repo}/branches/{quote(branch, safe='')}")
            except NotThere:
                self._api.get(self._repo)
                return Protection(False, "there is no such branch")
            if not state["protected"]:
                return Protection(False)
            # its name may be a glob with slashes; only administrators are told of rules, for others this raises
            name = state.get("effective_branch_protection_name") or branch
            for rule in self._api.get(f"{self._repo}/branch_protections") or ():
                if name in (rule.get("rule_name"), rule.get("branch_name")):
                    return parse.protection(rule)
        raise Refused(f"{self._api.what}: the rule {name} that protects {branch} is not told")

    def pusher(self, branch: str, commit: str) -> str:
        with understood(self._api):
            for page in range(1, _FEED_PAGES + 1):
                feed = self._api.get(f"{self._repo}/activities/feeds", page=page, limit=PAGE)
                if who := parse.pusher(feed or (), branch, commit):
                    return who
                if not feed:
                    break
        return ""

    def comment(self, number: int, body: str, replaces: str = "") -> str:
        if len(body) > (most := self.features.comment_chars):
            raise Refused(f"a comment of {len(body)} characters is too long: {most} at most")
        with understood(self._api):
            if not replaces:
                made = self._api.send("POST", f"{self._repo}/issues/{number}/comments", {"body": _text(body)})
                self._ours.add(str(made["id"]))
                return str(made["id"])
            self._must_be_ours(number, replaces)
            try:
                self._api.send(
                    "PATCH", f"{self._repo}/issues/comments/{quote(replaces, safe='')}", {"body": _text(body)}
                )
            except NotThere as error:
                raise Refused(f"comment {replaces} is gone", hint=error.hint) from error
            return replaces

    def set_status(self, commit: str, status: Status) -> None:
        if len(status.words) > (most := self.features.words_chars):
            raise Refused(f"a status of {len(status.words)} characters is too long: {most} at most")
        body = {"context": status.context, "state": status.light.value, "description": status.words}
        self._api.send("POST", f"{self._repo}/statuses/{quote(commit, safe='')}", body | {"target_url": status.url})

    def unlabel(self, number: int, label: str) -> None:
        here = f"{self._repo}/issues/{number}/labels"
        with understood(self._api):
            on = [found["id"] for found in self._api.get(here) or () if found["name"] == label]
        for each in on:
            self._api.send("DELETE", f"{here}/{each}")

    def add_labels(self, labels: Mapping[str, str]) -> Sequence[str]:
        with understood(self._api):
            there = self._labels()
        new = [name for name in labels if name not in there]
        for name in new:
            body = {"name": name, "color": _COLOR, "description": labels[name][:200]}
            self._api.send("POST", f"{self._repo}/labels", body)
        return new

    def add_hook(self, url: str, secret: str) -> bool:
        """The secret of a hook cannot be read back: unless this object gave it, the hook is made anew."""
        with understood(self._api):
            if self._hooked.get(url) == secret and is_right(self._api, self._repo, url):
                return False
            put_hook(self._api, self._repo, url, secret)
            self._hooked[url] = secret
            return True

    def examine(self, labels: Collection[str], hook: str, branches: Collection[str]) -> Sequence[Finding]:
        return examine(self._api, self._repo, self._labels, self.protection, (labels, hook, branches))

    def close(self) -> None:
        self._api.close()

    def _timeline(self, path: str, pull: Pull) -> list[Any]:
        """A page lacks what the token may not see, and remarks at lines: it may be short or empty and others follow."""
        found: list[Any] = []
        empty = 0
        for page in range(1, 201):
            items = self._api.get(f"{path}/timeline", page=page, limit=PAGE)
            found += items or ()
            empty = 0 if items else empty + 1
            if empty and (empty >= _EMPTY or parse.adds_up(found, pull)):
                break
        return found

    def _committers_of(self, item: Mapping[str, Any]) -> frozenset[str]:
        """The same head on the same base has the same commits."""
        key = (int(item["number"]), str(item["head"]["sha"]), str(item.get("merge_base")))
        if key not in self._committers:
            if len(self._committers) >= _KEPT:
                self._committers.clear()
            commits = everything(self._api, f"{self._repo}/pulls/{key[0]}/commits", verification="false", files="false")
            self._committers[key] = parse.committers(commits)
        return self._committers[key]

    def _role(self, login: str) -> Role:
        if not login.strip() or login in (".", ".."):
            return Role.NONE
        path = f"{self._repo}/collaborators/{quote(login, safe='')}/permission"
        with understood(self._api):
            try:
                answer = self._api.get(path)
            except NotThere:
                self._api.get(self._repo)  # raises where it is the repository that cannot be seen
                return Role.NONE
            found = parse.role(answer)
        if found is None:
            raise Refused(
                f"{self._api.what}: {login} has the role {answer.get('permission')!r}, which is not known here"
            )
        return found

    def _must_be_ours(self, number: int, comment: str) -> None:
        """Forgejo lets an administrator write anybody's comment anew."""
        if comment in self._ours:
            return
        try:
            found = self._api.get(f"{self._repo}/issues/comments/{quote(comment, safe='')}")
        except NotThere as error:
            raise Refused(f"comment {comment} is gone", hint=error.hint) from error
        of = str((found or {}).get("pull_request_url") or "").rpartition("/")[2]
        if of != str(number) or parse.person(found.get("user")).login != self.me().login:
            raise Refused(f"comment {comment} is not ours")
        self._ours.add(comment)

    def _labels(self) -> frozenset[str]:
        """Of the repository, and of its organisation where it has one."""
        found = everything(self._api, f"{self._repo}/labels")
        with suppress(Refused):  # a person's repository, or an organisation whose labels may not be read
            found += everything(self._api, f"/orgs/{quote(self._owner, safe='')}/labels")
        return frozenset(str(label["name"]) for label in found)


def _headers(token: str) -> Mapping[str, str]:
    if not (token := token.strip()) or not token.isascii() or not token.isprintable():
        raise Refused("the forge's token is empty or no token", hint="give the secret that `forge.token` names")
    return {"Authorization": f"token {token}"}


def _text(body: str) -> str:
    """PostgreSQL takes no NUL."""
    return body.replace("\0", "\ufffd")
