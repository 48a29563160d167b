"""When to save: after SIGTERM or SIGUSR1 (the machine is wanted back, time is nearly up), or every N seconds.

SIGUSR1 is heard from `init` on. SIGTERM is heard from the first `should_checkpoint()` on: a script that never asks ends at
SIGTERM as it would without the SDK. Forked children get the handlers back that were there before.
"""

from __future__ import annotations

import os
from time import monotonic

from lab._warn import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

_wanted = False
_listening: dict[int, Any] = {}  # signal -> the handler that was there before
_due = float("inf")  # monotonic time of the next timed checkpoint
_armed = False  # the handlers are there


def should_checkpoint() -> bool:
    """True once after SIGTERM or SIGUSR1 arrived, and every `LAB_CHECKPOINT_EVERY` seconds. Cheap: ask at each step."""
    global _wanted, _armed
    if not _armed:
        _armed = listen(terminate=True)
        if _due == float("inf"):
            _rearm()
    if _wanted:
        _wanted = False
        return True
    if monotonic() >= _due:
        _rearm()
        return True
    return False


def saved() -> None:
    """A checkpoint was saved: the next timed one is due a whole interval from now."""
    if _due < float("inf"):
        _rearm()


def listen(terminate: bool = False) -> bool:
    """Hear SIGUSR1, and SIGTERM if `terminate`. Only the main thread may set handlers: elsewhere, say what to do and return False."""
    import signal

    for number in (signal.SIGUSR1, signal.SIGTERM) if terminate else (signal.SIGUSR1,):
        if number in _listening:
            continue
        try:
            _listening[number] = signal.signal(number, _handler)
        except ValueError:
            if terminate:
                warn("signals are not heard: call lab.should_checkpoint() once in the main thread")
            return False
    return True


def _handler(number: int, frame: FrameType | None) -> None:
    global _wanted
    _wanted = True
    before: Callable[[int, FrameType | None], object] | int | None = _listening.get(number)
    if callable(before) and before is not _handler:
        before(number, frame)


def _rearm() -> None:
    global _due
    try:
        every = float(os.environ.get("LAB_CHECKPOINT_EVERY") or "inf")
    except ValueError:
        warn("LAB_CHECKPOINT_EVERY is not a number of seconds")
        every = float("inf")
    _due = monotonic() + every


def _restore() -> None:
    """In a forked child: a worker that its parent ends by SIGTERM must end."""
    global _wanted, _armed
    _wanted = _armed = False
    if not _listening:
        return
    import signal

    while _listening:
        number, before = _listening.popitem()
        if signal.getsignal(number) is _handler:
            signal.signal(number, signal.SIG_DFL if before is None else before)


os.register_at_fork(after_in_child=_restore)
