"""JSON over HTTP to one forge: its token, pages, what is unchanged, and which failures may be tried again."""

import json
import os
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from labwright.domain.errors import LabError, OutcomeUnknown, Refused, Unavailable

Headers = Callable[[], Mapping[str, str]]
"""Headers of a request, the token's among them, as they are now. Raises Refused and Unavailable."""

_CONNECT_S, _READ_S = 5.0, 20.0
_MOST = 32 << 20  # bytes of an answer
_PAGES = 200  # of one list: a forge that never comes to an end is not followed
_KEPT = 2000  # answers that are kept for `If-None-Match`
_AGAIN = (0.2, 0.8)  # seconds before a reading call is tried once more


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: Any  # parsed JSON; None of an empty one

    @property
    def next_page(self) -> str:
        """URL in the `Link` header (RFC 8288), or an empty text."""
        for part in self.headers.get("link", "").split(","):
            url, _, parameters = part.partition(";")
            if 'rel="next"' in parameters.replace(" ", ""):
                return url.strip().strip("<>")
        return ""


class NotThere(Refused):
    """404: whatever was named is not there, or the token may not see it."""


class Api:
    """`url` ends without a slash; paths begin with one. Redirects are not followed: they would carry the token elsewhere."""

    def __init__(self, url: str, headers: Headers, what: str) -> None:
        self.url, self.what = url, what
        self._headers = headers
        self._pool = _pool(url)
        self._kept: dict[str, tuple[str, Answer]] = {}  # by path: its ETag, and the answer of that time

    def get(self, path: str, **query: Any) -> Any:
        return self.ask(path, **query).body

    def ask(self, path: str, **query: Any) -> Answer:
        full = self._full(path, query)
        known = self._kept.get(full)
        answer = self._read(full, {"If-None-Match": known[0]} if known else {})
        if answer.status == 304 and known:  # unchanged, but told now: its `date` is newer
            return replace(known[1], headers={**known[1].headers, **answer.headers})
        if etag := answer.headers.get("etag"):
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[full] = (etag, answer)
        return answer

    def pages(self, path: str, **query: Any) -> Iterator[Any]:
        """Items of a list, page after page. Raises Unavailable where something else than a list comes: it is no empty one, and
        nobody has taken anything back."""
        answer = self.ask(path, **query)
        for _ in range(_PAGES):
            if not isinstance(answer.body, list):
                raise Unavailable(f"{self.what}: {path} is answered with something else than a list", retry_in=60)
            yield from answer.body
            if not (following := answer.next_page):
                return
            answer = self.ask(self._own(following))
        raise Unavailable(f"{self.what}: the list at {path} does not end", retry_in=300)

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """A writing call, made once. Raises OutcomeUnknown where no answer came."""
        try:
            return self._call(method, path, {}, body).body
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            raise self._unreachable(error) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise OutcomeUnknown(f"{self.what} did not answer: {_words(error)}") from error

    def _read(self, path: str, more: Mapping[str, str]) -> Answer:
        for wait in (*_AGAIN, None):
            try:
                return self._call("GET", path, more)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                if wait is None:
                    raise self._unreachable(error) from error
                time.sleep(wait)
        raise AssertionError

    def _call(self, method: str, path: str, more: Mapping[str, str], body: Any = None) -> Answer:
        own = self._headers()
        headers = {"Accept": "application/json", "User-Agent": "labwright", **own, **more}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        response = self._pool.request(
            method,
            self.url + path,
            headers=headers,
            body=data,
            redirect=False,
            retries=False,
            timeout=urllib3.Timeout(connect=_CONNECT_S, read=_READ_S),
            preload_content=False,
        )
        try:
            raw = response.read(_MOST + 1, decode_content=True)
        finally:
            response.release_conn()
        if len(raw) > _MOST:
            raise Unavailable(f"{self.what}: the answer to {path} is larger than {_MOST >> 20} MB", retry_in=300)
        answer = Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, _parsed(raw))
        if response.status < 300 or response.status == 304:
            if answer.body is _NO_JSON and method == "GET" and response.status != 304:
                raise Unavailable(f"{self.what}: {path} is answered with something else than JSON", retry_in=60)
            return answer
        raise self._error(method, path, replace(answer, body=_parsed(_without(raw, own))))

    def _error(self, method: str, path: str, answer: Answer) -> LabError:
        status, said = answer.status, f"{self.what}: {method} {path.partition('?')[0]} → {answer.status}"
        said += f": {words}" if (words := _message(answer.body)) else ""
        if (wait := _wait(answer)) is not None:
            return Unavailable(f"{said}; it wants fewer requests", retry_in=wait)
        if 300 <= status < 400:
            where = urlsplit(answer.headers.get("location", "")).netloc or "elsewhere"
            return Refused(f"{said}, a redirect to {where}", hint="correct `forge.url` or `forge.repo` in lab.yaml")
        if status == 401:
            return Refused(said, hint="the token is not taken: is it right, and has it not run out?")
        if status == 403:
            return Refused(said, hint="the token may not do this: `lab doctor forge` says what it needs")
        if status in (404, 410):
            return NotThere(said, hint="is `forge.repo` right, and may the token see it?")
        if status in (408, 425) or status >= 500:
            return Unavailable(said, retry_in=15) if method == "GET" else OutcomeUnknown(said)
        return Refused(said)

    def _unreachable(self, error: Exception) -> Unavailable:
        return Unavailable(f"{self.what}: nobody answers at {self.url}: {_words(error)}", retry_in=15)

    def _full(self, path: str, query: Mapping[str, Any]) -> str:
        return path + (f"?{urlencode(query)}" if query else "")

    def _own(self, url: str) -> str:
        """A URL that the forge gave us, as a path of this API. Raises Refused for one of another host."""
        full = urljoin(self.url + "/", url)
        if urlsplit(full).netloc == urlsplit(self.url).netloc and full.startswith(self.url):
            return full.removeprefix(self.url)
        path = urlsplit(full)
        base = urlsplit(self.url).path
        if path.path.startswith(base):  # it knows itself by another name: the token stays with the one in lab.yaml
            return path.path.removeprefix(base) + (f"?{path.query}" if path.query else "")
        raise Refused(f"{self.what} leads to {path.netloc}", hint="correct `forge.url` in lab.yaml")

    def close(self) -> None:
        self._pool.clear()


_NO_JSON = object()


def _parsed(raw: bytes) -> Any:
    if not raw.strip():
        return None
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return _NO_JSON


def _without(raw: bytes, headers: Mapping[str, str]) -> bytes:
    """An answer to be told of, without the token that it may quote."""
    for name, value in headers.items():
        token = value.rpartition(" ")[2].encode()
        if name.lower() in ("authorization", "private-token") and token:
            raw = raw.replace(token, b"***")
    return raw


def _message(body: Any) -> str:
    """The forge's own words, one short line."""
    words = body.get("message") or body.get("error") if isinstance(body, dict) else ""
    return " ".join(str(words or "").split())[:300]


def _wait(answer: Answer) -> float | None:
    """Seconds until it may be asked again, where it limits the rate; None where it does not."""
    if answer.status not in (403, 429):
        return None
    after = answer.headers.get("retry-after", "")
    if after.isdigit():
        return min(max(float(after), 1.0), 3600.0)
    left, reset = answer.headers.get("x-ratelimit-remaining"), answer.headers.get("x-ratelimit-reset", "")
    if left == "0" and reset.isdigit():
        return min(max(float(reset) - _said_at(answer), 1.0), 3600.0)
    return 60.0 if answer.status == 429 else None


def _said_at(answer: Answer) -> float:
    """By the forge's own clock, seconds since the epoch; for want of one, a minute before it answers again."""
    try:
        return parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return float(answer.headers["x-ratelimit-reset"]) - 60.0


def _words(error: BaseException) -> str:
    """Without the address of the object that urllib3 puts in front."""
    return str(error).rpartition(": ")[2][:200] or type(error).__name__


def _pool(url: str) -> urllib3.PoolManager:
    """Through the proxy that the environment names, as curl would."""
    parts = urlsplit(url)
    context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE")) if parts.scheme == "https" else None
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy, ssl_context=context, maxsize=8)
    return urllib3.PoolManager(ssl_context=context, maxsize=8)
