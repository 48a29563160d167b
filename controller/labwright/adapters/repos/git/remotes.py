"""What a user may name as a repository: a folder, or a URL of a transport that runs no program of the URL's choice (R14, R32)."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from labwright.domain.errors import Refused

ALLOWED = "file:git:https:ssh"  # of GIT_ALLOW_PROTOCOL; http only to this very machine
_SCHEMES = frozenset(ALLOWED.split(":"))
_HOME = frozenset({"localhost", "127.0.0.1", "::1"})
_SCP = re.compile(r"(?:[^/:@]+@)?(?P<host>\[[0-9a-fA-F:]+\]|[^/:@]+):(?!//)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Remote:
    """`url` is what git gets; `path` is set when it lies on this machine. Never printed but through `shown`."""

    url: str
    path: Path | None = None

    @property
    def protocols(self) -> str:
        return ALLOWED + ":http" if self.url.startswith("http:") else ALLOWED

    @property
    def shown(self) -> str:
        return redact(self.url)


def redact(text: str) -> str:
    """Without the user and password that a URL may carry."""
    return _CREDENTIALS.sub("", text)


def parse_remote(text: str | Path) -> Remote:
    """Raises Refused for what git would run, not reach: `ext::…`, a leading `-`, an unknown scheme, plain http to others."""
    url = str(text)
    if not url or url.startswith("-") or _CONTROL.search(url):
        raise Refused(f"{redact(url)!r} is no repository", hint="give a folder, an https:// or an ssh URL")
    if isinstance(text, Path):
        return _folder(text)
    if re.match(r"[A-Za-z0-9+.-]+::", url):
        raise Refused(f"{redact(url)!r} would run a program of the URL's choice", hint="use https:// or ssh://")
    if "://" in url:
        return _parse_url(url)
    if (found := _SCP.match(url)) and not Path(url).exists():
        if found["host"].startswith("-"):
            raise Refused(f"{url!r} names a host that looks like an option", hint="use https:// or ssh://")
        return Remote(url)
    return _folder(Path(url))


def _parse_url(url: str) -> Remote:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host.startswith("-"):
        raise Refused(f"{redact(url)!r} names a host that looks like an option", hint="use https:// or ssh://")
    if parts.scheme == "file" and host in {"", "localhost"}:
        return _folder(Path(unquote(parts.path)))
    if parts.scheme in _SCHEMES or (parts.scheme == "http" and host in _HOME):
        return Remote(url)
    raise Refused(
        f"{redact(url)!r}: {parts.scheme}:// is not allowed", hint="use https://, ssh:// or a folder of this machine"
    )


def _folder(path: Path) -> Remote:
    there = path.expanduser().absolute()
    return Remote(str(there), there)
