"""Values of secrets that were handed to jobs, so that they can be taken out of what jobs say. In memory only."""

import json
from collections.abc import Collection, Mapping, Sequence

from labwright.control.secrets import resolve
from labwright.domain.lab import SecretSource

SHORTEST = 4  # a secret of fewer characters is everywhere: what would be left of a log?


class Masks:
    def __init__(self) -> None:
        self._values: dict[str, set[str]] = {}

    def resolve(self, names: Collection[str], sources: Mapping[str, SecretSource]) -> Mapping[str, str]:
        """Values as they are now, remembered. Raises Refused."""
        values = resolve(names, sources)
        for name, value in values.items():
            self._values.setdefault(name, set()).add(value)
        return values

    def of(self, names: Collection[str], sources: Mapping[str, SecretSource]) -> Sequence[bytes]:
        """Everything that may not be kept of what a job with these secrets says, the longest first. A secret that was changed
        meanwhile counts with all its values. Raises Refused for one that nobody remembers and that cannot be had any more."""
        self.resolve([name for name in names if name not in self._values], sources)
        found: set[str] = set()
        for name in names:
            for value in list(self._values[name]):
                for text in (value, *value.splitlines()):  # a key of many lines may come a line at a time
                    found.update((text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]))
        return sorted((text.encode() for text in found if len(text) >= SHORTEST), key=len, reverse=True)


def mask(data: bytes, values: Sequence[bytes]) -> bytes:
    """As long as before, so that offsets stay true."""
    for value in values:
        if value in data:
            data = data.replace(value, b"*" * len(value))
    return data
