"""Forgejo's lists, and answers that are not what was expected."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from labwright.adapters.forges.api import Api
from labwright.domain.errors import Unavailable

PAGE = 50  # items that it gives at most, unless its administrator says otherwise
_PAGES = 200


def everything(api: Api, path: str, **query: Any) -> list[Any]:
    """Of a list that says its length. Some lists come whole whatever is asked for, some leave out of a page what the token may
    not see: neither the length of a page nor `Link` says where they end."""
    found: dict[Any, Any] = {}
    size = 0
    for page in range(1, _PAGES + 1):
        answer = api.ask(path, page=page, limit=PAGE, **query)
        items = [item for item in answer.body or () if item]
        size = size or len(answer.body or ())
        before = len(found)
        found.update((item.get("id") or item.get("sha"), item) for item in items)
        total = answer.headers.get("x-total-count", "")
        if (total.isdigit() and page * size >= int(total)) or len(found) == before:
            return list(found.values())
    raise Unavailable(f"{api.what}: the list at {path} does not end", retry_in=300)


@contextmanager
def understood(api: Api) -> Iterator[None]:
    """An answer of another shape is an error in words, not a crash."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unavailable(
            f"{api.what} answers with something that is not understood: {type(error).__name__} {error}",
            hint="is there a Forgejo or Gitea at `forge.url`, 1.20 or newer?",
            retry_in=300,
        ) from error
