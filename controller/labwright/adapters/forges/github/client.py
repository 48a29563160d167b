"""GitHub's REST API: where it is, its headers, and what its errors mean beyond those of every forge."""

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from labwright.adapters.forges.api import Answer, Api
from labwright.domain.errors import LabError, Refused, Unavailable

Token = Callable[[], str]
T = TypeVar("T")

VERSION = "2022-11-28"
_REPO = re.compile(r"[\w.-]+/[\w.-]+")
_TOKEN = re.compile(r"[!-~]+")
_PAGES = 100  # of one list


def api_of(url: str) -> str:
    """github.com and GHE.com have their API at a host of its own, Enterprise Server below a path."""
    parts = urlsplit(url.rstrip("/"))
    if parts.netloc == "github.com" or parts.netloc.endswith(".ghe.com"):
        return f"{parts.scheme}://api.{parts.netloc}"
    return f"{parts.scheme}://{parts.netloc}{parts.path}/api/v3"


def name_of(url: str) -> str:
    host = urlsplit(url).netloc
    return "GitHub" if host == "github.com" else f"GitHub at {host}"


def part(text: str) -> str:
    """A name as one part of a path. `labels/.` would be the path of all labels."""
    if text in ("", ".", ".."):
        raise Refused(f"GitHub can be asked about nothing that is called `{text}`")
    return quote(text, safe="")


def read(parse: Callable[..., T], *what: Any) -> T:
    """Raises Unavailable for an answer of another shape than GitHub's own."""
    try:
        return parse(*what)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        words = f"an answer of GitHub is not of its usual shape: {type(error).__name__} at {str(error)[:80]}"
        raise Unavailable(words, hint="is there a proxy in between?", retry_in=60) from error


class Client(Api):
    """`token` is asked before every call; `not_taken` is told when GitHub does not take it."""

    def __init__(self, url: str, repo: str, token: Token, not_taken: Callable[[], None] = lambda: None) -> None:
        if not _REPO.fullmatch(repo) or {".", ".."} & set(repo.split("/")):
            raise Refused(
                f"`{repo[:100]}` is no repository of GitHub", hint="`forge.repo` is `owner/name`, such as `ml/vision`"
            )
        super().__init__(api_of(url), self._made, name_of(url))
        self.repo = f"/repos/{repo}"
        self._token, self._not_taken = token, not_taken

    def _made(self) -> dict[str, str]:
        token = self._token().strip()
        if not _TOKEN.fullmatch(token):  # http.client would put it into its error's text
            raise Refused(
                "GitHub's token is empty or has characters that none has", hint="look at the secret that it is in"
            )
        return {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": VERSION,
        }

    def numbered(self, path: str, **query: Any) -> Iterator[Answer]:
        """Answers of a list, page after page by number, of 100 items each."""
        for page in range(1, _PAGES + 1):
            answer = self.ask(path, **query, per_page=100, **({"page": page} if page > 1 else {}))
            yield answer
            if not answer.next_page:
                return
        raise Unavailable(f"{self.what}: the list at {path} does not end", retry_in=300)

    def _error(self, method: str, path: str, answer: Answer) -> LabError:
        if answer.status == 401:
            self._not_taken()
        error = super()._error(method, path, answer)
        if answer.status == 403 and isinstance(error, Refused) and "rate limit" in error.message.lower():
            return Unavailable(error.message, retry_in=60)  # secondary ones come without headers too
        if answer.status == 422 and isinstance(error, Refused) and (more := _details(answer.body)):
            return Refused(f"{error.message}: {more}", hint=error.hint)
        return error


def _details(body: Any) -> str:
    """What is wrong with which field, of a 422."""
    errors = body.get("errors") if isinstance(body, dict) else None
    said = []
    for it in errors if isinstance(errors, list) else ():
        words = (it.get("message") or f"{it.get('field')} {it.get('code')}") if isinstance(it, dict) else it
        said.append(" ".join(str(words).split()))
    return ", ".join(said)[:300]
