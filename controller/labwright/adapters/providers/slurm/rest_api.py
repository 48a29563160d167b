"""slurmrestd over HTTP: a call, and what its answers mean. Their layout is that of Slurm's OpenAPI plug-ins: v0.0.36 to v0.0.38 (Slurm
20.11 to 23.02), and, since v0.0.39, of its data parsers, where a number may be `{"set": true, "infinite": false, "number": 7}`."""

import base64
import http.client
import json
import pwd
import re
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from labwright.domain.errors import OutcomeUnknown, Refused, Unavailable
from labwright.domain.slurm import Rest

GetToken = Callable[[], str]
"""The value of `rest.token` as it is now. Raises Refused."""

_CONNECT_S = 10.0
_MOST = 16 << 20  # of an answer
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_NOT_TRUSTED = (401, 403)
_SAYS_NOTHING = ("Failure during parsing", "Unspecified error")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    job: str = ""  # the id that the job was given
    words: str = ""  # what it says was wrong
    of_slurm: bool = False  # and it was Slurm who said so


@dataclass(frozen=True, slots=True)
class Door:
    """One user's way in."""

    rest: Rest
    user: str
    token: str  # empty: none is needed
    patience: float  # seconds for an answer

    def reach(self) -> None:
        """Raises Unavailable where nobody listens, Refused where jobs would be somebody else's."""
        connection = self._connected()
        whose = "" if self.token else listener(connection.sock)
        connection.close()
        if whose not in ("", "root", self.user):  # root: systemd listens in its place
            raise Refused(
                f"slurmrestd at {self.rest.url} runs as {whose}, whose jobs they would be, and not {self.user}'s",
                hint=f"start one as {self.user}, or give a `rest.token`",
            )

    def trusted(self) -> bool:
        """Whether slurmctld takes this user's word. Raises Unavailable."""
        try:
            return self._call("GET", "ping")[0] == 200
        except OutcomeUnknown as error:
            raise Unavailable(str(error)) from error

    def submit(self, body: Mapping[str, Any]) -> Answer:
        """Raises Unavailable where nothing was sent, OutcomeUnknown where no answer came."""
        status, text = self._call("POST", "job/submit", json.dumps(body).encode())
        return answer_of(status, text)

    def _call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        connection = self._connected()
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self.token:
            headers |= {"X-SLURM-USER-NAME": self.user, "X-SLURM-USER-TOKEN": self.token}
        try:
            connection.request(method, f"{prefix(self.rest)}/{path}", body, headers)
            response = connection.getresponse()
            return response.status, response.read(_MOST).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise OutcomeUnknown(f"slurmrestd at {self.rest.url} did not answer: {said_of(error)}") from error
        finally:
            connection.close()

    def _connected(self) -> http.client.HTTPConnection:
        connection = connection_to(self.rest.url, _CONNECT_S)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise Unavailable(
                f"slurmrestd: nobody answers at {self.rest.url}: {said_of(error)}",
                hint="nothing was submitted; start slurmrestd, or correct `rest.url` in lab.yaml",
                retry_in=15,
            ) from error
        connection.sock.settimeout(self.patience)
        return connection


def opened(rest: Rest, user: str, get_token: GetToken | None, now: float, patience: float) -> Door:
    """`now`: seconds since the epoch. Raises Refused for a token that cannot be had, is none, or has run out."""
    token = get_token().strip() if get_token else ""
    if token and not _JWT.fullmatch(token):
        raise Refused(f"rest.token ({rest.token}) is no JWT", hint="`scontrol token` prints one, behind `SLURM_JWT=`")
    if (until := _until(token)) is not None and until <= now:
        raise Refused(f"rest.token ({rest.token}) has run out", hint=_RENEW)
    return Door(rest, user, token, patience)


_RENEW = "renew it: `scontrol token lifespan=…` as the user of the provider"


def not_trusted(rest: Rest, user: str, words: str) -> Refused:
    what = f"rest.token ({rest.token}) as one of {user}" if rest.token else f"{user} without a `rest.token`"
    return Refused(f"slurmrestd: Slurm does not take {what}: {words or 'no reason is given'}", hint=_RENEW)


def prefix(rest: Rest) -> str:
    path = "" if rest.url.startswith("unix:") else urlsplit(rest.url).path.rstrip("/")
    return f"{path}/slurm/{rest.version}"


def connection_to(url: str, patience: float) -> http.client.HTTPConnection:
    if url.startswith("unix:"):
        return _OverSocket(urlsplit(url).path, patience)
    host = urlsplit(url).netloc
    if url.startswith("https:"):
        return http.client.HTTPSConnection(host, timeout=patience, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, timeout=patience)


class _OverSocket(http.client.HTTPConnection):
    def __init__(self, path: str, patience: float) -> None:
        super().__init__("localhost", timeout=patience)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def listener(sock: socket.socket) -> str:
    """User who listens at the other end of a unix socket; empty where that cannot be told."""
    if sock.family != socket.AF_UNIX:
        return ""
    try:
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        return pwd.getpwuid(uid).pw_name
    except (OSError, KeyError):
        return ""


def answer_of(status: int, text: str) -> Answer:
    """Of job/submit."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return Answer(status, words=" ".join(text.split())[:200])
    result = found.get("result")
    job = number(found.get("job_id")) or number(result.get("job_id") if isinstance(result, dict) else None)
    words = "; ".join(dict.fromkeys(_words(found.get("errors"))))[:500]
    return Answer(status, str(job) if job else "", words, of_slurm=bool(words))


def number(value: Any) -> int | None:
    """`7`, `"7"` or `{"set": true, "infinite": false, "number": 7}`; None for what is none."""
    if isinstance(value, dict):
        value = value.get("number") if value.get("set") and not value.get("infinite") else None
    if isinstance(value, str) and value.isdigit():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _words(errors: Any) -> Iterator[str]:
    for error in errors if isinstance(errors, list) else ():
        if isinstance(error, dict):
            texts = [str(error[key]).strip() for key in ("description", "error") if error.get(key)]
            yield from (text for text in texts if text and text not in _SAYS_NOTHING)


def is_trusted(answer: Answer) -> bool:
    """False where the answer is about who asks."""
    return answer.status not in _NOT_TRUSTED and not re.search("authenticat", answer.words, re.IGNORECASE)


def said_of(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _until(token: str) -> float | None:
    """When a JWT runs out, as it says itself: seconds since the epoch."""
    try:
        middle = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
        return float(claims["exp"])
    except (IndexError, ValueError, KeyError, TypeError):
        return None
