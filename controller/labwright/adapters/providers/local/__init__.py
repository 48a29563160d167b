"""Jobs as processes of this machine: a folder, a wrapper in a session of its own, and nothing that must stay running."""

from labwright.adapters.providers.local.provider import LocalProvider

__all__ = ["LocalProvider"]
