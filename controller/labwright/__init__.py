"""Labwright: push a commit, get a result."""

__version__ = "0.1.0"
