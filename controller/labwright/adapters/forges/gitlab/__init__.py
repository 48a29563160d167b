"""GitLab, gitlab.com or one's own: REST API v4."""

from labwright.adapters.forges.gitlab.forge import GitLabForge

__all__ = ["GitLabForge"]
