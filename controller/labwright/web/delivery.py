"""What a delivery is about, as a hint of where to look first. It is never state: the forge and git are asked what is so."""

import json
from collections.abc import Callable
from typing import Any

from labwright.web.signature import Headers, values

Wake = Callable[[str, int | None], None]
"""(`push`, `pull` or `other`; number of the pull request, where one was named). Returns at once; from any thread."""

_EVENTS = (b"x-forgejo-event", b"x-gitea-event", b"x-github-event", b"x-gitlab-event")
_IDS = (
    b"x-forgejo-delivery",
    b"x-gitea-delivery",
    b"x-github-delivery",
    b"webhook-id",
    b"x-gitlab-event-uuid",
)
_PUSH = {b"push", b"create", b"delete", b"push hook", b"tag push hook"}
_PULL = {b"issue_comment", b"merge request hook", b"note hook", b"confidential note hook"}
_MOST = 2**31

_NUMBERS = (
    ("pull_request", "number"),
    ("merge_request", "iid"),
    ("object_attributes", "iid"),
    ("issue", "number"),
    ("number",),
)


def kind_of(headers: Headers) -> str:
    name = _first(headers, _EVENTS).lower()
    if name in _PUSH:
        return "push"
    return "pull" if name in _PULL or name.startswith(b"pull_request") else "other"


def id_of(headers: Headers) -> bytes:
    """Empty where the sender gave none."""
    return _first(headers, _IDS)[:200]


def number_of(body: bytes) -> int | None:
    """Only of a body whose signature was found good."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    found = (_at(told, path) for path in _NUMBERS)
    return next((n for n in found if type(n) is int and 0 < n <= _MOST), None)


def _at(told: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        told = told.get(key) if isinstance(told, dict) else None
    return told


def _first(headers: Headers, names: tuple[bytes, ...]) -> bytes:
    return next((value for name in names for value in values(headers, name) if value), b"")
