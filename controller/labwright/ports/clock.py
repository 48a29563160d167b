from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The only source of time. Everything else takes time as an argument."""

    def now(self) -> datetime:
        """Aware, UTC."""
        ...
