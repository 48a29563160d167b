"""`forge` of lab.yaml: where the lab's pull requests live."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from labwright.domain.forms import LIST_SCHEMA, Fault, Form, Line, Positive, Span, line, lines, show
from labwright.domain.signers import parse_signers, signer_line

_SECRET = re.compile(r"\{\{\s*secrets?\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
_REPO = re.compile(r"[\w.-]+(/[\w.-]+)+")
HOMES = {"github": "https://github.com", "gitlab": "https://gitlab.com"}


def _reference(value: str) -> str:
    if not _SECRET.fullmatch(line(value)):
        raise Fault("must be a reference to a secret, never the value itself", "such as `{{secret.FORGE_TOKEN}}`")
    return value


def secret_of(reference: str) -> str:
    """NAME of `{{secret.NAME}}`."""
    found = _SECRET.fullmatch(reference.strip())
    return found[1] if found else ""


Reference = Annotated[str, BeforeValidator(_reference), WithJsonSchema({"type": "string", "pattern": _SECRET.pattern})]
References = Annotated[
    tuple[str, ...],
    BeforeValidator(lines(_reference)),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": 2}]}),
]


Keys = Annotated[tuple[str, ...], BeforeValidator(lines(signer_line)), WithJsonSchema(LIST_SCHEMA)]
_OWN = ("pull/", "approvals/")  # branches that `git` reads as pull requests and as what people say of them
_OURS = "lab-pulls"


class App(Form):
    """A GitHub App's installation, in place of a token: its tokens live for an hour."""

    id: Positive = Field(description="The App's id.")
    installation: Positive = Field(description="Id of its installation in the organisation.")
    key: Reference = Field(description="`{{secret.NAME}}` of its private key (PEM).")


class Forge(Form):
    type: Literal["forgejo", "gitea", "github", "gitlab", "git"] = Field(
        description="`git`: no forge; a signed tag or a trailer by one of `keys` approves."
    )
    url: Line | None = Field(None, description="Its address; left out: github.com, gitlab.com.")
    repo: Line | None = Field(None, description="The lab repository there: `owner/name`.")
    token: Reference | None = Field(None, description="`{{secret.NAME}}` of an access token.")
    app: App | None = Field(None, description="GitHub only, in place of `token`.")
    hook_secrets: References = Field(
        (), description="`{{secret.NAME}}` that deliveries are signed with; two of them while one is replaced."
    )
    keys: Keys = Field((), description="`git` only: who may approve, as lines of an allowed_signers file.")
    poll_s: Span = Field(30.0, alias="poll", description="Time between looks without a hook.")
    update_s: Span = Field(20.0, alias="update", description="The least time between two edits of a comment.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.type == "git":
            self._none_of("url", "repo", "token", "app", "hook_secrets")
            try:
                parse_signers(self.keys)
            except Fault as fault:
                raise Fault(fault.message, fault.hint, at=("keys", *fault.at)) from fault
            return self
        if self.url is None and self.type not in HOMES:
            raise Fault(f"needs `url`, the address of the {self.type} server")
        if self.url is not None and not _URL.fullmatch(self.url):
            raise Fault(f"must be an http(s) address, not {show(self.url)}", at=("url",))
        if self.repo is None or not _REPO.fullmatch(self.repo):
            raise Fault("needs `repo`, such as `ml/vision`: the lab repository at the forge")
        if (self.token is None) == (self.app is None):
            raise Fault("needs a `token`" + (" or an `app`, and not both" if self.type == "github" else ""))
        if self.app is not None and self.type != "github":
            raise Fault("is for GitHub only; give a `token`", at=("app",), key=True)
        if len(self.hook_secrets) > 2:
            raise Fault("holds two secrets at most: the old one and the new one", at=("hook_secrets",))
        self._none_of("keys")
        return self

    def _none_of(self, *names: str) -> None:
        for name in names:
            if getattr(self, name):
                raise Fault(f"is not for forges of the type {self.type}", at=(name,), key=True)

    @property
    def address(self) -> str:
        return (self.url or HOMES.get(self.type, "")).rstrip("/")

    @property
    def references(self) -> tuple[str, ...]:
        """Names of the secrets it needs."""
        own = [self.token, self.app.key if self.app else None, *self.hook_secrets]
        return tuple(secret_of(reference) for reference in own if reference)

    def check_branches(self, watched: Sequence[str], results: str) -> None:
        """Without a forge, pull requests are branches of the repository, and what is watched is launched as it is pushed. Raises
        Fault."""
        if self.type != "git":
            return
        for n, pattern in enumerate(watched):
            own = next((start for start in _OWN if _may_begin(pattern, start)), "")
            own = f"{own}…" if own else _OURS if fnmatchcase(_OURS, pattern) else ""
            if own:
                hint = "name the branches that are meant, such as `main`"
                raise Fault(
                    f"also means {own}, which belongs to pull requests (`forge.type: git`)",
                    hint,
                    at=("watch", "branches", n),
                )
        if results == _OURS or results.startswith(_OWN):
            hint = "such as lab-results"
            raise Fault("is a branch of pull requests (`forge.type: git`)", hint, at=("results", "branch"))


def _may_begin(pattern: str, start: str) -> bool:
    """Whether a glob may mean a name that begins so; never no where it does."""
    parts = re.findall(r"\[!?\]?[^\]]*\]|.", pattern, re.DOTALL)

    def here(places: set[int]) -> set[int]:
        for n, part in enumerate(parts):
            if n in places and part == "*":
                places = places | {n + 1}
        return places

    places = here({0})
    for character in start:
        held = {n for n in places if n < len(parts) and parts[n] == "*"}
        fits = {n + 1 for n in places if n < len(parts) and (parts[n] in ("?", character) or len(parts[n]) > 1)}
        places = here(held | fits)
    return bool(places)
