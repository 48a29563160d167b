"""The hook of a lab repository at Forgejo or Gitea."""

from typing import Any

from labwright.adapters.forges.api import Api
from labwright.adapters.forges.forgejo.calls import everything
from labwright.domain.errors import Refused

EVENTS = (
    "push",
    "create",
    "delete",
    "pull_request",
)  # with these come labels, reviews, comments and pushes to pull requests
NEEDED = frozenset(
    (
        "push",
        "delete",
        "pull_request",
        "pull_request_label",
        "pull_request_sync",
        "pull_request_comment",
        "pull_request_review_approved",
        "pull_request_review_rejected",
    )
)


def hooks_of(api: Api, repo: str, url: str) -> list[Any]:
    found = everything(api, f"{repo}/hooks")
    return [hook for hook in found if (hook.get("config") or {}).get("url") == url]


def amiss(hook: Any) -> str:
    """What is wrong with it, in words; empty where nothing is that can be seen. The secret cannot be read back."""
    if not hook.get("active"):
        return "it is switched off"
    if (hook.get("config") or {}).get("content_type") != "json":
        return "it does not send JSON"
    if hook.get("branch_filter") not in (None, "", "*"):
        return f"it tells of the branches {hook['branch_filter']} only"
    missing = NEEDED - set(hook.get("events") or ())
    return f"it does not tell of {', '.join(sorted(missing))}" if missing else ""


def is_right(api: Api, repo: str, url: str) -> bool:
    """As far as can be seen."""
    return any(not amiss(hook) for hook in hooks_of(api, repo, url))


def put_hook(api: Api, repo: str, url: str, secret: str) -> None:
    """In place of all that are there for this address: 1.21 ignores a changed secret, so the hook is made anew, and the old one
    goes when the new one is there."""
    old = hooks_of(api, repo, url)
    body = {
        "type": "forgejo",
        "active": True,
        "events": list(EVENTS),
        "config": {"url": url, "content_type": "json", "secret": secret},
    }
    try:
        api.send("POST", f"{repo}/hooks", body)
    except Refused as error:
        if "hook type" not in error.message:
            raise
        api.send("POST", f"{repo}/hooks", body | {"type": "gitea"})
    for hook in old:
        api.send("DELETE", f"{repo}/hooks/{hook['id']}")
