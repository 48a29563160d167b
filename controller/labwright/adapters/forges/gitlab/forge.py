"""Merge requests of one GitLab project as pull requests."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from labwright.adapters.forges.api import Api, NotThere
from labwright.adapters.forges.gitlab import branches, parse, reviews
from labwright.adapters.forges.gitlab.examine import HOOK_EVENTS, Examiner, hook_is_right
from labwright.adapters.forges.gitlab.parse import Json, readable
from labwright.adapters.forges.gitlab.people import People
from labwright.domain.errors import OutcomeUnknown, Refused
from labwright.domain.finding import Finding
from labwright.domain.forge import Features, Light, Person, Protection, Pull, Role, Status, Talk

_STATES = {Light.PENDING: "pending", Light.SUCCESS: "success", Light.FAILURE: "failed", Light.ERROR: "failed"}
_SAME = "cannot transition status"
_COLOUR = "#6699cc"
_URL_CHARS = 255  # of a status's address
_UNREACHED = (
    "GitLab sends nothing to addresses of its own network unless an administrator lets webhooks do so "
    "(Admin → Settings → Network → Outbound requests)"
)


class GitLabForge:
    """`url`: the server's; `repo`: `group/sub/name`; `token`: asked anew for each request, so that it may be replaced."""

    def __init__(self, url: str, repo: str, token: Callable[[], str]) -> None:
        url = url.rstrip("/")
        self._token = token
        self._api = Api(f"{url}/api/v4", self._headers, "GitLab")
        self._project = f"/projects/{quote(repo.strip('/'), safe='')}"
        self._people = People(self._api, self._project)
        self._hooked: dict[str, str] = {}  # by address: digest of the secret that we gave it
        page = f"{url}/{repo.strip('/')}/-"
        links = {"page": page + "/blob/{branch}/{path}", "raw": page + "/raw/{branch}/{path}"}
        # GitLab takes ten times that of a comment, and is slow to show it
        self.features = Features(comment_chars=100_000, words_chars=255, reviews_by_commit=True, links=links)

    def _headers(self) -> Mapping[str, str]:
        token = self._token()
        if not token or any(not "!" <= character <= "~" for character in token):  # http.client tells it in its error
            hint = "look for a line's end or a space in the secret that `forge.token` names"
            raise Refused("GitLab: the token is empty, or has characters that no token has", hint=hint)
        return {"PRIVATE-TOKEN": token}

    def me(self) -> Person:
        with readable("the token's user"):
            return self._people.me()

    def pulls(self) -> Sequence[Pull]:
        query = {"state": "opened", "scope": "all", "order_by": "created_at", "sort": "asc", "per_page": 100}
        with readable("the list of merge requests"):
            items = [*self._api.pages(f"{self._project}/merge_requests", **query)]
            found = [
                parse.pull(item, self._people.who) for item in items if item["sha"]
            ]  # without a commit: nothing to run
        return sorted(found, key=lambda pull: pull.number)

    def talk(self, number: int) -> Talk:
        with readable(f"merge request {number}"):
            return self._talk(self._merge_request(number), who=self._people.who)

    def _merge_request(self, number: int) -> str:
        return f"{self._project}/merge_requests/{int(number)}"

    def _talk(self, path: str, who: parse.Who) -> Talk:
        """The head is read first: what is said of a later one is then about another commit, never the other way round."""
        item = self._api.get(path)
        pull = parse.pull(item, who)
        approvals = self._api.get(f"{path}/approvals")
        notes = self._list(f"{path}/notes", sort="asc", order_by="created_at")
        known = reviews.versions(self._list(f"{path}/versions"))
        return Talk(
            pull=pull,
            reviews=reviews.reviews(approvals, notes, known, who),
            labellings=parse.labellings(self._list(f"{path}/resource_label_events"), who),
            comments=parse.comments(notes, pull.url, who),
            committers=self._committers(path, pull),
            reset=reviews.reset(notes, self._list(f"{path}/resource_state_events")),
        )

    def _committers(self, path: str, pull: Pull) -> frozenset[str]:
        """GitLab does not tell whose account a commit's author is: who opened it, who pushed to its branch, and private addresses."""
        found = {pull.author.login} | parse.private_logins(self._list(f"{path}/commits"))
        if not pull.fork:
            found |= branches.pushers(self._api, self._project, pull.head_branch)
        return frozenset(found)

    def _list(self, path: str, **query: Any) -> list[Json]:
        return list(self._api.pages(path, per_page=100, **query))

    def roles(self, logins: Collection[str]) -> Mapping[str, Role]:
        return self._people.roles(logins)

    def members(self, team: str) -> frozenset[str]:
        return self._people.members(team)

    def protection(self, branch: str) -> Protection:
        return branches.protection(self._api, self._project, branch)

    def pusher(self, branch: str, commit: str) -> str:
        return branches.pusher(self._api, self._project, branch, commit)

    def comment(self, number: int, body: str, replaces: str = "") -> str:
        if len(body) > self.features.comment_chars:
            raise Refused(f"a comment has {self.features.comment_chars} characters at most, not {len(body)}")
        said = {"body": parse.tame(body)}
        notes = f"{self._merge_request(number)}/notes"
        if not replaces:
            made = self._api.send("POST", notes, said)
            if not isinstance(made, dict) or "id" not in made:
                raise OutcomeUnknown(f"GitLab does not tell the id of the comment at merge request {number}")
            return str(made["id"])
        self._ours(notes, replaces)
        self._api.send("PUT", f"{notes}/{replaces}", said)
        return replaces

    def _ours(self, notes: str, comment: str) -> None:
        if not (comment.isascii() and comment.isdigit()):
            raise Refused(f"comment {comment} is gone: GitLab's have numbers")
        try:
            with readable(f"comment {comment}"):
                note = self._api.get(f"{notes}/{comment}")
                ours = note["author"]["id"] == self._api.get("/user")["id"] and not note["system"]
        except NotThere as error:
            raise Refused(f"comment {comment} is gone") from error
        if not ours:
            raise Refused(f"comment {comment} is not ours")

    def set_status(self, commit: str, status: Status) -> None:
        """GitLab refuses the state that a status is in already. Pending becomes `running` then, which shows newer words, once."""
        told = {"state": _STATES[status.light], "name": status.context, "description": status.words}
        if len(status.words) > self.features.words_chars:
            raise Refused(f"a status has {self.features.words_chars} characters at most, not {len(status.words)}")
        if status.url and len(status.url) <= _URL_CHARS:
            told["target_url"] = status.url
        if not self._told(commit, told) and status.light is Light.PENDING:
            self._told(commit, {**told, "state": "running"})

    def _told(self, commit: str, told: Mapping[str, str]) -> bool:
        """False where that state is refused as the one that it has."""
        try:
            self._api.send("POST", f"{self._project}/statuses/{quote(commit, safe='')}", told)
        except Refused as error:
            if _SAME not in error.message.lower():
                raise
            return False
        return True

    def unlabel(self, number: int, label: str) -> None:
        self._api.send("PUT", self._merge_request(number), {"remove_labels": label})

    def add_labels(self, labels: Mapping[str, str]) -> Sequence[str]:
        with readable("the labels"):
            there = {label["name"] for label in self._list(f"{self._project}/labels")}
        new = [name for name in labels if name not in there]
        for name in new:
            try:
                made = {"name": name, "color": _COLOUR, "description": labels[name]}
                self._api.send("POST", f"{self._project}/labels", made)
            except Refused as error:
                if "already exists" not in error.message:
                    raise  # not by somebody at the same time
        return new

    def add_hook(self, url: str, secret: str) -> bool:
        """What secret a hook has cannot be read: it is given anew unless it was we who gave it.

        A secret in the form of a signing token (`whsec_…`) signs deliveries, from GitLab 19.0 on, and is never sent with them.
        """
        digest = hashlib.sha256(secret.encode()).hexdigest()
        with readable("the webhooks"):
            there = next((hook for hook in self._list(f"{self._project}/hooks") if hook["url"] == url), None)
            if there and self._hooked.get(url) == digest and hook_is_right(there):
                return False
        wanted = {"url": url, "enable_ssl_verification": True, **dict.fromkeys(HOOK_EVENTS, True)}
        told = self._hook(there["id"] if there else None, {**wanted, **parse.hook_secret(secret)})
        if parse.signs(secret) and not told.get("signing_token_present"):  # older ones ignore it without a word
            self._hook(told["id"], {**wanted, "token": secret})
        self._hooked[url] = digest
        return True

    def _hook(self, number: int | None, wanted: Json) -> Json:
        hooks = f"{self._project}/hooks"
        try:
            made = self._api.send(*(("PUT", f"{hooks}/{number}") if number else ("POST", hooks)), wanted)
        except Refused as error:
            if "url" not in error.message.lower():
                raise
            raise Refused(error.message, hint=_UNREACHED) from error
        if not isinstance(made, dict) or "id" not in made:
            raise OutcomeUnknown("GitLab does not tell the id of the webhook")
        return made

    def examine(self, labels: Collection[str], hook: str, branches: Collection[str]) -> Sequence[Finding]:
        return Examiner(self._api, self._project, self.protection).examine(labels, hook, branches)

    def close(self) -> None:
        self._api.close()
