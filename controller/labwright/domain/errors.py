"""Errors by what the caller must do next, not by where they came from."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong with a file, in words that a person can act on. `line` and `column` count from 1."""

    path: str
    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}:{self.column}"
        return f"{where}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class LabError(Exception):
    """Something that a user is told in one sentence; never a traceback."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message + (f" ({self.hint})" if self.hint else "")


class Refused(LabError):
    """A human must change something; never retried."""


class Invalid(Refused):
    """A document that says something we cannot honour; carries every problem found, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


class Unavailable(LabError):
    """Try again after `retry_in` seconds; nothing happened."""

    def __init__(self, message: str, *, hint: str = "", retry_in: float = 5.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_in = retry_in


class OutcomeUnknown(LabError):
    """It may have happened: look (by token) before acting again."""


class Stale(LabError):
    """Somebody else changed the row since it was read; read again and decide again."""
