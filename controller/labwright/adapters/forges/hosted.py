"""A forge with an HTTP API, as lab.yaml has it. Each one's own code is loaded only where it is asked for."""

from collections.abc import Callable

from labwright.domain.lab_forge import Forge as Settings
from labwright.ports.clock import Clock
from labwright.ports.forge import Forge

Held = Callable[[str], Callable[[], str]]
"""`{{secret.NAME}}` → what gives its value, as it is at each call."""


def open_hosted(settings: Settings, held: Held, clock: Clock) -> Forge:
    """Of any type but `git`. Nothing is sent before the first call."""
    url, repo = settings.address, settings.repo or ""
    if settings.app is not None:
        from labwright.adapters.forges.github.forge import GitHubForge
        from labwright.adapters.forges.github.tokens import AppTokens

        app = settings.app
        return GitHubForge(url, repo, AppTokens(url, repo, app.id, app.installation, held(app.key), clock))
    token = held(settings.token or "")
    if settings.type == "github":
        from labwright.adapters.forges.github.forge import GitHubForge

        return GitHubForge(url, repo, token)
    if settings.type == "gitlab":
        from labwright.adapters.forges.gitlab import GitLabForge

        return GitLabForge(url, repo, token)
    from labwright.adapters.forges.forgejo import ForgejoForge

    return ForgejoForge(url, repo, token)
