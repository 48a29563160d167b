"""Forgejo and Gitea (tested on Forgejo 1.21): one API but for names."""

from labwright.adapters.forges.forgejo.forge import ForgejoForge

__all__ = ["ForgejoForge"]
