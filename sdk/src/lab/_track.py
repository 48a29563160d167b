"""`track(iterable)`: reported progress, and a bar where a human looks on."""

from __future__ import annotations

import sys
from time import monotonic

from lab._events import emit
from lab._place import rank

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
    from typing import TypeVar

    T = TypeVar("T")

_REPORT, _DRAW = 1.0, 0.1  # seconds between two progress events, two drawings
_depth = 0  # of nested tracks the outermost reports: it alone is the job's progress


def track(iterable: Iterable[T], total: int | None = None, description: str = "") -> Iterator[T]:
    """Iterate, reporting progress at most once a second, with a bar on stderr if that is a terminal.

    `total` is needed only where the iterable has no length; without either, items are counted and no percentage is reported.
    """
    progress = _Progress(_length(iterable) if total is None else total, description)
    try:
        for item in iterable:
            yield item
            progress.advance()
        progress.end()
    finally:
        progress.close()


async def async_track(
    iterable: AsyncIterable[T] | Iterable[T], total: int | None = None, description: str = ""
) -> AsyncIterator[T]:
    """`track` for `async for`, over an asynchronous iterable or a plain one."""
    progress = _Progress(_length(iterable) if total is None else total, description)
    try:
        if hasattr(iterable, "__aiter__"):
            async for item in iterable:
                yield item
                progress.advance()
        else:
            for item in iterable:
                yield item
                progress.advance()
        progress.end()
    finally:
        progress.close()


class Throttle:
    """Lets one through each `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._next = seconds, 0.0

    def ready(self, now: float) -> bool:
        """Whether it is time again at `now` (monotonic seconds); if so, not again for a while."""
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


class _Progress:
    def __init__(self, total: int | None, description: str) -> None:
        global _depth
        self.total, self.description, self.count = total, description, 0
        self.outermost = _depth == 0
        _depth += 1
        self.begun = monotonic()
        self.report, self.draw = Throttle(_REPORT), Throttle(_DRAW)
        self.report.ready(self.begun)
        self.bar = self.outermost and rank() == 0 and _is_terminal()

    def advance(self) -> None:
        self.count += 1
        now = monotonic()
        if self.outermost and self.report.ready(now):
            self._emit()
        if self.bar and self.draw.ready(now):
            self._draw(now)

    def end(self) -> None:
        """The iterable ran out: that is all of it, whatever was foretold."""
        self.total = self.count
        if self.outermost:
            self._emit()
        if self.bar:
            self._draw(monotonic())

    def close(self) -> None:
        global _depth
        _depth -= 1
        if self.bar:
            _write("\n")

    def _emit(self) -> None:
        if self.total is not None:
            emit("progress", v=round(100 * min(1.0, self.count / self.total), 2) if self.total else 100.0)

    def _draw(self, now: float) -> None:
        speed = self.count / max(now - self.begun, 1e-9)
        head = f"\r\x1b[K{self.description + ' ' if self.description else ''}"
        if not self.total:
            _write(f"{head}{self.count} · {speed:.1f}/s")
            return
        share = min(1.0, self.count / self.total)
        full = int(share * 30)
        left = max(self.total - self.count, 0) / max(speed, 1e-9)
        _write(
            f"{head}{share:4.0%} {'━' * full}{' ' * (30 - full)} {self.count}/{self.total} · {speed:.1f}/s · {left:.0f} s left"
        )


def _length(iterable: object) -> int | None:
    try:
        return len(iterable)  # type: ignore[arg-type]
    except TypeError:
        return None


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except Exception:
        return False


def _write(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except Exception:
        pass
