from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode(errors="replace")


class Transport(Protocol):
    """A machine where commands run and files lie. argv, never a shell string; bounded in time and size; many threads at once.

    Every call may raise Unavailable (try again) or Refused (somebody must mend the way there). `run` alone raises
    OutcomeUnknown: the way was lost, the time up or the output too long after it may have begun. `~` at the start of a path
    is the home there.
    """

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 60) -> Ran: ...
    def put(self, data: bytes, path: str, *, mode: int = 0o600) -> None:
        """Whole or not at all: a temporary name, then a rename. Makes missing folders. Doing it twice is harmless."""
        ...

    def get(self, path: str, *, offset: int = 0, limit: int | None = None) -> bytes:
        """Bytes from `offset`; empty when there is nothing new. Raises FileNotFoundError."""
        ...

    def list(self, path: str) -> Sequence[str]:
        """Names in a folder, sorted; empty for a folder that is not there."""
        ...

    def close(self) -> None:
        """Ends what is held open; a later call opens it anew."""
        ...
