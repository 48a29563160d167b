"""Forges over their HTTP APIs: for each one what its JSON means (parse.py), and which calls are made (forge.py)."""
