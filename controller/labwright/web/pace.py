"""Wakes at a bearable pace: a flood of deliveries looks at the world a few times a second, and none of them is lost."""

from dataclasses import dataclass, field

_ROUNDING = 1e-6

Hint = tuple[str, int | None]


@dataclass
class Pace:
    """At most `most` at once and `rate` a second pass. What comes faster is merged by kind and passes as soon as it may; of
    merged ones that name several pull requests none is named. Times are seconds of any steady clock."""

    rate: float = 5.0
    most: float = 5.0
    _left: float = field(init=False)
    _at: float | None = field(default=None, init=False)
    _waiting: dict[str, int | None] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._left = self.most

    def add(self, kind: str, number: int | None) -> None:
        merged = kind in self._waiting and self._waiting[kind] != number
        self._waiting[kind] = None if merged else number

    def take(self, now: float) -> list[Hint]:
        """Those that may pass now, the longest waiting first."""
        self._refill(now)
        able = int(self._left + _ROUNDING)
        passing = [(kind, self._waiting.pop(kind)) for kind in list(self._waiting)[:able]]
        self._left -= len(passing)
        return passing

    def wait(self, now: float) -> float | None:
        """Seconds until `take` has something; None when nothing waits."""
        if not self._waiting:
            return None
        self._refill(now)
        missing = 1.0 - self._left
        return missing / self.rate if missing > _ROUNDING else 0.0

    def _refill(self, now: float) -> None:
        passed = max(0.0, now - self._at) if self._at is not None else 0.0
        self._left = min(self.most, self._left + passed * self.rate)
        self._at = now
