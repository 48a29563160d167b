"""Pull requests in a bare repository without any forge: branches, signed tags and one branch of ours."""

from labwright.adapters.forges.git.forge import GitForge
from labwright.adapters.forges.git.opening import open_forge
from labwright.adapters.forges.git.refs import OURS
from labwright.adapters.forges.git.words import Labels

__all__ = ["OURS", "GitForge", "Labels", "open_forge"]
