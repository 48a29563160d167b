"""Secrets: read from `LAB_SECRET_<NAME>` when asked for, put in place of `{{secret.NAME}}`, masked in all that is recorded."""

from __future__ import annotations

import os

from lab._numbers import encoded
from lab._warn import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from typing import Any

_PREFIX = "LAB_SECRET_"
_SHORTEST = 8  # masking shorter values would eat ordinary words


def get_secret(name: str, default: str | None = None) -> str | None:
    """The secret `name` that the lab gave this job, or `default`. `_HF_TOKEN` and `HF_TOKEN` are the same name."""
    plain = "".join(letter if letter.isalnum() else "_" for letter in name)
    for key in (name, plain, plain.upper(), plain.upper().lstrip("_"), "_" + plain.upper()):
        value = os.environ.get(_PREFIX + key)
        if value is not None:
            return value
    return default


def resolved(value: Any) -> Any:
    """`value` with each `{{secret.NAME}}` or `{{secrets.NAME}}` in its texts replaced; unknown ones stay, with a warning."""
    if isinstance(value, dict):
        return {key: resolved(item) for key, item in value.items()}
    if isinstance(value, list):
        return [resolved(item) for item in value]
    if not isinstance(value, str) or "{{" not in value:
        return value
    import re

    return re.sub(r"\{\{\s*secrets?\.(\w+)\s*\}\}", _replacement, value)


def _replacement(match: re.Match[str]) -> str:
    secret = get_secret(match[1])
    if secret is None:
        warn(
            f"secret {match[1]} is not given to this job: name it in lab.yaml under secrets:, or set {_PREFIX}{match[1]}"
        )
        return match[0]
    return secret


def masked(value: Any) -> Any:
    """`value` with the text of every secret of this job replaced by its `{{secret.NAME}}`."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): masked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(item) for item in value]
    if isinstance(value, float):
        return encoded(value)
    if isinstance(value, str):
        for name, secret in os.environ.items():
            if name.startswith(_PREFIX) and len(secret) >= _SHORTEST and secret in value:
                value = value.replace(secret, "{{secret." + name[len(_PREFIX) :] + "}}")
    return value
