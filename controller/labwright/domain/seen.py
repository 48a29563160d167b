"""What a provider says of an attempt when asked."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from labwright.domain.lifecycle import Outcome


class Phase(StrEnum):
    QUEUED = "queued"  # the provider has it, nothing runs
    SETUP = "setup"
    RUN = "run"
    ENDED = "ended"
    MISSING = "missing"  # the provider answered, and does not know it
    UNKNOWN = "unknown"  # a word of the provider that we do not know: keep the state


@dataclass(frozen=True, slots=True)
class Seen:
    phase: Phase
    outcome: Outcome | None = None  # only with ENDED
    exit_code: int | None = None
    signal: int | None = None
    started: datetime | None = None
    running: datetime | None = None
    ended: datetime | None = None
    node: str = ""
    detail: str = ""
