"""Tokens of a GitHub App's installation: a JWT signed with the App's key buys one for an hour. Kept in memory only."""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import jwt

from labwright.adapters.forges.github import parse
from labwright.adapters.forges.github.client import Client, read
from labwright.domain.errors import OutcomeUnknown, Refused, Unavailable
from labwright.ports.clock import Clock

_JWT_BEFORE, _JWT_AFTER = timedelta(seconds=60), timedelta(minutes=9)  # GitHub takes ten minutes at most
_EARLY = timedelta(minutes=10)
"""A token is renewed so long before it ends. A clock that is slower than this buys no token at all: its JWT has run out."""


class AppTokens:
    """Called, it gives the token of now, of this repository alone. Raises Refused (key, App, installation) and Unavailable."""

    def __init__(self, url: str, repo: str, app: int, installation: int, key: Callable[[], str], clock: Clock) -> None:
        self.app, self._installation, self._key, self._clock = app, installation, key, clock
        self._repo = repo.rpartition("/")[2]
        self.api = Client(url, repo, self._signed)  # as the App, not as its installation
        self._lock = threading.Lock()
        self._held: tuple[str, datetime] | None = None
        self._slug = ""
        self._permissions: Mapping[str, str] = {}

    def __call__(self) -> str:
        with self._lock:
            if self._held is None or self._clock.now() >= self._held[1] - _EARLY:
                self._held = self._buy()
            return self._held[0]

    def forget(self) -> None:
        """GitHub did not take it: the next call buys another one."""
        with self._lock:
            self._held = None

    def login(self) -> str:
        """As which it writes."""
        if not self._slug:
            self._slug = str(read(lambda it: it["slug"], self.about()))
        return f"{self._slug}[bot]"

    def about(self) -> Any:
        """The App itself: `slug`, `events`, `permissions`."""
        return self.api.get("/app")

    def permissions(self) -> Mapping[str, str]:
        """What the installation may do: {"checks": "write", …}."""
        self()
        return self._permissions

    def _buy(self) -> tuple[str, datetime]:
        try:
            answer = self.api.send(
                "POST", f"/app/installations/{self._installation}/access_tokens", {"repositories": [self._repo]}
            )
        except OutcomeUnknown as error:  # a token that nobody has harms nobody
            raise Unavailable(error.message, retry_in=15) from error
        except Refused as error:
            if "→" not in error.message:  # the key was, and nobody was asked
                raise
            raise Refused(error.message, hint=self._hint(error.message)) from error
        token, ends = read(lambda it: (str(it["token"]), parse.when(it["expires_at"])), answer)
        self._permissions = answer.get("permissions") or {}
        return token, ends

    def _hint(self, said: str) -> str:
        if "→ 401" in said:
            return f"is `forge.app.key` a key of App {self.app}, and this machine's clock right?"
        if "→ 404" in said:
            return f"has App {self.app} an installation {self._installation}? Its page's address ends with that number"
        return f"is the App installed for the repository {self._repo}, and not suspended?"

    def _signed(self) -> str:
        now = self._clock.now()
        claims = {"iss": str(self.app), "iat": now - _JWT_BEFORE, "exp": now + _JWT_AFTER}
        try:
            return jwt.encode(claims, self._key(), algorithm="RS256")
        except (jwt.PyJWTError, ValueError, TypeError):
            # `from None`: the library's words may quote the key
            raise Refused(
                "the key of the GitHub App is no RSA key in PEM", hint="`forge.app.key` names the file that GitHub gave"
            ) from None

    def close(self) -> None:
        self.api.close()
