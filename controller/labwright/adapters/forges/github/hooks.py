"""Where GitHub sends deliveries: a hook of the repository, or the one that an App has."""

import hashlib
from typing import Any

from labwright.adapters.forges.api import NotThere
from labwright.adapters.forges.github.client import Client, read
from labwright.adapters.forges.github.tokens import AppTokens
from labwright.domain.errors import Refused

EVENTS = frozenset({"push", "pull_request", "pull_request_review", "issue_comment"})


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def set_hook(api: Client, url: str, secret: str) -> bool:
    """Whether it was there and right, as far as that can be seen."""
    wanted = {"active": True, "events": sorted(EVENTS), "config": _config(url, secret)}
    there = of_repository(api, url)
    if there is None:
        api.send("POST", f"{api.repo}/hooks", {"name": "web", **wanted})
        return False
    right = not wrong_with(there)
    wanted["events"] = sorted(EVENTS | set(there["events"]))
    api.send("PATCH", f"{api.repo}/hooks/{read(lambda it: int(it['id']), there)}", wanted)
    return right


def of_repository(api: Client, url: str) -> Any:
    """The hook that sends there, or None."""
    try:
        hooks = read(
            lambda items: [(it["config"].get("url"), it) for it in items], api.pages(f"{api.repo}/hooks", per_page=100)
        )
    except NotThere as error:
        hint = "the token needs `Webhooks: read and write`, and its owner to be an admin of the repository"
        raise Refused(f"hooks of {api.repo.removeprefix('/repos/')} may not be read", hint=hint) from error
    return next((it for there, it in hooks if there == url), None)


def set_app_hook(app: AppTokens, url: str, secret: str) -> bool:
    """An App has one hook for all its installations: one that leads elsewhere is somebody's."""
    there = app.api.get("/app/hook/config")
    if (was := there.get("url")) and was != url:
        hint = "a controller needs an App of its own; else change the hook on the App's page"
        raise Refused(f"the App sends its deliveries to {was}", hint=hint)
    if missing := missing_events(app):
        hint = "tick them under `Subscribe to events` on the App's page: only its owner can"
        raise Refused(f"the App is not subscribed to {', '.join(missing)}", hint=hint)
    app.api.send("PATCH", "/app/hook/config", _config(url, secret))
    return bool(was) and not _unsafe(there)


def missing_events(app: AppTokens) -> list[str]:
    return sorted(EVENTS - set(read(lambda it: list(it["events"]), app.about())))


def wrong_with(hook: Any) -> str:
    """Of a repository's hook; empty: nothing."""
    if not hook.get("active"):
        return "is switched off"
    if "*" not in hook["events"] and (missing := sorted(EVENTS - set(hook["events"]))):
        return f"does not send {', '.join(missing)}"
    if not hook["config"].get("secret"):
        return "has no secret: its deliveries are not signed"
    return _unsafe(hook["config"])


def _unsafe(config: Any) -> str:
    if config.get("content_type") != "json":
        return "does not send JSON"
    return "does not verify the certificate" if str(config.get("insecure_ssl", "0")) != "0" else ""


def _config(url: str, secret: str) -> dict[str, str]:
    return {"url": url, "content_type": "json", "secret": secret, "insecure_ssl": "0"}
