from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str


class Transport(Protocol):
    """A machine where commands run and files lie. argv, never a shell string; bounded in time and size.

    Every call may raise Unavailable (nothing happened); `run` raises OutcomeUnknown when the time is up after the start.
    """

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float = 60) -> Ran: ...
    def put(self, data: bytes, path: str, *, mode: int = 0o600) -> None:
        """Whole or not at all: a temporary name, then a rename. Makes missing folders."""
        ...

    def get(self, path: str, *, offset: int = 0, limit: int | None = None) -> bytes:
        """Bytes from `offset`; empty when there is nothing new. Raises FileNotFoundError."""
        ...

    def list(self, path: str) -> Sequence[str]:
        """Names in a folder, sorted; empty for a folder that is not there."""
        ...
