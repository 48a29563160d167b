"""git as the lab repository: only this folder and adapters/results run it."""

from labwright.adapters.repos.git.mirror import GitRepo

__all__ = ["GitRepo"]
